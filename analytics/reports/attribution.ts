/**
 * The attribution report: of the latency at the edge, how much is the gateway's, the mesh's, the
 * wire's and the applications', at the percentiles that one cares about, adding up exactly. Plain
 * figures; the terminal, JSON and CSV forms say the same in their manner.
 */
import { isRequest } from '../../telemetry/edge-class.ts';
import type { StoreClient } from '../../store/client.ts';
import { bandMean } from '../attribution/bands.ts';
import {
  KIND,
  reasonsOf,
  SEGMENT_KINDS,
  type IncompleteReason,
  type SegmentKind,
} from '../attribution/segments.ts';
import {
  readWindowTraces,
  type TraceFilter,
  type WindowTraces,
} from '../attribution/window-traces.ts';
import { reconcileForReport, type Reconciliation } from '../reconcile.ts';
import { readTraffic } from '../traffic.ts';
import type { Window } from '../window.ts';

/** A mean over the requests of a band, with the interval that 95 % of resamples fall into. */
interface MeanMs {
  readonly ms: number;
  readonly low_ms: number;
  readonly high_ms: number;
}

/** One segment by name, such as wire between two services or a function of the gateway. */
interface SegmentLine {
  readonly kind: SegmentKind;
  /** Service of the proxy, or workload. */
  readonly place: string;
  /** Of wire the service of the next hop, of gateway the function, of mesh the side; '' else. */
  readonly detail: string;
  /** Mean over all requests of the band, milliseconds; these add up to the mean of the kind. */
  readonly ms: number;
}

export interface AttributionBand {
  /** Such as 99 or 99.9. */
  readonly percentile: number;
  readonly requests: number;
  /** Too few requests for the mean to say much. */
  readonly few: boolean;
  /** Mean duration without client wait: the sum of all kinds but client_wait. */
  readonly total: MeanMs;
  readonly kinds: Readonly<Record<SegmentKind, MeanMs>>;
  /** Greatest first. */
  readonly segments: readonly SegmentLine[];
}

export interface Attribution {
  readonly report: 'attribution';
  readonly from: string;
  readonly to: string;
  /** Up to here requests are published, past it split provisionally. */
  readonly final_until: string;
  readonly provisional: boolean;
  /** Set when requests between `final_until` and here are left out: the job is far behind. */
  readonly left_out_until: string | null;
  readonly filter: TraceFilter;
  /** Requests from outside as the traffic counts them; null under a filter. */
  readonly requests: number | null;
  /** Requests that were split and miss nothing, streams left out: what the bands are made of. */
  readonly complete: number;
  readonly streams: number;
  readonly incomplete: number;
  /** Requests that ended within the last half minute and lack records that may still come. */
  readonly arriving: number;
  readonly incomplete_by_reason: Readonly<Partial<Record<IncompleteReason, number>>>;
  /** Requests that belong to no trace of their own: counted by the traffic and not split. */
  readonly not_split: number | null;
  readonly bands: readonly AttributionBand[];
  /** Hops that are missing by the ledgers of the window's last half hour: a complete trace may lack a call that nobody answered. */
  readonly hops_missing: number;
}

/** Makes the report's figures from what was read; pure. */
export function attribution(
  window: Window,
  traces: WindowTraces,
  filter: TraceFilter,
  known: { readonly requests: number | null; readonly account: Reconciliation['totals'] },
): Attribution {
  const { counts, publishedUntilMs, tailFromMs } = traces;
  const sum = (of: (row: (typeof counts)[number]) => number): number =>
    counts.reduce((total, row) => total + of(row), 0);
  const byReason: Partial<Record<IncompleteReason, number>> = {};
  for (const row of counts) {
    for (const reason of reasonsOf(row.incomplete)) {
      byReason[reason] = (byReason[reason] ?? 0) + row.traces;
    }
  }
  return {
    report: 'attribution',
    from: new Date(window.fromMs).toISOString(),
    to: new Date(window.toMs).toISOString(),
    final_until: new Date(publishedUntilMs).toISOString(),
    provisional: publishedUntilMs < window.toMs,
    left_out_until: tailFromMs > publishedUntilMs ? new Date(tailFromMs).toISOString() : null,
    filter,
    requests: known.requests,
    complete: sum((row) => (row.incomplete === 0 && !row.stream ? row.traces : 0)),
    streams: sum((row) => (row.incomplete === 0 && row.stream ? row.traces : 0)),
    incomplete: sum((row) => (row.incomplete !== 0 ? row.traces : 0)),
    arriving: traces.arriving,
    incomplete_by_reason: byReason,
    not_split:
      known.requests === null ? null : known.requests - traces.arriving - sum((row) => row.traces),
    bands: traces.bands.map((band) => {
      const mean = bandMean(band);
      const ms = (ns: number): number => ns / 1e6;
      const of = (kind: number): MeanMs => ({
        ms: ms(mean.meanNs[kind]!),
        low_ms: ms(mean.intervals[kind]![0]),
        high_ms: ms(mean.intervals[kind]![1]),
      });
      return {
        percentile: Math.round(band.percentile * 1000) / 10,
        requests: band.traces,
        few: mean.few,
        total: {
          ms: ms(mean.effectiveNs),
          low_ms: ms(mean.effectiveInterval[0]),
          high_ms: ms(mean.effectiveInterval[1]),
        },
        kinds: Object.fromEntries(SEGMENT_KINDS.map((kind) => [kind, of(KIND[kind])])) as Record<
          SegmentKind,
          MeanMs
        >,
        segments: band.segments
          .map(({ kind, place, detail, ns }) => ({ kind, place, detail, ms: ms(ns / band.traces) }))
          .sort((a, b) => Math.abs(b.ms) - Math.abs(a.ms)),
      };
    }),
    hops_missing: known.account.unexplained + known.account.dropped_total,
  };
}

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readAttribution(
  store: StoreClient,
  window: Window,
  filter: TraceFilter = {},
  options: { readonly retentionDays?: number; readonly nowMs?: number } = {},
): Promise<Attribution> {
  const traces = await readWindowTraces(store, window, filter, options.nowMs ?? Date.now());
  const filtered = Object.values(filter).some((value) => value !== undefined);
  let requests: number | null = null;
  if (!filtered) {
    const { byEdgeClass } = await readTraffic(store, window);
    requests = 0;
    for (const [edgeClass, { hops }] of byEdgeClass) if (isRequest(edgeClass)) requests += hops;
  }
  const { totals } = await reconcileForReport(store, { ...window, ...options });
  return attribution(window, traces, filter, { requests, account: totals });
}
