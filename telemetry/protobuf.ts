/**
 * Checked protobuf wire primitives: the one place that reads tags, lengths and varints. Every reader
 * of foreign bytes (OTLP messages, the packed hop) stands on this cursor.
 *
 * It trusts nothing: a length must fit the rest of its parent, a varint has at most ten bytes and
 * does not run past the end, groups (wire types 3 and 4, which OTLP never used) are refused. It
 * allocates nothing per field and throws nothing but OtlpError. The checks cost about 7 % of
 * decoding a span, so they are never switched off.
 */

/** Why bytes were refused. Bounded: these are label values. */
export type OtlpReason =
  | 'truncated' // the message ends within a field
  | 'length' // a length reaches past the end of its parent
  | 'varint' // a varint longer than ten bytes or 64 bits
  | 'tag' // field number 0 or above 2^29 - 1
  | 'wire_type' // a known field with another wire type, or a group
  | 'repeated_field' // a resource, scope or body given twice
  | 'id' // an id of a wrong length, or none, or all zero
  | 'time' // no start time, or one past 2^63 ns
  | 'utf8' // a text that is not UTF-8
  | 'nesting' // values nested deeper than NESTING_MAX
  | 'range' // a number outside what its field may hold
  | 'not_otlp' // well-formed, but nothing in it is OTLP
  | 'json' // not JSON
  | 'json_type' // JSON of another type than the field asks for
  | 'hop_version'; // a packed hop of a version that this reader does not know

/** Arrays and maps within values may nest this deep; protobuf's own default is 100. */
export const NESTING_MAX = 64;

/** The bytes are not valid OTLP. Bad input, never retryable; `byteOffset` counts from the first byte of the message. */
export class OtlpError extends Error {
  readonly reason: OtlpReason;
  /** Where in the input the fault was seen; for JSON 0, or the place that the parser named. */
  readonly byteOffset: number;

  constructor(reason: OtlpReason, byteOffset: number, detail: string) {
    super(`${detail} (${reason} at byte ${byteOffset})`);
    this.name = 'OtlpError';
    this.reason = reason;
    this.byteOffset = byteOffset;
  }
}

/** Wire types of protobuf. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const EMPTY = Buffer.alloc(0);
const TWO_32 = 4294967296;

/**
 * A position in bytes. `end` arguments are absolute positions, at most the end of the input that
 * `reset` was given. 64-bit values stand in `low` and `high` (unsigned 32-bit words) after the call,
 * so that no BigInt is made; the returned number is exact up to 2^53.
 */
export class WireCursor {
  bytes: Buffer = EMPTY;
  view: DataView = new DataView(EMPTY.buffer, 0, 0);
  position = 0;
  low = 0;
  high = 0;

  /** Starts reading `bytes` at `start`. Keeps a reference until the next reset; copies nothing. */
  reset(bytes: Uint8Array, start = 0): this {
    if (bytes !== this.bytes) {
      this.bytes = Buffer.isBuffer(bytes)
        ? bytes
        : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.position = start;
    return this;
  }

  /** Unsigned varint. Sets `low` and `high`. Throws `truncated` or `varint`. */
  varint(end: number): number {
    const bytes = this.bytes;
    let p = this.position;
    if (p >= end) this.fail('truncated', p, 'a number is cut off');
    let byte = bytes[p++]!;
    let low = byte & 127;
    this.high = 0;
    // Four bytes hold 28 bits: a plain integer, and nearly every varint that there is.
    for (let shift = 7; byte > 127 && shift < 28; shift += 7) {
      if (p >= end) this.fail('truncated', p, 'a number is cut off');
      byte = bytes[p++]!;
      low |= (byte & 127) << shift;
    }
    if (byte < 128) {
      this.position = p;
      this.low = low;
      return low;
    }
    return this.#longVarint(p, end, low);
  }

  #longVarint(start: number, end: number, low28: number): number {
    let p = start;
    let high = 0;
    let low = low28;
    for (let n = 4; ; n++) {
      if (p >= end) this.fail('truncated', p, 'a number is cut off');
      const byte = this.bytes[p++]!;
      if (n === 4) {
        low = (low | ((byte & 15) << 28)) >>> 0;
        high = (byte & 127) >>> 4;
      } else if (n < 9) {
        high |= (byte & 127) << (7 * n - 32);
      } else {
        // The tenth byte holds bit 63 only.
        if (byte > 1) this.fail('varint', p - 1, 'a number has more than 64 bits');
        high |= byte << 31;
      }
      if (byte < 128) break;
    }
    this.position = p;
    this.low = low;
    this.high = high >>> 0;
    return this.high * TWO_32 + low;
  }

  /** Tag of the next field: field number * 8 + wire type. Throws `tag` on a number outside 1..2^29-1. */
  tag(end: number): number {
    const at = this.position;
    const tag = this.varint(end);
    if (tag < 8 || tag >= TWO_32) this.fail('tag', at, 'a field has an impossible number');
    return tag;
  }

  /**
   * Length of the next length-delimited field; returns the absolute end of its content, which
   * starts at `position`. Throws `length` when it reaches past `end`.
   */
  lengthDelimited(end: number): number {
    const at = this.position;
    const length = this.varint(end);
    if (length > end - this.position) {
      this.fail('length', at, `a field of ${length} bytes reaches past its parent's end`);
    }
    return this.position + length;
  }

  /** Little-endian 64 bits into `low` and `high`. */
  fixed64(end: number): void {
    const p = this.position;
    if (end - p < 8) this.fail('truncated', p, 'a 64-bit number is cut off');
    this.low = this.view.getUint32(p, true);
    this.high = this.view.getUint32(p + 4, true);
    this.position = p + 8;
  }

  double(end: number): number {
    const p = this.position;
    if (end - p < 8) this.fail('truncated', p, 'a 64-bit number is cut off');
    this.position = p + 8;
    return this.view.getFloat64(p, true);
  }

  fixed32(end: number): number {
    const p = this.position;
    if (end - p < 4) this.fail('truncated', p, 'a 32-bit number is cut off');
    this.position = p + 4;
    return this.view.getUint32(p, true);
  }

  /** Steps over the content of a field that nobody here knows. Throws `wire_type` on a group. */
  skip(tag: number, end: number): void {
    switch (tag & 7) {
      case WIRE.varint:
        this.varint(end);
        return;
      case WIRE.fixed64:
        this.fixed64(end);
        return;
      case WIRE.bytes:
        this.position = this.lengthDelimited(end);
        return;
      case WIRE.fixed32:
        this.fixed32(end);
        return;
      default:
        this.fail('wire_type', this.position, `wire type ${tag & 7} is not used in OTLP`);
    }
  }

  /**
   * Steps over a field unless its number is a known one: then it had to come with another wire
   * type, and the bytes are something else than they claim. This is what tells Jaeger's from OTLP's.
   */
  skipUnknown(tag: number, end: number, lastKnownField: number): void {
    if (tag >>> 3 <= lastKnownField) {
      this.fail('wire_type', this.position, `field ${tag >>> 3} has wire type ${tag & 7}`);
    }
    this.skip(tag, end);
  }

  /** The 64 bits of the last `varint` or `fixed64`, unsigned. For cold paths. */
  get unsigned64(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  /** The same as a signed number. */
  get signed64(): bigint {
    return BigInt.asIntN(64, this.unsigned64);
  }

  fail(reason: OtlpReason, byteOffset: number, detail: string): never {
    throw new OtlpError(reason, byteOffset, detail);
  }
}

/** Bytes that a varint of this value takes. Value: an integer from 0 to 2^53. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) length++;
  return length;
}

/**
 * Writes an unsigned varint and returns the position after it. Value: an integer from 0 to 2^53;
 * the caller made sure of it and of the room (8 bytes at most).
 */
export function putVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  let p = at;
  // Above 2^28 by division, since the shift operators see 32 bits only.
  while (rest >= 268435456) {
    const next = Math.floor(rest / 128);
    out[p++] = (rest - next * 128) | 128;
    rest = next;
  }
  while (rest > 127) {
    out[p++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out[p++] = rest;
  return p;
}
