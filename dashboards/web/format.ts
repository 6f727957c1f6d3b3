/** How numbers are written: the same as in the terminal report. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const count = (n: number): string => whole.format(n);

/** Three significant digits, never an exponent; `-` for nothing. */
export function threeDigits(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return '-';
  const absolute = Math.abs(n);
  if (absolute === 0) return '0';
  if (absolute >= 99.95) return count(n);
  if (absolute < 0.0005) return '<0.001';
  return n.toFixed(absolute >= 9.995 ? 1 : absolute >= 0.9995 ? 2 : 3);
}

export const rate = (n: number): string => (Math.abs(n) < 9999.95 ? n.toFixed(1) : count(n));

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return '-';
  const p = share * 100;
  if (p === 0) return '0 %';
  if (p < 0.05) return '<0.1 %';
  return p < 9.95 ? `${p.toFixed(1)} %` : `${p.toFixed(0)} %`;
}

/** `12:00:05` in the reader's own time. */
export const clock = (ms: number): string => new Date(ms).toLocaleTimeString('en-GB');
