/**
 * The requests of a window, split: published ones from the store, and the tail that is not published
 * yet by splitting it here and now, with the same code. Gives what the report is made of.
 *
 *     from            published until          to
 *      |--- attribution (view) ---|--- tail ---|
 */
import type { StoreClient } from '../../store/client.ts';
import { EDGE_CLASSES, isRequest } from '../../telemetry/edge-class.ts';
import { readAttributionProgress } from '../jobs/attribution.ts';
import { sql } from '../sql.ts';
import { MINUTE_MS, minuteOf, type Window } from '../window.ts';
import { bandBucketOf, bandRanges, type BandRange, type BandSums } from './bands.ts';
import { IDLE_MS, OpenTraces, type ClosedTrace } from './open-traces.ts';
import { readTraces } from './read-traces.ts';
import { KIND, SEGMENT_KINDS, type SegmentKind } from './segments.ts';

/** Which requests; an absent one means all. */
export interface TraceFilter {
  readonly route?: string | undefined;
  /** Service where the request entered. */
  readonly service?: string | undefined;
  readonly topology?: string | undefined;
  readonly generation?: number | undefined;
}

export interface NamedSegment {
  readonly kind: SegmentKind;
  readonly place: string;
  readonly detail: string;
  /** Sum over the band's requests, nanoseconds. */
  readonly ns: number;
}

export interface WindowTraces {
  /** Up to here requests are published, past it split provisionally; Unix milliseconds. */
  readonly publishedUntilMs: number;
  /** From here the tail was read; later than publishedUntilMs when the tail was too long. */
  readonly tailFromMs: number;
  readonly counts: readonly {
    readonly incomplete: number;
    readonly stream: boolean;
    readonly traces: number;
    /** Entrances: more than traces where several requests share one trace id. */
    readonly roots: number;
  }[];
  /** Requests whose records are still on their way: incomplete and only just over. */
  readonly arriving: number;
  readonly bands: readonly (BandRange &
    BandSums & { readonly segments: readonly NamedSegment[] })[];
}

/** Minutes that are split here and now, at most: the job is behind by two as a rule. */
const TAIL_MS_MAX = 30 * MINUTE_MS;

/** Requests of a band whose totals are kept for resampling. */
const SAMPLE_MAX = 1000;

/**
 * Reads and splits.
 * @throws AzimuthError of the store's.
 */
export async function readWindowTraces(
  store: StoreClient,
  window: Window,
  filter: TraceFilter,
  nowMs: number,
): Promise<WindowTraces> {
  const progress = await readAttributionProgress(store);
  const publishedUntilMs = Math.max(
    window.fromMs,
    Math.min(window.toMs, progress?.publishedUntilMs ?? 0),
  );
  const params = {
    from_ms: window.fromMs,
    to_ms: publishedUntilMs,
    route: filter.route ?? '',
    service: filter.service ?? '',
    topology: filter.topology ?? '',
    generation: filter.generation ?? 0,
  };
  const published = publishedUntilMs > window.fromMs;
  const counts = published
    ? await store.query<WindowTraces['counts'][number]>(sql('attribution_counts'), params)
    : [];
  const buckets = new Map<number, number>();
  if (published) {
    const rows = await store.query<{ bucket: number; traces: number }>(
      sql('attribution_buckets'),
      params,
    );
    for (const row of rows) buckets.set(row.bucket, row.traces);
  }
  const tailFromMs = Math.max(publishedUntilMs, window.toMs - TAIL_MS_MAX);
  const all = await readTail(store, { fromMs: tailFromMs, toMs: window.toMs }, filter);
  const tail = all.filter(({ incomplete, endMs }) => incomplete === 0 || endMs < nowMs - IDLE_MS);
  for (const trace of tail) {
    if (!enters(trace)) continue;
    buckets.set(trace.bucket, (buckets.get(trace.bucket) ?? 0) + 1);
  }
  const ranges = bandRanges(buckets);
  const sums = ranges.map(() => emptyBand());
  if (published && ranges.length > 0) {
    await addPublished(store, { ...params, ...rangeParams(ranges) }, sums);
  }
  for (const trace of tail) {
    if (!enters(trace)) continue;
    ranges.forEach(({ low, high }, i) => {
      if (trace.bucket >= low && trace.bucket <= high) addTrace(sums[i]!, trace);
    });
  }
  return {
    publishedUntilMs,
    tailFromMs,
    counts: [...counts, ...countTail(tail)],
    arriving: all.length - tail.length,
    bands: ranges.map((range, i) => {
      const { segments, ...band } = sums[i]!;
      return { ...range, ...band, segments: [...segments.values()] };
    }),
  };
}

interface MutableBand {
  traces: number;
  sums: number[];
  sample: number[][];
  segments: Map<string, { kind: SegmentKind; place: string; detail: string; ns: number }>;
}

const emptyBand = (): MutableBand => ({
  traces: 0,
  sums: SEGMENT_KINDS.map(() => 0),
  sample: [],
  segments: new Map(),
});

const rangeParams = (ranges: readonly BandRange[]): Record<string, number[]> => ({
  band: ranges.map((_, i) => i),
  low: ranges.map((range) => range.low),
  high: ranges.map((range) => range.high),
});

async function addPublished(
  store: StoreClient,
  params: Record<string, unknown>,
  bands: readonly MutableBand[],
): Promise<void> {
  const rows = await store.query<{
    band: number;
    traces: number;
    sums: number[];
    sample: number[][];
  }>(sql('attribution_bands'), params);
  for (const row of rows) {
    const band = bands[row.band]!;
    band.traces += row.traces;
    row.sums.forEach((ns, kind) => (band.sums[kind]! += ns));
    band.sample.push(...row.sample);
  }
  const segments = await store.query<{ band: number } & NamedSegment>(
    sql('attribution_band_segments'),
    params,
  );
  for (const row of segments) addSegment(bands[row.band]!, row);
}

function addSegment(band: MutableBand, { kind, place, detail, ns }: NamedSegment): void {
  const key = `${kind}\n${place}\n${detail}`;
  const known = band.segments.get(key);
  if (known === undefined) band.segments.set(key, { kind, place, detail, ns });
  else known.ns += ns;
}

/** A request of the tail. */
interface TailTrace {
  readonly incomplete: number;
  readonly stream: boolean;
  readonly roots: number;
  /** End of its root hop, Unix milliseconds. */
  readonly endMs: number;
  readonly bucket: number;
  readonly totals: readonly number[];
  readonly segments: readonly NamedSegment[];
}

const enters = (trace: TailTrace): boolean => trace.incomplete === 0 && !trace.stream;

async function readTail(
  store: StoreClient,
  window: Window,
  filter: TraceFilter,
): Promise<TailTrace[]> {
  const found: TailTrace[] = [];
  if (window.fromMs >= window.toMs) return found;
  // From the start of a minute: before it nothing is open, within it a trace may have begun.
  const fromMs = minuteOf(window.fromMs);
  const traces = new OpenTraces(fromMs, (trace) => {
    if (passes(trace, window, filter)) found.push(tailTrace(trace));
  });
  await readTraces(store, traces, { fromMs, toMs: window.toMs + MINUTE_MS });
  traces.closeAll();
  return found;
}

function passes(trace: ClosedTrace, window: Window, filter: TraceFilter): boolean {
  const { split, columns, names, baseMs } = trace;
  const { data } = columns;
  const row = split.root;
  const atMs = baseMs + data.start[row]! / 1e6;
  const text = (number: number): string => names.texts[number]!;
  return (
    atMs >= window.fromMs &&
    atMs < window.toMs &&
    isRequest(EDGE_CLASSES[data.edgeClass[row]!]!) &&
    (filter.route === undefined || text(data.route[row]!) === filter.route) &&
    (filter.service === undefined || text(data.service[row]!) === filter.service) &&
    (filter.topology === undefined || text(data.topology[row]!) === filter.topology) &&
    (filter.generation === undefined || data.generation[row] === filter.generation)
  );
}

function tailTrace({ split, segments, columns, names, baseMs }: ClosedTrace): TailTrace {
  const named: NamedSegment[] = [];
  for (let i = 0; i < segments.count; i++) {
    named.push({
      kind: SEGMENT_KINDS[segments.kinds[i]!]!,
      place: names.texts[segments.places[i]!]!,
      detail: names.texts[segments.details[i]!]!,
      ns: segments.ns[i]!,
    });
  }
  return {
    incomplete: split.incomplete,
    stream: columns.data.streamClass[split.root] !== 0,
    roots: split.roots,
    endMs: baseMs + (columns.data.start[split.root]! + split.durationNs) / 1e6,
    bucket: bandBucketOf(split.durationNs - segments.totals[KIND.client_wait]!),
    totals: [...segments.totals],
    segments: named,
  };
}

function addTrace(band: MutableBand, trace: TailTrace): void {
  band.traces++;
  trace.totals.forEach((ns, kind) => (band.sums[kind]! += ns));
  if (band.sample.length < 2 * SAMPLE_MAX) band.sample.push([...trace.totals]);
  for (const segment of trace.segments) addSegment(band, segment);
}

function countTail(tail: readonly TailTrace[]): WindowTraces['counts'] {
  const counts = new Map<
    string,
    { incomplete: number; stream: boolean; traces: number; roots: number }
  >();
  for (const { incomplete, stream, roots } of tail) {
    const key = `${incomplete} ${stream}`;
    const known = counts.get(key) ?? { incomplete, stream, traces: 0, roots: 0 };
    known.traces++;
    known.roots += roots;
    counts.set(key, known);
  }
  return [...counts.values()];
}
