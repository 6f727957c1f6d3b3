/**
 * Columns whose rows all have one width: numbers, closed sets, 64-bit values and ids.
 * 64-bit values are pairs of UInt32, never BigInt: a BigInt a span would cost more than the span.
 */
import { OtlpError } from '../../telemetry/protobuf.ts';
import { grownCapacity, INITIAL_ROWS, type Column, type Source } from './column.ts';
import { Dictionary } from './dictionary.ts';

const ARRAYS = {
  UInt8: Uint8Array,
  UInt16: Uint16Array,
  UInt32: Uint32Array,
  Enum8: Uint8Array,
  DateTime: Uint32Array,
} as const;
type Width = keyof typeof ARRAYS;

/** UInt8, UInt16, UInt32, DateTime. Values past the type are clamped to its largest. */
export class NumberColumn implements Column {
  readonly name: string;
  readonly type: string;
  #values: Uint8Array | Uint16Array | Uint32Array;
  readonly #max: number;
  readonly #width: Width;

  constructor(name: string, width: Width, type: string = width) {
    this.name = name;
    this.type = type;
    this.#width = width;
    this.#values = new ARRAYS[width](INITIAL_ROWS);
    this.#max = 2 ** (8 * this.#values.BYTES_PER_ELEMENT) - 1;
  }

  /** True when `value` fits as it is. */
  fits(value: number): boolean {
    return value >= 0 && value <= this.#max;
  }

  set(row: number, value: number): void {
    this.#values[row] = value > this.#max ? this.#max : value;
  }

  /** As `set` for the rows `from` .. `to`-1. */
  fill(from: number, to: number, value: number): void {
    this.#values.fill(value > this.#max ? this.#max : value, from, to);
  }

  at(row: number): number {
    return this.#values[row]!;
  }

  reserve(rows: number): void {
    if (rows <= this.#values.length) return;
    const larger = new ARRAYS[this.#width](grownCapacity(this.#values.length, rows));
    larger.set(this.#values);
    this.#values = larger;
  }
  mark(): void {
    // Rows say it all.
  }
  rollback(from: number, to: number): void {
    this.#values.fill(0, from, to);
  }
  clear(rows: number): void {
    this.#values.fill(0, 0, rows);
  }
  isDefault(rows: number): boolean {
    for (let i = 0; i < rows; i++) if (this.#values[i] !== 0) return false;
    return true;
  }
  blockBytesMax(rows: number): number {
    return rows * this.#values.BYTES_PER_ELEMENT;
  }
  writePrefix(_out: Buffer, at: number): number {
    return at;
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    const bytes = rows * this.#values.BYTES_PER_ELEMENT;
    out.set(new Uint8Array(this.#values.buffer, 0, bytes), at);
    return at + bytes;
  }
}

/**
 * A closed set, Enum8. A number outside of the type would be stored and make every later SELECT of
 * the column fail, so nothing but a position of `names` can get in; all else is entry 0.
 */
export class EnumColumn extends NumberColumn {
  readonly #names = new Dictionary();
  /** Position in `names` by entry of the dictionary. */
  readonly #positions: number[] = [0];
  readonly #count: number;

  constructor(name: string, names: readonly string[]) {
    super(name, 'Enum8', `Enum8(${names.map((n, i) => `'${n}' = ${i}`).join(', ')})`);
    this.#count = names.length;
    names.forEach((text, position) => {
      this.#positions[this.#names.putText(text)] = position;
    });
  }

  override set(row: number, value: number): void {
    super.set(row, value < this.#count ? value : 0);
  }

  override fill(from: number, to: number, value: number): void {
    super.fill(from, to, value < this.#count ? value : 0);
  }

  /** Position of the name, or -1 when it is none of the set's. */
  positionOf(source: Source, start: number, end: number): number {
    const entry = this.#names.find(source, start, end);
    return entry < 0 ? -1 : this.#positions[entry]!;
  }
}

/** UInt64, Int64, DateTime64(9): low and high word of each row. */
export class Uint64Column implements Column {
  readonly name: string;
  readonly type: string;
  #words = new Uint32Array(2 * INITIAL_ROWS);

  constructor(name: string, type: 'UInt64' | 'Int64' | 'DateTime64(9)' | 'DateTime64(3)') {
    this.name = name;
    this.type = type;
  }

  /** A whole number from 0 to 2^53; also -1, all bits set. */
  set(row: number, value: number): void {
    const words = this.#words;
    if (value < 0) {
      words[2 * row] = words[2 * row + 1] = 0xffffffff;
      return;
    }
    words[2 * row] = value;
    words[2 * row + 1] = value > 0xffffffff ? value / 4294967296 : 0;
  }

  /** As `set` for the rows `from` .. `to`-1. */
  fill(from: number, to: number, value: number): void {
    for (let row = from; row < to; row++) this.set(row, value);
  }

  setWords(row: number, low: number, high: number): void {
    this.#words[2 * row] = low;
    this.#words[2 * row + 1] = high;
  }

  /** Exact below 2^53. */
  at(row: number): number {
    return this.#words[2 * row + 1]! * 4294967296 + this.#words[2 * row]!;
  }

  reserve(rows: number): void {
    if (2 * rows <= this.#words.length) return;
    const larger = new Uint32Array(2 * grownCapacity(this.#words.length / 2, rows));
    larger.set(this.#words);
    this.#words = larger;
  }
  mark(): void {
    // Rows say it all.
  }
  rollback(from: number, to: number): void {
    this.#words.fill(0, 2 * from, 2 * to);
  }
  clear(rows: number): void {
    this.#words.fill(0, 0, 2 * rows);
  }
  isDefault(rows: number): boolean {
    for (let i = 0; i < 2 * rows; i++) if (this.#words[i] !== 0) return false;
    return true;
  }
  blockBytesMax(rows: number): number {
    return 8 * rows;
  }
  writePrefix(_out: Buffer, at: number): number {
    return at;
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    out.set(new Uint8Array(this.#words.buffer, 0, 8 * rows), at);
    return at + 8 * rows;
  }
}

/** Of this machine: words are copied as they lie. */
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const HEX = '0123456789abcdef';
/** Both digits of a byte, the first one lower: as they stand in a block. */
const HEX_PAIR = Uint16Array.from(
  { length: 256 },
  (_, i) => HEX.charCodeAt(i >>> 4) | (HEX.charCodeAt(i & 15) << 8),
);

/** A trace or span id: raw bytes in the buffer, lower-case hex String in the block, '' when unset. */
export class IdColumn implements Column {
  readonly name: string;
  readonly type = 'String';
  readonly #idBytes: number;
  #ids: Uint8Array;
  /** The same bytes, four at a time. */
  #words: Int32Array;
  #present = new Uint8Array(INITIAL_ROWS);

  constructor(name: string, idBytes: 8 | 16) {
    this.name = name;
    this.#idBytes = idBytes;
    this.#ids = new Uint8Array(idBytes * INITIAL_ROWS);
    this.#words = new Int32Array(this.#ids.buffer);
  }

  /** Takes an id of full length, or none (an empty id is as good as an absent one). */
  set(row: number, source: Source, start: number, end: number): void {
    const bytes = end - start;
    if (bytes === 0) {
      this.#present[row] = 0;
      return;
    }
    if (bytes !== this.#idBytes) throw new OtlpError('id', start, `an id has ${bytes} bytes`);
    const { view } = source;
    const words = this.#words;
    let at = (row * bytes) / 4;
    for (let i = start; i < end; i += 4) words[at++] = view.getInt32(i, LITTLE_ENDIAN);
    this.#present[row] = 1;
  }

  reserve(rows: number): void {
    if (rows <= this.#present.length) return;
    const capacity = grownCapacity(this.#present.length, rows);
    const ids = new Uint8Array(this.#idBytes * capacity);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#words = new Int32Array(ids.buffer);
    const present = new Uint8Array(capacity);
    present.set(this.#present);
    this.#present = present;
  }
  mark(): void {
    // Rows say it all.
  }
  rollback(from: number, to: number): void {
    this.#present.fill(0, from, to);
  }
  clear(rows: number): void {
    this.#present.fill(0, 0, rows);
  }
  isDefault(rows: number): boolean {
    for (let i = 0; i < rows; i++) if (this.#present[i] !== 0) return false;
    return true;
  }
  blockBytesMax(rows: number): number {
    return rows * (1 + 2 * this.#idBytes);
  }
  writePrefix(_out: Buffer, at: number): number {
    return at;
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    const ids = this.#ids;
    const idBytes = this.#idBytes;
    const view = new DataView(out.buffer, out.byteOffset, out.length);
    for (let row = 0, from = 0; row < rows; row++) {
      if (this.#present[row] === 0) {
        out[at++] = 0;
        from += idBytes;
        continue;
      }
      out[at++] = 2 * idBytes;
      for (const to = from + idBytes; from < to; from += 2, at += 4) {
        const digits = HEX_PAIR[ids[from]!]! | (HEX_PAIR[ids[from + 1]!]! << 16);
        view.setInt32(at, digits, true);
      }
    }
    return at;
  }
}
