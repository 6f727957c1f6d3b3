/**
 * What a request asks for, told from its SQL before the engine sees it: the kind of statement,
 * where an INSERT's data begins, the output format; and whether we run it at all. Grants keep the
 * engine itself from files and networks (engine-config.ts); what they do not cover is refused here:
 * several statements in one request, files of the host, statements that move or stop things.
 *
 * Works on latin1 text of the bytes: offsets are byte offsets, `latin1 → Buffer → utf8` is exact.
 */
import { ClickHouseFault } from './clickhouse-fault.ts';
import { tokens, type Token } from './sql-tokens.ts';

export type Statement =
  | {
      readonly kind: 'insert_data';
      /** `INSERT INTO t (a, b)`, without SETTINGS and FORMAT. */
      readonly head: string;
      /** `SETTINGS …` as written; empty when there is none. */
      readonly settings: string;
      readonly format: string;
      /** Offset of the first byte of data; the text's length when it holds none. */
      readonly dataStart: number;
      readonly identifiers: readonly string[];
    }
  | {
      readonly kind: 'select';
      readonly sql: string;
      /** Of a FORMAT clause; undefined where the request's default applies. */
      readonly format: string | undefined;
      readonly streamFrom: StreamSource | undefined;
      readonly identifiers: readonly string[];
    }
  | {
      /** Everything else that returns at once: DDL, SHOW, SET, INSERT … SELECT. */
      readonly kind: 'other';
      readonly sql: string;
      readonly format: string | undefined;
      readonly readsOnly: boolean;
      /** Names of parameters that stand for a name: `{x:Identifier}`. */
      readonly identifiers: readonly string[];
    };

/** The one table of a SELECT without subqueries: its rows may be streamed. */
export interface StreamSource {
  /** Undefined: the request's default database. */
  readonly database: string | undefined;
  readonly table: string;
}

const SELECTS = new Set(['SELECT', 'WITH', 'FROM']);
const READS = new Set(['SHOW', 'DESCRIBE', 'DESC', 'EXISTS', 'EXPLAIN', 'CHECK', 'SET', 'USE']);
const WRITES = new Set(
  'CREATE ALTER DROP UNDROP TRUNCATE RENAME EXCHANGE OPTIMIZE DELETE UPDATE INSERT'.split(' '),
);
/** Why a statement is refused that people may well try. */
const REFUSED_KINDS: Readonly<Record<string, string>> = {
  KILL: 'close the connection of a query to stop it',
  SYSTEM: 'the embedded store looks after itself',
  ATTACH: 'it could move folders of the host into the store',
  BACKUP: 'stop the store and copy its folder',
  RESTORE: 'stop the store and copy its folder',
  GRANT: 'the store has one user, of the mesh file',
  REVOKE: 'the store has one user, of the mesh file',
};
/** Names refused wherever they stand (a function can be passed by name: arrayMap(file, …)). */
const REFUSED_NAMES = new Set(['file', 'catboostEvaluate']);
/** Names refused when called. `disk(…)` names folders of the host, `eval` hides SQL in a string. */
const REFUSED_CALLS = new Set(['disk', 'eval', 'executable']);
/** Settings that the front needs for itself, or that would get around it. */
const RESERVED_SETTINGS: Readonly<Record<string, string>> = {
  dialect: 'only ClickHouse SQL is read',
  profile: 'it would lift the limits',
  log_comment: 'give it in the URL, not in the SQL',
  format_schema: 'it reads files of the host',
  allow_experimental_eval_table_function: 'it hides SQL in a string',
};

/**
 * Analyses one statement. Throws ClickHouseFault: 62 for no statement, several, or one we cannot
 * read; 497 for one that is refused; 36 for an INSERT we cannot tell the data of.
 */
export function analyseStatement(text: string): Statement {
  const stream = tokens(text);
  const first = stream.next().value ?? undefined;
  if (first === undefined) throw new ClickHouseFault(62, 'Syntax error: the statement is empty');
  if (first.keyword === 'INSERT') {
    const read: Token[] = [first];
    const insert = readInsertHead(text, stream, read);
    checkTokens(read);
    if (insert !== undefined) return insert;
    return { ...finish(text, read), kind: 'other', readsOnly: false };
  }
  const isSelect = SELECTS.has(first.keyword) || first.text === '(';
  if (!isSelect && !READS.has(first.keyword) && !WRITES.has(first.keyword)) {
    const why = REFUSED_KINDS[first.keyword];
    if (why === undefined) {
      throw new ClickHouseFault(62, `Syntax error: no statement begins with ${first.text}`);
    }
    throw new ClickHouseFault(497, `${first.keyword} is refused by the embedded store: ${why}`);
  }
  const all = [first, ...stream];
  checkTokens(all);
  const body = finish(text, all);
  if (isSelect) {
    if (all.some((t) => t.depth === 0 && t.keyword === 'INSERT')) {
      throw new ClickHouseFault(62, 'write INSERT first: INSERT INTO … WITH … SELECT');
    }
    return { ...body, kind: 'select', streamFrom: streamSource(all) };
  }
  if (first.keyword === 'CREATE' && all.some((t, i) => i < 5 && t.keyword === 'DICTIONARY')) {
    throw new ClickHouseFault(
      497,
      'CREATE DICTIONARY is refused by the embedded store: its source could be a file of the host',
    );
  }
  return { ...body, kind: 'other', readsOnly: READS.has(first.keyword) };
}

/**
 * Checks rows of `INSERT … VALUES` that came as text: they may hold expressions, so the rules for
 * SQL hold for them. Returns the offset after the last row.
 */
export function checkValues(text: string, from: number): number {
  const all = [...tokens(text, from)];
  checkTokens(all);
  return endOfStatement(text, all);
}

/**
 * Formats whose answer may come in parts. The engine writes each part as a document of its own, so
 * that one with a beginning (names, `[`) or an end would have many.
 */
const STREAM_FORMATS = new Set(
  (
    'TabSeparated TSV TabSeparatedRaw TSVRaw CSV TSKV JSONEachRow JSONLines NDJSON ' +
    'JSONCompactEachRow JSONStringsEachRow JSONCompactStringsEachRow RowBinary Native'
  ).split(' '),
);

/** Whether parts of `format` put together are the whole, under these settings and this SQL. */
export const mayStream = (
  format: string,
  sql: string,
  settings: readonly (readonly [name: string, value: string])[],
): boolean =>
  STREAM_FORMATS.has(format) &&
  !/array_of_rows|extremes/.test(`${sql} ${settings.map(([name]) => name).join(' ')}`);

/** `FORMAT Values` and its kin: data that may hold SQL expressions. */
export const holdsExpressions = (format: string): boolean => /values/i.test(format);

/** Checks a setting that comes by URL or in SQL. Throws 452 or 115 with what to do. */
export function checkSetting(name: string, value: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) {
    throw new ClickHouseFault(115, `"${name}" is not a name of a setting`);
  }
  const why = RESERVED_SETTINGS[name];
  if (why !== undefined) {
    throw new ClickHouseFault(452, `Setting ${name} is refused by the embedded store: ${why}`);
  }
  // The engine takes 0 for "no limit" even where the limit has a least value.
  if (name.startsWith('max_result_') && !/^'?[1-9][0-9]*'?$/.test(value)) {
    throw new ClickHouseFault(452, `Setting ${name}=${value} would lift a limit; lower it instead`);
  }
}

/** Reads on to where the data begins. Undefined: INSERT … SELECT, whose tokens are all in `read`. */
function readInsertHead(
  text: string,
  stream: Iterator<Token, void>,
  read: Token[],
): Extract<Statement, { kind: 'insert_data' }> | undefined {
  let settingsAt: number | undefined;
  for (let step = stream.next(); step.done !== true; step = stream.next()) {
    const token = step.value;
    read.push(token);
    // The second or third word may be a table of that name; a bracket holds column names.
    if (token.depth > 0 || token.keyword === '' || read.length < 3) continue;
    const head = (end: number): { head: string; settings: string; identifiers: string[] } => ({
      identifiers: identifierParams(read),
      head: text.slice(0, settingsAt ?? end).trimEnd(),
      settings: settingsAt === undefined ? '' : text.slice(settingsAt, end).trim(),
    });
    if (token.keyword === 'FUNCTION') {
      throw new ClickHouseFault(
        497,
        'INSERT INTO FUNCTION is refused by the embedded store: name a table',
      );
    }
    const before = read.at(-2)!;
    if (before.text === '.' || before.keyword === 'TABLE' || before.keyword === 'INTO') continue;
    switch (token.keyword) {
      case 'SETTINGS':
        settingsAt = token.start;
        break;
      case 'VALUES':
        return {
          kind: 'insert_data',
          ...head(token.start),
          format: 'Values',
          dataStart: token.end,
        };
      case 'FORMAT': {
        const name = stream.next();
        if (name.done === true || name.value.kind !== 'word') {
          throw new ClickHouseFault(62, 'Syntax error: FORMAT needs the name of a format');
        }
        return {
          kind: 'insert_data',
          ...head(token.start),
          format: name.value.text,
          dataStart: startOfData(text, name.value.end),
        };
      }
      case 'SELECT':
      case 'WITH':
      case 'WATCH':
        for (let rest = stream.next(); rest.done !== true; rest = stream.next()) {
          read.push(rest.value);
        }
        if (read.some((t, i) => t.text === 'input' && read[i + 1]?.text === '(')) {
          throw new ClickHouseFault(48, 'INSERT … SELECT … FROM input() is not supported');
        }
        return undefined;
      case 'FROM':
        throw new ClickHouseFault(
          497,
          'FROM INFILE is refused by the embedded store (it reads files of the host): ' +
            'send the rows in the body of the request',
        );
      default:
    }
  }
  if (read.some((t) => t.text === '(' && read[read.indexOf(t) + 1]?.keyword === 'SELECT')) {
    return undefined;
  }
  throw new ClickHouseFault(
    36,
    'an INSERT must say where its rows come from: FORMAT name and rows, VALUES, or SELECT',
  );
}

/** Data begins after blanks and at most one line break behind FORMAT (ParserInsertQuery). */
function startOfData(text: string, end: number): number {
  let at = end;
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\f') at += 1;
  if (text[at] === ';') at += 1;
  if (text[at] === '\r') at += 1;
  if (text[at] === '\n') at += 1;
  return at;
}

/** Refuses names, calls, clauses and settings; quoting does not get around it. */
function checkTokens(all: readonly Token[]): void {
  all.forEach((token, i) => {
    if (token.kind !== 'word' && token.kind !== 'name') return;
    const next = all[i + 1];
    const called = REFUSED_CALLS.has(token.text.toLowerCase()) && next?.text === '(';
    if (called || (REFUSED_NAMES.has(token.text) && all[i - 1]?.text !== '.')) {
      throw refusal(token.text);
    }
    if (token.keyword === 'INTO' && next?.keyword === 'OUTFILE') {
      throw new ClickHouseFault(497, 'INTO OUTFILE is refused by the embedded store');
    }
    if (token.keyword === 'INFILE') {
      throw new ClickHouseFault(497, 'FROM INFILE is refused by the embedded store');
    }
    if (token.keyword === 'PARALLEL' && next?.keyword === 'WITH') {
      throw new ClickHouseFault(62, 'Syntax error: several statements (PARALLEL WITH); send one');
    }
    if (token.keyword === 'SETTINGS' || (token.keyword === 'SET' && i === 0)) {
      checkSettingsList(all, i + 1);
    }
  });
}

/** `name = value, name = value` from token `from` on; ends at whatever does not go on like that. */
function checkSettingsList(all: readonly Token[], from: number): void {
  let at = from;
  while (all[at + 1]?.text === '=') {
    checkSetting(all[at]!.text, all[at + 2]?.text ?? '');
    const { depth } = all[at]!;
    at += 2;
    while (at < all.length && !(all[at]!.text === ',' && all[at]!.depth === depth)) at += 1;
    at += 1;
  }
}

/** Offset after the one statement. Throws 62 when another one follows. */
function endOfStatement(text: string, all: readonly Token[]): number {
  const semicolon = all.findIndex((token) => token.kind === 'symbol' && token.text === ';');
  if (semicolon === -1) return text.length;
  if (all.slice(semicolon).some((token) => token.text !== ';')) {
    throw new ClickHouseFault(
      62,
      'Syntax error (Multi-statements are not allowed): send one statement a request',
    );
  }
  return all[semicolon]!.start;
}

function finish(
  text: string,
  all: readonly Token[],
): Pick<Extract<Statement, { kind: 'select' }>, 'sql' | 'format' | 'identifiers'> {
  const sql = text.slice(0, endOfStatement(text, all));
  let format: string | undefined;
  all.forEach((token, i) => {
    const name = all[i + 1];
    const after = all[i + 2];
    if (token.keyword !== 'FORMAT' || token.depth > 0 || name?.kind !== 'word') return;
    if (after === undefined || after.text === ';' || after.keyword === 'SETTINGS') {
      format = name.text;
    }
  });
  return { sql, format, identifiers: identifierParams(all) };
}

function identifierParams(all: readonly Token[]): string[] {
  return all
    .filter((_, i) => all[i - 1]?.text === '{' && all[i + 2]?.keyword === 'IDENTIFIER')
    .map((t) => t.text);
}

/**
 * Checks the values of `{x:Identifier}` parameters by the rules for names in SQL. Throws 497 for a
 * refused name and 36 for what is no plain name (an escape could spell a refused one).
 */
export function checkIdentifiers(
  names: readonly string[],
  params: readonly (readonly [name: string, value: string])[],
): void {
  for (const [name, value] of params) {
    if (!names.includes(name)) continue;
    if (REFUSED_NAMES.has(value)) throw refusal(value);
    if (!/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/.test(value)) {
      throw new ClickHouseFault(36, `parameter ${name}: "${value}" is not a plain name`);
    }
  }
}

function refusal(name: string): ClickHouseFault {
  return new ClickHouseFault(
    497,
    `"${name}" is refused by the embedded store: it reaches outside of it ` +
      '(a column of that name needs its table in front)',
  );
}

/**
 * A SELECT may be streamed when the engine plans it at once: opening a stream runs scalar
 * subqueries on the event loop (1.7 s seen, with everything else standing still), and a view may
 * hold some. So: one SELECT, no JOIN, one named table; the caller checks that it is no view.
 * No totals: a stream drops them.
 */
function streamSource(all: readonly Token[]): StreamSource | undefined {
  const count = (keyword: string): number => all.filter((t) => t.keyword === keyword).length;
  if (count('SELECT') !== 1 || count('FROM') !== 1) return undefined;
  if (count('JOIN') + count('TOTALS') > 0) return undefined;
  const from = all.findIndex((t) => t.keyword === 'FROM');
  const [a, dot, b] = all.slice(from + 1, from + 4);
  const named = (t: Token | undefined): t is Token => t?.kind === 'word' || t?.kind === 'name';
  if (all[from]!.depth > 0 || !named(a)) return undefined;
  const qualified = dot?.text === '.' && named(b);
  const after = all[from + (qualified ? 4 : 2)];
  if (after?.text === '(' || after?.text === ',') return undefined;
  return qualified ? { database: a.text, table: b.text } : { database: undefined, table: a.text };
}
