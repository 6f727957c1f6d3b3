/**
 * The report that compares: two windows, configuration generations or topologies. It states the
 * effect with its interval, and says in words when nothing is shown or there is too little to tell;
 * it never puts two numbers side by side and leaves the judging to the eye.
 */
import type { StoreClient } from '../../store/client.ts';
import { bandBucketFloor } from '../attribution/bands.ts';
import { SEGMENT_KINDS, type SegmentKind } from '../attribution/segments.ts';
import type { TraceFilter } from '../attribution/window-traces.ts';
import { readAttributionProgress } from '../jobs/attribution.ts';
import {
  BLOCKS_MIN,
  compareBlocks,
  shareDifference,
  type Block,
  type Interval,
  type Pool,
} from '../resampling.ts';
import { sql } from '../sql.ts';
import { readTraffic } from '../traffic.ts';
import type { Window } from '../window.ts';
import { headOf, type ReportHead } from './presentation.ts';

/** Blocks of time of one side: enough to resample from, and every window of whole seconds divides by it. */
const BLOCKS = 50;
/** Requests that a mean or a share needs on each side. */
const FEW_REQUESTS = 30;
/** Requests that must lie beyond a quantile. */
const BEYOND = 5;

export interface Side {
  readonly window: Window;
  readonly filter: TraceFilter;
}

export type Verdict = 'higher' | 'lower' | 'no_difference_shown' | 'too_few';

export interface ComparedLine {
  /** `rate`, `error_share`, `mean`, `p50`, `p90`, `p99`, `own_mean`, or `part_…` with a kind of time. */
  readonly measure: string;
  readonly unit: 'per_s' | 'share' | 'ms';
  readonly base: number | null;
  readonly current: number | null;
  /** current - base. */
  readonly difference: number | null;
  /** Interval of the difference, 95 %. */
  readonly low: number | null;
  readonly high: number | null;
  /** Of the base; null where that is 0. */
  readonly relative: number | null;
  readonly verdict: Verdict;
}

export interface ComparedSide {
  readonly from: string;
  readonly to: string;
  readonly filter: TraceFilter;
  readonly requests: number;
  /** Requests that the parts are made of: published and complete. */
  readonly split: number;
}

export interface Comparison extends ReportHead {
  readonly report: 'compare';
  readonly base: ComparedSide;
  readonly current: ComparedSide;
  readonly lines: readonly ComparedLine[];
}

/** One side, as blocks of its requests and blocks of their parts. */
export interface SideBlocks {
  readonly requests: readonly Block[];
  readonly parts: readonly Block[];
  readonly finalUntilMs: number;
}

/** Places of the sums of a block of requests; a block of parts has its requests, then nanoseconds by kind. */
const SUM = { requests: 0, seconds: 1, errors: 2, effectiveNs: 3, ownNs: 4 } as const;

interface Measure {
  readonly name: string;
  readonly unit: ComparedLine['unit'];
  /** Requests that either side must have. */
  readonly needs: number;
  readonly of: (pool: Pool) => number;
}

const quantile = (p: number): Measure => ({
  name: `p${p * 100}`,
  unit: 'ms',
  needs: Math.max(FEW_REQUESTS, Math.round(BEYOND / (1 - p))),
  of: (pool) => quantileNs(pool, p) / 1e6,
});

const MEASURES: readonly Measure[] = [
  {
    name: 'rate',
    unit: 'per_s',
    needs: FEW_REQUESTS,
    of: ({ sums }) => sums[SUM.requests]! / sums[SUM.seconds]!,
  },
  {
    name: 'error_share',
    unit: 'share',
    needs: FEW_REQUESTS,
    of: ({ sums }) => sums[SUM.errors]! / sums[SUM.requests]!,
  },
  {
    name: 'mean',
    unit: 'ms',
    needs: FEW_REQUESTS,
    of: ({ sums }) => sums[SUM.effectiveNs]! / sums[SUM.requests]! / 1e6,
  },
  quantile(0.5),
  quantile(0.9),
  quantile(0.99),
  {
    name: 'own_mean',
    unit: 'ms',
    needs: FEW_REQUESTS,
    of: ({ sums }) => sums[SUM.ownNs]! / sums[SUM.requests]! / 1e6,
  },
];

/** Parts that are compared: those that are nobody's wait and no remainder. */
const PARTS: readonly SegmentKind[] = ['gateway', 'mesh', 'wire', 'application', 'upstream'];

const PART_MEASURES: readonly Measure[] = PARTS.map((kind) => ({
  name: `part_${kind}`,
  unit: 'ms',
  needs: FEW_REQUESTS,
  of: ({ sums }) => sums[1 + SEGMENT_KINDS.indexOf(kind)]! / sums[0]! / 1e6,
}));

function quantileNs({ buckets, counts }: Pool, p: number): number {
  let all = 0;
  for (const n of counts) all += n;
  const rank = p * all;
  let below = 0;
  for (let i = 0; i < counts.length; i++) {
    const n = counts[i]!;
    if (n > 0 && below + n >= rank) {
      const low = bandBucketFloor(buckets[i]!);
      return low + (bandBucketFloor(buckets[i]! + 1) - low) * ((rank - below) / n);
    }
    below += n;
  }
  return NaN;
}

/** Makes the report's figures from what was read; pure. */
export function compare(base: Side & SideBlocks, current: Side & SideBlocks): Comparison {
  const lines = [
    ...linesOf(MEASURES, base, current, 'requests'),
    ...linesOf(PART_MEASURES, base, current, 'parts'),
  ];
  const requestsOf = (blocks: readonly Block[]): number =>
    blocks.reduce((sum, { sums }) => sum + sums[0]!, 0);
  const sideOf = ({ window, filter, requests, parts }: Side & SideBlocks): ComparedSide => ({
    from: new Date(window.fromMs).toISOString(),
    to: new Date(window.toMs).toISOString(),
    filter,
    requests: requestsOf(requests),
    split: requestsOf(parts),
  });
  return {
    report: 'compare',
    ...headOf(
      current.window,
      current.finalUntilMs,
      requestsOf(base.requests) + requestsOf(current.requests),
    ),
    provisional: base.finalUntilMs < base.window.toMs || current.finalUntilMs < current.window.toMs,
    base: sideOf(base),
    current: sideOf(current),
    lines,
  };
}

function linesOf(
  measures: readonly Measure[],
  base: Side & SideBlocks,
  current: Side & SideBlocks,
  of: 'requests' | 'parts',
): ComparedLine[] {
  const enough = (needs: number): boolean =>
    [base[of], current[of]].every(
      (blocks) =>
        blocks.reduce((sum, { sums }) => sum + sums[0]!, 0) >= needs &&
        blocks.filter(({ sums }) => sums[0]! > 0).length >= BLOCKS_MIN,
    );
  return compareBlocks(
    base[of],
    current[of],
    measures.map((measure) => measure.of),
  ).map((values, m) => {
    const { name, unit, needs } = measures[m]!;
    if (!enough(needs)) return tooFew(name, unit, values.base, values.current);
    const { low, high } =
      name === 'error_share'
        ? wider(values.interval, errorInterval(base.requests, current.requests))
        : values.interval;
    const difference = values.current - values.base;
    return {
      measure: name,
      unit,
      base: values.base,
      current: values.current,
      difference,
      low,
      high,
      relative: values.base === 0 ? null : difference / values.base,
      verdict: low > 0 ? 'higher' : high < 0 ? 'lower' : 'no_difference_shown',
    };
  });
}

function tooFew(
  measure: string,
  unit: ComparedLine['unit'],
  base: number,
  current: number,
): ComparedLine {
  const known = (n: number): number | null => (Number.isFinite(n) ? n : null);
  const none = { difference: null, low: null, high: null, relative: null };
  return {
    measure,
    unit,
    base: known(base),
    current: known(current),
    ...none,
    verdict: 'too_few',
  };
}

/** Errors come in bursts, which only blocks show; and where there are none, only the score interval knows. */
const wider = (a: Interval, b: Interval): Interval => ({
  low: Math.min(a.low, b.low),
  high: Math.max(a.high, b.high),
});

function errorInterval(base: readonly Block[], current: readonly Block[]): Interval {
  const of = (blocks: readonly Block[]): { part: number; all: number } => ({
    part: blocks.reduce((sum, { sums }) => sum + sums[SUM.errors]!, 0),
    all: blocks.reduce((sum, { sums }) => sum + sums[SUM.requests]!, 0),
  });
  return shareDifference(of(base), of(current));
}

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readComparison(
  store: StoreClient,
  base: Side,
  current: Side,
): Promise<Comparison> {
  return compare(
    { ...base, ...(await readSide(store, base)) },
    { ...current, ...(await readSide(store, current)) },
  );
}

async function readSide(store: StoreClient, { window, filter }: Side): Promise<SideBlocks> {
  const windowMs = window.toMs - window.fromMs;
  const blockMs = Math.ceil(windowMs / BLOCKS);
  const params = {
    from_ms: window.fromMs,
    to_ms: window.toMs,
    block_ms: blockMs,
    route: filter.route ?? '',
    service: filter.service ?? '',
    topology: filter.topology ?? '',
    generation: filter.generation ?? 0,
  };
  const [{ finalUntilMs }, progress] = [
    await readTraffic(store, window),
    await readAttributionProgress(store),
  ];
  const rows = await store.query<
    Record<'block' | 'bucket' | 'requests' | 'errors' | 'effective_ns' | 'own_ns', number>
  >(sql('compare_requests'), params);
  const requests = Array.from({ length: Math.ceil(windowMs / blockMs) }, (_, i) => {
    const seconds = Math.min(blockMs, windowMs - i * blockMs) / 1000;
    return { sums: [0, seconds, 0, 0, 0], counts: new Map<number, number>() };
  });
  for (const row of rows) {
    const { sums, counts } = requests[row.block]!;
    counts.set(row.bucket, row.requests);
    sums[SUM.requests]! += row.requests;
    sums[SUM.errors]! += row.errors;
    sums[SUM.effectiveNs]! += row.effective_ns;
    sums[SUM.ownNs]! += row.own_ns;
  }
  const publishedUntilMs = Math.min(window.toMs, progress?.publishedUntilMs ?? 0);
  const parts =
    publishedUntilMs <= window.fromMs
      ? []
      : await store.query<{ requests: number; sums: number[] }>(sql('compare_parts'), params);
  return {
    requests,
    parts: parts.map((row) => ({ sums: [row.requests, ...row.sums], counts: new Map() })),
    finalUntilMs,
  };
}
