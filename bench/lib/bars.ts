/** Bars for a terminal: one row a subject, the longest as wide as there is room for. */

const WIDTH = 44;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

export interface Bar {
  readonly name: string;
  readonly value: number;
}

/** A plot with its title; bars without a value are left out. */
export function bars(title: string, rows: readonly Bar[], digits: number): string {
  const shown = rows.filter(({ value }) => Number.isFinite(value) && value >= 0);
  if (shown.length === 0) return '';
  const longest = Math.max(...shown.map(({ value }) => value)) || 1;
  const nameWidth = Math.max(...shown.map(({ name }) => name.length));
  const lines = shown.map(({ name, value }) => {
    const eighths = Math.round((value / longest) * WIDTH * 8);
    const bar = '█'.repeat(eighths >> 3) + (EIGHTHS[eighths & 7] ?? '');
    return `  ${name.padEnd(nameWidth)}  ${bar} ${value.toFixed(digits)}\n`;
  });
  return `\n${title}\n${lines.join('')}`;
}
