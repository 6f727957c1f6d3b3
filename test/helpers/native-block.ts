/**
 * Reads a ClickHouse Native block (revision 0) into plain values, so that a unit test sees what the
 * store would see without an engine. Written from the layout alone, not from our writer. Throws
 * when a byte is left over or missing.
 */
interface NativeColumn {
  readonly type: string;
  readonly values: readonly unknown[];
}

export interface NativeBlock {
  readonly rows: number;
  readonly columns: ReadonlyMap<string, NativeColumn>;
}

export function readNativeBlock(block: Buffer): NativeBlock {
  const reader = new Reader(block);
  const columns = new Map<string, NativeColumn>();
  const count = reader.varint();
  const rows = reader.varint();
  for (let i = 0; i < count; i++) {
    const name = reader.text();
    const type = reader.text();
    if (rows === 0) {
      columns.set(name, { type, values: [] });
      continue;
    }
    reader.prefix(type);
    columns.set(name, { type, values: reader.values(type, rows) });
  }
  if (reader.at !== block.length) throw new Error(`${block.length - reader.at} bytes left over`);
  return { rows, columns };
}

/** Value of a column in one row; a column that the block leaves out holds its type's default. */
export function nativeCell(block: NativeBlock, name: string, row: number): unknown {
  return block.columns.get(name)?.values[row];
}

class Reader {
  at = 0;
  readonly #b: Buffer;

  constructor(block: Buffer) {
    this.#b = block;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#b.readUInt8(this.at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  text(): string {
    const bytes = this.varint();
    const end = this.at + bytes;
    if (end > this.#b.length) throw new Error('text reaches past the end');
    const text = this.#b.toString('utf8', this.at, end);
    this.at = end;
    return text;
  }

  uint64(): bigint {
    this.at += 8;
    return this.#b.readBigUInt64LE(this.at - 8);
  }

  prefix(type: string): void {
    const inner = innerOf(type);
    if (type === 'LowCardinality(String)') {
      if (this.uint64() !== 1n) throw new Error('LowCardinality version is not 1');
    } else if (inner !== undefined) for (const one of inner) this.prefix(one);
  }

  values(type: string, rows: number): unknown[] {
    const inner = innerOf(type);
    if (inner !== undefined) return this.#nested(inner, rows);
    if (type === 'LowCardinality(String)') return this.#dictionary(rows);
    return Array.from({ length: rows }, () => this.#plain(type));
  }

  #plain(type: string): unknown {
    if (type === 'String') return this.text();
    const width = type.startsWith('Enum8')
      ? 1
      : { UInt8: 1, UInt16: 2, UInt32: 4, DateTime: 4 }[type];
    if (width !== undefined) {
      this.at += width;
      return this.#b.readUIntLE(this.at - width, width);
    }
    if (type === 'UInt64') return this.uint64();
    if (type === 'Int64' || type.startsWith('DateTime64')) return BigInt.asIntN(64, this.uint64());
    throw new Error(`type ${type} is not known here`);
  }

  #nested(inner: readonly string[], rows: number): unknown[] {
    const ends = Array.from({ length: rows }, () => Number(this.uint64()));
    const total = ends.at(-1) ?? 0;
    const parts = total === 0 ? inner.map(() => []) : inner.map((t) => this.values(t, total));
    return ends.map((end, row) => {
      const start = row === 0 ? 0 : ends[row - 1]!;
      const [first, second] = parts.map((part) => part.slice(start, end));
      return second === undefined ? first : first!.map((key, i) => [key, second[i]]);
    });
  }

  #dictionary(rows: number): string[] {
    if (rows === 0) return [];
    const flags = this.uint64();
    if ((flags & 0xf00n) !== 0x600n) throw new Error(`LowCardinality flags ${flags}`);
    const words = Array.from({ length: Number(this.uint64()) }, () => this.text());
    if (this.uint64() !== BigInt(rows)) throw new Error('LowCardinality key count');
    const width = 1 << Number(flags & 3n);
    return Array.from({ length: rows }, () => {
      this.at += width;
      const word = words[this.#b.readUIntLE(this.at - width, width)];
      if (word === undefined) throw new Error('LowCardinality key out of range');
      return word;
    });
  }
}

/** Element types of an Array or a Map; undefined for other types. */
function innerOf(type: string): string[] | undefined {
  if (type.startsWith('Array(')) return [type.slice(6, -1)];
  if (!type.startsWith('Map(')) return undefined;
  const inside = type.slice(4, -1);
  const comma = inside.lastIndexOf(', ');
  return [inside.slice(0, comma), inside.slice(comma + 2)];
}
