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
import { DAY_MS, dayOf, HOUR_MS, hourOf, MINUTE_MS, minuteOf, type Window } from './window.ts';

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

/** How a window is to be read; `params` are those of window_rows.sql. */
export interface ReadingPlan {
  readonly params: Readonly<Record<string, unknown>>;
  /** Figures before this instant are final but for late rows; `toMs` when all of them are. */
  readonly finalUntilMs: number;
}

/** Windows up to this length are read by minutes: 0.12 s for 480 series over two days. */
const BY_MINUTES_MS_MAX = 48 * 60 * MINUTE_MS;

/** Decides what of a window comes from published days, hours and minutes, and what from raw rows. */
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
  const publishedToMs = Math.max(wholeFromMs, Math.min(minuteOf(toMs), publishedUntilMs));
  const firstChangedMs = changed.length === 0 ? Infinity : changed[0]!.minute * 1000;
  return {
    params: {
      from_ms: fromMs,
      to_ms: toMs,
      published_from_ms: wholeFromMs,
      published_to_ms: publishedToMs,
      raw_minutes: changed.map((state) => state.minute),
      ...(await planSums(store, { fromMs: wholeFromMs, toMs: publishedToMs }, changed)),
      build: 0,
    },
    finalUntilMs: Math.max(fromMs, Math.min(toMs, publishedUntilMs, firstChangedMs)),
  };
}

/**
 * Whole days and hours of a long stretch of published minutes, with those days that hours must serve
 * and those hours that minutes must.
 */
async function planSums(
  store: StoreClient,
  published: Window,
  changed: readonly MinuteState[],
): Promise<Record<string, unknown>> {
  const minutesOnly = {
    ...{ hours_from_ms: 0, hours_to_ms: 0, minute_hours: [] },
    ...{ days_from_ms: 0, days_to_ms: 0, hour_days: [] },
  };
  if (published.toMs - published.fromMs <= BY_MINUTES_MS_MAX) return minutesOnly;
  const hours = wholeOf(published, HOUR_MS, hourOf);
  const days = wholeOf(published, DAY_MS, dayOf);
  const [stale, staleWhole] = await Promise.all([staleHours(store, hours), staleDays(store, days)]);
  const byMinutes = new Set(stale.map(({ start }) => start));
  for (const { minute } of changed) byMinutes.add(hourOf(minute * 1000) / 1000);
  // Named in a URL, which servers bound; so many stale hours mean that the job has only just begun.
  if (byMinutes.size > MINUTES_MAX) return minutesOnly;
  // Published days only: one whose hours are not what they were cannot be either.
  const byHours = new Set(staleWhole.map(({ start }) => start));
  for (const hour of byMinutes) byHours.add(dayOf(hour * 1000) / 1000);
  return {
    hours_from_ms: hours.fromMs,
    hours_to_ms: hours.toMs,
    minute_hours: [...byMinutes],
    days_from_ms: days.fromMs,
    days_to_ms: days.toMs,
    hour_days: [...byHours],
  };
}

/** The whole hours or days of a window; empty where there is none. */
export function wholeOf(
  { fromMs, toMs }: Window,
  unitMs: number,
  startOf: (ms: number) => number,
): Window {
  const wholeFromMs = startOf(fromMs + unitMs - 1);
  return { fromMs: wholeFromMs, toMs: Math.max(wholeFromMs, startOf(toMs)) };
}

/** An hour or a day without up-to-date sums. */
export interface StaleSums {
  /** Unix seconds. */
  readonly start: number;
  /** Fingerprint of the builds of what it sums up, as decimal digits. */
  readonly state: string;
  /** Greatest build of what it sums up and of its own, as decimal digits. */
  readonly newest_build: string;
}

/** Hours of a stretch of published minutes that traffic_1h does not hold as they are now, ascending. */
export function staleHours(store: StoreClient, { fromMs, toMs }: Window): Promise<StaleSums[]> {
  return store.query<StaleSums>(sql('hours_stale'), { from_ms: fromMs, to_ms: toMs });
}

/** Days of a stretch of published hours that traffic_1d does not hold as they are now, ascending. */
export function staleDays(store: StoreClient, { fromMs, toMs }: Window): Promise<StaleSums[]> {
  return store.query<StaleSums>(sql('days_stale'), { from_ms: fromMs, to_ms: toMs });
}

/**
 * A number for a build, as decimal digits: greater than published ones, also when the
 * clock was set back, and with 22 random bits, so that a second instance that builds in the same
 * millisecond takes another.
 */
export function nextBuild(nowMs: number, published: readonly bigint[]): string {
  const greatest = published.reduce((a, b) => (a > b ? a : b), 0n) >> 22n;
  const ms = BigInt(nowMs) > greatest ? BigInt(nowMs) : greatest + 1n;
  return String((ms << 22n) | BigInt(randomInt(2 ** 22)));
}
