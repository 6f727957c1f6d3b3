/**
 * Columns of several values a row: Array(T) and Map(K, V). Each row has a count; the values of all
 * rows lie one after the other in a column of their own, so that columns nest as types do:
 *
 *     Array(Map(LowCardinality(String), String))
 *       counts per row ─► values: Map, one "row" per element
 *                                   counts per element ─► keys: dictionary column, values: text
 *
 * In a block come first all serialization prefixes, then the cumulative ends of the rows as UInt64,
 * then the values (nothing more when there are none). Rows are filled in order, never a past one.
 */
import { grownCapacity, INITIAL_ROWS, type Column } from './column.ts';
import { DictionaryColumn, TextColumn } from './text-columns.ts';
import type { Uint64Column } from './fixed-columns.ts';

/** Counts per row and the values behind them, common to Array and Map. */
abstract class CountedColumn implements Column {
  readonly name: string;
  abstract readonly type: string;
  #counts = new Uint32Array(INITIAL_ROWS);
  #total = 0;
  #marked = 0;
  readonly #children: readonly Column[];

  constructor(name: string, children: readonly Column[]) {
    this.name = name;
    this.#children = children;
  }

  /** Adds one element to `row` and returns its index in the columns of the values. */
  append(row: number): number {
    this.#counts[row] = this.#counts[row]! + 1;
    const index = this.#total++;
    for (const child of this.#children) child.reserve(this.#total);
    return index;
  }

  reserve(rows: number): void {
    if (rows <= this.#counts.length) return;
    const larger = new Uint32Array(grownCapacity(this.#counts.length, rows));
    larger.set(this.#counts);
    this.#counts = larger;
  }
  mark(): void {
    this.#marked = this.#total;
    for (const child of this.#children) child.mark();
  }
  rollback(from: number, to: number): void {
    this.#counts.fill(0, from, to);
    for (const child of this.#children) child.rollback(this.#marked, this.#total);
    this.#total = this.#marked;
  }
  clear(rows: number): void {
    this.#counts.fill(0, 0, rows);
    for (const child of this.#children) child.clear(this.#total);
    this.#total = 0;
    this.#marked = 0;
  }
  isDefault(): boolean {
    return this.#total === 0;
  }
  blockBytesMax(rows: number): number {
    let bytes = 8 * rows;
    for (const child of this.#children) bytes += child.blockBytesMax(this.#total);
    return bytes;
  }
  writePrefix(out: Buffer, at: number): number {
    for (const child of this.#children) at = child.writePrefix(out, at);
    return at;
  }
  writeRows(out: Buffer, at: number, rows: number): number {
    const ends = endsOf(this.#counts, rows);
    out.set(new Uint8Array(ends.buffer), at);
    at += ends.byteLength;
    if (this.#total === 0) return at;
    for (const child of this.#children) at = child.writeRows(out, at, this.#total);
    return at;
  }
}

/**
 * Where the elements of each row end: low and high word, as more than 2^32 elements do not fit into a
 * block. Apart, because V8 compiles a long loop anew in each call of a function that goes on behind it.
 */
function endsOf(counts: Uint32Array, rows: number): Uint32Array {
  const ends = new Uint32Array(2 * rows);
  let end = 0;
  for (let row = 0; row < rows; row++) ends[2 * row] = end += counts[row]!;
  return ends;
}

/** Array(T); `values` is the column of T. */
export class ArrayColumn<T extends Column> extends CountedColumn {
  readonly type: string;
  readonly values: T;

  constructor(name: string, values: T) {
    super(name, [values]);
    this.values = values;
    this.type = `Array(${values.type})`;
  }
}

/** Map(LowCardinality(String), String). Keys are not made unique: a message's own twins are kept. */
export class TextMapColumn extends CountedColumn {
  readonly type = 'Map(LowCardinality(String), String)';
  readonly keys: DictionaryColumn;
  readonly values: TextColumn;

  constructor(name: string) {
    const keys = new DictionaryColumn('');
    const values = new TextColumn('');
    super(name, [keys, values]);
    this.keys = keys;
    this.values = values;
  }
}

/** Map(LowCardinality(String), UInt64), such as drops by reason. */
export class CountMapColumn extends CountedColumn {
  readonly type = 'Map(LowCardinality(String), UInt64)';
  readonly keys: DictionaryColumn;
  readonly values: Uint64Column;

  constructor(name: string, values: Uint64Column) {
    const keys = new DictionaryColumn('');
    super(name, [keys, values]);
    this.keys = keys;
    this.values = values;
  }
}
