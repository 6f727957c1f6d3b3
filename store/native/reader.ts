/**
 * Reads ClickHouse's Native format at revision 0 as it arrives: `push` takes the bytes of an answer
 * in whatever pieces the network cuts them into, and gives back the blocks that are whole.
 *
 *     varint columns, varint rows, then per column: name, type, prefix, values
 *
 * For columns of fixed width (Enum8 too), LowCardinality(String) and arrays of fixed width: what a worker reads
 * by the million. Values stay in typed arrays, 64-bit ones as pairs of words (low, high), since a
 * BigInt a value would cost more than the value. Anything else in an answer is a programmer's error
 * in the SELECT, and is thrown as one.
 */

/** Bytes of one value by type. */
const WIDTHS: Readonly<Record<string, number>> = {
  UInt8: 1,
  UInt16: 2,
  UInt32: 4,
  UInt64: 8,
  Int64: 8,
  'FixedString(16)': 16,
};

/** A block larger than this is no block of ours: the stream is out of step. */
const BLOCK_BYTES_MAX = 512 * 1024 * 1024;

export interface NativeColumn {
  readonly type: string;
  /** Values of one byte; keys of a dictionary when there are few. */
  readonly bytes: Uint8Array;
  /** Of wider types: the same memory as numbers of 16 or 32 bits. Wider still: words, low first. */
  readonly halves: Uint16Array;
  readonly words: Uint32Array;
  /** Texts of a LowCardinality column, by key; empty for the others. */
  readonly texts: readonly string[];
  /** Keys of a LowCardinality column, one a row. */
  readonly keys: Uint8Array | Uint16Array | Uint32Array;
  /** Of an array: where the values of each row end, as words (low, high). */
  readonly ends: Uint32Array;
}

export interface NativeBlock {
  readonly rows: number;
  /** In the order of the SELECT. */
  readonly columns: readonly NativeColumn[];
}

/** Thrown inside when the block goes on past the bytes at hand. */
const NEED_MORE = new Error('the block is not complete yet');

export class NativeReader {
  /** Bytes [from, to) are not read yet. It grows by doubling: a block comes in dozens of pieces. */
  #buffer: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;

  /** Blocks that are complete with these bytes; the empty ones that ClickHouse sends are left out. */
  push(piece: Buffer): NativeBlock[] {
    this.#append(piece);
    const blocks: NativeBlock[] = [];
    for (;;) {
      const rest = this.#buffer.subarray(this.#from, this.#to);
      const end = blockEnd(rest);
      if (end === undefined) break;
      const block = readBlock(rest);
      if (block.rows > 0) blocks.push(block);
      this.#from += end;
    }
    if (this.#to - this.#from > BLOCK_BYTES_MAX) throw new Error('a Native block above 512 MiB');
    return blocks;
  }

  #append(piece: Buffer): void {
    const rest = this.#to - this.#from;
    if (this.#to + piece.length > this.#buffer.length) {
      const fits = rest + piece.length <= this.#buffer.length >> 1;
      const into = fits ? this.#buffer : Buffer.allocUnsafe(2 * (rest + piece.length));
      this.#buffer.copy(into, 0, this.#from, this.#to);
      this.#buffer = into;
      this.#from = 0;
      this.#to = rest;
    }
    piece.copy(this.#buffer, this.#to);
    this.#to += piece.length;
  }

  /** @throws Error when the answer broke off inside a block. */
  end(): void {
    const rest = this.#to - this.#from;
    if (rest === 0) return;
    throw new Error(`the answer ends inside a Native block, ${rest} bytes in`);
  }
}

/** Walks a block and jumps over its values; undefined when it goes on past the bytes. */
function blockEnd(bytes: Buffer): number | undefined {
  if (bytes.length === 0) return undefined;
  try {
    const cursor = new Cursor(bytes);
    const columns = cursor.varint();
    const rows = cursor.varint();
    for (let c = 0; c < columns; c++) {
      cursor.skip(cursor.varint());
      const type = cursor.text();
      if (rows > 0) skipColumn(cursor, type, rows);
    }
    return cursor.at;
  } catch (error) {
    if (error === NEED_MORE) return undefined;
    throw error;
  }
}

function skipColumn(cursor: Cursor, type: string, rows: number): void {
  if (type === 'LowCardinality(String)') {
    cursor.skip(8);
    const flags = cursor.uint64();
    for (let left = cursor.uint64(); left > 0; left--) cursor.skip(cursor.varint());
    cursor.skip(8 + rows * keyWidth(flags));
  } else if (type.startsWith('Array(')) {
    cursor.skip(8 * (rows - 1));
    cursor.skip(cursor.uint64() * widthOf(type.slice(6, -1)));
  } else {
    cursor.skip(rows * widthOf(type));
  }
}

/** The block at the start of the bytes, which `blockEnd` found whole. */
function readBlock(bytes: Buffer): NativeBlock {
  const cursor = new Cursor(bytes);
  const count = cursor.varint();
  const rows = cursor.varint();
  const columns: NativeColumn[] = [];
  for (let c = 0; c < count; c++) {
    cursor.skip(cursor.varint());
    const type = cursor.text();
    if (rows > 0) columns.push(readColumn(cursor, type, rows));
  }
  return { rows, columns };
}

const NONE = new ArrayBuffer(0);

function readColumn(cursor: Cursor, type: string, rows: number): NativeColumn {
  if (type === 'LowCardinality(String)') {
    cursor.skip(8);
    const width = keyWidth(cursor.uint64());
    const texts = Array.from({ length: cursor.uint64() }, () => cursor.text());
    cursor.skip(8);
    const keys = cursor.take(rows * width);
    return {
      ...column(type, NONE),
      texts,
      keys:
        width === 1
          ? new Uint8Array(keys)
          : width === 2
            ? new Uint16Array(keys)
            : new Uint32Array(keys),
    };
  }
  if (type.startsWith('Array(')) {
    const ends = new Uint32Array(cursor.take(8 * rows));
    const values = ends[2 * rows - 2]!;
    return { ...column(type, cursor.take(values * widthOf(type.slice(6, -1)))), ends };
  }
  return column(type, cursor.take(rows * widthOf(type)));
}

function column(type: string, values: ArrayBuffer): NativeColumn {
  return {
    type,
    bytes: new Uint8Array(values),
    halves: new Uint16Array(values, 0, values.byteLength >> 1),
    words: new Uint32Array(values, 0, values.byteLength >> 2),
    texts: [],
    keys: new Uint8Array(NONE),
    ends: new Uint32Array(NONE),
  };
}

function widthOf(type: string): number {
  const width = type.startsWith('Enum8(') ? 1 : WIDTHS[type];
  if (width === undefined) throw new Error(`a column of type ${type} is not read here`);
  return width;
}

/** Bytes of a dictionary's key, by the low bits of its flags. */
const keyWidth = (flags: number): number => 1 << (flags & 3);

class Cursor {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(count: number): void {
    if (this.at + count > this.#bytes.length) throw NEED_MORE;
    this.at += count;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      this.skip(1);
      const byte = this.#bytes[this.at - 1]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  uint64(): number {
    this.skip(8);
    return (
      this.#bytes.readUInt32LE(this.at - 8) + this.#bytes.readUInt32LE(this.at - 4) * 4294967296
    );
  }

  text(): string {
    const length = this.varint();
    this.skip(length);
    return this.#bytes.toString('utf8', this.at - length, this.at);
  }

  /** A copy, since a typed array must begin at a multiple of its width. */
  take(count: number): ArrayBuffer {
    this.skip(count);
    const from = this.#bytes.byteOffset + this.at - count;
    return this.#bytes.buffer.slice(from, from + count) as ArrayBuffer;
  }
}
