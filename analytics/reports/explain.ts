/**
 * One request explained: its hops as a tree, each with its own time and what lies between, and the
 * sum. What `azimuth explain` prints and the API gives out.
 *
 * Where a hop stands in time: a call of a workload by its own clock, which is the inbound hop's too;
 * a hop behind a wire in the middle of its caller's attempt, since clocks of two hosts are never
 * compared.
 */
import { AzimuthError } from '../../runtime/errors.ts';
import type { StoreClient } from '../../store/client.ts';
import { EDGE_CLASSES, PROXY_ROLES, PROXY_SIDES } from '../../telemetry/edge-class.ts';
import { OpenTraces, type ClosedTrace } from '../attribution/open-traces.ts';
import { readTraces } from '../attribution/read-traces.ts';
import { reasonsOf, SEGMENT_KINDS, type SegmentKind } from '../attribution/segments.ts';
import { sql } from '../sql.ts';
import type { Window } from '../window.ts';

export interface ExplainedHop {
  readonly service: string;
  readonly role: string;
  readonly side: string;
  readonly edge_class: string;
  readonly route: string;
  readonly method: string;
  /** 0: no answer was sent. */
  readonly status: number;
  readonly attempts: number;
  /** Position in the list of the hop that called it; null for the root and where it is unknown. */
  readonly caller: number | null;
  /** From the root's start, as far as it can be placed; null where it cannot. */
  readonly offset_ms: number | null;
  readonly duration_ms: number;
  readonly own_ms: number;
  readonly client_wait_ms: number;
}

export interface Explanation {
  readonly trace_id: string;
  /** Start of the root hop, ISO 8601. */
  readonly at: string;
  readonly duration_ms: number;
  readonly incomplete: readonly string[];
  readonly hops: readonly ExplainedHop[];
  /** Sum by kind; the kinds sum to `duration_ms`. */
  readonly kinds: Readonly<Record<SegmentKind, number>>;
  readonly segments: readonly {
    readonly kind: SegmentKind;
    readonly place: string;
    readonly detail: string;
    readonly ms: number;
  }[];
}

/**
 * Explains one trace.
 * @throws AzimuthError AZ_USAGE for an id that is none, or of which no hop is stored; the store's.
 */
export async function explainTrace(store: StoreClient, traceId: string): Promise<Explanation> {
  const trace = traceId.toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(trace)) {
    throw new AzimuthError('AZ_USAGE', `"${traceId}" is no trace id: 32 hexadecimal digits`);
  }
  const [bounds] = await store.query<{ from_ms: number; to_ms: number; rows: number }>(
    sql('trace_bounds'),
    { trace },
  );
  let explanation: Explanation | undefined;
  if (bounds !== undefined && bounds.rows > 0) {
    const { from_ms: fromMs, to_ms: toMs } = bounds;
    const traces = new OpenTraces(fromMs, (closed) => {
      explanation = explain(closed);
    });
    await readTraces(
      store,
      traces,
      { fromMs, toMs },
      {
        query: 'attribution_trace_rows',
        params: { trace, copies: 1 },
      },
    );
    traces.closeAll();
  }
  if (explanation !== undefined) return explanation;
  throw new AzimuthError(
    'AZ_USAGE',
    `no hop of the trace ${trace} is stored: it may have expired, be on its way still, or have ` +
      'passed no proxy of the mesh',
  );
}

/**
 * Trace id of the slowest request of a window.
 * @throws AzimuthError AZ_USAGE when there is none.
 */
export async function slowestTrace(
  store: StoreClient,
  window: Window,
  route: string | undefined,
): Promise<string> {
  const [row] = await store.query<{ trace: string }>(sql('slowest_request'), {
    from_ms: window.fromMs,
    to_ms: window.toMs,
    route: route ?? '',
  });
  if (row !== undefined) return row.trace;
  throw new AzimuthError('AZ_USAGE', 'no request from outside in this window; try --last 1h');
}

function explain({
  traceKey,
  split,
  segments,
  hops,
  columns,
  names,
  baseMs,
}: ClosedTrace): Explanation {
  const { data } = columns;
  const text = (number: number): string => names.texts[number]!;
  const placed = hops();
  const root = placed.findIndex((hop) => hop.row === split.root);
  const offsets = new Map<number, number>([[root, 0]]);
  const offsetOf = (i: number): number | undefined => {
    const known = offsets.get(i);
    if (known !== undefined) return known;
    const { row, caller, attempt } = placed[i]!;
    const from = caller < 0 ? undefined : offsetOf(caller);
    if (from === undefined) return undefined;
    const callerRow = placed[caller]!.row;
    const times =
      attempt === 1
        ? { startNs: data.attemptStart[callerRow]!, ns: data.attemptNs[callerRow]! }
        : columns.moreAttempts.get(callerRow)![attempt - 2]!;
    const sameClock =
      data.clock[row] === data.clock[callerRow] && data.service[row] === data.service[callerRow];
    const offset = sameClock
      ? from + data.start[row]! - data.start[callerRow]!
      : from + times.startNs + Math.max(0, times.ns - data.duration[row]!) / 2;
    offsets.set(i, offset);
    return offset;
  };
  const ms = (ns: number): number => ns / 1e6;
  return {
    trace_id: Buffer.from(traceKey, 'latin1').toString('hex'),
    at: new Date(baseMs + data.start[split.root]! / 1e6).toISOString(),
    duration_ms: ms(split.durationNs),
    incomplete: reasonsOf(split.incomplete),
    hops: placed.map(({ row, caller }, i) => {
      const offset = offsetOf(i);
      return {
        service: text(data.service[row]!),
        role: PROXY_ROLES[data.role[row]!]!,
        side: PROXY_SIDES[data.side[row]!]!,
        edge_class: EDGE_CLASSES[data.edgeClass[row]!]!,
        route: text(data.route[row]!),
        method: text(data.method[row]!),
        status: data.status[row]!,
        attempts: data.attempts[row]!,
        caller: caller < 0 ? null : caller,
        offset_ms: offset === undefined ? null : ms(offset),
        duration_ms: ms(data.duration[row]!),
        own_ms: ms(data.own[row]!),
        client_wait_ms: ms(data.wait[row]!),
      };
    }),
    kinds: Object.fromEntries(
      SEGMENT_KINDS.map((kind, i) => [kind, ms(segments.totals[i]!)]),
    ) as Record<SegmentKind, number>,
    segments: Array.from({ length: segments.count }, (_, i) => ({
      kind: SEGMENT_KINDS[segments.kinds[i]!]!,
      place: text(segments.places[i]!),
      detail: text(segments.details[i]!),
      ms: ms(segments.ns[i]!),
    })),
  };
}
