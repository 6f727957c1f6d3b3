/**
 * Hands requests of one route to its targets by weight, the same share at every length of time and
 * without chance: smooth weighted round robin, as nginx does it.
 *
 *     weights 3 and 1:   a a b a   a a b a   …
 */
export class Share<T> {
  readonly #targets: readonly T[];
  readonly #weights: readonly number[];
  readonly #total: number;
  readonly #credit: number[];

  /** `weights`: 0 or more each, one of them more than 0; as many as `targets`. */
  constructor(targets: readonly T[], weights: readonly number[]) {
    this.#targets = targets;
    this.#weights = weights;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#credit = weights.map(() => 0);
  }

  next(): T {
    const credit = this.#credit;
    let best = -1;
    for (let i = 0; i < credit.length; i++) {
      credit[i]! += this.#weights[i]!;
      if (this.#weights[i]! > 0 && (best < 0 || credit[i]! > credit[best]!)) best = i;
    }
    credit[best]! -= this.#total;
    return this.#targets[best]!;
  }
}
