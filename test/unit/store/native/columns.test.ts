import assert from 'node:assert/strict';
import { sourceOf } from '../../../../store/native/column.ts';
import {
  EnumColumn,
  IdColumn,
  NumberColumn,
  Uint64Column,
} from '../../../../store/native/fixed-columns.ts';
import { ArrayColumn, TextMapColumn } from '../../../../store/native/nested-columns.ts';
import { Table } from '../../../../store/native/table.ts';
import { DictionaryColumn, TextColumn } from '../../../../store/native/text-columns.ts';
import { OtlpError } from '../../../../telemetry/protobuf.ts';
import { readNativeBlock } from '../../../helpers/native-block.ts';

const source = (text: string): ReturnType<typeof sourceOf> => sourceOf(Buffer.from(text));
const setText = (column: DictionaryColumn | TextColumn, row: number, text: string): void => {
  const from = source(text);
  column.setBytes(row, from, 0, from.bytes.length);
};
const values = (table: Table, name: string): readonly unknown[] =>
  readNativeBlock(table.block()).columns.get(name)!.values;

describe('Columns', () => {
  for (const distinct of [3, 255, 256, 65_535, 65_536, 70_000]) {
    it(`keep ${distinct} distinct values of a dictionary apart`, () => {
      const word = new DictionaryColumn('Word');
      const table = new Table('t', [word]);
      const texts = Array.from({ length: distinct }, (_, i) => `value ${i}`);
      for (const text of [...texts, '', ...texts.slice(0, 100)]) {
        setText(word, table.openRow(), text);
        table.finishRow();
      }
      assert.deepEqual(values(table, 'Word'), [...texts, '', ...texts.slice(0, 100)]);
    });
  }

  it('clamp what does not fit: numbers to the largest, closed sets to entry 0', () => {
    const small = new NumberColumn('Small', 'UInt8');
    const kind = new EnumColumn('Kind', ['', 'a', 'b']);
    const table = new Table('t', [small, kind]);
    for (const [row, value] of [1, 300, 2].entries()) {
      table.openRow();
      small.set(row, value);
      kind.set(row, value);
      table.finishRow();
    }
    assert.deepEqual(values(table, 'Small'), [1, 255, 2]);
    assert.deepEqual(values(table, 'Kind'), [1, 0, 2]);
    assert.equal(kind.type, "Enum8('' = 0, 'a' = 1, 'b' = 2)");
    const name = source('b');
    assert.equal(kind.positionOf(name, 0, 1), 2);
    assert.equal(kind.positionOf(source('zz'), 0, 2), -1);
  });

  it('hold 64-bit numbers exactly, and -1', () => {
    const number = new Uint64Column('N', 'Int64');
    const table = new Table('t', [number]);
    const numbers = [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1];
    for (const [row, value] of numbers.entries()) {
      table.openRow();
      number.set(row, value);
      table.finishRow();
    }
    assert.deepEqual(values(table, 'N'), numbers.map(BigInt));
  });

  it('write whole numbers as the text that String() makes of them', () => {
    const text = new TextColumn('T');
    const table = new Table('t', [text]);
    const numbers = [
      0,
      1,
      9,
      10,
      99,
      100,
      65_535,
      999_999_999,
      1_000_000_000,
      2 ** 31,
      2 ** 32 - 1,
    ];
    for (const number of numbers) {
      text.setUint32(table.openRow(), number);
      table.finishRow();
    }
    assert.deepEqual(values(table, 'T'), numbers.map(String));
  });

  it('refuse text that is not UTF-8, also behind a valid beginning', () => {
    const bad = sourceOf(Buffer.concat([Buffer.alloc(100, 'x'), Buffer.from([0xc3, 0x28])]));
    for (const column of [new DictionaryColumn('D'), new TextColumn('T')]) {
      assert.throws(() => column.setBytes(0, bad, 0, 102), OtlpError);
      assert.throws(() => column.setBytes(0, bad, 99, 102), OtlpError);
      assert.doesNotThrow(() => column.setBytes(0, bad, 0, 100));
    }
    assert.doesNotThrow(() => new TextColumn('Raw', 'raw').setBytes(0, bad, 0, 102));
  });

  it('forget a message on rollback, to the last element of an element', () => {
    const id = new IdColumn('Id', 8);
    const text = new TextColumn('Text');
    const maps = new ArrayColumn('Maps', new TextMapColumn(''));
    const table = new Table('t', [id, text, maps]);
    const ids = sourceOf(Buffer.from('0102030405060708', 'hex'));
    const addRow = (label: string): void => {
      const row = table.openRow();
      id.set(row, ids, 0, 8);
      setText(text, row, label);
      for (const key of ['a', 'b']) {
        const map = maps.values;
        const entry = map.append(maps.append(row));
        setText(map.keys, entry, key);
        setText(map.values, entry, label);
      }
      table.finishRow();
    };
    for (let message = 0; message < 300; message++) {
      table.mark();
      addRow(`kept ${message}`);
      table.mark();
      addRow('refused');
      // A row that was begun and not finished.
      setText(text, table.openRow(), 'half');
      maps.values.append(maps.append(table.rows));
      table.rollback();
    }
    const block = readNativeBlock(table.block());
    assert.equal(block.rows, 300);
    for (let row = 0; row < 300; row++) {
      const label = `kept ${row}`;
      assert.equal(block.columns.get('Id')!.values[row], '0102030405060708');
      assert.equal(block.columns.get('Text')!.values[row], label);
      assert.deepEqual(block.columns.get('Maps')!.values[row], [[['a', label]], [['b', label]]]);
    }
    table.clear();
    table.openRow();
    table.finishRow();
    const cleared = readNativeBlock(table.block());
    assert.deepEqual([...cleared.columns.keys()], ['Id'], 'all default: only the first is sent');
    assert.deepEqual(cleared.columns.get('Id')!.values, ['']);
  });

  it('name every column of a block without rows', () => {
    const table = new Table('t', [new TextColumn('A'), new DictionaryColumn('B')]);
    const block = readNativeBlock(table.emptyBlock());
    assert.deepEqual([block.rows, ...block.columns.keys()], [0, 'A', 'B']);
  });
});
