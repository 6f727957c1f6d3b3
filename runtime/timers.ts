/** Time as what waits for it needs it: a clock, one-shot timers, and chance. Tests bring their own. */

export interface Timers {
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Calls `run` once after `delayMs`; the returned function cancels, and is safe to call late. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** 0 <= x < 1. */
  readonly random: () => number;
}

export const realTimers: Timers = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
