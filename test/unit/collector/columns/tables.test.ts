import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DeadLettersTable } from '../../../../collector/columns/dead-letters-table.ts';
import { LedgersTable } from '../../../../collector/columns/ledgers-table.ts';
import { SpansTable } from '../../../../collector/columns/spans-table.ts';
import type { Table } from '../../../../store/native/table.ts';

/** Columns of a CREATE TABLE, name and type, without codecs, comments and indexes. */
function columnsOf(file: string): { name: string; type: string }[] {
  const sql = readFileSync(new URL(`../../../../store/schema/${file}`, import.meta.url), 'utf8');
  const body = sql.slice(sql.indexOf('\n(') + 2, sql.indexOf('\n)'));
  return body
    .split('\n')
    .map((line) => line.trim().replace(/,$/, ''))
    .filter((line) => line !== '' && !line.startsWith('--') && !line.startsWith('INDEX'))
    .map((line) => {
      const space = line.indexOf(' ');
      return {
        name: line.slice(0, space).replaceAll('`', ''),
        type: line
          .slice(space + 1)
          .replace(/ CODEC\(.*$/, '')
          .trim(),
      };
    });
}

describe('Tables of the collector', () => {
  const cases: [Table, string][] = [
    [new SpansTable(), '001_spans.sql'],
    [new LedgersTable(), '002_ledgers.sql'],
    [new DeadLettersTable(), '003_dead_letters.sql'],
  ];
  for (const [table, file] of cases) {
    it(`have the columns of ${file}, in its order and with its types`, () => {
      const ours = table.columns.map(({ name, type }) => ({ name, type }));
      assert.ok(ours.length > 10);
      assert.deepEqual(ours, columnsOf(file));
    });
  }
});
