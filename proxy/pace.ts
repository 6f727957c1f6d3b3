/**
 * Minimum rate of a message that somebody sends or takes: a bucket of patience. Waiting for the peer
 * empties it, each byte fills it again by the time that a byte may take, and it never holds more
 * than at the start. So it bounds one long pause and many short ones alike, and a burst before buys
 * no pause after.
 */
export class Pace {
  readonly #patienceMs: number;
  readonly #msPerByte: number;
  /** How long the peer may keep us waiting from now on. */
  leftMs = 0;

  constructor(patienceMs: number, bytesPerS: number) {
    this.#patienceMs = patienceMs;
    this.#msPerByte = 1_000 / bytesPerS;
  }

  start(): void {
    this.leftMs = this.#patienceMs;
  }

  /** The peer kept us waiting for `waitedMs`, and then `bytes` came. */
  moved(waitedMs: number, bytes: number): void {
    const left = this.leftMs - waitedMs + bytes * this.#msPerByte;
    this.leftMs = Math.max(0, Math.min(this.#patienceMs, left));
  }

  /** Milliseconds that `bytes` may take to leave, all patience included. */
  allowanceMs(bytes: number): number {
    return this.#patienceMs + bytes * this.#msPerByte;
  }
}
