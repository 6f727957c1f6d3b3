/**
 * Reads message bodies (RFC 9112 6 and 7). `feed` takes the bytes at hand and marks which of them
 * are content as segments [start, end) in `segments`; nothing is copied and nothing is kept, except
 * an unfinished trailer section. Framing is written anew by the caller (output.ts); of the trailer
 * section only fields that the message announced are kept, see trailers.ts.
 *
 *   Size ─;→ Extension ─CR→ SizeLf ─LF→ Data ─→ DataCr ─→ DataLf ─┐
 *    ▲ └──────────CR──────────▲   └─(size 0)→ Trailer ─→ done     │
 *    └────────────────────────────────────────────────────────────┘
 */
import { CODEC_LIMITS } from '../limits.ts';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  isPresent,
  MORE,
  namedLines,
  parseFields,
} from './fields.ts';
import { EXTENSION_START, extensionStep, mayEndExtension } from './chunk-extension.ts';
import { CR, FIELD, HEX, LF } from './tables.ts';

/** The body is not what RFC 9112 describes. */
export const MALFORMED = -1;

/** Pairs of start and end, written by the last `feed`; `content.pairs` numbers are valid. */
export const segments = new Int32Array(32_768);
export const content = {
  /** Numbers valid in `segments`: two per segment. */
  pairs: 0,
  /** Bytes in all segments. */
  bytes: 0,
};

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;

/** Reader of one body at a time; `start` makes it ready for the next. */
export class BodyReader {
  kind = BODY_NONE;
  done = true;
  /** Content bytes read so far. */
  totalBytes = 0;
  #leftBytes = 0;
  #state = SIZE;
  #digits = 0;
  #extension = EXTENSION_START;
  #extensionBytes = 0;
  #trailer: Buffer | undefined;
  #announced: ReadonlySet<string> | undefined;
  /** Once `done`: trailer lines to forward, each with its CR LF; '' for none. */
  trailerLines = '';

  /**
   * Begins a body of a BODY_* kind; `lengthBytes` counts for BODY_LENGTH only, `announced` (trailer
   * fields that may pass, lower case) for BODY_CHUNKED only.
   */
  start(kind: number, lengthBytes: number, announced?: ReadonlySet<string>): void {
    this.kind = kind;
    this.totalBytes = 0;
    this.#leftBytes = lengthBytes;
    this.#state = SIZE;
    this.#digits = 0;
    this.#extensionBytes = 0;
    this.#trailer = undefined;
    this.#announced = announced;
    this.trailerLines = '';
    this.done = kind === BODY_NONE || (kind === BODY_LENGTH && lengthBytes === 0);
    if (kind === BODY_CHUNKED) this.#leftBytes = 0;
  }

  /** The connection has ended: true when that is a proper end of this body. */
  endOfConnection(): boolean {
    if (this.kind === BODY_UNTIL_CLOSE) this.done = true;
    return this.done;
  }

  /**
   * Reads b[p, n). Returns the position of the first byte that was not read: after the body when
   * `done`, before n when `segments` is full (call again), else n. MALFORMED ends everything.
   */
  feed(b: Buffer, p: number, n: number): number {
    content.pairs = 0;
    content.bytes = 0;
    if (this.kind === BODY_CHUNKED) {
      const end = this.#feedChunked(b, p, n);
      this.totalBytes += content.bytes;
      return end;
    }
    const bytes = this.kind === BODY_LENGTH ? Math.min(n - p, this.#leftBytes) : n - p;
    if (bytes > 0) {
      segments[0] = p;
      segments[1] = p + bytes;
      content.pairs = 2;
      content.bytes = bytes;
      this.totalBytes += bytes;
    }
    if (this.kind === BODY_LENGTH) {
      this.#leftBytes -= bytes;
      this.done = this.#leftBytes === 0;
    }
    return p + bytes;
  }

  #feedChunked(b: Buffer, p: number, n: number): number {
    while (p < n) {
      const byte = b[p]!;
      switch (this.#state) {
        case SIZE: {
          const digit = HEX[byte]!;
          if (digit >= 0) {
            if (++this.#digits > CODEC_LIMITS.chunkSizeDigits) return MALFORMED;
            this.#leftBytes = this.#leftBytes * 16 + digit;
          } else if (this.#digits === 0) return MALFORMED;
          else if (byte === CR) this.#state = SIZE_LF;
          // No white space before the semicolon: some read `5 ` as 5, some as an error.
          else if (byte === 59) {
            this.#state = EXTENSION;
            this.#extension = EXTENSION_START;
            this.#extensionBytes = 0;
          } else return MALFORMED;
          p++;
          break;
        }
        case EXTENSION:
          if (byte === CR) {
            if (!mayEndExtension(this.#extension)) return MALFORMED;
            this.#state = SIZE_LF;
          } else {
            this.#extension = extensionStep(this.#extension, byte);
            if (this.#extension === MALFORMED) return MALFORMED;
            if (++this.#extensionBytes > CODEC_LIMITS.chunkExtensionBytes) return MALFORMED;
          }
          p++;
          break;
        case SIZE_LF:
          if (byte !== LF) return MALFORMED;
          this.#state = this.#leftBytes === 0 ? TRAILER : DATA;
          p++;
          break;
        case DATA: {
          if (content.pairs === segments.length) return p;
          const end = Math.min(n, p + this.#leftBytes);
          segments[content.pairs++] = p;
          segments[content.pairs++] = end;
          content.bytes += end - p;
          this.#leftBytes -= end - p;
          p = end;
          if (this.#leftBytes === 0) this.#state = DATA_CR;
          break;
        }
        case DATA_CR:
          if (byte !== CR) return MALFORMED;
          this.#state = DATA_LF;
          p++;
          break;
        case DATA_LF:
          if (byte !== LF) return MALFORMED;
          this.#state = SIZE;
          this.#digits = 0;
          p++;
          break;
        default:
          return this.#feedTrailer(b, p, n);
      }
    }
    return p;
  }

  /** Trailer fields are all checked; those not announced are dropped. None becomes a header field. */
  #feedTrailer(b: Buffer, p: number, n: number): number {
    if (this.#trailer === undefined && p + 1 < n && b[p] === CR && b[p + 1] === LF) {
      this.done = true;
      return p + 2;
    }
    const kept = this.#trailer?.length ?? 0;
    const most = Math.min(n, p + CODEC_LIMITS.trailerBytes + 1 - kept);
    const section =
      this.#trailer === undefined
        ? Buffer.from(b.subarray(p, most))
        : Buffer.concat([this.#trailer, b.subarray(p, most)]);
    const end = parseFields(section, 0, section.length);
    if (end === MORE) {
      if (section.length > CODEC_LIMITS.trailerBytes) return MALFORMED;
      this.#trailer = section;
      return n;
    }
    if (end < 0 || end > CODEC_LIMITS.trailerBytes) return MALFORMED;
    // Whoever merges trailers into the header would read another message (RFC 9110 6.5.1).
    if (isPresent(FIELD.contentLength) || isPresent(FIELD.transferEncoding)) return MALFORMED;
    this.#trailer = undefined;
    if (this.#announced !== undefined) this.trailerLines = namedLines(section, this.#announced);
    this.done = true;
    return p + end - kept;
  }
}
