/**
 * Field section of a message head (RFC 9112 5), framing (6) and connection options (9.3), the same
 * strict rules for both directions: what two parsers could read differently is refused.
 *
 * One loop over the bytes; results are positions in `lines` and numbers in `parsed`, which the next
 * parse overwrites. No objects and no strings are made, so whoever wants to keep something copies
 * it before the next head is read.
 */
import { CODEC_LIMITS } from '../limits.ts';
import {
  CR,
  FIELD,
  FIELD_IDS,
  FIELD_VALUE,
  fieldId,
  fieldIdOf,
  hashStep,
  HTAB,
  isReserved,
  LF,
  SP,
  STRIP,
  STRIPPED_FROM,
  TOKEN,
} from './tables.ts';

/** The bytes end before the head does. Other negative results are minus an HTTP status. */
export const MORE = -1;

export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Ends when the connection does; only responses may. */
export const BODY_UNTIL_CLOSE = 3;

/** Numbers per field in `lines`. */
const STRIDE = 6;
const NAME_START = 0;
const NAME_END = 1;
const VALUE_START = 2;
const VALUE_END = 3;
const ID = 4;
/** Position after the line; negative when the line is not written as `name: value` CR LF exactly. */
const LINE_END = 5;
const lines = new Int32Array(CODEC_LIMITS.fieldCount * STRIDE);

/** What the last parse found. */
export const parsed = {
  fieldCount: 0,
  /** Per field id: 1 + index of its last line, 0 when absent. */
  at: new Int32Array(FIELD_IDS),
  /** Bit per field id that came more than once. */
  repeated: 0,
  /** True when a name holds an underscore, which CGI-like servers read as a hyphen. */
  underscore: false,
  bodyKind: BODY_NONE,
  /** Content-Length; 0 unless bodyKind is BODY_LENGTH. */
  bodyBytes: 0,
  /** The sender wants the connection closed after this message. */
  close: false,
};
/** Fields named by Connection, lower case; they end at this hop. Undefined when there are none. */
let nominated: Set<string> | undefined;

/** Parses fields from b[p] up to and including the empty line. Returns the position after it. */
export function parseFields(b: Uint8Array, p: number, n: number): number {
  parsed.at.fill(0);
  parsed.repeated = 0;
  parsed.underscore = false;
  parsed.fieldCount = 0;
  nominated = undefined;
  let count = 0;
  for (;;) {
    if (p >= n) return MORE;
    if (b[p] === CR) {
      if (p + 1 >= n) return MORE;
      if (b[p + 1] !== LF) return -400;
      parsed.fieldCount = count;
      return p + 2;
    }
    if (count === CODEC_LIMITS.fieldCount) return -431;
    const nameStart = p;
    let hash = 0;
    let byte = 0;
    while (p < n && (byte = TOKEN[b[p]!]!) !== 0) {
      if (byte === 95) parsed.underscore = true;
      hash = hashStep(hash, byte);
      p++;
    }
    if (p >= n) return MORE;
    // A folded line, a space before the colon and an empty name all end here.
    if (b[p] !== 58 || p === nameStart) return -400;
    const nameEnd = p++;
    while (p < n && (b[p] === SP || b[p] === HTAB)) p++;
    const valueStart = p;
    while (p < n && FIELD_VALUE[b[p]!] === 1) p++;
    if (p >= n) return MORE;
    if (b[p] !== CR) return -400;
    if (p + 1 >= n) return MORE;
    if (b[p + 1] !== LF) return -400;
    let valueEnd = p;
    while (valueEnd > valueStart && (b[valueEnd - 1] === SP || b[valueEnd - 1] === HTAB))
      valueEnd--;
    const id = fieldId(b, nameStart, nameEnd, hash);
    const o = count * STRIDE;
    const canonical = valueStart === nameEnd + 2 && b[nameEnd + 1] === SP && valueEnd === p;
    p += 2;
    count++;
    if (id !== 0) {
      if (parsed.at[id] !== 0) parsed.repeated |= 1 << id;
      parsed.at[id] = count;
    }
    lines[o + NAME_START] = nameStart;
    lines[o + NAME_END] = nameEnd;
    lines[o + VALUE_START] = valueStart;
    lines[o + VALUE_END] = valueEnd;
    lines[o + ID] = id;
    lines[o + LINE_END] = canonical ? p : -p;
  }
}

/**
 * Reads Transfer-Encoding, Content-Length and Connection of the fields just parsed into `parsed`.
 * Returns 0, or minus the status of a refusal.
 */
export function parseFraming(b: Buffer, isHttp10: boolean): number {
  const { at } = parsed;
  parsed.bodyKind = BODY_NONE;
  parsed.bodyBytes = 0;
  parsed.close = isHttp10;
  if (at[FIELD.transferEncoding] !== 0) {
    // Both framings at once, a list of codings, or a coding from HTTP/1.0: request smuggling.
    if (at[FIELD.contentLength] !== 0 || isHttp10) return -400;
    if (isRepeated(FIELD.transferEncoding)) return -400;
    if (!valueIs(b, FIELD.transferEncoding, 'chunked')) return -400;
    parsed.bodyKind = BODY_CHUNKED;
  } else if (at[FIELD.contentLength] !== 0) {
    if (isRepeated(FIELD.contentLength)) return -400;
    const start = valueStart(FIELD.contentLength);
    const end = valueEnd(FIELD.contentLength);
    if (end === start || end - start > 15) return -400;
    let length = 0;
    for (let i = start; i < end; i++) {
      const digit = b[i]! - 48;
      if (digit < 0 || digit > 9) return -400;
      length = length * 10 + digit;
    }
    if (length > CODEC_LIMITS.contentLengthMax) return -413;
    parsed.bodyKind = BODY_LENGTH;
    parsed.bodyBytes = length;
  }
  if (at[FIELD.connection] === 0) return 0;
  if (!isRepeated(FIELD.connection) && valueIs(b, FIELD.connection, 'keep-alive')) {
    parsed.close = false;
    return 0;
  }
  return parseConnectionOptions(b);
}

/** The rare long way: `close`, several options, nominated fields, several lines. */
function parseConnectionOptions(b: Buffer): number {
  let close = false;
  let keepAlive = false;
  for (let k = 0; k < parsed.fieldCount; k++) {
    const o = k * STRIDE;
    if (lines[o + ID] !== FIELD.connection) continue;
    const value = b.toString('latin1', lines[o + VALUE_START], lines[o + VALUE_END]);
    for (const raw of value.split(',')) {
      const option = raw.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase();
      if (option === '') continue;
      if (option === 'close') close = true;
      else if (option === 'keep-alive') keepAlive = true;
      else if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(option)) return -400;
      else {
        const id = fieldIdOf(option);
        // Taking these away would change where the message ends or for whom it is.
        if (id === FIELD.host || id === FIELD.contentLength || id === FIELD.transferEncoding)
          return -400;
        // Nominated means it ends here: it is neither forwarded nor believed. TE and Upgrade are
        // said to us, and only their nomination makes them so (RFC 9110 7.6.1, 7.8, 10.1.4).
        if (id !== 0 && id !== FIELD.te && id !== FIELD.upgrade && id !== FIELD.trailer)
          parsed.at[id] = 0;
        (nominated ??= new Set()).add(option);
      }
    }
  }
  if (close) parsed.close = true;
  else if (keepAlive) parsed.close = false;
  return 0;
}

/** True when Connection names the field, given in lower case. */
export const isNominated = (name: string): boolean => nominated?.has(name) === true;

export const isPresent = (id: number): boolean => parsed.at[id] !== 0;
export const isRepeated = (id: number): boolean => ((parsed.repeated >> id) & 1) === 1;
/** Positions of the value of the last line of a present field. */
export const valueStart = (id: number): number =>
  lines[(parsed.at[id]! - 1) * STRIDE + VALUE_START]!;
export const valueEnd = (id: number): number => lines[(parsed.at[id]! - 1) * STRIDE + VALUE_END]!;

/** True when the value of a present field equals `word` (lower case token), case ignored. */
export function valueIs(b: Uint8Array, id: number, word: string): boolean {
  return valueEnd(id) - valueStart(id) === word.length && valueBegins(b, id, word);
}

/** True when the value of a present field begins with `word` (lower case; token bytes and `/`). */
export function valueBegins(b: Uint8Array, id: number, word: string): boolean {
  const start = valueStart(id);
  if (valueEnd(id) - start < word.length) return false;
  for (let i = 0; i < word.length; i++) {
    const byte = b[start + i]!;
    if ((TOKEN[byte] === 0 ? byte : TOKEN[byte]) !== word.charCodeAt(i)) return false;
  }
  return true;
}

/** Members of a list field as tokens in lower case, parameters cut off; for the rare paths. */
export function listOf(b: Buffer, id: number): string[] {
  return joinedValue(b, id)
    .split(',')
    .map((member) => (member.split(';', 1)[0] ?? '').trim().toLowerCase())
    .filter((member) => member !== '');
}

/** All values of a field joined with a comma; for the rare paths. */
export function joinedValue(b: Buffer, id: number): string {
  let joined = '';
  for (let k = 0; k < parsed.fieldCount; k++) {
    const o = k * STRIDE;
    if (lines[o + ID] !== id) continue;
    const value = b.toString('latin1', lines[o + VALUE_START], lines[o + VALUE_END]);
    joined = joined === '' ? value : `${joined},${value}`;
  }
  return joined;
}

/** All values of a field by its lower-cased name, joined; undefined when it is not there. Rare paths. */
export function valueOf(b: Buffer, name: string): string | undefined {
  let joined: string | undefined;
  for (let k = 0; k < parsed.fieldCount; k++) {
    const o = k * STRIDE;
    const start = lines[o + NAME_START]!;
    const end = lines[o + NAME_END]!;
    if (end - start !== name.length) continue;
    if (b.toString('latin1', start, end).toLowerCase() !== name) continue;
    const value = b.toString('latin1', lines[o + VALUE_START], lines[o + VALUE_END]);
    joined = joined === undefined ? value : `${joined},${value}`;
  }
  return joined;
}

/**
 * The lines to forward, in the order received. `head` is the whole head as a latin1 string whose
 * first character is b[base]; `strip` is a set of STRIP bits. Runs of lines that are kept as they
 * came are one slice each; a line with odd white space is written anew. `takenOut`: names in lower
 * case that the route takes out.
 */
export function keptLines(
  b: Uint8Array,
  head: string,
  base: number,
  strip: number,
  takenOut?: ReadonlySet<string>,
): string {
  const edge = (strip & (STRIP.edgeRequest | STRIP.edgeResponse)) !== 0;
  let out = '';
  let runStart = -1;
  let runEnd = 0;
  for (let k = 0; k < parsed.fieldCount; k++) {
    const o = k * STRIDE;
    const nameStart = lines[o + NAME_START]!;
    const nameEnd = lines[o + NAME_END]!;
    const id = lines[o + ID]!;
    const drop =
      (id !== 0 ? (STRIPPED_FROM[id]! & strip) !== 0 : edge && isReserved(b, nameStart, nameEnd)) ||
      (nominated !== undefined &&
        nominated.has(head.slice(nameStart - base, nameEnd - base).toLowerCase())) ||
      takenOut?.has(head.slice(nameStart - base, nameEnd - base).toLowerCase()) === true;
    const lineEnd = lines[o + LINE_END]!;
    if (!drop && lineEnd > 0) {
      if (runStart < 0) runStart = nameStart - base;
      runEnd = lineEnd - base;
      continue;
    }
    if (runStart >= 0) {
      out += head.slice(runStart, runEnd);
      runStart = -1;
    }
    if (!drop) {
      const value = head.slice(lines[o + VALUE_START]! - base, lines[o + VALUE_END]! - base);
      out += head.slice(nameStart - base, nameEnd - base) + ': ' + value + '\r\n';
    }
  }
  return runStart >= 0 ? out + head.slice(runStart, runEnd) : out;
}

/** Lines of the fields just parsed whose lower-cased names are in `names`, written anew. */
export function namedLines(b: Buffer, names: ReadonlySet<string>): string {
  let out = '';
  for (let k = 0; k < parsed.fieldCount; k++) {
    const o = k * STRIDE;
    const name = b.toString('latin1', lines[o + NAME_START], lines[o + NAME_END]);
    if (!names.has(name.toLowerCase())) continue;
    out += `${name}: ${b.toString('latin1', lines[o + VALUE_START], lines[o + VALUE_END])}\r\n`;
  }
  return out;
}
