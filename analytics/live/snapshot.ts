/**
 * What the live page shows at one instant, read from the store by the same code as the reports, so
 * that the page and `azimuth report` say the same. Both perspectives are in it: switching needs no
 * new question. Parts that are dearer are read less often and carried along.
 */
import type { StoreClient } from '../../store/client.ts';
import { directionOf, type Direction, type EdgeClass } from '../../telemetry/edge-class.ts';
import { quantileOf, type Histogram } from '../histogram.ts';
import { reconcile } from '../reconcile.ts';
import { readAttribution, type Attribution } from '../reports/attribution.ts';
import { segmentName } from '../reports/attribution-forms.ts';
import { explainTrace } from '../reports/explain.ts';
import { gatewayVsMesh, type GatewayVsMesh } from '../reports/gateway-vs-mesh.ts';
import { sql } from '../sql.ts';
import { readEdges, readTraffic } from '../traffic.ts';
import type { Window } from '../window.ts';

/** One edge of the picture. */
export interface LiveEdge {
  /** `clients` for requests from outside; '' where nobody vouches for the caller. */
  readonly from: string;
  readonly to: string;
  readonly edge_class: EdgeClass;
  readonly direction: Readonly<Record<'split' | 'whole', Direction>>;
  readonly legs: number;
  readonly per_s: number;
  readonly errors: number;
  /** Milliseconds of effective duration; null without a hop that has one. */
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  /** Median own time of the proxy that received it. */
  readonly own_p50_ms: number | null;
}

/** A request in the lists of the page. */
export interface LiveRequest {
  readonly trace: string;
  readonly at: string;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly error_type: string;
  readonly ms: number;
  /** Its two largest parts in words, such as `application pricing 36.0`. */
  readonly where: string;
}

/** Requests from outside over time: one cell a step and bucket. */
export interface LiveColumns {
  readonly step_ms: number;
  /** [start in Unix milliseconds, bucket, requests, errors]; a bucket is half an octave from 1.024 us on. */
  readonly cells: readonly (readonly [number, number, number, number])[];
}

export interface LiveSnapshot {
  readonly at: string;
  readonly window_s: number;
  readonly perspectives: { readonly split: GatewayVsMesh; readonly whole: GatewayVsMesh };
  readonly edges: readonly LiveEdge[];
  readonly attribution: Attribution;
  readonly columns: LiveColumns;
  readonly slowest: readonly LiveRequest[];
  readonly failing: readonly LiveRequest[];
  readonly pipeline: {
    /** Age of the newest stored hop; null without one in the last ten minutes. */
    readonly newest_hop_s: number | null;
    /** Messages and rows put aside in the last ten minutes. */
    readonly dead_letters: number;
  };
}

/** Columns of the heat map, about. */
const COLUMNS = 60;

/** Attribution and request lists are read anew after this long. */
const DEAR_MS = 5000;

type Dear = Pick<LiveSnapshot, 'attribution' | 'slowest' | 'failing'>;

/** Reads snapshots of one length of window, one at a time. */
export function createSnapshotReader(settings: {
  readonly store: StoreClient;
  readonly retentionDays: number;
  /** Length of the window, milliseconds. */
  readonly lastMs: number;
  readonly nowMs: () => number;
}): () => Promise<LiveSnapshot> {
  const { store, retentionDays, lastMs, nowMs } = settings;
  let dear: Dear | undefined;
  let dearReadMs = -Infinity;
  return async () => {
    const now = nowMs();
    const toMs = Math.ceil(now / 1000) * 1000;
    const window = { fromMs: toMs - lastMs, toMs };
    const traffic = await readTraffic(store, window);
    const account = await reconcile(store, { ...window, retentionDays });
    if (dear === undefined || now - dearReadMs >= DEAR_MS) {
      dear = await readDear(store, window, retentionDays);
      dearReadMs = now;
    }
    return {
      at: new Date(now).toISOString(),
      window_s: lastMs / 1000,
      perspectives: {
        split: gatewayVsMesh(traffic, account, 'split'),
        whole: gatewayVsMesh(traffic, account, 'whole'),
      },
      edges: await readLiveEdges(store, window),
      ...dear,
      columns: await readColumns(store, window),
      pipeline: await readPipeline(store, now),
    };
  };
}

async function readDear(store: StoreClient, window: Window, retentionDays: number): Promise<Dear> {
  return {
    attribution: await readAttribution(store, window, {}, { retentionDays }),
    slowest: await readRequests(store, window, false),
    failing: await readRequests(store, window, true),
  };
}

async function readLiveEdges(store: StoreClient, window: Window): Promise<LiveEdge[]> {
  const seconds = (window.toMs - window.fromMs) / 1000;
  const ms = (histogram: Histogram, p: number): number | null => {
    const quantile = quantileOf(histogram, p);
    return quantile === undefined ? null : quantile.ns / 1e6;
  };
  const { groups } = await readEdges(store, window);
  return groups.map(({ caller, callee, edgeClass, traffic }) => ({
    from: edgeClass.startsWith('external_to') ? 'clients' : caller,
    to: callee,
    edge_class: edgeClass,
    direction: {
      split: directionOf(edgeClass, 'split'),
      whole: directionOf(edgeClass, 'whole'),
    },
    legs: traffic.hops,
    per_s: traffic.hops / seconds,
    errors: traffic.errors,
    p50_ms: ms(traffic.latency, 0.5),
    p99_ms: ms(traffic.latency, 0.99),
    own_p50_ms: ms(traffic.own, 0.5),
  }));
}

interface RequestRow {
  readonly trace: string;
  readonly at_ms: number;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly error_type: string;
  readonly effective_ns: number;
}

async function readRequests(
  store: StoreClient,
  window: Window,
  failed: boolean,
): Promise<LiveRequest[]> {
  const rows = await store.query<RequestRow>(sql('live_requests'), {
    from_ms: window.fromMs,
    to_ms: window.toMs,
    failed: failed ? 1 : 0,
  });
  const requests: LiveRequest[] = [];
  for (const row of rows) {
    requests.push({
      trace: row.trace,
      at: new Date(row.at_ms).toISOString(),
      method: row.method,
      route: row.route,
      status: row.status,
      error_type: row.error_type,
      ms: row.effective_ns / 1e6,
      where: await whereOf(store, row.trace),
    });
  }
  return requests;
}

async function whereOf(store: StoreClient, trace: string): Promise<string> {
  const { segments } = await explainTrace(store, trace);
  return segments
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, 2)
    .map((segment) => `${segmentName(segment)} ${segment.ms.toFixed(1)}`)
    .join(', ');
}

async function readColumns(store: StoreClient, window: Window): Promise<LiveColumns> {
  const stepMs = Math.max(1000, Math.round((window.toMs - window.fromMs) / COLUMNS / 1000) * 1000);
  const rows = await store.query<{
    at_ms: number;
    bucket: number;
    requests: number;
    errors: number;
  }>(sql('live_columns'), { from_ms: window.fromMs, to_ms: window.toMs, step_ms: stepMs });
  return {
    step_ms: stepMs,
    cells: rows.map((row) => [row.at_ms, row.bucket, row.requests, row.errors]),
  };
}

async function readPipeline(store: StoreClient, now: number): Promise<LiveSnapshot['pipeline']> {
  const [row] = await store.query<{ newest_ms: number; dead_letters: number }>(sql('live_lag'));
  return {
    newest_hop_s:
      row === undefined || row.newest_ms === 0 ? null : Math.max(0, (now - row.newest_ms) / 1000),
    dead_letters: row?.dead_letters ?? 0,
  };
}
