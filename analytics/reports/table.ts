/**
 * A table for the terminal: the first column and those of text left, all others right-aligned, units
 * in the head. Columns that do not fit are left out, the least important first. Plain text; styling
 * is added around whole lines only, so that it never counts as width.
 */
/** For whom a report's text is. */
export interface TextSettings {
  /** Characters of a line; more than 110 are not used. */
  readonly width: number;
  /** ANSI styles; false for a pipe or NO_COLOR. */
  readonly color: boolean;
}

export interface Column {
  readonly head: string;
  /** The greater, the sooner it is left out on a narrow terminal; 0 stays. */
  readonly spare: number;
  readonly cells: readonly string[];
  /** Left-aligned, for text; the first column always is. */
  readonly left?: boolean;
}

const GAP = '  ';
const WIDE_GAP = '    ';

/** Lines of the table, head first, each at most `widthMax` characters where the columns allow it. */
export function renderTable(columns: readonly Column[], widthMax: number): string[] {
  const kept = [...columns];
  while (widthOf(kept) > widthMax) {
    const least = kept.reduce((a, b) => (b.spare > a.spare ? b : a));
    if (least.spare === 0) break;
    kept.splice(kept.indexOf(least), 1);
  }
  const rows = Math.max(0, ...kept.map((column) => column.cells.length));
  const line = (cellOf: (column: Column) => string): string =>
    kept
      .map((column, i) =>
        i === 0 || column.left === true
          ? cellOf(column).padEnd(width(column))
          : cellOf(column).padStart(width(column)),
      )
      .join(GAP)
      .trimEnd();
  return [
    line((column) => column.head),
    ...Array.from({ length: rows }, (_, row) => line((column) => column.cells[row] ?? '')),
  ];
}

const width = ({ head, cells }: Column): number =>
  Math.max(head.length, ...cells.map((cell) => cell.length));

const widthOf = (columns: readonly Column[]): number =>
  columns.reduce((sum, column) => sum + width(column), 0) + GAP.length * (columns.length - 1);

/** Parts of one line with a wide gap, broken into several lines where they do not fit in one. */
export function spread(parts: readonly string[], widthMax: number): string[] {
  const lines: string[] = [];
  for (const part of parts.filter((p) => p !== '')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + part.length + WIDE_GAP.length <= widthMax) {
      lines[lines.length - 1] = last + WIDE_GAP + part;
    } else {
      lines.push(part);
    }
  }
  return lines;
}

/** Clauses of one sentence, joined with `; ` where it fits, else each on a line. */
export function clauses(parts: readonly string[], widthMax: number): string[] {
  const together = parts.join('; ');
  return together.length <= widthMax
    ? [together]
    : parts.map((part, i) => (i < parts.length - 1 ? `${part};` : part));
}
