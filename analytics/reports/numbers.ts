/** How numbers are written for people. Units stand in the head of a column, not here. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `7,170`. */
export const count = (n: number): string => whole.format(n);

/** Three significant digits and never an exponent: `0.412`, `14.2`, `1,234`; `-` when there is none. */
export function threeDigits(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return '-';
  if (n === 0) return '0';
  const absolute = Math.abs(n);
  if (absolute >= 99.95) return count(n);
  if (absolute < 0.0005) return '<0.001';
  return n.toFixed(absolute >= 9.995 ? 1 : absolute >= 0.9995 ? 2 : 3);
}

/** One decimal below ten thousand: rates. */
export const rate = (n: number): string => (Math.abs(n) < 9999.95 ? n.toFixed(1) : count(n));

/** `17 %`, `0.3 %`, `0 %`: one decimal below ten, so that a few errors do not read as none. */
export function percent(share: number | null): string {
  if (share === null) return '-';
  const p = share * 100;
  if (p === 0) return '0 %';
  if (p < 0.05) return '<0.1 %';
  return p < 9.95 ? `${p.toFixed(1)} %` : `${p.toFixed(0)} %`;
}

/** `12:00:00`, UTC, with milliseconds only where they are not 0. */
export function clockTime(ms: number): string {
  const time = new Date(ms).toISOString().slice(11, 23);
  return time.endsWith('.000') ? time.slice(0, 8) : time;
}

/** `2026-11-25`, UTC. */
export const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
