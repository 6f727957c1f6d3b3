/** A presentation as terminal text. Pure: takes a width, gives lines; writes nowhere. */
import { clockTime, day } from './numbers.ts';
import type { Presentation, PresentedTable, ReportHead } from './presentation.ts';
import { renderTable, spread, type TextSettings } from './table.ts';

const WIDTH_MAX = 110;
const BAR_WIDTH = 8;

/** The terminal form, with a newline at its end. */
export function presentationText(shown: Presentation, settings: TextSettings): string {
  const width = Math.min(WIDTH_MAX, settings.width) - 2;
  const styled = (text: string, code: number, end: number): string =>
    settings.color && text !== '' ? `\x1b[${code}m${text}\x1b[${end}m` : text;
  const bold = (text: string): string => styled(text, 1, 22);
  const dim = (text: string): string => styled(text, 2, 22);
  const out = [
    ...spread([shown.title, timeText(shown.head), ...shown.context].map(printable), width).map(
      bold,
    ),
    ...spread([...shown.facts, finalityText(shown.head)].map(printable), width),
  ];
  for (const table of shown.tables) {
    out.push('');
    if (shown.tables.length > 1) out.push(...wrap(table.caption, width).map(bold));
    if (table.columns[0]?.cells.length === 0) {
      out.push(...wrap(table.empty, width));
      continue;
    }
    const [head, ...rows] = renderTable(columnsOf(table), width);
    out.push(dim(head ?? ''), ...rows);
  }
  if (shown.warnings.length > 0) {
    out.push('', ...shown.warnings.flatMap((text) => wrap(text, width)));
  }
  if (shown.notes.length > 0) {
    out.push('', ...shown.notes.flatMap((text) => wrap(text, width)).map(dim));
  }
  return out.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');
}

/** `2026-11-25 12:00:00 - 12:05:00 UTC`. */
export function timeText({ from, to }: Pick<ReportHead, 'from' | 'to'>): string {
  const [fromMs, toMs] = [Date.parse(from), Date.parse(to)];
  const until = day(fromMs) === day(toMs - 1) ? clockTime(toMs) : `${day(toMs)} ${clockTime(toMs)}`;
  return `${day(fromMs)} ${clockTime(fromMs)} - ${until} UTC`;
}

/** Until when nothing changes any more. */
export function finalityText(
  head: Pick<ReportHead, 'from' | 'final_until' | 'provisional'>,
): string {
  if (!head.provisional) return 'data final';
  const finalMs = Date.parse(head.final_until);
  return finalMs <= Date.parse(head.from)
    ? 'data provisional'
    : `data final up to ${clockTime(finalMs)}, provisional after`;
}

function columnsOf({ columns, bars }: PresentedTable): PresentedTable['columns'] {
  const safe = columns.map((column) => ({
    ...column,
    head: printable(column.head),
    cells: column.cells.map(printable),
  }));
  if (bars === undefined) return safe;
  const cells = bars.shares.map((share) => barText(share));
  return [...safe, { head: bars.head, spare: 7, cells, left: true }];
}

/** Names of routes and hosts are others' text: nothing in them may steer the terminal. */
export const printable = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?');

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of up to eight characters, by eighths; the smallest share above 0 shows. */
function barText(share: number): string {
  const eighths = share <= 0 ? 0 : Math.max(1, Math.round(Math.min(1, share) * BAR_WIDTH * 8));
  return '█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]!;
}

/** Breaks a sentence at spaces. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of printable(text).split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
