/**
 * The statements of deploy/clickhouse/cluster/schema.sql, put to ClickHouse's own parser. Parsed and not
 * run: the embedded engine has neither Keeper nor a cluster.
 */
import assert from 'node:assert/strict';
import { clusterSchema } from '../../../tools/cluster-schema.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

describe('the schema for a ClickHouse cluster', () => {
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  const parse = (statement: string): Promise<{ explain: string }[]> =>
    store.client.query<{ explain: string }>(`EXPLAIN AST ${statement}`);

  it('is SQL that the engine understands, statement by statement', async () => {
    const statements = clusterSchema();
    assert.ok(statements.length > 0);
    for (const statement of statements) {
      const [first] = await parse(statement);
      assert.match(first?.explain ?? '', /^(Create|Alter)Query/, statement);
    }
  });

  it('would be refused with a word too many', async () => {
    const table = clusterSchema().find((statement) => statement.includes('ENGINE = Distributed'))!;
    await assert.rejects(parse(table.replace('ON CLUSTER', 'ON THE CLUSTER')), /Syntax error/);
  });
});
