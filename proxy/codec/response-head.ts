/**
 * Status line and head of a response (RFC 9112 4). Whatever an upstream sends that is not exactly
 * an HTTP/1.x response is nonsense: one verdict, BAD, which becomes 502 for the client.
 */
import { CODEC_LIMITS } from '../limits.ts';
import {
  BODY_CHUNKED,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  MORE,
  parsed,
  parseFields,
  parseFraming,
} from './fields.ts';
import { CR, FIELD_VALUE, LF, SP } from './tables.ts';

export const BAD = -502;
export const statusLine = {
  status: 0,
  /** Position after the status line's CR LF. */
  end: 0,
};

const PREFIX = Buffer.from('HTTP/1.');
/** `HTTP/1.1 200` and one byte. */
const UP_TO_REASON = 13;

/** Parses the head that begins at b[s] and may reach to b[n]: position after it, MORE, or BAD. */
export function parseResponseHead(b: Buffer, s: number, n: number): number {
  for (let i = 0; i < PREFIX.length; i++) {
    if (s + i >= n) return MORE;
    if (b[s + i] !== PREFIX[i]) return BAD;
  }
  if (s + UP_TO_REASON >= n) return n - s > CODEC_LIMITS.headBytes ? BAD : MORE;
  const minor = b[s + 7]!;
  const hundreds = b[s + 9]! - 48;
  const tens = b[s + 10]! - 48;
  const ones = b[s + 11]! - 48;
  if ((minor !== 48 && minor !== 49) || b[s + 8] !== SP) return BAD;
  // The blank before an empty reason is often left out; nobody reads that in another way.
  if (b[s + 12] !== SP && b[s + 12] !== CR) return BAD;
  // 000, 099, 600 and 1000 have no meaning that all clients share.
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return BAD;
  let p = b[s + 12] === CR ? s + 12 : s + UP_TO_REASON;
  while (p < n && FIELD_VALUE[b[p]!] === 1) p++;
  if (p >= n) return n - s > CODEC_LIMITS.headBytes ? BAD : MORE;
  if (b[p] !== CR) return BAD;
  if (p + 1 >= n) return MORE;
  if (b[p + 1] !== LF) return BAD;
  statusLine.status = hundreds * 100 + tens * 10 + ones;
  statusLine.end = p + 2;
  const end = parseFields(b, p + 2, n);
  if (end === MORE) return n - s > CODEC_LIMITS.headBytes ? BAD : MORE;
  if (end < 0 || end - s > CODEC_LIMITS.headBytes) return BAD;
  return parseFraming(b, minor === 48) < 0 ? BAD : end;
}

/** How the body of the final answer just parsed is framed; `read` fills it in. */
export const answerFraming = {
  /** BODY_* that is read. */
  kind: BODY_NONE,
  /** There is none, whatever the head announces. */
  isBodiless: false,
  /** Behind its end the connection may carry another answer. */
  keeps: false,

  /** `isHead`: it answers a HEAD. */
  read(isHead: boolean): void {
    const { status } = statusLine;
    // A 204 and a 205 have no content (RFC 9110 15.3.5, 15.3.6): an upstream that announces some all
    // the same may still send it, so its connection is not used again.
    const isEmpty = status === 204 || status === 205;
    const announcesBody = parsed.bodyKind === BODY_CHUNKED || parsed.bodyBytes > 0;
    this.isBodiless = isHead || isEmpty || status === 304;
    this.kind = BODY_NONE;
    if (!this.isBodiless) {
      this.kind = parsed.bodyKind === BODY_NONE ? BODY_UNTIL_CLOSE : parsed.bodyKind;
    }
    this.keeps =
      !parsed.close && this.kind !== BODY_UNTIL_CLOSE && !(isEmpty && !isHead && announcesBody);
  },
};
