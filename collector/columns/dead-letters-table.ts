/** Table `dead_letters` as column buffers, in the order of store/schema/003_dead_letters.sql. */
import { sourceOf } from '../../store/native/column.ts';
import { NumberColumn, Uint64Column } from '../../store/native/fixed-columns.ts';
import { ArrayColumn } from '../../store/native/nested-columns.ts';
import { Table } from '../../store/native/table.ts';
import { DictionaryColumn, TextColumn } from '../../store/native/text-columns.ts';

/** A body is cut here: enough to see what it was, too little to fill a disk by. */
export const DEAD_BODY_BYTES_MAX = 1024 * 1024;
const DETAIL_LENGTH_MAX = 1000;

export interface DeadLetter {
  readonly signal: 'traces' | 'logs';
  readonly source: { readonly name: string; readonly partition: number; readonly offset: number };
  /** Bounded set: a label value. */
  readonly reason: string;
  readonly detail: string;
  /** Spans or ledgers in it; 0 = nobody knows. */
  readonly items: number;
  /** Boot id and sequence of each hop in it, as far as known. */
  readonly hops: readonly { readonly bootId: string; readonly seq: number }[];
  readonly body: Uint8Array;
  /** Bytes before any cut. */
  readonly bodyBytes: number;
}

function deadLetterColumns() {
  return {
    at: new Uint64Column('At', 'DateTime64(3)'),
    signal: new DictionaryColumn('Signal'),
    source: new DictionaryColumn('Source'),
    sourcePartition: new NumberColumn('SourcePartition', 'UInt16'),
    sourceOffset: new Uint64Column('SourceOffset', 'UInt64'),
    reason: new DictionaryColumn('Reason'),
    detail: new TextColumn('Detail'),
    items: new NumberColumn('Items', 'UInt32'),
    bootIds: new ArrayColumn('BootIds', new DictionaryColumn('')),
    seqs: new ArrayColumn('Seqs', new Uint64Column('', 'UInt64')),
    body: new TextColumn('Body', 'raw'),
    bodyBytes: new Uint64Column('BodyBytes', 'UInt64'),
  };
}

export class DeadLettersTable extends Table {
  readonly column: ReturnType<typeof deadLetterColumns>;

  constructor() {
    const column = deadLetterColumns();
    super('dead_letters', Object.values(column));
    this.column = column;
  }

  /** Adds one letter, received at `nowMs` (Unix milliseconds). Copies the body. */
  add(letter: DeadLetter, nowMs: number): void {
    const row = this.openRow();
    const c = this.column;
    c.at.set(row, nowMs);
    c.signal.set(row, c.signal.dictionary.putText(letter.signal));
    c.source.set(row, c.source.dictionary.putText(letter.source.name));
    c.sourcePartition.set(row, letter.source.partition);
    c.sourceOffset.set(row, letter.source.offset);
    c.reason.set(row, c.reason.dictionary.putText(letter.reason));
    c.detail.setText(row, letter.detail.slice(0, DETAIL_LENGTH_MAX));
    c.items.set(row, letter.items);
    for (const { bootId, seq } of letter.hops) {
      const { values } = c.bootIds;
      values.set(c.bootIds.append(row), values.dictionary.putText(bootId));
      c.seqs.values.set(c.seqs.append(row), seq);
    }
    const body = letter.body.subarray(0, DEAD_BODY_BYTES_MAX);
    c.body.setBytes(row, sourceOf(body), 0, body.length);
    c.bodyBytes.set(row, letter.bodyBytes);
    this.finishRow();
  }
}
