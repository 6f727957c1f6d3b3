/**
 * The log-linear histogram of the rollups: 8 buckets an octave from 1,024 ns on, 216 in all.
 * A bucket's index is the double's exponent and top 3 mantissa bits, so that ClickHouse and we get
 * it with one shift and no logarithm (analytics/queries/hops_to_traffic.sql has the same in SQL).
 *
 *   index   0              1              ...  215
 *   holds   [0, 1152)      [1152, 1280)   ...  [128.8 s, no end)
 *
 * Worst error of a quantile seen in trials: 2.9 %. That is why a quantile carries its bucket's bounds.
 */

/** Buckets: 27 octaves of 8. */
export const BUCKETS = 216;
/** `bits >> 49` of 1,024: the index of bucket 0. */
const FIRST = 8264;
/** 2 ** 10 = 1,024: where the first octave begins. */
const FIRST_OCTAVE = 10;
/** Explicit mantissa (52 bits) less the 3 that are kept. */
const SHIFT = 49n;

const double = new Float64Array(1);
const bits = new BigUint64Array(double.buffer);

/** Bucket of a count of nanoseconds; 0 below 1,152 ns, 215 from 128.8 s on. */
export function bucketOf(ns: number): number {
  double[0] = ns;
  return Math.min(BUCKETS - 1, Math.max(0, Number(bits[0]! >> SHIFT) - FIRST));
}

/** Where a bucket begins, nanoseconds; the first one takes all that is smaller too. */
function floorOf(bucket: number): number {
  bits[0] = BigInt(bucket + FIRST) << SHIFT;
  return double[0]!;
}

/** Bounds of a bucket in nanoseconds, [low, high); the last one has no end. */
export function boundsOf(bucket: number): { lowNs: number; highNs: number } {
  return {
    lowNs: bucket === 0 ? 0 : floorOf(bucket),
    highNs: bucket >= BUCKETS - 1 ? Infinity : floorOf(bucket + 1),
  };
}

/**
 * The power of two at which a bucket's octave ends: a bucket holds nanoseconds below 2 ** this. Eight
 * buckets share one, so that octaves are sums of buckets and no bucket is cut.
 */
export function octaveEndOf(bucket: number): number {
  return bucket >= BUCKETS - 1 ? Infinity : FIRST_OCTAVE + (bucket >> 3) + 1;
}

/** Hops per bucket. */
export type Histogram = Map<number, number>;

/** Adds pairs [bucket, hops], as the store sends them, to a histogram. */
export function addPairs(into: Histogram, pairs: Iterable<readonly [number, number]>): Histogram {
  for (const [bucket, hops] of pairs) into.set(bucket, (into.get(bucket) ?? 0) + hops);
  return into;
}

export interface Quantile {
  /** Interpolated within its bucket; in the last one, its lower bound. */
  readonly ns: number;
  readonly lowNs: number;
  /** Infinity in the last bucket. */
  readonly highNs: number;
}

/**
 * Quantile p (0..1) of a histogram, linear within the bucket that holds rank p * n.
 * @returns undefined for an empty histogram.
 */
export function quantileOf(histogram: Histogram, p: number): Quantile | undefined {
  const buckets = [...histogram].filter(([, hops]) => hops > 0).sort((a, b) => a[0] - b[0]);
  const rank = p * buckets.reduce((sum, [, hops]) => sum + hops, 0);
  let below = 0;
  for (const [bucket, hops] of buckets) {
    if (below + hops >= rank) {
      const { lowNs, highNs } = boundsOf(bucket);
      const within = Number.isFinite(highNs) ? (highNs - lowNs) * ((rank - below) / hops) : 0;
      return { ns: lowNs + within, lowNs, highNs };
    }
    below += hops;
  }
  return undefined;
}

/** Hops in a histogram. */
export function countOf(histogram: Histogram): number {
  let hops = 0;
  for (const n of histogram.values()) hops += n;
  return hops;
}
