/**
 * The column buffers of one table, filled row by row, and the block that is made of them. After
 * `block()` and `clear()` the buffers take the next rows while the block is on its way to the store.
 */
import type { Column } from './column.ts';
import { INITIAL_ROWS } from './column.ts';
import { encodeNativeBlock } from './native-block.ts';

export class Table {
  readonly name: string;
  readonly columns: readonly Column[];
  /** Rows finished. */
  rows = 0;
  #capacity = INITIAL_ROWS;
  #marked = 0;

  constructor(name: string, columns: readonly Column[]) {
    this.name = name;
    this.columns = columns;
  }

  /** Index of the row to be set next. It counts only after `finishRow`. */
  openRow(): number {
    if (this.rows === this.#capacity) {
      this.#capacity *= 2;
      for (const column of this.columns) column.reserve(this.#capacity);
    }
    return this.rows;
  }

  finishRow(): void {
    this.rows++;
  }

  /** Where a message begins: the unit that is stored whole or not at all. */
  mark(): void {
    this.#marked = this.rows;
    for (const column of this.columns) column.mark();
  }

  /** Forgets the message since `mark`, a half-set row included. */
  rollback(): void {
    const to = Math.min(this.rows + 1, this.#capacity);
    for (const column of this.columns) column.rollback(this.#marked, to);
    this.rows = this.#marked;
  }

  /** The rows as one Native block, in `room` if that is large enough; the caller owns it. */
  block(room?: Buffer): Buffer {
    return encodeNativeBlock(this.columns, this.rows, room);
  }

  /** A block of the same columns without rows: asks the store about the table, not about data. */
  emptyBlock(): Buffer {
    return encodeNativeBlock(this.columns, 0);
  }

  clear(): void {
    for (const column of this.columns) column.clear(this.rows);
    this.rows = 0;
    this.#marked = 0;
  }
}
