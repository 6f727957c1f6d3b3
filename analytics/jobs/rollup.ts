/**
 * The rollup job: turns stored hops into published minutes of traffic_1m.
 *
 * One run, stateless between runs (all that it must know stands in `builds`), so that it catches up
 * after any pause, may be run twice at once, and may die anywhere:
 *   1. minutes up to the watermark that got rows since the last run -> built anew;
 *   2. closed minutes past the watermark, in ascending order -> built;
 *   3. the newest closed minute is published last, empty or not: it is the new watermark;
 *   4. whole hours that are missing in traffic_1h, or of older builds of their minutes -> built;
 *   5. whole days that are missing in traffic_1d, or of older builds of their hours -> built.
 * A build is written under a number of its own and counts only once its row in `builds` is there.
 * Rows are counted before they are read: what arrives in between makes the count too small, never
 * too large, so that the next run finds the difference.
 */
import type { Log } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import {
  changedMinutes,
  nextBuild,
  readProgress,
  staleDays,
  staleHours,
  wholeOf,
  type MinuteState,
} from '../builds.ts';
import { sql } from '../sql.ts';
import type { OnProgress } from './progress.ts';
import { DAY_MS, dayOf, HOUR_MS, hourOf, MINUTE_MS, minuteOf, type Window } from '../window.ts';

/** A minute closes this long after its end: flush interval, queueing and insert fit into it. */
export const CLOSE_AFTER_MS = 30_000;

/**
 * Built by one statement, at most; a single minute may hold more rows. Rows bound its memory (some
 * 100 bytes each while deduplicated), minutes the length of the URL that names them.
 */
const ROWS_PER_BUILD = 500_000;
const MINUTES_PER_BUILD = 240;

export interface RollupSettings {
  readonly store: StoreClient;
  readonly log: Log;
  /** Hops older than this are not looked for: their rows may be gone in part. */
  readonly retentionDays: number;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly onProgress?: OnProgress;
}

export interface RollupOutcome {
  /** Minutes built for the first time in this run. */
  readonly built: number;
  /** Minutes that got rows after they were built, and were built anew. */
  readonly reopened: number;
  /** End of the newest published minute, Unix milliseconds. */
  readonly publishedUntilMs: number;
}

export type MinuteToBuild = Pick<MinuteState, 'minute' | 'rows'> & { readonly build?: string };

/**
 * Runs the job once. Idempotent.
 * @throws AzimuthError of the store's; what was published until then stays, the next run goes on.
 */
export async function runRollup(settings: RollupSettings): Promise<RollupOutcome> {
  const { store, log } = settings;
  const startedMs = settings.nowMs();
  const closedUntilMs = minuteOf(startedMs - CLOSE_AFTER_MS);
  const oldestMs = minuteOf(startedMs - settings.retentionDays * 24 * 60 * MINUTE_MS) + MINUTE_MS;
  const progress = await readProgress(store);
  const publishedUntilMs =
    progress === undefined ? oldestMs : Math.max(oldestMs, progress.watermarkMs + MINUTE_MS);

  let changed: MinuteState[] = [];
  if (progress !== undefined) {
    changed = await changedMinutes(store, progress, { fromMs: oldestMs, toMs: publishedUntilMs });
    await buildMinutes(store, changed, startedMs);
  }
  if (closedUntilMs <= publishedUntilMs) {
    await buildSums(store, { fromMs: oldestMs, toMs: publishedUntilMs }, startedMs);
    return { built: 0, reopened: changed.length, publishedUntilMs };
  }
  const fresh: MinuteToBuild[] = await store.query<MinuteToBuild>(sql('minutes_unpublished'), {
    from_ms: publishedUntilMs,
    to_ms: closedUntilMs,
  });
  const newest = (closedUntilMs - MINUTE_MS) / 1000;
  if (fresh.at(-1)?.minute !== newest) fresh.push({ minute: newest, rows: 0 });
  await buildMinutes(store, fresh, startedMs, (untilMs) =>
    settings.onProgress?.({ untilMs, fromMs: publishedUntilMs, goalMs: closedUntilMs }),
  );
  const sums = await buildSums(store, { fromMs: oldestMs, toMs: closedUntilMs }, startedMs);
  log.debug('rollup', { built: fresh.length, reopened: changed.length, sums });
  return { built: fresh.length, reopened: changed.length, publishedUntilMs: closedUntilMs };
}

/**
 * Builds and publishes minutes in the order given, some at a time; `onBuilt` gets the end of those
 * that were, Unix milliseconds.
 */
export async function buildMinutes(
  store: StoreClient,
  minutes: readonly MinuteToBuild[],
  startedMs: number,
  onBuilt?: (untilMs: number) => void,
): Promise<void> {
  for (const some of batchesOf(minutes)) {
    const seconds = some.map((state) => state.minute);
    const fromMs = Math.min(...seconds) * 1000;
    const toMs = Math.max(...seconds) * 1000 + MINUTE_MS;
    const build = nextBuild(
      startedMs,
      some.map((state) => BigInt(state.build ?? 0)),
    );
    await store.command(sql('rollup_insert'), {
      build,
      raw_minutes: seconds,
      from_ms: fromMs,
      to_ms: toMs,
      published_from_ms: fromMs,
      published_to_ms: toMs,
    });
    await store.command(sql('builds_publish'), {
      build,
      minutes: seconds,
      rows: some.map((state) => state.rows),
      built_at_s: Math.floor(startedMs / 1000),
    });
    onBuilt?.(toMs);
  }
}

function* batchesOf(minutes: readonly MinuteToBuild[]): Generator<MinuteToBuild[]> {
  let batch: MinuteToBuild[] = [];
  let rows = 0;
  for (const minute of minutes) {
    const full = rows + minute.rows > ROWS_PER_BUILD || batch.length === MINUTES_PER_BUILD;
    if (batch.length > 0 && full) {
      yield batch;
      batch = [];
      rows = 0;
    }
    batch.push(minute);
    rows += minute.rows;
  }
  if (batch.length > 0) yield batch;
}

/** What stands above the minutes, in the order of building: each level sums up the one before. */
const LEVELS = [
  { name: 'hours', unitMs: HOUR_MS, startOf: hourOf, stale: staleHours, perStatement: 24 },
  { name: 'days', unitMs: DAY_MS, startOf: dayOf, stale: staleDays, perStatement: 8 },
] as const;

/** Sums up whole published hours and days where that is due; returns how many. */
export async function buildSums(
  store: StoreClient,
  published: Window,
  startedMs: number,
): Promise<number> {
  let built = 0;
  for (const { name, unitMs, startOf, stale, perStatement } of LEVELS) {
    const due = await stale(store, wholeOf(published, unitMs, startOf));
    for (let i = 0; i < due.length; i += perStatement) {
      const some = due.slice(i, i + perStatement);
      const starts = some.map(({ start }) => start);
      const build = nextBuild(
        startedMs,
        some.map(({ newest_build }) => BigInt(newest_build)),
      );
      await store.command(sql(`${name}_insert`), {
        build,
        starts,
        from_ms: starts[0]! * 1000,
        to_ms: starts.at(-1)! * 1000 + unitMs,
      });
      await store.command(sql(`${name}_publish`), {
        build,
        starts,
        states: some.map(({ state }) => state),
        built_at_s: Math.floor(startedMs / 1000),
      });
    }
    built += due.length;
  }
  return built;
}
