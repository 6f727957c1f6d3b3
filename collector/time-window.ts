/**
 * The times that the store takes: [now - retention, now + 10 minutes]. What is older would be
 * deleted at once, and a block that reaches over a hundred day partitions would be refused for ever
 * and wedge the pipeline; what lies in the future would hold a partition open.
 */

/** How far a sender's clock may run ahead. */
const AHEAD_MS = 10 * 60_000;
/** ClickHouse refuses a block of more than 100 partitions; ours are days. */
const DAYS_MAX = 90;
const DAY_MS = 86_400_000;

export class TimeWindow {
  /** When the message came in, Unix milliseconds. */
  readonly nowMs: number;
  readonly #fromMs: number;
  readonly #toMs: number;

  constructor(nowMs: number, retentionDays: number) {
    this.nowMs = nowMs;
    this.#fromMs = nowMs - Math.min(retentionDays, DAYS_MAX) * DAY_MS;
    this.#toMs = nowMs + AHEAD_MS;
  }

  /** True when the Unix nanoseconds, low and high word, lie in the window. */
  holds(low: number, high: number): boolean {
    const ms = (high * 4294967296 + low) / 1e6;
    return ms >= this.#fromMs && ms <= this.#toMs;
  }
}
