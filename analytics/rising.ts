/**
 * Figures that are corrected and must yet never fall, since Prometheus takes a fall for a restart of
 * the process and counts everything once more. Changes of either sign go into a true sum; what is
 * shown is the greatest that the true sum ever was at the end of a batch of changes: after a fall it
 * stands still until the sum has caught up, and is right again from there on.
 *
 *     true sum   ___/‾‾‾\___/‾‾        shown   ___/‾‾‾‾‾‾‾‾‾‾
 *
 * `settle()` ends a batch: within one, a new figure may be added before the old one is taken away.
 */

/** A few sums, each of which rises by itself. */
export class RisingSums {
  /** What is shown, by index; never falls. */
  readonly shown: Float64Array;
  readonly #sums: Float64Array;

  constructor(length: number) {
    this.#sums = new Float64Array(length);
    this.shown = new Float64Array(length);
  }

  /** Changes one sum; `by` may be negative. */
  add(index: number, by: number): void {
    this.#sums[index]! += by;
  }

  settle(): void {
    for (let i = 0; i < this.shown.length; i++) {
      this.shown[i] = Math.max(this.shown[i]!, this.#sums[i]!);
    }
  }
}

/**
 * A histogram of which each cumulated bucket rises by itself, as Prometheus reads it: a hop that moves
 * to a higher bucket makes lower ones stand still, and buckets still never cross.
 */
export class RisingHistogram {
  /** Number of values at or below each bound, then the number of all, then their sum. */
  readonly #cumulated: RisingSums;
  readonly #buckets: number;

  /** `buckets`: one more than there are bounds. */
  constructor(buckets: number) {
    this.#buckets = buckets;
    this.#cumulated = new RisingSums(buckets + 1);
  }

  /** Adds values to one bucket; a negative `count` takes them away. */
  add(bucket: number, count: number): void {
    for (let i = bucket; i < this.#buckets; i++) this.#cumulated.add(i, count);
  }

  /** Adds to the sum of all values. */
  addSum(by: number): void {
    this.#cumulated.add(this.#buckets, by);
  }

  settle(): void {
    this.#cumulated.settle();
  }

  /** What is shown: values in each bucket, not cumulated, and the sum of all values. */
  shown(): { counts: number[]; sum: number } {
    const { shown } = this.#cumulated;
    const counts = [...shown.subarray(0, this.#buckets)].map((n, i) =>
      i === 0 ? n : n - shown[i - 1]!,
    );
    return { counts, sum: shown[this.#buckets]! };
  }
}
