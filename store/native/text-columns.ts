/**
 * Columns of text: LowCardinality(String) for open sets of few values, String for the rest.
 */
import { isUtf8 } from 'node:buffer';
import { OtlpError } from '../../telemetry/protobuf.ts';
import {
  grownCapacity,
  INITIAL_ROWS,
  KEPT_BYTES_MAX,
  sourceOf,
  writeUint64,
  writeVarint,
  type Column,
  type Source,
} from './column.ts';
import { Dictionary } from './dictionary.ts';

/** Version of the LowCardinality serialization, its prefix in a block. */
const SHARED_DICTIONARIES = 1;
const DIGIT_0 = 0x30;

export class DictionaryColumn implements Column {
  readonly name: string;
  readonly type = 'LowCardinality(String)';
  readonly dictionary = new Dictionary();
  #keys = new Uint32Array(INITIAL_ROWS);

  constructor(name: string) {
    this.name = name;
  }

  /** Sets an entry that `dictionary` gave out since the last `clear`. */
  set(row: number, key: number): void {
    this.#keys[row] = key;
  }

  /** As `set` for the rows `from` .. `to`-1. */
  fill(from: number, to: number, key: number): void {
    this.#keys.fill(key, from, to);
  }

  setBytes(row: number, source: Source, start: number, end: number): void {
    this.#keys[row] = this.dictionary.put(source, start, end);
  }

  at(row: number): number {
    return this.#keys[row]!;
  }

  reserve(rows: number): void {
    if (rows <= this.#keys.length) return;
    const larger = new Uint32Array(grownCapacity(this.#keys.length, rows));
    larger.set(this.#keys);
    this.#keys = larger;
  }
  mark(): void {
    // Entries of a refused message stay in the dictionary: unused entries do no harm in a block.
  }
  rollback(from: number, to: number): void {
    this.#keys.fill(0, from, to);
  }
  clear(rows: number): void {
    this.#keys.fill(0, 0, rows);
    this.dictionary.clear();
  }
  isDefault(rows: number): boolean {
    for (let i = 0; i < rows; i++) if (this.#keys[i] !== 0) return false;
    return true;
  }
  blockBytesMax(rows: number): number {
    return 8 + this.dictionary.blockBytesMax(rows);
  }
  writePrefix(out: Buffer, at: number): number {
    return writeUint64(out, at, SHARED_DICTIONARIES);
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    return this.dictionary.write(out, at, this.#keys, rows);
  }
}

/** String: bytes of all rows one after the other, with start and length of each row. */
export class TextColumn implements Column {
  readonly name: string;
  readonly type = 'String';
  readonly #mustBeUtf8: boolean;
  #bytes = Buffer.allocUnsafe(1024);
  #used = 0;
  #marked = 0;
  #starts = new Uint32Array(INITIAL_ROWS);
  #lengths = new Uint32Array(INITIAL_ROWS);

  /** `raw` takes any bytes, such as the body of a message that could not be decoded. */
  constructor(name: string, content: 'utf8' | 'raw' = 'utf8') {
    this.name = name;
    this.#mustBeUtf8 = content === 'utf8';
  }

  setBytes(row: number, source: Source, start: number, end: number): void {
    const bytes = end - start;
    this.#lengths[row] = bytes;
    if (bytes === 0) return;
    this.#room(bytes);
    const from = source.bytes;
    const to = this.#bytes;
    this.#starts[row] = this.#used;
    let allBits = 0;
    if (bytes < 64) {
      let at = this.#used;
      for (let i = start; i < end; i++) {
        const byte = from[i]!;
        allBits |= byte;
        to[at++] = byte;
      }
    } else {
      from.copy(to, this.#used, start, end);
      allBits = 128;
    }
    if (allBits > 127 && this.#mustBeUtf8 && !isUtf8(from.subarray(start, end))) {
      throw new OtlpError('utf8', start, 'text is not UTF-8');
    }
    this.#used += bytes;
  }

  setText(row: number, text: string): void {
    const source = sourceOf(Buffer.from(text));
    this.setBytes(row, source, 0, source.bytes.length);
  }

  /** A whole number from 0 to 2^32 - 1 in decimal digits, without making a string of it. */
  setUint32(row: number, value: number): void {
    let digits = 1;
    for (let power = 10; value >= power; power *= 10) digits++;
    this.#room(digits);
    const to = this.#bytes;
    let rest = value;
    for (let at = this.#used + digits - 1; at >= this.#used; at--) {
      const shorter = Math.floor(rest / 10);
      to[at] = DIGIT_0 + rest - 10 * shorter;
      rest = shorter;
    }
    this.#starts[row] = this.#used;
    this.#lengths[row] = digits;
    this.#used += digits;
  }

  /** Makes room for `bytes` more. */
  #room(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * this.#bytes.length + bytes);
    this.#bytes.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
  }

  reserve(rows: number): void {
    if (rows <= this.#starts.length) return;
    const capacity = grownCapacity(this.#starts.length, rows);
    const starts = new Uint32Array(capacity);
    starts.set(this.#starts);
    this.#starts = starts;
    const lengths = new Uint32Array(capacity);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
  }
  mark(): void {
    this.#marked = this.#used;
  }
  rollback(from: number, to: number): void {
    this.#lengths.fill(0, from, to);
    this.#used = this.#marked;
  }
  clear(rows: number): void {
    this.#lengths.fill(0, 0, rows);
    this.#used = 0;
    this.#marked = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = Buffer.allocUnsafe(1024);
  }
  isDefault(rows: number): boolean {
    for (let i = 0; i < rows; i++) if (this.#lengths[i] !== 0) return false;
    return true;
  }
  blockBytesMax(rows: number): number {
    return 5 * rows + this.#used;
  }
  writePrefix(_out: Buffer, at: number): number {
    return at;
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    const from = this.#bytes;
    for (let row = 0; row < rows; row++) {
      const bytes = this.#lengths[row]!;
      at = writeVarint(out, at, bytes);
      if (bytes === 0) continue;
      const start = this.#starts[row]!;
      if (bytes < 64) for (let i = 0; i < bytes; i++) out[at++] = from[start + i]!;
      else at += from.copy(out, at, start, start + bytes);
    }
    return at;
  }
}
