/**
 * Runs a job at once and then each minute, shortly after minutes close. One run at a time; a run
 * that fails is tried again soon, since jobs catch up by themselves. Time comes from outside, so
 * that a test needs no waiting.
 */
import type { Log } from '../runtime/log.ts';
import { messageOf } from '../runtime/errors.ts';
import { CLOSE_AFTER_MS } from './jobs/rollup.ts';
import { MINUTE_MS } from './window.ts';

/** Turns come this long after a minute closed: clocks need not agree to the millisecond. */
const AFTER_CLOSE_MS = 1000;

/** After a failure: the store may only just be starting. */
const RETRY_MS = 5000;

export interface Timers {
  /** Unix milliseconds. */
  nowMs(): number;
  /** Calls back once; returns what cancels it. */
  after(delayMs: number, call: () => void): () => void;
}

export const realTimers: Timers = {
  nowMs: () => Date.now(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface Scheduler {
  readonly name: string;
  start(): void;
  /** Resolves when the run under way has ended. Safe to call twice. */
  stop(): Promise<void>;
  /** When the last run succeeded, Unix milliseconds; undefined before. */
  succeededMs(): number | undefined;
  /** Why the last run failed; undefined after a success. */
  failure(): string | undefined;
}

/** Milliseconds until the next turn. */
export function untilNextTurnMs(nowMs: number): number {
  const offsetMs = CLOSE_AFTER_MS + AFTER_CLOSE_MS;
  return MINUTE_MS - ((nowMs - offsetMs) % MINUTE_MS);
}

export function createScheduler(settings: {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  readonly timers: Timers;
  readonly log: Log;
}): Scheduler {
  const { name, run, timers, log } = settings;
  let running: Promise<void> | undefined;
  let cancel: (() => void) | undefined;
  let stopped = true;
  let succeededMs: number | undefined;
  let failure: string | undefined;

  const turn = async (): Promise<void> => {
    try {
      await run();
      succeededMs = timers.nowMs();
      failure = undefined;
    } catch (error) {
      failure = messageOf(error);
      log.warn('job failed, trying again', { job: name, error: failure });
    }
  };
  const begin = (): void => {
    running = turn().then(() => {
      running = undefined;
      if (stopped) return;
      const nextMs = untilNextTurnMs(timers.nowMs());
      cancel = timers.after(failure === undefined ? nextMs : Math.min(nextMs, RETRY_MS), begin);
    });
  };
  return {
    name,
    start() {
      if (!stopped) return;
      stopped = false;
      begin();
    },
    async stop() {
      stopped = true;
      cancel?.();
      await running;
    },
    succeededMs: () => succeededMs,
    failure: () => failure,
  };
}
