/**
 * Builds the past: what the jobs would have published had they run all along, for a window that a
 * user names. Goes on where it was broken off, since what is published and has all of its rows is
 * left alone; may run beside `azimuth analytics`; gives what the jobs give, since it is the jobs.
 *
 *     window:  |--- up to the watermark: minutes that lack rows ---|--- past it: the job's own run ---|
 *
 * Past the watermark (the newest published minute) minutes are published in ascending order only,
 * from the watermark on: that all before it is published is what readers rely on.
 */
import type { Log } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { readProgress, type MinuteState } from '../builds.ts';
import { sql } from '../sql.ts';
import { MINUTE_MS, minuteOf, type Window } from '../window.ts';
import { CARRY_MS, StreamReader } from './attribution-stream.ts';
import { createAttributionJob, readAttributionProgress } from './attribution.ts';
import type { JobProgress } from './progress.ts';
import { buildMinutes, buildSums, runRollup } from './rollup.ts';

export const BACKFILL_STEPS = ['rollup', 'attribution'] as const;
export type BackfillStep = (typeof BACKFILL_STEPS)[number];

export interface BackfillSettings {
  readonly store: StoreClient;
  readonly log: Log;
  readonly retentionDays: number;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly window: Window;
  /** Build minutes anew that have all of their rows, too. */
  readonly again: boolean;
  /** Absent: both. */
  readonly only?: BackfillStep | undefined;
  readonly onProgress?: (step: BackfillStep, progress: JobProgress) => void;
}

export interface BackfillOutcome {
  /** Minutes published by each step. */
  readonly rollup: number;
  readonly attribution: number;
  /** Requests split. */
  readonly traces: number;
}

/**
 * Idempotent.
 * @throws AzimuthError of the store's; what was published until then stays.
 */
export async function backfill(settings: BackfillSettings): Promise<BackfillOutcome> {
  const { only } = settings;
  const rollup = only === 'attribution' ? 0 : await backfillRollup(settings);
  const split =
    only === 'rollup' ? { attribution: 0, traces: 0 } : await backfillAttribution(settings);
  return { rollup, ...split };
}

async function backfillRollup(settings: BackfillSettings): Promise<number> {
  const { store, window, again, nowMs } = settings;
  const startedMs = nowMs();
  const progress = await readProgress(store);
  const publishedUntilMs = progress === undefined ? 0 : progress.watermarkMs + MINUTE_MS;
  const past = { fromMs: minuteOf(window.fromMs), toMs: Math.min(window.toMs, publishedUntilMs) };
  const told = (report: JobProgress): void => settings.onProgress?.('rollup', report);
  let built = 0;
  if (past.fromMs < past.toMs) {
    const stale = await staleMinutes(store, 'backfill_minutes', past, again);
    await buildMinutes(store, stale, startedMs, (untilMs) =>
      told({ fromMs: past.fromMs, untilMs, goalMs: past.toMs }),
    );
    await buildSums(store, past, startedMs);
    built = stale.length;
  }
  if (window.toMs <= publishedUntilMs) return built;
  const outcome = await runRollup({ ...settings, onProgress: told });
  return built + outcome.built + outcome.reopened;
}

async function backfillAttribution(
  settings: BackfillSettings,
): Promise<{ attribution: number; traces: number }> {
  const { store, window, again, nowMs } = settings;
  const progress = await readAttributionProgress(store);
  const publishedUntilMs = progress?.publishedUntilMs ?? 0;
  const past = { fromMs: minuteOf(window.fromMs), toMs: Math.min(window.toMs, publishedUntilMs) };
  const told = (report: JobProgress): void => settings.onProgress?.('attribution', report);
  let attribution = 0;
  let traces = 0;
  if (past.fromMs < past.toMs) {
    const stale = await staleMinutes(store, 'backfill_attribution', past, again);
    for (const stretch of stretchesOf(stale)) {
      const reader = await splitStretch(store, stretch, nowMs(), (untilMs) =>
        told({ fromMs: past.fromMs, untilMs, goalMs: past.toMs }),
      );
      attribution += reader.published;
      traces += reader.traces;
    }
  }
  if (window.toMs > publishedUntilMs) {
    const outcome = await createAttributionJob(settings).run(told);
    attribution += outcome.published + outcome.reopened;
    traces += outcome.traces;
  }
  return { attribution, traces };
}

/** Minutes (Unix seconds) of a window whose newest build lacks rows, ascending. */
function staleMinutes(
  store: StoreClient,
  query: 'backfill_minutes' | 'backfill_attribution',
  window: Window,
  again: boolean,
): Promise<MinuteState[]> {
  return store.query<MinuteState>(sql(query), {
    from_ms: window.fromMs,
    to_ms: minuteOf(window.toMs + MINUTE_MS - 1),
    again: Number(again),
  });
}

interface Stretch extends Window {
  /** Greatest build of its minutes. */
  readonly newestBuild: bigint;
}

/** Minutes as stretches; those nearer to each other than what must be read around them are one. */
function stretchesOf(minutes: readonly MinuteState[]): Stretch[] {
  const stretches: { fromMs: number; toMs: number; newestBuild: bigint }[] = [];
  for (const { minute, build } of minutes) {
    const fromMs = minute * 1000;
    const last = stretches.at(-1);
    const newestBuild = BigInt(build);
    if (last !== undefined && fromMs <= last.toMs + 2 * CARRY_MS) {
      last.toMs = fromMs + MINUTE_MS;
      if (newestBuild > last.newestBuild) last.newestBuild = newestBuild;
    } else {
      stretches.push({ fromMs, toMs: fromMs + MINUTE_MS, newestBuild });
    }
  }
  return stretches;
}

/** Splits all traces that began in a stretch, and publishes its minutes that hold rows. */
export async function splitStretch(
  store: StoreClient,
  stretch: Stretch,
  startedMs: number,
  onPublished?: (untilMs: number) => void,
): Promise<{ published: number; traces: number; hops: number }> {
  const reader = new StreamReader(store, {
    readFromMs: stretch.fromMs - CARRY_MS,
    fromMs: stretch.fromMs,
    toMs: stretch.toMs,
    newerThan: stretch.newestBuild,
  });
  const untilMs = stretch.toMs + CARRY_MS + MINUTE_MS;
  const published = await reader.readUntil(untilMs, startedMs, onPublished);
  return { published, traces: reader.tracesSplit, hops: reader.traces.hops };
}
