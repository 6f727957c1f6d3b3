/**
 * The embedded store's HTTP interface as other programs see it: curl, the official client, and
 * clients that ask for what it does not speak.
 */
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { framed, Unframer } from '../../../store/embedded/block-frames.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { ask, type Answer, type Question } from '../../helpers/store-http.ts';
import { until } from '../../helpers/until.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const SEED = Number(process.env['SEED'] ?? 20261125);

describe('the HTTP interface of the embedded store', () => {
  let store: TestStore;
  const query = (question: Question): Promise<Answer> => ask(store, question);
  const faults = async (question: Question, status: number, text: RegExp): Promise<void> => {
    const answer = await query(question);
    assert.equal(answer.status, status, answer.body.toString());
    assert.match(answer.body.toString(), text);
    assert.match(answer.body.toString(), /^Code: \d+\. DB::Exception: .*\(version /s);
    assert.match(String(answer.headers['x-clickhouse-exception-code']), /^\d+$/);
  };
  const count = async (): Promise<number> =>
    Number((await query({ url: { query: 'SELECT count() FROM azimuth.raw' } })).body);

  before(async function () {
    this.timeout(60_000);
    store = await startTestStore();
    await store.client.command(
      'CREATE TABLE azimuth.raw (Id UInt32, Value String) ENGINE = MergeTree ORDER BY Id',
    );
  });
  after(async () => {
    await store.stop();
  });
  beforeEach(async () => {
    await store.client.command('TRUNCATE TABLE azimuth.raw');
  });

  describe('for curl', () => {
    it('answers with the headers that clients read', async () => {
      const answer = await query({
        url: { query: 'SELECT 1 AS a FORMAT JSON', query_id: 'my-id' },
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['x-clickhouse-query-id'], 'my-id');
      assert.equal(answer.headers['x-clickhouse-format'], 'JSON');
      assert.equal(answer.headers['x-clickhouse-timezone'], 'UTC');
      assert.match(String(answer.headers['content-type']), /^application\/json/);
      const summary = JSON.parse(String(answer.headers['x-clickhouse-summary'])) as object;
      assert.equal((summary as { result_rows: string }).result_rows, '1');
      // The engine cannot tell what an insert wrote, so nothing may be said.
      assert.ok(!('written_rows' in summary));
    });

    it('takes SQL from the URL, the body, or both', async () => {
      assert.equal((await query({ url: { query: 'SELECT 1' } })).body.toString(), '1\n');
      assert.equal((await query({ body: 'SELECT 2' })).body.toString(), '2\n');
      assert.equal((await query({ url: { query: 'SELECT' }, body: '3' })).body.toString(), '3\n');
    });

    it('takes rows behind the SQL in one body, or all in the body', async () => {
      const answers = [
        await query({ body: 'INSERT INTO azimuth.raw FORMAT TSV\n1\ta\n' }),
        await query({ url: { query: 'INSERT INTO azimuth.raw FORMAT TSV' }, body: '2\tb\n' }),
        await query({ url: { query: 'INSERT INTO azimuth.raw' }, body: 'FORMAT CSV\n3,c\n' }),
        await query({ body: `INSERT INTO azimuth.raw (Id, Value) VALUES (4, 'd;'), (5, 'e');` }),
        await query({
          url: { query: 'INSERT INTO azimuth.raw VALUES', param_p: "it\\'s" },
          body: '(6, {p:String})',
        }),
      ];
      for (const answer of answers) assert.equal(answer.status, 200, answer.body.toString());
      const found = await query({ url: { query: 'SELECT * FROM azimuth.raw ORDER BY Id' } });
      assert.equal(found.body.toString(), "1\ta\n2\tb\n3\tc\n4\td;\n5\te\n6\tit\\'s\n");
    });

    it('honours the database and the parameters of the URL', async () => {
      const answer = await query({
        url: { database: 'azimuth', param_n: '7', param_s: 'a\\nb' },
        body: 'SELECT count() + {n:UInt8}, {s:String} FROM raw FORMAT JSONCompactEachRow',
      });
      assert.equal(answer.body.toString(), '[7, "a\\nb"]\n');
      await faults({ url: { database: 'nowhere', query: 'SELECT 1' } }, 404, /Code: 81/);
    });

    it('inflates bodies and deflates answers in every encoding that it names', async () => {
      const sql = Buffer.from("SELECT repeat('x', 1000)");
      for (const [encoding, deflate, inflate] of [
        ['gzip', zlib.gzipSync, zlib.gunzipSync],
        ['deflate', zlib.deflateSync, zlib.inflateSync],
        ['br', zlib.brotliCompressSync, zlib.brotliDecompressSync],
        ['zstd', zlib.zstdCompressSync, zlib.zstdDecompressSync],
      ] as const) {
        const answer = await query({
          url: { enable_http_compression: '1' },
          body: deflate(sql),
          headers: { 'content-encoding': encoding, 'accept-encoding': encoding },
        });
        assert.equal(answer.headers['content-encoding'], encoding);
        assert.equal(inflate(answer.body).toString(), 'x'.repeat(1000) + '\n');
      }
    });

    it('answers /ping, /healthz and /readyz without a password', async () => {
      for (const path of ['/ping', '/healthz', '/readyz', '/replicas_status']) {
        assert.equal((await query({ path, auth: null })).status, 200, path);
      }
      assert.equal((await query({ path: '/ping', auth: null })).body.toString(), 'Ok.\n');
      await faults({ path: '/elsewhere' }, 404, /no handle \/elsewhere/);
    });
  });

  describe('for the official client', () => {
    it('selects, inserts rows and streams, pings, and reports errors by code and type', async () => {
      const client = createClient({
        url: store.url,
        username: store.user,
        password: store.password,
        database: 'azimuth',
        compression: { request: true, response: true },
        log: { level: ClickHouseLogLevel.OFF },
      });
      try {
        assert.deepEqual(await client.ping(), { success: true });
        await client.insert({
          table: 'raw',
          values: [{ Id: 1, Value: '\n\nDROP TABLE spans' }],
          format: 'JSONEachRow',
          clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1 },
        });
        const result = await client.query({
          query: 'SELECT * FROM raw WHERE Value LIKE {like:String}',
          query_params: { like: '%DROP%' },
          format: 'JSONEachRow',
        });
        assert.deepEqual(await result.json(), [{ Id: 1, Value: '\n\nDROP TABLE spans' }]);
        await assert.rejects(client.query({ query: 'SELECT nothing' }), {
          code: '47',
          type: 'UNKNOWN_IDENTIFIER',
        });
      } finally {
        await client.close();
      }
    });

    it('tells it about an error in the middle of a stream', async () => {
      await store.client.command(
        `INSERT INTO azimuth.raw SELECT number, 'x' FROM numbers(1000000)`,
      );
      const answer = await query({
        body: 'SELECT Id, throwIf(Id = 950000) FROM azimuth.raw FORMAT TSV',
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.complete, false);
      const tag = String(answer.headers['x-clickhouse-exception-tag']);
      const tail = answer.body.subarray(-1000).toString();
      assert.match(tail, new RegExp(`__exception__\r\n${tag}\r\nCode: 395[^]*${tag}\r\n`));
      await assert.rejects(
        store.client.query('SELECT Id, throwIf(Id = 950000) FROM azimuth.raw'),
        /395|aborted|hang up/,
      );
    });
  });

  describe('for a stranger', () => {
    it('answers 401 without credentials and 403 with wrong ones, both as code 516', async () => {
      const sql = { query: 'SELECT 1' };
      await faults({ url: sql, auth: null }, 401, /Code: 516/);
      for (const auth of [
        'azimuth:wrong',
        'other:x',
        `default:${store.password}`,
        'azimuth:',
        ':',
      ]) {
        await faults({ url: sql, auth }, 403, /Code: 516/);
      }
      await faults(
        { url: { ...sql, user: 'azimuth', password: 'no' }, auth: null },
        403,
        /Code: 516/,
      );
      await faults(
        { body: 'DROP TABLE azimuth.raw', headers: { authorization: 'Bearer x' }, auth: null },
        401,
        /Code: 516/,
      );
      assert.equal(await count(), 0);
    });

    it('takes the user from headers or the URL as ClickHouse does', async () => {
      const { user, password } = store;
      const answers = [
        await query({
          url: { query: 'SELECT 1' },
          headers: { 'X-ClickHouse-User': user, 'X-ClickHouse-Key': password },
          auth: null,
        }),
        await query({ url: { query: 'SELECT 1', user, password }, auth: null }),
      ];
      for (const answer of answers) assert.equal(answer.status, 200, answer.body.toString());
    });

    it('survives bytes that are no HTTP', async () => {
      const { port } = new URL(store.url);
      const random = seededRandom(SEED);
      for (let i = 0; i < 20; i += 1) {
        await new Promise<void>((resolve) => {
          const socket = connect(Number(port), '127.0.0.1');
          socket.on('error', () => undefined);
          socket.on('close', () => resolve());
          socket.resume();
          socket.end(Buffer.from(Array.from({ length: 200 }, () => Math.floor(random() * 256))));
        });
      }
      assert.equal(await count(), 0);
    });
  });

  describe('refuses instead of answering 200', () => {
    it('several statements in one request', async () => {
      await faults({ body: 'SELECT 1; DROP TABLE azimuth.raw' }, 400, /Multi-statements/);
      await faults(
        { body: `INSERT INTO azimuth.raw VALUES (1, 'x'); DROP TABLE azimuth.raw` },
        400,
        /Multi-statements/,
      );
      assert.equal(await count(), 0);
    });

    it('no statement, and an INSERT without rows', async () => {
      for (const body of ['', ' ', '-- SELECT 1', ';']) await faults({ body }, 400, /Code: 62/);
      await faults({ url: { query: '' } }, 400, /Code: 62/);
      const sql = 'INSERT INTO azimuth.raw FORMAT Native';
      await faults({ url: { query: sql }, method: 'POST' }, 400, /Code: 108/);
      await faults({ url: { query: sql }, body: '' }, 400, /Code: 108/);
      await faults(
        { url: { query: sql }, body: zlib.gzipSync(''), headers: { 'content-encoding': 'gzip' } },
        400,
        /Code: 108/,
      );
    });

    it('encodings and protocols that it does not speak', async () => {
      const sql = { query: 'INSERT INTO azimuth.raw FORMAT TSV' };
      const lz4 = Buffer.from('04224d186440a7060000000031', 'hex');
      await faults({ url: sql, body: lz4, headers: { 'content-encoding': 'lz4' } }, 415, /"lz4"/);
      await faults(
        { url: { query: 'SELECT 1', client_protocol_version: '54000' } },
        501,
        /client_protocol_version=54000/,
      );
      await faults({ url: { query: 'SELECT 1', session_id: 's' } }, 501, /session_id/);
      // Without its Content-Encoding such a body is no SQL.
      await faults({ body: lz4 }, 400, /Code: 62/);
      assert.equal(await count(), 0);
    });

    it('frames that are none, or broken, with nothing stored', async () => {
      const url = { query: 'INSERT INTO azimuth.raw FORMAT TSV', decompress: '1' };
      const body = framed(Buffer.from('1\ta\n'));
      await faults({ url, body: body.subarray(0, -1) }, 400, /Code: 33/);
      const wrong = Buffer.from(body);
      wrong[wrong.length - 1]! ^= 1;
      await faults({ url, body: wrong }, 400, /Code: 40/);
      await faults({ url, body: Buffer.alloc(100, 'x') }, 413, /Code: 307/);
      assert.equal(await count(), 0);
      assert.equal((await query({ url, body })).status, 200);
      assert.equal(await count(), 1);
    });

    it('what it answers in frames, an error of the password too', async () => {
      for (const [question, status, text] of [
        [{ url: { query: 'SELECT 7', compress: '1' } }, 200, /^7\n$/],
        [{ url: { query: 'SELECT nope', compress: '1' } }, 404, /^Code: 47/],
        [{ url: { query: 'SELECT 7', compress: '1' }, auth: null }, 401, /^Code: 516/],
      ] as const) {
        const answer = await query(question);
        assert.equal(answer.status, status);
        const unframer = new Unframer();
        unframer.end(answer.body);
        assert.match(Buffer.concat((await unframer.toArray()) as Buffer[]).toString(), text);
      }
    });

    it('a body that is not what its encoding says, or that broke off', async () => {
      const sql = { query: 'INSERT INTO azimuth.raw FORMAT TSV' };
      const headers = { 'content-encoding': 'gzip' };
      await faults({ url: sql, body: '1\ta\n', headers }, 400, /Code: 354/);
      const cut = zlib.gzipSync('1\ta\n'.repeat(100_000)).subarray(0, -20);
      await faults({ url: sql, body: cut, headers }, 400, /Code: 354/);
      assert.equal(await count(), 0);
    });

    it('a gzip bomb, by its inflated length', async function () {
      this.timeout(30_000);
      const bomb = zlib.gzipSync(Buffer.alloc(300 * 1024 * 1024, 0x30));
      await faults(
        {
          url: { query: 'INSERT INTO azimuth.raw FORMAT TSV' },
          body: bomb,
          headers: { 'content-encoding': 'gzip' },
        },
        413,
        /larger than \d+ bytes/,
      );
      assert.equal(await count(), 0);
    });

    it('files, other servers, and orders to the engine', async () => {
      for (const sql of [
        `SELECT * FROM file('/etc/passwd', 'LineAsString')`,
        `SELECT * FROM '/etc/passwd'`,
        'SELECT * FROM default.`/etc/passwd`',
        `SELECT file('/etc/passwd')`,
        `SELECT * FROM url('http://127.0.0.1:1/')`,
        `SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a Int8')`,
        `SELECT * FROM remote('127.0.0.1', system.one)`,
        `SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')`,
        `SELECT * FROM filesystem('/')`,
        `SELECT 1 INTO OUTFILE '/tmp/x'`,
        `CREATE TABLE azimuth.f (a String) ENGINE = File(CSV, '/etc/passwd')`,
        `CREATE TABLE azimuth.u (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)`,
        `CREATE DATABASE d ENGINE = Filesystem('/')`,
        `DESCRIBE file('/etc/passwd')`,
        `EXPLAIN SELECT * FROM file('/etc/passwd')`,
        'SYSTEM SHUTDOWN',
        'KILL QUERY WHERE 1',
        'CREATE USER u',
      ]) {
        await faults({ body: sql }, 403, /Code: 497/);
      }
      await faults(
        { url: { param_f: 'file' }, body: `SELECT arrayMap({f:Identifier}, ['/etc/passwd'])` },
        403,
        /Code: 497/,
      );
    });

    it('a GET that would change something', async () => {
      await faults({ url: { query: 'DROP TABLE azimuth.raw' } }, 403, /Code: 164/);
      await faults({ url: { query: `INSERT INTO azimuth.raw VALUES (1, '')` } }, 403, /Code: 164/);
      assert.equal(await count(), 0);
    });

    it('to lift its limits, and takes lower ones', async () => {
      for (const [name, value] of [
        ['max_execution_time', '0'],
        ['max_execution_time', '100000'],
        ['max_memory_usage', '0'],
        ['max_memory_usage', '100000000000'],
        ['max_result_rows', '0'],
        ['max_result_rows', '1000000000'],
      ] as const) {
        await faults({ url: { [name]: value, query: 'SELECT 1' } }, 400, /Code: 452/);
        await faults({ body: `SELECT 1 SETTINGS ${name} = ${value}` }, 400, /Code: 452/);
      }
      await faults(
        { url: { max_result_rows: '10' }, body: 'SELECT number FROM numbers(11)' },
        400,
        /Code: 396/,
      );
      await faults(
        {
          url: { max_memory_usage: '1000000' },
          body: 'SELECT groupArray(number) FROM numbers(1e7)',
        },
        500,
        /Code: 241/,
      );
      await faults(
        {
          url: { max_execution_time: '1' },
          body: 'SELECT sum(sleepEachRow(0.05)) FROM numbers(1000) SETTINGS max_block_size = 1',
        },
        408,
        /Code: 159/,
      );
      assert.equal(await count(), 0);
    });
  });

  it('keeps one request from another: settings, databases and parameters do not leak', async () => {
    await query({ body: 'SET max_threads = 1' });
    await query({ body: 'USE azimuth' });
    await query({ url: { max_threads: '3', database: 'azimuth', param_p: '1' }, body: 'SELECT 1' });
    const seen = await query({
      body: `SELECT currentDatabase(), getSetting('max_threads') IN (1, 3)`,
    });
    assert.equal(seen.body.toString(), 'default\t0\n');
    await faults({ body: 'SELECT {p:UInt8}' }, 400, /Code: 456/);
    await query({ body: 'CREATE TEMPORARY TABLE mine (a Int8)' });
    await faults({ body: 'SELECT * FROM mine' }, 404, /Code: 60/);
  });

  it('stores 200 random binary bodies exactly, in RowBinary and Native', async () => {
    const random = seededRandom(SEED);
    // Rich in line breaks, blanks and semicolons, which end data where bytes are glued to SQL.
    const bytes = (): Buffer =>
      Buffer.from(
        Array.from({ length: Math.floor(random() * 120) }, () =>
          random() < 0.4 ? [0x0a, 0x0d, 0x20, 0x3b][Math.floor(random() * 4)]! : random() * 256,
        ),
      );
    const short = (length: number): Buffer => Buffer.from([length]);
    const values = new Map<number, string>();
    for (let i = 0; i < 200; i += 1) {
      const id = Math.floor(random() * 2 ** 32);
      const value = bytes();
      values.set(id, value.toString('hex'));
      const number = Buffer.alloc(4);
      number.writeUInt32LE(id);
      const row =
        i % 2 === 0
          ? Buffer.concat([number, short(value.length), value])
          : Buffer.concat([
              Buffer.from([2, 1, 2]),
              ...[Buffer.from('Id'), short(6), Buffer.from('UInt32'), number],
              ...[short(5), Buffer.from('Value'), short(6), Buffer.from('String')],
              ...[short(value.length), value],
            ]);
      const answer = await query({
        url: { query: `INSERT INTO azimuth.raw FORMAT ${i % 2 === 0 ? 'RowBinary' : 'Native'}` },
        body: row,
      });
      assert.equal(answer.status, 200, `seed ${SEED}, body ${i}: ${answer.body.toString()}`);
    }
    const rows = await store.client.query<{ Id: number; hex: string }>(
      'SELECT Id, lower(hex(Value)) AS hex FROM raw',
    );
    assert.deepEqual(new Map(rows.map((row) => [row.Id, row.hex])), values, `seed ${SEED}`);
  });

  it('stops the query of a reader who goes away', async () => {
    const running = async (): Promise<number> => {
      const rows = await store.client.query<{ n: number }>(
        `SELECT count() AS n FROM system.processes WHERE query LIKE '%sleepEachRow(0.07)%'
         AND query NOT LIKE '%system.processes%'`,
      );
      return rows[0]!.n;
    };
    const leaver = new AbortController();
    const asked = query({
      body: 'SELECT sum(sleepEachRow(0.07)) FROM numbers(400) SETTINGS max_block_size = 1',
      signal: leaver.signal,
    });
    asked.catch(() => undefined);
    await until(async () => (await running()) === 1);
    leaver.abort();
    await assert.rejects(asked);
    await until(async () => (await running()) === 0, 5_000);
  });

  it('leaves no body behind in the spool, whatever became of it', async () => {
    await query({ body: 'INSERT INTO azimuth.raw FORMAT TSV\n1\ta\n' });
    await query({ body: 'INSERT INTO azimuth.raw FORMAT TSV\nx\n' });
    await query({ body: 'INSERT INTO azimuth.nowhere FORMAT TSV\n1\n' });
    const files = readdirSync(store.spoolFolder).map((name) => join(store.spoolFolder, name));
    assert.deepEqual(files, []);
  });
});
