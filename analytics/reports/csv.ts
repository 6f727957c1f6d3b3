/**
 * CSV (RFC 4180) of a report's rows. Names as in the JSON form, inner ones joined with `_`. Numbers
 * stay plain; text that a spreadsheet would take for a formula gets an apostrophe before it, since
 * routes and hosts are chosen by others.
 */
type Cell = string | number | boolean | null;

/** One line a row under a head; every row has the keys of the first. No rows: only a newline. */
export function csvOf(rows: readonly object[]): string {
  const flattened = rows.map((row) => flat('', row));
  const head = (flattened[0] ?? []).map(([name]) => name).join(',');
  return [head, ...flattened.map((row) => row.map(([, cell]) => textOf(cell)).join(','))]
    .map((line) => `${line}\n`)
    .join('');
}

function flat(prefix: string, value: object): [string, Cell][] {
  return (Object.entries(value) as [string, Cell | object][]).flatMap(([key, inner]) =>
    typeof inner === 'object' && inner !== null
      ? flat(`${prefix}${key}_`, inner)
      : [[prefix + key, inner] satisfies [string, Cell]],
  );
}

function textOf(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell !== 'string') return String(cell);
  const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
