/**
 * What is known about minutes: which are published as builds, and which of these got rows since.
 * The rollup job decides by it what to build, readers what to take from raw rows. Reads only.
 *
 *     earliest hop                 watermark            closed up to        now
 *          |---- published (or no hop) ----|-- not yet built --|-- open --|
 *               ^ touched since: rows there grew, so it is to be built anew
 *
 * The job builds minutes in ascending order, so that every minute up to the watermark (the newest
 * published one) is published or held no hop when its turn came.
 */
import { randomInt } from 'node:crypto';
import type { StoreClient } from '../store/client.ts';
import { sql } from './sql.ts';
import { MINUTE_MS, minuteOf, type Window } from './window.ts';

/**
 * How far a row's IngestedAt may lie before the instant at which it can be read: a collector stamps
 * it and only then inserts, and retries. Also bounds the skew of two hosts' clocks.
 */
export const OVERLAP_S = 600;

export interface Progress {
  /** Start of the newest published minute, Unix milliseconds. */
  readonly watermarkMs: number;
  /** When the run began that first published it, Unix seconds: rows older than that were seen. */
  readonly scannedS: number;
}

/** How far the rollup job is; undefined before its first run. */
export async function readProgress(store: StoreClient): Promise<Progress | undefined> {
  const [row] = await store.query<{ watermark_s: number; scanned_s: number }>(
    sql('builds_progress'),
  );
  return row && { watermarkMs: row.watermark_s * 1000, scannedS: row.scanned_s };
}

/** A minute beside its newest build. */
export interface MinuteState {
  /** Start, Unix seconds. */
  readonly minute: number;
  /** Stored rows of hops, doubled ones included. */
  readonly rows: number;
  /** Rows that its newest build was made of; 0 without a build. */
  readonly rows_built: number;
  /** Newest published build as decimal digits; `0` without one. */
  readonly build: string;
}

/**
 * Minutes of the window, up to the watermark, that hold more rows now than their newest build was
 * made of. Fewer is no change: the raw rows have expired, the build stays.
 */
export async function changedMinutes(
  store: StoreClient,
  progress: Progress,
  window: Window,
): Promise<MinuteState[]> {
  const toMs = Math.min(window.toMs, progress.watermarkMs + MINUTE_MS);
  if (window.fromMs >= toMs) return [];
  const touched = await store.query<{ minute: number }>(sql('minutes_touched'), {
    since_s: progress.scannedS - OVERLAP_S,
    from_ms: window.fromMs,
    to_ms: toMs,
  });
  const states = await countMinutes(
    store,
    touched.map((row) => row.minute),
  );
  return states.filter((state) => state.rows > state.rows_built);
}

/** Most minutes named in one query: parameters travel in the URL, which servers bound. */
const MINUTES_MAX = 500;

/** Rows of some minutes (Unix seconds, any order), ascending. */
async function countMinutes(store: StoreClient, minutes: number[]): Promise<MinuteState[]> {
  minutes.sort((a, b) => a - b);
  const states: MinuteState[] = [];
  for (let i = 0; i < minutes.length; i += MINUTES_MAX) {
    const some = minutes.slice(i, i + MINUTES_MAX);
    states.push(
      ...(await store.query<MinuteState>(sql('minutes_counted'), {
        minutes: some,
        from_ms: some[0]! * 1000,
        to_ms: some.at(-1)! * 1000 + MINUTE_MS,
      })),
    );
  }
  return states;
}

/** How a window is to be read; `params` are those of window_traffic.sql. */
export interface ReadingPlan {
  readonly params: Readonly<Record<string, unknown>>;
  /** Figures before this instant are final but for late rows; `toMs` when all of them are. */
  readonly finalUntilMs: number;
}

/** Decides which minutes of a window come from published builds and which from raw rows. */
export async function planReading(store: StoreClient, window: Window): Promise<ReadingPlan> {
  const { fromMs, toMs } = window;
  const progress = await readProgress(store);
  let publishedUntilMs = progress === undefined ? 0 : progress.watermarkMs + MINUTE_MS;
  let changed =
    progress === undefined
      ? []
      : await changedMinutes(store, progress, { fromMs: minuteOf(fromMs), toMs });
  if (changed.length > MINUTES_MAX) {
    publishedUntilMs = changed[0]!.minute * 1000;
    changed = [];
  }
  const wholeFromMs = minuteOf(fromMs + MINUTE_MS - 1);
  const firstChangedMs = changed.length === 0 ? Infinity : changed[0]!.minute * 1000;
  return {
    params: {
      from_ms: fromMs,
      to_ms: toMs,
      published_from_ms: wholeFromMs,
      published_to_ms: Math.max(wholeFromMs, Math.min(minuteOf(toMs), publishedUntilMs)),
      raw_minutes: changed.map((state) => state.minute),
      build: 0,
    },
    finalUntilMs: Math.max(fromMs, Math.min(toMs, publishedUntilMs, firstChangedMs)),
  };
}

/**
 * A number for a build, as decimal digits: greater than the minutes' published ones, also when the
 * clock was set back, and with 22 random bits, so that a second instance that builds in the same
 * millisecond takes another.
 */
export function nextBuild(nowMs: number, published: readonly bigint[]): string {
  const greatest = published.reduce((a, b) => (a > b ? a : b), 0n) >> 22n;
  const ms = BigInt(nowMs) > greatest ? BigInt(nowMs) : greatest + 1n;
  return String((ms << 22n) | BigInt(randomInt(2 ** 22)));
}
