import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { DeadLettersTable } from '../../../../collector/columns/dead-letters-table.ts';
import { LedgersTable } from '../../../../collector/columns/ledgers-table.ts';
import { SpansTable } from '../../../../collector/columns/spans-table.ts';
import type { Table } from '../../../../store/native/table.ts';

const SCHEMA = new URL('../../../../store/schema/', import.meta.url);

/** Columns of a CREATE TABLE, name and type, without codecs, comments and indexes. */
function columnsOf(file: string): { name: string; type: string }[] {
  const sql = readFileSync(new URL(file, SCHEMA), 'utf8');
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

/** The columns of a table with what later files add to it. */
function schemaOf(file: string): { name: string; type: string }[] {
  const columns = columnsOf(file);
  const table = file.replace(/^\d+_|\.sql$/g, '');
  for (const later of readdirSync(SCHEMA).sort()) {
    const added =
      /ALTER TABLE \{database\}\.(\w+) ADD COLUMN IF NOT EXISTS (\w+) (.*?)(?: CODEC\(.*\))? AFTER (\w+)/.exec(
        readFileSync(new URL(later, SCHEMA), 'utf8'),
      );
    if (added?.[1] !== table) continue;
    const at = columns.findIndex(({ name }) => name === added[4]);
    columns.splice(at + 1, 0, { name: added[2]!, type: added[3]! });
  }
  return columns;
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
      assert.deepEqual(ours, schemaOf(file));
    });
  }
});
