/**
 * When to try again: a pause after each failure, doubling to a bound, over at the first success.
 * Keeps no message; the queue asks it before it sends.
 */

import type { Timers } from '../runtime/timers.ts';

/** First pause after a failure. Short: most failures are one lost connection. */
const RETRY_BASE_MS = 100;
/** Longest pause: a collector that comes back is found within this time. */
const RETRY_MAX_MS = 5_000;
/** Longest wish of the other side that is obeyed; a larger one would only fill the queue. */
const RETRY_AFTER_MAX_MS = 60_000;

export interface BackoffSettings {
  readonly baseMs?: number | undefined;
  readonly maxMs?: number | undefined;
  readonly timers: Timers;
  /** The pause is over. */
  readonly onOver: () => void;
}

export class Backoff {
  readonly #settings: BackoffSettings;
  #cancel: (() => void) | undefined;
  /** Failures since the last success. */
  failures = 0;

  constructor(settings: BackoffSettings) {
    this.#settings = settings;
  }

  get isPausing(): boolean {
    return this.#cancel !== undefined;
  }

  /** A send failed: pauses, unless it pauses already. */
  fail(retryAfterS = 0): void {
    this.failures++;
    if (this.#cancel !== undefined) return;
    const { baseMs = RETRY_BASE_MS, maxMs = RETRY_MAX_MS, timers, onOver } = this.#settings;
    const pauseMs = Math.min(maxMs, baseMs * 2 ** Math.min(this.failures - 1, 16));
    // Half fixed, half random: proxies that lost the same collector do not come back in step.
    const jitteredMs = pauseMs * (0.5 + timers.random() / 2);
    const askedMs = Math.min(RETRY_AFTER_MAX_MS, retryAfterS * 1000);
    this.#cancel = timers.after(Math.max(jitteredMs, askedMs), () => {
      this.#cancel = undefined;
      onOver();
    });
  }

  /** A send succeeded: it answers again, no reason to wait for the end of a pause. */
  succeed(): void {
    this.failures = 0;
    this.endPause();
  }

  /** Ends a pause without calling `onOver`. */
  endPause(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
