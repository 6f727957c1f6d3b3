/**
 * Intervals for the difference of two sides, by resampling blocks of time. Requests of one second
 * share their fate (a pause, a slow neighbour), so whole blocks are drawn and not single requests;
 * single ones would make every interval too narrow. Seeded: the same data give the same interval.
 * Pure.
 *
 *     side  |block|block|block|...|block|      drawn with replacement, as many as there are
 *            sums and a histogram each
 */
import { seededRandom } from '../runtime/seeded-random.ts';

/** Resamples of each side: 25 of them then lie beyond either end of a 95 % interval. */
const RESAMPLES = 1000;

/** Fewer blocks with requests than this cannot show how blocks differ. */
export const BLOCKS_MIN = 10;

/** One stretch of time: sums, in an order that the caller knows, and hops by index of its bucket. */
export interface Block {
  readonly sums: readonly number[];
  readonly counts: ReadonlyMap<number, number>;
}

/** All blocks of one side put together, once or by a draw. */
export interface Pool {
  readonly sums: Float64Array;
  /** Ascending buckets and how many are in each. */
  readonly buckets: readonly number[];
  readonly counts: Float64Array;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A drawer of pools from the blocks of one side. */
function poolsOf(blocks: readonly Block[]): { all(): Pool; draw(random: () => number): Pool } {
  const buckets = [...new Set(blocks.flatMap(({ counts }) => [...counts.keys()]))].sort((a, b) => a - b); // prettier-ignore
  const sumCount = blocks[0]?.sums.length ?? 0;
  const rows = blocks.map(({ sums, counts }) => ({
    sums,
    counts: Float64Array.from(buckets, (bucket) => counts.get(bucket) ?? 0),
  }));
  const pool = (pick: (i: number) => number): Pool => {
    const sums = new Float64Array(sumCount);
    const counts = new Float64Array(buckets.length);
    for (let i = 0; i < rows.length; i++) {
      const row = rows[pick(i)]!;
      for (let k = 0; k < sums.length; k++) sums[k]! += row.sums[k]!;
      for (let k = 0; k < counts.length; k++) counts[k]! += row.counts[k]!;
    }
    return { sums, buckets, counts };
  };
  return {
    all: () => pool((i) => i),
    draw: (random) => pool(() => Math.floor(random() * rows.length)),
  };
}

/**
 * Values of each measure on both sides, and the interval that 95 % of resampled differences
 * (current - base) fall into. A measure that is undefined for a draw (NaN) is left out of its interval.
 */
export function compareBlocks(
  base: readonly Block[],
  current: readonly Block[],
  measures: readonly ((pool: Pool) => number)[],
): { readonly base: number; readonly current: number; readonly interval: Interval }[] {
  const sides = [poolsOf(base), poolsOf(current)] as const;
  const random = seededRandom(1);
  const differences: number[][] = measures.map(() => []);
  for (let r = 0; r < RESAMPLES; r++) {
    const [a, b] = [sides[0].draw(random), sides[1].draw(random)];
    measures.forEach((measure, m) => {
      const difference = measure(b) - measure(a);
      if (!Number.isNaN(difference)) differences[m]!.push(difference);
    });
  }
  const [a, b] = [sides[0].all(), sides[1].all()];
  return measures.map((measure, m) => {
    const sorted = differences[m]!.sort((x, y) => x - y);
    const at = (p: number): number => sorted[Math.round(p * (sorted.length - 1))] ?? NaN;
    return {
      base: measure(a),
      current: measure(b),
      interval: { low: at(0.025), high: at(0.975) },
    };
  });
}

/** z of a two-sided 95 % interval. */
const Z = 1.959964;

/**
 * Interval of the difference of two shares (current - base) by Newcombe's method from Wilson's score
 * intervals: right also for shares of 0 and for few, where a bootstrap has nothing to vary.
 */
export function shareDifference(
  base: { readonly part: number; readonly all: number },
  current: { readonly part: number; readonly all: number },
): Interval {
  const [a, b] = [wilson(base), wilson(current)];
  const d = b.share - a.share;
  return {
    low: d - Math.hypot(b.share - b.low, a.high - a.share),
    high: d + Math.hypot(b.high - b.share, a.share - a.low),
  };
}

function wilson({ part, all }: { readonly part: number; readonly all: number }): {
  readonly share: number;
  readonly low: number;
  readonly high: number;
} {
  const share = part / all;
  const middle = (share + (Z * Z) / (2 * all)) / (1 + (Z * Z) / all);
  const half =
    (Z * Math.sqrt((share * (1 - share)) / all + (Z * Z) / (4 * all * all))) / (1 + (Z * Z) / all);
  return { share, low: middle - half, high: middle + half };
}
