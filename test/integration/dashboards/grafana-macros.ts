/**
 * What Grafana and its ClickHouse plugin do to a query before it is sent: variables, then macros.
 * Only those that our dashboards use; any other macro or variable is an error, so that a test cannot
 * pass on a text that the store would see raw.
 */
export interface GrafanaWindow {
  readonly fromS: number;
  readonly toS: number;
  readonly intervalS: number;
  /** Value of each variable; `$__all` stands for All. */
  readonly variables: Readonly<Record<string, string | readonly string[]>>;
}

const sqlString = (value: string): string => `'${value.replaceAll("'", "''")}'`;

export function expandGrafana(sql: string, window: GrafanaWindow): string {
  let text = conditionalAll(sql, window);
  text = text.replace(/\$\{(\w+):sqlstring\}/g, (_, name: string) => {
    const value = window.variables[name];
    if (value === undefined) throw new Error(`the variable ${name} is not defined`);
    return [value].flat().map(sqlString).join(',');
  });
  const from = `toDateTime(${window.fromS})`;
  const to = `toDateTime(${window.toS})`;
  text = text
    .replace(/\$__timeFilter\(([^()]+)\)/g, `$1 >= ${from} AND $1 <= ${to}`)
    .replace(
      /\$__timeInterval\(([^()]+)\)/g,
      `toStartOfInterval(toDateTime($1), INTERVAL ${window.intervalS} second)`,
    )
    .replaceAll('$__interval_s', String(window.intervalS))
    .replaceAll('$__fromTime', from)
    .replaceAll('$__toTime', to);
  const left = /\$\{?\w+/.exec(text);
  if (left !== null) throw new Error(`nothing expands ${left[0]}`);
  return text;
}

/** `$__conditionalAll(condition, $variable)` is the condition, or 1=1 when the variable is All or empty. */
function conditionalAll(sql: string, window: GrafanaWindow): string {
  const macro = '$__conditionalAll(';
  let text = sql;
  for (;;) {
    const start = text.lastIndexOf(macro);
    if (start < 0) return text;
    let depth = 1;
    let comma = -1;
    let end = start + macro.length;
    for (; end < text.length && depth > 0; end++) {
      if (text[end] === '(') depth++;
      else if (text[end] === ')') depth--;
      else if (text[end] === ',' && depth === 1) comma = end;
    }
    const condition = text.slice(start + macro.length, comma);
    const name = text
      .slice(comma + 1, end - 1)
      .trim()
      .replace(/^\$\{?|\}$/g, '');
    const value = window.variables[name];
    if (comma < 0 || depth > 0 || value === undefined) {
      throw new Error(`$__conditionalAll is not well formed at ${start}`);
    }
    const all = String(value) === '' || String(value) === '$__all';
    text = text.slice(0, start) + (all ? '1=1' : condition) + text.slice(end);
  }
}
