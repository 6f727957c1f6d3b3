/**
 * Request line and head of a request (RFC 9112 3). Positions and flags of the last parse stand in
 * `requestLine`; its fields in fields.ts. Refuses everything that a second parser could understand
 * in another way; never repairs.
 */
import { CODEC_LIMITS } from '../limits.ts';
import {
  isPresent,
  isRepeated,
  MORE,
  parsed,
  parseFields,
  parseFraming,
  BODY_NONE,
} from './fields.ts';
import { FIELD, HEX, IN_PATH, IN_QUERY, SP, TARGET, TOKEN } from './tables.ts';

export const requestLine = {
  /** The request line was understood (as far as its method, at least): the request is recorded. */
  known: false,
  methodEnd: 0,
  targetStart: 0,
  targetEnd: 0,
  /** Position of `?`, or targetEnd. */
  queryStart: 0,
  isHttp10: false,
  /** Bytes of `http://authority` before the path of an absolute-form target; 0 in origin form. */
  authorityBytes: 0,
};

const ABSOLUTE = /^http:\/\/([^/?@]+)(?=[/?]|$)/i;
/** CR LF after `HTTP/1.1`. */
const VERSION_BYTES = 10;

/**
 * Parses the head that begins at b[s] and may reach to b[n]. Returns the position after it, MORE,
 * or minus the status of the refusal (400, 405, 413, 414, 431, 501, 505).
 */
export function parseRequestHead(b: Buffer, s: number, n: number): number {
  requestLine.known = false;
  const lineEnd = parseRequestLine(b, s, n);
  if (lineEnd < 0) return lineEnd;
  requestLine.known = true;
  const end = parseFields(b, lineEnd, n);
  if (end === MORE) return n - s > CODEC_LIMITS.headBytes ? -431 : MORE;
  if (end < 0) return end;
  if (end - s > CODEC_LIMITS.headBytes) return -431;
  if (isRepeated(FIELD.host)) return -400;
  // HTTP/1.0 had no Host; a request in absolute form brings the authority with it all the same.
  if (!isPresent(FIELD.host) && !requestLine.isHttp10) return -400;
  const framing = parseFraming(b, requestLine.isHttp10);
  if (framing < 0) return framing;
  // RFC 9110 9.3.8: a client must not send content in a TRACE request.
  if (parsed.bodyKind !== BODY_NONE && isTrace(b, s)) return -400;
  return end;
}

function isTrace(b: Buffer, s: number): boolean {
  return requestLine.methodEnd - s === 5 && b.toString('latin1', s, s + 5) === 'TRACE';
}

function parseRequestLine(b: Buffer, s: number, n: number): number {
  let p = s;
  while (p < n && TOKEN[b[p]!] !== 0) p++;
  if (p - s > CODEC_LIMITS.methodBytes) return -400;
  if (p >= n) return MORE;
  if (b[p] !== SP || p === s) return -400;
  requestLine.methodEnd = p;
  const targetStart = ++p;
  requestLine.targetStart = targetStart;
  let queryStart = -1;
  let allowed = IN_PATH;
  while (p < n) {
    const byte = b[p]!;
    if ((TARGET[byte]! & allowed) === 0) {
      if (byte !== 63 || queryStart >= 0) break;
      queryStart = p;
      allowed = IN_QUERY;
    } else if (byte === 37 && p + 2 < n) {
      // A percent sign that escapes nothing, and an escaped NUL, are read differently by others.
      const high = HEX[b[p + 1]!]!;
      const low = HEX[b[p + 2]!]!;
      if (high < 0 || low < 0 || high + low === 0) return -400;
    }
    p++;
  }
  if (p - s > CODEC_LIMITS.requestLineBytes) {
    requestLine.known = p < n && b[p] === SP;
    return -414;
  }
  if (p >= n) return MORE;
  if (b[p] !== SP || p === targetStart) return -400;
  requestLine.targetEnd = p;
  requestLine.queryStart = queryStart < 0 ? p : queryStart;
  p++;
  for (let i = 0; i < VERSION_BYTES; i++) {
    if (p + i >= n) return MORE;
    const byte = b[p + i]!;
    // Digits of the version are judged once the line is complete.
    const ok = i === 5 || i === 7 ? byte >= 48 && byte <= 57 : byte === VERSION[i];
    if (!ok) return -400;
  }
  // From here on we know what was asked, so the refusal is recorded as a hop.
  requestLine.known = true;
  if (b[p + 5] !== 49 || (b[p + 7] !== 48 && b[p + 7] !== 49)) return -505;
  requestLine.isHttp10 = b[p + 7] === 48;
  // Methods are case-sensitive and all registered ones upper case; `get` is somebody's mistake.
  for (let i = s; i < requestLine.methodEnd; i++) if (b[i]! > 96 && b[i]! < 123) return -501;
  const form = targetForm(b, s);
  return form < 0 ? form : p + VERSION_BYTES;
}
const VERSION = Buffer.from('HTTP/1.1\r\n');

/** Sets authorityBytes, or returns minus a status for a form that is not served here. */
function targetForm(b: Buffer, s: number): number {
  const { targetStart, targetEnd, methodEnd } = requestLine;
  requestLine.authorityBytes = 0;
  if (methodEnd - s === 7 && b.toString('latin1', s, methodEnd) === 'CONNECT') return -405;
  if (b[targetStart] === 47) return 0;
  const target = b.toString('latin1', targetStart, targetEnd);
  // `*` asks about the server as a whole: no route can match it, so that it ends as 404.
  if (target === '*' && b.toString('latin1', s, methodEnd) === 'OPTIONS') return 0;
  const absolute = ABSOLUTE.exec(target);
  if (absolute === null) return -400;
  requestLine.authorityBytes = absolute[0].length;
  return 0;
}
