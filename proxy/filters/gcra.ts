/**
 * Counters of a rate limit: the generic cell rate algorithm (ITU-T I.371), one number per key. The
 * number is the instant at which the key will have all of its burst back:
 *
 *     now                 full
 *      ├─────────────────────┤          full - now = emissions owed
 *      a request adds one emission; it is refused where that would owe more than the burst
 *
 * No timer, no window that starts anew: nobody gets twice the rate around the end of a minute. Holds
 * at most `keysMax` numbers; past them the key unused for longest is forgotten, and so gets its burst
 * back early.
 */
export interface GcraSettings {
  /** Milliseconds in which one request is earned. */
  readonly emissionMs: number;
  /** Requests that may come at once, 1 or more. */
  readonly burst: number;
  readonly keysMax: number;
}

export class Gcra {
  readonly #emissionMs: number;
  readonly #burstMs: number;
  readonly #keysMax: number;
  /** Instant at which a key owes nothing, in the order of last use. */
  readonly #fullAtMs = new Map<string, number>();
  /** Keys forgotten while they still owed something. */
  forgotten = 0;

  constructor({ emissionMs, burst, keysMax }: GcraSettings) {
    this.#emissionMs = emissionMs;
    this.#burstMs = emissionMs * burst;
    this.#keysMax = keysMax;
  }

  /** Keys remembered. */
  get size(): number {
    return this.#fullAtMs.size;
  }

  /**
   * Takes one request of `key` at `nowMs` (monotonic). Returns 0 when it is within the rate, else the
   * milliseconds until the next one will be; a refused request costs nothing.
   */
  take(key: string, nowMs: number): number {
    const kept = this.#fullAtMs.get(key);
    const fullAtMs = Math.max(kept ?? nowMs, nowMs) + this.#emissionMs;
    // Rounding of doubles must not refuse the last request of a burst.
    const excessMs = fullAtMs - nowMs - this.#burstMs;
    const isOver = excessMs > this.#emissionMs * 1e-6;
    if (kept !== undefined) this.#fullAtMs.delete(key);
    else if (!isOver && this.#fullAtMs.size >= this.#keysMax) this.#forget(nowMs);
    this.#fullAtMs.set(key, isOver ? kept! : fullAtMs);
    return isOver ? excessMs : 0;
  }

  #forget(nowMs: number): void {
    const [oldest] = this.#fullAtMs;
    if (oldest === undefined) return;
    this.#fullAtMs.delete(oldest[0]);
    if (oldest[1] > nowMs) this.forgotten++;
  }
}
