/**
 * What every store must do, the embedded one and a ClickHouse server alike: the same suite, the
 * same answers. `create` gives a store whose database is its own; the suite stops it.
 */
import assert from 'node:assert/strict';
import { silentLog } from '../../runtime/log.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { migrate, readMigrations } from '../../store/migrate.ts';
import { ask } from '../helpers/store-http.ts';

export interface StoreUnderTest {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Of `database`; not migrated yet. */
  readonly client: StoreClient;
  stop(): Promise<void>;
}

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
};
const text = (value: string): Buffer =>
  Buffer.concat([varint(Buffer.byteLength(value)), Buffer.from(value)]);

/** A Native block of (Id UInt32, Value String). */
export function nativeBlock(rows: readonly (readonly [id: number, value: string])[]): Buffer {
  const ids = Buffer.alloc(rows.length * 4);
  rows.forEach(([id], i) => ids.writeUInt32LE(id, i * 4));
  return Buffer.concat([
    varint(2),
    varint(rows.length),
    ...[text('Id'), text('UInt32'), ids],
    ...[text('Value'), text('String'), ...rows.map(([, value]) => text(value))],
  ]);
}

/** A value that ends the data and drops a table wherever rows are glued behind SQL. */
const INJECTION = '\n\nDROP TABLE spans;\n\n';

export function storeContract(create: () => Promise<StoreUnderTest>): void {
  let store: StoreUnderTest;
  let client: StoreClient;
  const settings = (): { database: string; retention_days: number } => ({
    database: store.database,
    retention_days: 7,
  });

  before(async function () {
    this.timeout(60_000);
    store = await create();
    client = store.client;
    await migrate(client, settings(), silentLog);
    await client.command(
      `CREATE TABLE ${store.database}.things (Id UInt32, Value String)
       ENGINE = MergeTree ORDER BY Id SETTINGS non_replicated_deduplication_window = 100`,
    );
  });
  after(async () => {
    await store.stop();
  });
  beforeEach(async () => {
    await client.command(`TRUNCATE TABLE ${store.database}.things`);
  });

  it('gives rows as objects, with values bound by the server', async () => {
    const value = `it's "a" \\ value;\n\tSELECT 1 -- {x:String}`;
    const rows = await client.query<{ v: string; n: number; when: string }>(
      'SELECT {v:String} AS v, {n:UInt64} AS n, toString({ns:Int64}) AS when',
      { v: value, n: 42, ns: '1700000000123456789' },
    );
    assert.deepEqual(rows, [{ v: value, n: 42, when: '1700000000123456789' }]);
  });

  it('takes settings for one query only', async () => {
    const sql = `SELECT value FROM system.settings WHERE name = 'max_block_size'`;
    const before = await client.query<{ value: string }>(sql);
    assert.deepEqual(await client.query(sql, {}, { max_block_size: '1234' }), [{ value: '1234' }]);
    assert.deepEqual(await client.query(sql), before);
  });

  it('gives text in the format asked for, and a FORMAT clause wins', async () => {
    assert.equal(await client.text('SELECT 1 AS a', {}, 'CSVWithNames'), '"a"\n1\n');
    assert.equal(await client.text('SELECT 1 AS a FORMAT TSV', {}, 'CSVWithNames'), '1\n');
    assert.equal(await client.text('SELECT 1 AS a, 2 AS b'), '1\t2\n');
  });

  it('gives whole documents also for many rows', async () => {
    await client.command(
      `INSERT INTO ${store.database}.things SELECT number, 'x' FROM numbers(200000)`,
    );
    const csv = await client.text(`SELECT Id FROM things ORDER BY Id`, {}, 'CSVWithNames');
    assert.equal(csv.split('\n').filter((line) => line === '"Id"').length, 1);
    const json = JSON.parse(await client.text('SELECT Id FROM things', {}, 'JSON')) as {
      data: unknown[];
    };
    assert.equal(json.data.length, 200_000);
    const rows = await client.query<{ Id: number }>('SELECT Id FROM things');
    assert.equal(new Set(rows.map((row) => row.Id)).size, 200_000);
  });

  it('stores a Native block exactly, whatever is in its strings', async () => {
    const rows = [
      [1, INJECTION],
      [2, ''],
      [0x0a0a0a0a, 'NUL \0, quotes \'"`, a snowman ☃'],
    ] as const;
    await client.insertNative('things', nativeBlock(rows));
    const found = await client.query<{ Id: number; Value: string }>(
      'SELECT Id, Value FROM things ORDER BY Id',
    );
    assert.deepEqual(
      found.map((row) => [row.Id, row.Value]),
      rows.map((row) => [...row]),
    );
  });

  it('stores a block once when it is sent again under the same token', async () => {
    const token = `t-${Date.now()}`;
    await client.insertNative('things', nativeBlock([[1, 'a']]), { token });
    await client.insertNative('things', nativeBlock([[1, 'a']]), { token });
    await client.insertNative('things', nativeBlock([[1, 'a']]), { token: `${token}-2` });
    assert.deepEqual(await client.query('SELECT count() AS n FROM things'), [{ n: 2 }]);
  });

  for (const [format, body] of [
    ['JSONEachRow', JSON.stringify({ Id: 1, Value: INJECTION }) + '\n'],
    ['TabSeparated', `1\t${INJECTION.replaceAll('\n', '\\n')}\n`],
    ['CSV', `1,"${INJECTION}"\n`],
    ['RowBinary', Buffer.concat([Buffer.from([1, 0, 0, 0]), text(INJECTION)])],
    ['Native', nativeBlock([[1, INJECTION]])],
    ['Values', `(1, '${INJECTION.replaceAll('\n', '\\n')}')`],
  ] as const) {
    it(`stores SQL that comes as a value in ${format} as that value`, async () => {
      const answer = await ask(store, {
        url: { query: `INSERT INTO ${store.database}.things FORMAT ${format}` },
        body,
      });
      assert.equal(answer.status, 200, answer.body.toString());
      assert.deepEqual(await client.query('SELECT Value FROM things'), [{ Value: INJECTION }]);
      assert.deepEqual(await client.query('SELECT count() AS n FROM spans'), [{ n: 0 }]);
    });
  }

  it('refuses a block it cannot read for good, and stores nothing of it', async () => {
    const broken = nativeBlock([[1, 'a']]).subarray(0, -1);
    await assert.rejects(client.insertNative('things', broken), {
      code: 'AZ_STORE_REFUSED',
      retryable: false,
    });
    assert.deepEqual(await client.query('SELECT count() AS n FROM things'), [{ n: 0 }]);
  });

  it('refuses a statement that is wrong with its code and name', async () => {
    await assert.rejects(client.query('SELECT * FROM no_such_table'), {
      code: 'AZ_STORE_REFUSED',
      message: /code 60 UNKNOWN_TABLE/,
    });
    await assert.rejects(client.command('SELEC 1'), {
      code: 'AZ_STORE_REFUSED',
      message: /code 62 SYNTAX_ERROR/,
    });
    await assert.rejects(client.command('SELECT 1; SELECT 2'), {
      code: 'AZ_STORE_REFUSED',
      message: /code 62 .*[Mm]ulti/,
    });
  });

  it('says no to a wrong password', async () => {
    const stranger = createStoreClient({ ...store, password: `${store.password}x` });
    try {
      assert.equal(await stranger.ping(), false);
      await assert.rejects(stranger.query('SELECT 1'), {
        code: 'AZ_STORE_REFUSED',
        message: /code (516|194)/,
      });
      assert.equal(await client.ping(), true);
    } finally {
      await stranger.close();
    }
  });

  it('has every object of the schema after a migration, which a second run leaves alone', async () => {
    assert.deepEqual(await migrate(client, settings(), silentLog), []);
    const tables = await client.query<{ name: string }>('SHOW TABLES');
    const names = new Set(tables.map((table) => table.name));
    for (const { sql } of readMigrations()) {
      const name = /\{database\}\.(\w+)/.exec(sql)![1]!;
      assert.ok(names.has(name), name);
    }
  });

  it('shortens the retention of tables that stand', async () => {
    await migrate(client, { ...settings(), retention_days: 3 }, silentLog);
    const [table] = await client.query<{ sql: string }>(
      'SELECT create_table_query AS sql FROM system.tables ' +
        `WHERE database = {d:String} AND name = 'spans'`,
      { d: store.database },
    );
    assert.match(table!.sql, /toIntervalDay\(3\)/);
    await migrate(client, settings(), silentLog);
  });

  it('shows spans by the names of the OpenTelemetry exporter', async () => {
    await client.command(
      `INSERT INTO ${store.database}.spans
         (Timestamp, TraceId, SpanId, SpanKind, ServiceName, Method, Route, HttpStatus,
          HopVersion, EdgeClass, Duration, SpanAttributes, \`Events.Name\`,
          \`Events.Timestamp\`, \`Events.Attributes\`)
       SELECT now64(9), '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203330', 'Server', 'edge',
         'GET', '/a/{id}', 200, 1, 'external_to_gateway', 1000, map('extra', 'yes'), ['e'],
         [now64(9)], [map('k', 'v')]`,
    );
    const [row] = await client.query<Record<string, unknown>>(
      `SELECT SpanName, SpanKind, ServiceName, StatusCode, Duration, SpanAttributes,
              ResourceAttributes, \`Events.Name\`
       FROM otel_traces WHERE TraceId = '0af7651916cd43dd8448eb211c80319c'`,
    );
    assert.deepEqual(row, {
      SpanName: 'GET /a/{id}',
      SpanKind: 'Server',
      ServiceName: 'edge',
      StatusCode: 'Unset',
      Duration: 1000,
      SpanAttributes: {
        'http.request.method': 'GET',
        'http.route': '/a/{id}',
        'http.response.status_code': '200',
        'azimuth.edge_class': 'external_to_gateway',
        'azimuth.traffic.direction': 'north_south',
        'azimuth.own_ns': '0',
        'azimuth.upstream_ns': '0',
        'azimuth.attempts': '0',
        extra: 'yes',
      },
      ResourceAttributes: { 'service.name': 'edge' },
      'Events.Name': ['e'],
    });
  });
}
