import assert from 'node:assert/strict';
import { silentLog } from '../../../runtime/log.ts';
import type { StoreClient } from '../../../store/client.ts';
import { fillTemplate, migrate, readMigrations, type Migration } from '../../../store/migrate.ts';

const settings = { database: 'shop', retention_days: 7 };

/** Records statements and remembers what `schema_migrations` would hold. */
function recordingClient(): { client: StoreClient; statements: string[] } {
  const statements: string[] = [];
  const remembered = new Map<number, Record<string, unknown>>();
  const client: StoreClient = {
    database: 'shop',
    query: <Row>() => Promise.resolve([...remembered.values()] as Row[]),
    text: () => Promise.reject(new Error('not used')),
    stream: () => assert.fail('not used'),
    command(sql, params) {
      if (params === undefined) statements.push(sql);
      else {
        const { version, checksum, days } = params;
        remembered.set(Number(version), { version, checksum, retention_days: days });
      }
      return Promise.resolve();
    },
    insertNative: () => Promise.reject(new Error('not used')),
    inDatabase: () => client,
    ping: () => Promise.resolve(true),
    close: () => Promise.resolve(),
  };
  return { client, statements };
}

const TABLE = (column: string): Migration => ({
  version: 1,
  name: 'rows',
  sql:
    `-- a comment\nCREATE TABLE IF NOT EXISTS {database}.rows (${column} DateTime)\n` +
    `ENGINE = MergeTree\nORDER BY ${column}\nTTL ${column} + INTERVAL {retention_days} DAY\n`,
});
const VIEW = (sql: string): Migration => ({
  version: 2,
  name: 'seen',
  sql: `CREATE OR REPLACE VIEW {database}.seen AS ${sql}`,
});
const run = (client: StoreClient, files: readonly Migration[], days = 7): Promise<string[]> =>
  migrate(client, { ...settings, retention_days: days }, silentLog, files);

describe('migrations', () => {
  it('of this version have one number each and one statement each', () => {
    const all = readMigrations();
    assert.ok(all.length >= 5);
    for (const { name, sql } of all) {
      const withoutComments = sql.replace(/--.*$/gm, '').replace(/'[^']*'/g, '');
      assert.ok(!withoutComments.includes(';'), `${name} has a semicolon`);
      assert.match(
        withoutComments.trim(),
        /^CREATE (TABLE IF NOT EXISTS|OR REPLACE VIEW|OR REPLACE FUNCTION)|^ALTER TABLE/,
      );
    }
    assert.deepEqual(
      all,
      [...all].sort((a, b) => a.version - b.version),
    );
  });

  it('put database and retention into a template and leave query parameters alone', () => {
    assert.equal(
      fillTemplate('{database}.t {retention_days} {from:DateTime}', settings),
      'shop.t 7 {from:DateTime}',
    );
    assert.throws(() => fillTemplate('', { ...settings, database: 'a`; DROP' }), {
      code: 'AZ_CONFIG_INVALID',
    });
    assert.throws(() => fillTemplate('', { ...settings, retention_days: 0 }), {
      code: 'AZ_CONFIG_INVALID',
    });
  });

  it('are applied once', async () => {
    const { client, statements } = recordingClient();
    assert.deepEqual(await run(client, [TABLE('At'), VIEW('SELECT 1')]), ['001_rows', '002_seen']);
    const count = statements.length;
    assert.deepEqual(await run(client, [TABLE('At'), VIEW('SELECT 1')]), []);
    // Only the two statements that look for what is there.
    assert.equal(statements.length, count + 2);
  });

  it('apply a changed view again, and none whose comments changed', async () => {
    const { client, statements } = recordingClient();
    await run(client, [VIEW('SELECT 1')]);
    assert.deepEqual(await run(client, [VIEW('SELECT 2')]), ['002_seen']);
    assert.match(statements.at(-1)!, /shop\.seen AS SELECT 2/);
    assert.deepEqual(await run(client, [VIEW('\n-- why\nSELECT 2')]), []);
  });

  it('refuse a changed table, whose rows are there already', async () => {
    const { client } = recordingClient();
    await run(client, [TABLE('At')]);
    await assert.rejects(run(client, [TABLE('Time')]), {
      code: 'AZ_STORE_REFUSED',
      message: /001_rows: .*new file/,
    });
  });

  it('change the retention of a table that stands', async () => {
    const { client, statements } = recordingClient();
    await run(client, [TABLE('At')], 7);
    assert.deepEqual(await run(client, [TABLE('At')], 3), ['001_rows']);
    assert.equal(statements.at(-1), 'ALTER TABLE shop.rows MODIFY TTL At + INTERVAL 3 DAY');
    assert.deepEqual(await run(client, [TABLE('At')], 3), []);
  });
});
