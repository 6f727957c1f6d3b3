/**
 * Attributes and their values, picked apart into byte ranges and numbers: nothing is copied, no
 * string is made. Part of the reader (otlp-reader.ts); throws nothing but OtlpError.
 */
import { NESTING_MAX, OtlpError, type WireCursor } from './protobuf.ts';

/** A growing list of [start, end) pairs that is filled again and again. */
export class Ranges {
  /** Number of ranges; pair i stands at 2i and 2i + 1 of `at`. */
  count = 0;
  at = new Uint32Array(64);

  clear(): void {
    this.count = 0;
  }

  add(start: number, end: number): void {
    const i = this.count * 2;
    if (i === this.at.length) {
      const wider = new Uint32Array(i * 2);
      wider.set(this.at);
      this.at = wider;
    }
    this.at[i] = start;
    this.at[i + 1] = end;
    this.count++;
  }

  start(i: number): number {
    return this.at[2 * i]!;
  }

  end(i: number): number {
    return this.at[2 * i + 1]!;
  }
}

/** Adds the content of a length-delimited field, whose tag was just read, to `into`. */
export function readRange(cursor: WireCursor, end: number, into: Ranges): void {
  const itemEnd = cursor.lengthDelimited(end);
  into.add(cursor.position, itemEnd);
  cursor.position = itemEnd;
}

/** Types of an AnyValue: the field's number in the oneof. */
export const VALUE = {
  none: 0,
  string: 1,
  bool: 2,
  int: 3,
  double: 4,
  array: 5,
  map: 6,
  bytes: 7,
} as const;
export type ValueType = (typeof VALUE)[keyof typeof VALUE];

/** One KeyValue picked apart; reused. */
export class AttributeView {
  keyStart = 0;
  keyEnd = 0;
  type: ValueType = VALUE.none;
  /** Content of a string, bytes, array or map. */
  valueStart = 0;
  valueEnd = 0;
  /** A bool (0 or 1), a double, or an int as far as 2^53 is exact (else see low, high). */
  number = 0;
  /** The 64 bits of an int, two's complement. */
  low = 0;
  high = 0;
}

/** Reads a KeyValue (key and value in either order). Throws OtlpError. */
export function readAttribute(
  cursor: WireCursor,
  start: number,
  end: number,
  view: AttributeView,
): void {
  view.keyStart = view.keyEnd = start;
  view.type = VALUE.none;
  view.valueStart = view.valueEnd = start;
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x0a) {
      view.keyEnd = cursor.lengthDelimited(end);
      view.keyStart = cursor.position;
      cursor.position = view.keyEnd;
    } else if (tag === 0x12) readAnyValue(cursor, cursor.lengthDelimited(end), view);
    else cursor.skipUnknown(tag, end, 2);
  }
}

/**
 * Reads the AnyValue from the cursor's position to `end` into the value half of `view`. Of several
 * members of the oneof the last one counts, as protobuf says. Does not descend into arrays and maps.
 */
export function readAnyValue(cursor: WireCursor, end: number, view: AttributeView): void {
  view.type = VALUE.none;
  view.valueStart = view.valueEnd = cursor.position;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    switch (tag) {
      case 0x0a: // string
      case 0x2a: // ArrayValue
      case 0x32: // KeyValueList
      case 0x3a: // bytes
        view.type = (tag >>> 3) as ValueType;
        view.valueEnd = cursor.lengthDelimited(end);
        view.valueStart = cursor.position;
        cursor.position = view.valueEnd;
        break;
      case 0x10:
        view.type = VALUE.bool;
        view.number = cursor.varint(end) === 0 ? 0 : 1;
        break;
      case 0x18:
        view.type = VALUE.int;
        cursor.varint(end);
        view.low = cursor.low;
        view.high = cursor.high;
        view.number = (cursor.high | 0) * 4294967296 + cursor.low;
        break;
      case 0x21:
        view.type = VALUE.double;
        view.number = cursor.double(end);
        break;
      default:
        cursor.skipUnknown(tag, end, 7);
    }
  }
}

/**
 * Lists the elements of an ArrayValue or the KeyValues of a KeyValueList (both: repeated field 1).
 * `depth` counts from 0 at an attribute's own value. Throws `nesting` past NESTING_MAX.
 */
export function readElements(
  cursor: WireCursor,
  start: number,
  end: number,
  depth: number,
  into: Ranges,
): void {
  if (depth >= NESTING_MAX) {
    throw new OtlpError('nesting', start, `values nest deeper than ${NESTING_MAX}`);
  }
  into.clear();
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x0a) readRange(cursor, end, into);
    else cursor.skipUnknown(tag, end, 1);
  }
}

/** True where bytes[start, end) spell this text; for ASCII texts only, without making a string. */
export function rangeEquals(bytes: Buffer, start: number, end: number, ascii: string): boolean {
  if (end - start !== ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) {
    if (bytes[start + i] !== ascii.charCodeAt(i)) return false;
  }
  return true;
}
