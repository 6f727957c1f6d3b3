/**
 * A dictionary: distinct byte strings to small numbers, by open addressing. Entry 0 is '' always,
 * so that an unset row of a LowCardinality column is ''. Its bytes lie in wire form (varint length,
 * bytes), ready to be copied into a block.
 *
 * UTF-8 is checked here, once per distinct value and not once per row: the engine itself stores
 * whatever bytes it is given. A dictionary has no upper bound of its own; the pipeline closes a
 * block once one has grown past DICTIONARY_FULL.
 */
import { isUtf8 } from 'node:buffer';
import { OtlpError } from '../../telemetry/protobuf.ts';
import {
  KEPT_BYTES_MAX,
  sameBytes,
  sourceOf,
  writeUint64,
  writeVarint,
  type Source,
} from './column.ts';

/** Entries from which on the block is closed, so that keys stay 16 bits wide in the usual case. */
export const DICTIONARY_FULL = 65_536;

const INITIAL_SLOTS = 256;
const EMPTY = sourceOf(Buffer.alloc(0));

/** Bits of a LowCardinality block: additional keys, and "the dictionary follows" (both needed). */
const KEYS_AND_DICTIONARY = 0x600;

export class Dictionary {
  /** Entries, '' included. */
  count = 0;
  #bytes: Buffer = Buffer.allocUnsafe(4096);
  #view: DataView = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  #used = 0;
  #starts = new Uint32Array(INITIAL_SLOTS / 2);
  #lengths = new Uint32Array(INITIAL_SLOTS / 2);
  #hashes = new Int32Array(INITIAL_SLOTS / 2);
  /** Entry plus one; 0 = free. */
  #slots = new Int32Array(INITIAL_SLOTS);

  constructor() {
    this.#add(EMPTY, 0, 0, hashOf(EMPTY, 0, 0));
  }

  /** Entry of the bytes `start` .. `end`-1, added when new. Throws OtlpError when not UTF-8. */
  put(source: Source, start: number, end: number): number {
    const hash = hashOf(source, start, end);
    const found = this.#lookUp(source, start, end, hash);
    return found >= 0 ? found : this.#add(source, start, end, hash);
  }

  /** Entry of the bytes, or -1. */
  find(source: Source, start: number, end: number): number {
    return this.#lookUp(source, start, end, hashOf(source, start, end));
  }

  putText(text: string): number {
    const source = sourceOf(Buffer.from(text));
    return this.put(source, 0, source.bytes.length);
  }

  /** True when entry `index` has exactly these bytes. */
  is(index: number, source: Source, start: number, end: number): boolean {
    const bytes = end - start;
    return (
      this.#lengths[index] === bytes &&
      sameBytes(source.view, start, this.#view, this.#starts[index]!, bytes)
    );
  }

  /** Length of entry `index`, bytes. */
  lengthOf(index: number): number {
    return this.#lengths[index]!;
  }

  clear(): void {
    this.#slots.fill(0);
    if (this.#slots.length > DICTIONARY_FULL) {
      this.#slots = new Int32Array(INITIAL_SLOTS);
      this.#starts = new Uint32Array(INITIAL_SLOTS / 2);
      this.#lengths = new Uint32Array(INITIAL_SLOTS / 2);
      this.#hashes = new Int32Array(INITIAL_SLOTS / 2);
    }
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#useBytes(Buffer.allocUnsafe(4096));
    this.#used = 0;
    this.count = 0;
    this.#add(EMPTY, 0, 0, hashOf(EMPTY, 0, 0));
  }

  /** Bytes that `write` appends for `keys` keys, at most. */
  blockBytesMax(keys: number): number {
    return 24 + this.#used + 4 * keys;
  }

  /** Writes what follows a LowCardinality prefix: flags, dictionary, keys. Nothing for no keys. */
  write(out: Buffer, at: number, keys: Uint32Array, count: number): number {
    if (count === 0) return at;
    const width = this.count <= 256 ? 0 : this.count <= 65_536 ? 1 : 2;
    at = writeUint64(out, at, KEYS_AND_DICTIONARY | width);
    at = writeUint64(out, at, this.count);
    out.set(this.#bytes.subarray(0, this.#used), at);
    at = writeUint64(out, at + this.#used, count);
    if (width === 0) {
      for (let i = 0; i < count; i++) out[at++] = keys[i]!;
    } else if (width === 1) {
      for (let i = 0; i < count; i++) {
        const key = keys[i]!;
        out[at++] = key;
        out[at++] = key >>> 8;
      }
    } else {
      out.set(new Uint8Array(keys.buffer, keys.byteOffset, 4 * count), at);
      at += 4 * count;
    }
    return at;
  }

  #lookUp(source: Source, start: number, end: number, hash: number): number {
    const bytes = end - start;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]! - 1;
      if (entry < 0) return -1;
      if (
        this.#hashes[entry] === hash &&
        this.#lengths[entry] === bytes &&
        sameBytes(source.view, start, this.#view, this.#starts[entry]!, bytes)
      ) {
        return entry;
      }
    }
  }

  #add(source: Source, start: number, end: number, hash: number): number {
    const bytes = end - start;
    if (bytes > 0 && !isUtf8(source.bytes.subarray(start, end))) {
      throw new OtlpError('utf8', start, 'text is not UTF-8');
    }
    if (this.#used + bytes + 5 > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.#bytes.length + bytes);
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#useBytes(larger);
    }
    if (2 * (this.count + 1) > this.#slots.length) this.#growSlots();
    const entry = this.count++;
    this.#used = writeVarint(this.#bytes, this.#used, bytes);
    this.#starts[entry] = this.#used;
    this.#lengths[entry] = bytes;
    this.#hashes[entry] = hash;
    this.#used += source.bytes.copy(this.#bytes, this.#used, start, end);
    this.#occupy(entry);
    return entry;
  }

  #useBytes(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #occupy(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hashes[entry]! & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = entry + 1;
  }

  #growSlots(): void {
    const slots = 2 * this.#slots.length;
    this.#slots = new Int32Array(slots);
    this.#starts = larger(this.#starts, new Uint32Array(slots / 2));
    this.#lengths = larger(this.#lengths, new Uint32Array(slots / 2));
    this.#hashes = larger(this.#hashes, new Int32Array(slots / 2));
    for (let entry = 0; entry < this.count; entry++) this.#occupy(entry);
  }
}

function larger<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Four bytes a step; good enough for table slots, not against an attacker: a batch is small. */
export function hashOf(source: Source, start: number, end: number): number {
  const { view } = source;
  let hash = end - start;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    hash = Math.imul(hash ^ view.getInt32(i, true), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; i < end; i++) hash = Math.imul(hash ^ view.getUint8(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
