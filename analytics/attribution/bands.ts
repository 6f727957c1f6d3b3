/**
 * Percentile bands: the mean of every segment among the requests near a percentile. Means of one
 * set of requests add up to that set's mean duration; percentiles of segments add up to nothing.
 *
 *     p50 = requests of rank 45 to 55 %      p99   = 98.5 to 99.5 %
 *     p90 = 85 to 95 %                       p99.9 = 99.85 to 99.95 %
 *
 * Ranks are by effective duration (without client wait), found through buckets of 1/128 octave
 * (0.5 to 0.8 % wide), so that published and unpublished requests can be ranked together. A band
 * is made of whole buckets. Pure.
 */
import { seededRandom } from '../../runtime/seeded-random.ts';
import { KIND, SEGMENT_KINDS } from './segments.ts';

/** Percentiles that have a band, as fractions. */
export const PERCENTILES = [0.5, 0.9, 0.99, 0.999] as const;

/** Below this many requests a band's mean says little. */
export const FEW = 30;

const double = new Float64Array(1);
const bits = new BigUint64Array(double.buffer);

/** Bucket of an effective duration in nanoseconds; attribution_window.sql has the same in SQL. */
export function bandBucketOf(ns: number): number {
  double[0] = Math.max(0, ns);
  return Number(bits[0]! >> 45n);
}

/** Where a bucket begins, nanoseconds. */
export function bandBucketFloor(bucket: number): number {
  bits[0] = BigInt(bucket) << 45n;
  return double[0]!;
}

export interface BandRange {
  readonly percentile: number;
  /** Buckets, both included. */
  readonly low: number;
  readonly high: number;
}

/** Ranges of buckets for each percentile; none without requests. */
export function bandRanges(buckets: ReadonlyMap<number, number>): BandRange[] {
  const sorted = [...buckets].sort((a, b) => a[0] - b[0]);
  const total = sorted.reduce((sum, [, n]) => sum + n, 0);
  if (total === 0) return [];
  const bucketAt = (rank: number): number => {
    let below = 0;
    for (const [bucket, n] of sorted) {
      below += n;
      if (below > rank) return bucket;
    }
    return sorted.at(-1)![0];
  };
  return PERCENTILES.map((percentile) => {
    const half = Math.min(0.05, (1 - percentile) / 2);
    return {
      percentile,
      low: bucketAt(Math.floor((percentile - half) * total)),
      high: bucketAt(Math.max(0, Math.ceil((percentile + half) * total) - 1)),
    };
  });
}

/** What one band holds: sums over its requests, by SEGMENT_KINDS. */
export interface BandSums {
  readonly traces: number;
  readonly sums: readonly number[];
  /** Totals of some of its requests. */
  readonly sample: readonly (readonly number[])[];
}

export interface BandMean {
  /** Mean nanoseconds by SEGMENT_KINDS. */
  readonly meanNs: readonly number[];
  /** Sum of all kinds but client wait. */
  readonly effectiveNs: number;
  /** Interval of `effectiveNs` and of each mean that 95 % of resamples fall into. */
  readonly effectiveInterval: readonly [number, number];
  readonly intervals: readonly (readonly [number, number])[];
  /** Too few requests for the mean to say much. */
  readonly few: boolean;
}

const RESAMPLES = 200;

/** Means with bootstrap intervals; the same input gives the same intervals. */
export function bandMean(band: BandSums): BandMean {
  const { traces, sums, sample } = band;
  const effectiveOf = (totals: readonly number[]): number =>
    totals.reduce((sum, ns, kind) => (kind === KIND.client_wait ? sum : sum + ns), 0);
  const meanNs = sums.map((ns) => ns / traces);
  const random = seededRandom(1);
  const resampled: number[][] = SEGMENT_KINDS.map(() => []);
  const effective: number[] = [];
  for (let r = 0; r < RESAMPLES; r++) {
    const totals = new Array<number>(SEGMENT_KINDS.length).fill(0);
    for (let i = 0; i < sample.length; i++) {
      const one = sample[Math.floor(random() * sample.length)]!;
      for (let k = 0; k < totals.length; k++) totals[k] = totals[k]! + one[k]!;
    }
    totals.forEach((ns, k) => resampled[k]!.push(ns / sample.length));
    effective.push(effectiveOf(totals) / sample.length);
  }
  // A mean over more requests than were sampled is known better than the resamples show.
  const shrink = Math.sqrt(Math.min(1, sample.length / traces));
  const boundsOf = (values: number[], center: number): readonly [number, number] => {
    values.sort((a, b) => a - b);
    const middle = values[Math.floor(values.length / 2)] ?? center;
    const at = (p: number): number =>
      center + (values[Math.floor(p * (values.length - 1))]! - middle) * shrink;
    return [at(0.025), at(0.975)];
  };
  const effectiveNs = effectiveOf(meanNs);
  return {
    meanNs,
    effectiveNs,
    effectiveInterval: boundsOf(effective, effectiveNs),
    intervals: resampled.map((values, k) => boundsOf(values, meanNs[k]!)),
    few: traces < FEW,
  };
}
