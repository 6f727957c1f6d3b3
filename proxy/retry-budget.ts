/**
 * How many retries a cluster may get: a share of its requests of the last ten seconds and a small
 * floor, whatever the routes allow. So a service that fails under load gets that share more, and not
 * several times its load (Linkerd's and Finagle's budget; docs/RESILIENCE.md). Pure: the caller says
 * when it is.
 *
 *   slots of one second   | 97 | 103 | 99 | … | 12 ◄ now      retries ≤ share × requests + floor
 */

const SLOT_MS = 1_000;
/** Linkerd's ttl: long enough that a second without requests does not take the budget away. */
const SLOTS = 10;

export class RetryBudget {
  readonly #share: number;
  readonly #floor: number;
  readonly #requests = new Uint32Array(SLOTS);
  readonly #retries = new Uint32Array(SLOTS);
  /** Number of the second that the newest slot stands for. */
  #second = 0;
  /** Retries that were given and refused, since the start. */
  given = 0;
  refused = 0;

  /** `percent` of the requests; `minPerS`: retries a second that are always there. */
  constructor(percent: number, minPerS: number) {
    this.#share = percent / 100;
    this.#floor = minPerS * SLOTS;
  }

  /** Counts a request that may be retried. */
  request(nowMs: number): void {
    this.#requests[this.#slot(nowMs)]!++;
  }

  /** True when one more retry may go; it is counted then. */
  take(nowMs: number): boolean {
    const slot = this.#slot(nowMs);
    const most = this.#share * sum(this.#requests) + this.#floor;
    if (sum(this.#retries) + 1 > most) {
      this.refused++;
      return false;
    }
    this.#retries[slot]!++;
    this.given++;
    return true;
  }

  /** The slot of this second; those that nobody looked at in between are emptied. */
  #slot(nowMs: number): number {
    const second = Math.floor(nowMs / SLOT_MS);
    const behind = Math.min(second - this.#second, SLOTS);
    for (let i = 1; i <= behind; i++) {
      const slot = (this.#second + i) % SLOTS;
      this.#requests[slot] = 0;
      this.#retries[slot] = 0;
    }
    if (behind > 0) this.#second = second;
    return this.#second % SLOTS;
  }
}

function sum(counts: Uint32Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
