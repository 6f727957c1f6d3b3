/**
 * What a column buffer is: the values of one column of one block, row by row, in typed arrays that
 * live from block to block. The decoder stores values into them straight from the message; the
 * block writer copies them out in ClickHouse's Native layout.
 *
 *     rows   0 .. marked-1        marked .. rows-1            rows .. capacity-1
 *            of earlier messages  of the message being read   zero: an unset row is the default
 *
 * The rule that makes this simple: a row that nobody set is all zero, and zero is the column's
 * default ('' , 0, empty array). Rolling a message back is therefore filling with zero.
 * A buffer must never keep a reference into a message: messages are freed when they are stored.
 */

export interface Column {
  readonly name: string;
  /** ClickHouse type, letter for letter as in store/schema. */
  readonly type: string;
  /** Makes room for at least `rows` rows. The caller does so before it sets a row. */
  reserve(rows: number): void;
  /** Remembers where the next message begins, so that `rollback` can return to it. */
  mark(): void;
  /** Forgets rows `from` .. `to`-1 and whatever was appended since `mark`. */
  rollback(from: number, to: number): void;
  /** Forgets everything; buffers that one large block has blown up are given back. */
  clear(rows: number): void;
  /** True when each of the first `rows` rows holds the default, so that the block may leave it out. */
  isDefault(rows: number): boolean;
  /** Upper bound of what `writePrefix` and `writeRows` append, bytes. */
  blockBytesMax(rows: number): number;
  /** Writes the serialization prefix (dictionaries have one); returns the new position. */
  writePrefix(out: Buffer, at: number): number;
  /** Writes the values of the first `rows` rows; returns the new position. */
  writeRows(out: Buffer, at: number, rows: number): number;
}

/** Rows for which a new buffer has room; it doubles from there. */
export const INITIAL_ROWS = 256;

/** A byte buffer above this is given back when its column is cleared: one flood must not pin memory. */
export const KEPT_BYTES_MAX = 4 * 1024 * 1024;

/** Next capacity that holds `rows`. */
export function grownCapacity(capacity: number, rows: number): number {
  let next = Math.max(capacity, INITIAL_ROWS);
  while (next < rows) next *= 2;
  return next;
}

/** Writes an unsigned varint below 2^53; returns the new position. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest > 127) {
    out[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  out[at++] = rest;
  return at;
}

/** Writes a whole number below 2^53 as UInt64, little endian; returns the new position. */
export function writeUint64(out: Buffer, at: number, value: number): number {
  out.writeUInt32LE(value % 4294967296, at);
  out.writeUInt32LE(Math.floor(value / 4294967296), at + 4);
  return at + 8;
}

/** Bytes of a message with a view over them, so that a reader can take four bytes in one step. */
export interface Source {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export function sourceOf(message: Uint8Array): Source {
  const { buffer, byteOffset, length } = message;
  return {
    bytes: Buffer.from(buffer, byteOffset, length),
    view: new DataView(buffer, byteOffset, length),
  };
}

/** True when `bytes` at `a` of one view equal those at `b` of another. The caller checked the bounds. */
export function sameBytes(
  one: DataView,
  a: number,
  other: DataView,
  b: number,
  bytes: number,
): boolean {
  let i = 0;
  // Longer texts mostly are equal where they get this far: one branch for sixteen bytes.
  for (; i + 16 <= bytes; i += 16) {
    const differs =
      (one.getInt32(a + i, true) ^ other.getInt32(b + i, true)) |
      (one.getInt32(a + i + 4, true) ^ other.getInt32(b + i + 4, true)) |
      (one.getInt32(a + i + 8, true) ^ other.getInt32(b + i + 8, true)) |
      (one.getInt32(a + i + 12, true) ^ other.getInt32(b + i + 12, true));
    if (differs !== 0) return false;
  }
  for (; i + 4 <= bytes; i += 4) {
    if (one.getInt32(a + i, true) !== other.getInt32(b + i, true)) return false;
  }
  for (; i < bytes; i++) if (one.getUint8(a + i) !== other.getUint8(b + i)) return false;
  return true;
}
