/** Compares rows that the real store returns with those of generated-spans.ts. */
import assert from 'node:assert/strict';
import type { StoreClient } from '../../store/client.ts';
import type { ExpectedRow } from './generated-spans.ts';

const COLUMNS: readonly string[] = [
  'toString(toUnixTimestamp64Nano(Timestamp)) AS Timestamp',
  'TraceId',
  'SpanId',
  'ParentSpanId',
  'TraceState',
  'SpanName',
  'toString(SpanKind) AS SpanKind',
  'ServiceName',
  'Host',
  'BootId',
  'toString(Role) AS Role',
  'ResourceAttributes',
  'ScopeName',
  'ScopeVersion',
  'SpanAttributes',
  'toString(Duration) AS Duration',
  'toString(StatusCode) AS StatusCode',
  'StatusMessage',
  'arrayMap(t -> toString(toUnixTimestamp64Nano(t)), `Events.Timestamp`) AS `Events.Timestamp`',
  '`Events.Name`',
  '`Events.Attributes`',
  '`Links.TraceId`',
  '`Links.SpanId`',
  '`Links.TraceState`',
  '`Links.Attributes`',
  'Method',
  'Route',
  'Scheme',
  'Path',
  'ServerAddress',
  'ClientAddress',
  'Peer',
  'toString(Side) AS Side',
  'toString(EdgeClass) AS EdgeClass',
  'HttpStatus',
  'toString(OwnNs) AS OwnNs',
];

/** Fails unless the table holds exactly these rows, each field equal. */
export async function assertStoredExactly(
  client: StoreClient,
  table: string,
  expected: readonly ExpectedRow[],
): Promise<void> {
  const stored = await client.query<ExpectedRow>(`SELECT ${COLUMNS.join(', ')} FROM ${table}`);
  assert.equal(stored.length, expected.length);
  const identity = (row: ExpectedRow): string =>
    `${String(row['TraceId'])}/${String(row['SpanId'])}`;
  const byIdentity = new Map(stored.map((row) => [identity(row), row]));
  assert.equal(byIdentity.size, expected.length, 'rows with one identity');
  for (const row of expected) {
    const found = byIdentity.get(identity(row));
    assert.ok(found !== undefined, `row ${identity(row)} is missing`);
    for (const [column, value] of Object.entries(row)) {
      assert.deepEqual(found[column], value, `${identity(row)}, ${column}`);
    }
  }
}
