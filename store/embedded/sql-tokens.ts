/**
 * ClickHouse's lexical rules, as far as a front needs them: where strings, quoted names and
 * comments begin and end. It knows no grammar. What it must never do: take a byte inside a string
 * or a comment for SQL, or the other way round, since every check of statement.ts rests on it.
 * Whatever engines of different versions read differently (`//`, nested comments, typographic
 * quotes, \G, a sign behind 1e) is therefore refused instead of guessed.
 *
 *   '…' "…" `…`   with \x escapes and the quote doubled        $tag$…$tag$   heredoc
 *   -- …   "# …"   #! …   to the end of the line               slash-star … star-slash
 *
 * Give it latin1 text of the bytes, so that offsets count bytes and one byte is one character.
 */
import { ClickHouseFault } from './clickhouse-fault.ts';

export interface Token {
  /** `word`: bare name or keyword; `name`: quoted name; `string` covers heredocs. */
  readonly kind: 'word' | 'name' | 'string' | 'number' | 'symbol';
  /** Words and symbols as written; quoted names without quotes and escapes; strings as written. */
  readonly text: string;
  /** Upper case of a word, `''` for everything else: so that "FORMAT" in quotes is no keyword. */
  readonly keyword: string;
  readonly start: number;
  /** First character after the token. */
  readonly end: number;
  /** How many ( [ { are open around it; an opening bracket has the depth outside of it. */
  readonly depth: number;
}

const SPACE = /[ \t\n\v\f\r]/;
const WORD = /[A-Za-z0-9_$]+/y;
/** Digits with what may stand in a number: 1.5e10, 0x1F, 1_000. */
const NUMBER = /[0-9][A-Za-z0-9_.]*/y;
const HEREDOC_TAG = /\$[A-Za-z0-9_]{0,128}\$/y;

/**
 * Yields the tokens of `sql` from offset `from` on. Throws ClickHouseFault 62 (SYNTAX_ERROR) at an
 * unclosed quote or comment and at what it refuses. Lazy: the data behind an INSERT is not looked
 * at unless asked for.
 */
export function* tokens(sql: string, from = 0): Generator<Token, void, undefined> {
  let at = from;
  let depth = 0;
  while (at < sql.length) {
    const char = sql[at]!;
    if (SPACE.test(char)) {
      at += 1;
      continue;
    }
    const commentEnd = endOfComment(sql, at);
    if (commentEnd !== undefined) {
      at = commentEnd;
      continue;
    }
    const start = at;
    const token = (kind: Token['kind'], end: number, text = sql.slice(start, end)): Token => ({
      kind,
      text,
      keyword: kind === 'word' ? text.toUpperCase() : '',
      start,
      end,
      depth,
    });
    if (char === "'") {
      at = endOfQuoted(sql, at, char);
      yield token('string', at);
    } else if (char === '"' || char === '`') {
      at = endOfQuoted(sql, at, char);
      yield token('name', at, unquoteName(sql.slice(start, at), start));
    } else if (char === '$') {
      at = endOfHeredoc(sql, at);
      yield token('string', at);
    } else if (/[A-Za-z_]/.test(char)) {
      at = endOf(WORD, sql, at);
      checkHexLiteral(sql, start, at);
      yield token('word', at);
    } else if (/[0-9]/.test(char)) {
      at = endOf(NUMBER, sql, at);
      if (/[eEpP]/.test(sql[at - 1]!) && /^[+-]-/.test(sql.slice(at, at + 2))) {
        throw refused(sql, at, 'two signs behind an exponent; put a space between them');
      }
      yield token('number', at);
    } else {
      if (char < ' ' || char > '~' || char === '\\') throw refused(sql, at, refusalOf(char));
      at += 1;
      if (char === ')' || char === ']' || char === '}') depth = Math.max(0, depth - 1);
      yield token('symbol', at);
      if (char === '(' || char === '[' || char === '{') depth += 1;
    }
  }
}

function refused(sql: string, at: number, why: string): ClickHouseFault {
  const line = sql.slice(0, at).split('\n').length;
  return new ClickHouseFault(62, `Syntax error at position ${at} (line ${line}): ${why}`);
}

function refusalOf(char: string): string {
  if (char === '\\') return 'a backslash outside quotes';
  if (char > '~') return 'a character outside ASCII (a typographic quote or space?) outside quotes';
  return 'a control character outside quotes';
}

/** `pattern` is sticky and matches at least one character at `at`. */
function endOf(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return at + (pattern.exec(sql)?.[0].length ?? 1);
}

/** Offset after the comment that begins at `at`; undefined where none begins. */
function endOfComment(sql: string, at: number): number | undefined {
  const two = sql.slice(at, at + 2);
  if (two === '//') throw refused(sql, at, '"//" is ambiguous; begin a comment with "--"');
  if (two === '--' || sql[at] === '#') {
    if (sql[at] === '#' && two !== '# ' && two !== '#!') {
      throw refused(sql, at, 'unexpected #; begin a comment with "--"');
    }
    const end = sql.indexOf('\n', at);
    return end === -1 ? sql.length : end + 1;
  }
  if (two !== '/*') return undefined;
  const end = sql.indexOf('*/', at + 2);
  if (end === -1) throw refused(sql, at, 'the comment is not closed');
  if (sql.slice(at + 2, end).includes('/*')) throw refused(sql, at, 'a comment inside a comment');
  return end + 2;
}

function endOfQuoted(sql: string, start: number, quote: string): number {
  let at = start + 1;
  while (at < sql.length) {
    const char = sql[at]!;
    if (char === '\\') {
      at += 2;
    } else if (char !== quote) {
      at += 1;
    } else if (sql[at + 1] === quote) {
      at += 2;
    } else {
      return at + 1;
    }
  }
  throw refused(sql, start, `the quote ${quote} is not closed`);
}

function endOfHeredoc(sql: string, start: number): number {
  HEREDOC_TAG.lastIndex = start;
  const tag = HEREDOC_TAG.exec(sql)?.[0];
  if (tag === undefined) throw refused(sql, start, 'unexpected $');
  const end = sql.indexOf(tag, start + tag.length);
  if (end === -1) throw refused(sql, start, `the heredoc ${tag} is not closed`);
  return end + tag.length;
}

/** x'41' and b'01' have no escapes, unlike a string: so nothing but digits may stand in them. */
function checkHexLiteral(sql: string, start: number, end: number): void {
  if (sql[end] !== "'" || !/^[xXbB]$/.test(sql.slice(start, end))) return;
  const close = sql.indexOf("'", end + 1);
  if (close === -1 || !/^[0-9A-Fa-f]*$/.test(sql.slice(end + 1, close))) {
    throw refused(sql, start, 'the literal holds something else than digits');
  }
}

function unquoteName(text: string, at: number): string {
  // Other escapes would spell a name in another way: "fi\x6ce" is file.
  if (/\\[^\\"`]/s.test(text.replaceAll('\\\\', ''))) {
    throw refused(text, at, 'an escape in a quoted name other than of a quote or a backslash');
  }
  const quote = text[0]!;
  return text
    .slice(1, -1)
    .replaceAll(quote + quote, quote)
    .replace(/\\(.)/gs, '$1');
}
