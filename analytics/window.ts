/**
 * Windows of time as users give them: `--last 5m`, or `--from … --to …`. A window is half open,
 * [from, to), over the instants at which hops started.
 */
import { AzimuthError } from '../runtime/errors.ts';

export interface Window {
  /** Unix milliseconds, included. */
  readonly fromMs: number;
  /** Unix milliseconds, excluded. */
  readonly toMs: number;
}

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: MINUTE_MS,
  h: 60 * MINUTE_MS,
  d: 24 * 60 * MINUTE_MS,
};

/**
 * Milliseconds of `30s`, `5m`, `1h30m`, `2d`.
 * @throws AzimuthError AZ_USAGE for anything else, zero included.
 */
export function parseDurationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smhd])/gy)];
  const ms = parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNIT_MS[unit!]!, 0);
  const used = parts.reduce((length, [part]) => length + part.length, 0);
  if (used !== text.length || !(ms > 0)) {
    throw new AzimuthError(
      'AZ_USAGE',
      `"${text}" is no length of time; write it like 30s, 5m, 1h30m or 2d`,
    );
  }
  return Math.round(ms);
}

/**
 * Unix milliseconds of an ISO 8601 instant. Without a zone it is UTC, as all times that we print.
 * @throws AzimuthError AZ_USAGE
 */
export function parseInstantMs(text: string): number {
  const shape = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?))?(Z|[+-]\d\d:\d\d)?$/;
  const [, day, time = '00:00', zone = 'Z'] = shape.exec(text) ?? [];
  const ms = day === undefined ? NaN : Date.parse(`${day}T${time}${zone}`);
  if (Number.isNaN(ms)) {
    throw new AzimuthError(
      'AZ_USAGE',
      `"${text}" is no instant; write it like 2026-01-31T12:00:00Z (UTC where no zone stands)`,
    );
  }
  return ms;
}

/** What a user may give; all absent means the last `lastDefault`. */
export interface WindowOptions {
  readonly last?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/**
 * The window that the options name. One that ends now ends with the second that is running, so that
 * its bounds are short to write and nothing that was stored is left out.
 * @throws AzimuthError AZ_USAGE when they contradict each other or the window is empty.
 */
export function parseWindow(options: WindowOptions, nowMs: number, lastDefault = '5m'): Window {
  if (options.last !== undefined && (options.from !== undefined || options.to !== undefined)) {
    throw new AzimuthError('AZ_USAGE', 'give either --last, or --from and --to');
  }
  if (options.from === undefined && options.to !== undefined) {
    throw new AzimuthError('AZ_USAGE', '--to needs --from');
  }
  const endMs = Math.ceil(nowMs / 1000) * 1000;
  if (options.from === undefined) {
    return { fromMs: endMs - parseDurationMs(options.last ?? lastDefault), toMs: endMs };
  }
  const fromMs = parseInstantMs(options.from);
  const toMs = options.to === undefined ? endMs : parseInstantMs(options.to);
  if (fromMs >= toMs) {
    throw new AzimuthError('AZ_USAGE', 'the window is empty: --from must be before --to');
  }
  return { fromMs, toMs };
}

/** Start of the minute that holds an instant. */
export const minuteOf = (ms: number): number => Math.floor(ms / MINUTE_MS) * MINUTE_MS;

/** Start of the hour that holds an instant. */
export const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS;
/** Start of the day in UTC. */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;
