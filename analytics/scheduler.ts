/**
 * Runs a job at once and then each minute, shortly after minutes close. One run at a time; a run
 * that fails is tried again soon, since jobs catch up by themselves. Time comes from outside, so
 * that a test needs no waiting.
 */
import type { Log } from '../runtime/log.ts';
import { messageOf } from '../runtime/errors.ts';
import type { JobProgress, OnProgress } from './jobs/progress.ts';
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

/** What one run of a job did. */
export interface JobOutcome {
  /** Minutes published for the first time. */
  readonly published: number;
  /** Minutes published anew since rows came late. */
  readonly reopened: number;
  /** End of the newest published minute, Unix milliseconds. */
  readonly publishedUntilMs: number;
}

/** What is known of a job since the process began; counts only grow. */
export interface JobState {
  /** When the last run succeeded, Unix milliseconds; undefined before. */
  readonly succeededMs: number | undefined;
  /** Why the last run failed; undefined after a success. */
  readonly failure: string | undefined;
  readonly successes: number;
  readonly failures: number;
  /** Of the last run that ended, milliseconds. */
  readonly durationMs: number;
  readonly published: number;
  readonly reopened: number;
  /** End of the newest minute that this process saw published, Unix milliseconds. */
  readonly publishedUntilMs: number | undefined;
  /** Of the run under way, once it has published something. */
  readonly progress: JobProgress | undefined;
}

/** Of a job before its first run. */
export const NOT_RUN: JobState = {
  succeededMs: undefined,
  failure: undefined,
  successes: 0,
  failures: 0,
  durationMs: 0,
  published: 0,
  reopened: 0,
  publishedUntilMs: undefined,
  progress: undefined,
};

export interface Scheduler {
  readonly name: string;
  start(): void;
  /** Resolves when the run under way has ended. Safe to call twice. */
  stop(): Promise<void>;
  state(): JobState;
}

/** Milliseconds until the next turn. */
export function untilNextTurnMs(nowMs: number): number {
  const offsetMs = CLOSE_AFTER_MS + AFTER_CLOSE_MS;
  return MINUTE_MS - ((nowMs - offsetMs) % MINUTE_MS);
}

export function createScheduler(settings: {
  readonly name: string;
  readonly run: (told: OnProgress) => Promise<JobOutcome>;
  readonly timers: Timers;
  readonly log: Log;
}): Scheduler {
  const { name, run, timers, log } = settings;
  let running: Promise<void> | undefined;
  let cancel: (() => void) | undefined;
  let stopped = true;
  let state = NOT_RUN;
  const change = (changes: Partial<JobState>): void => {
    state = { ...state, ...changes };
  };

  const turn = async (): Promise<void> => {
    const beganMs = timers.nowMs();
    try {
      const outcome = await run((progress) =>
        change({ progress, publishedUntilMs: progress.untilMs }),
      );
      change({
        succeededMs: timers.nowMs(),
        failure: undefined,
        successes: state.successes + 1,
        published: state.published + outcome.published,
        reopened: state.reopened + outcome.reopened,
        publishedUntilMs: outcome.publishedUntilMs,
      });
    } catch (error) {
      const failure = messageOf(error);
      change({ failure, failures: state.failures + 1 });
      log.warn('job failed, trying again', { job: name, error: failure });
    }
    change({ durationMs: timers.nowMs() - beganMs, progress: undefined });
  };
  const begin = (): void => {
    running = turn().then(() => {
      running = undefined;
      if (stopped) return;
      const nextMs = untilNextTurnMs(timers.nowMs());
      const failed = state.failure !== undefined;
      cancel = timers.after(failed ? Math.min(nextMs, RETRY_MS) : nextMs, begin);
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
    state: () => state,
  };
}
