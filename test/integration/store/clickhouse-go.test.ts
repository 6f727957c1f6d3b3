/**
 * The embedded store for Grafana's ClickHouse plugin: its own Go client over HTTP, with each of its
 * compressions, against what the store answers as JSON.
 */
import assert from 'node:assert/strict';
import { requireClickhouseGo, type GoProgram } from '../../helpers/clickhouse-go.ts';
import { ALL_DASHBOARDS, dataPanels, readDashboard } from '../../helpers/grafana-dashboard.ts';
import { readAlertRules } from '../../helpers/grafana-alerts.ts';
import { startMeasuredShop, type MeasuredShop } from '../../helpers/measured-shop.ts';
import { expandGrafana } from '../dashboards/grafana-macros.ts';

const COMPRESSIONS = ['none', 'lz4', 'zstd', 'gzip', 'deflate', 'br'] as const;

/** A value of each type that ClickHouse knows and the store can send, more than one row of each. */
const EVERY_TYPE = `SELECT
    toUInt8(number) AS u8, toInt16(-number) AS i16, toUInt32(number) AS u32, toInt64(-number) AS i64,
    toUInt128(number) AS u128, toInt256(-number) AS i256, toFloat32(number / 2) AS f32, number / 4 AS f64,
    number = 1 AS flag, number > 0 = true AS truth, toDecimal32(number, 2) AS d32, toDecimal64(number, 3) AS d64,
    toDecimal128(number, 4) AS d128, toDecimal256(number, 5) AS d256,
    toDate('2026-01-01') + number AS day, toDate32('1960-01-01') + number AS day32,
    toDateTime('2026-01-01 00:00:00', 'UTC') + number AS second,
    toDateTime64('2026-01-01 00:00:00.123456789', 9, 'UTC') AS nano,
    concat('text ', toString(number), repeat('é', number)) AS text,
    toFixedString(toString(number), 3) AS fixed,
    toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS uuid,
    toIPv4('10.0.0.1') AS ip4, toIPv6('::1') AS ip6,
    CAST(if(number = 0, 'a, (b', 'c'), 'Enum8(\\'a, (b\\' = 1, \\'c\\' = 2)') AS choice,
    if(number = 1, NULL, number) AS maybe, if(number = 1, NULL, 'x') AS maybe_text,
    toLowCardinality(toString(number % 2)) AS few,
    CAST(if(number = 1, NULL, 'y'), 'LowCardinality(Nullable(String))') AS few_or_none,
    range(number) AS list, [[], [toString(number)]] AS lists,
    arrayMap(n -> toLowCardinality(toString(n)), range(number)) AS few_list,
    map('k', toString(number)) AS pairs, CAST(map('k', number), 'Map(LowCardinality(String), UInt64)') AS few_pairs,
    emptyArrayToSingle(CAST([], 'Array(UInt8)')) AS one, CAST([], 'Array(Map(String, String))') AS no_maps,
    (number, 'x', [number]) AS tuple,
    CAST((number, 'y'), 'Tuple(a UInt8, b_c String)') AS named,
    toIntervalDay(number) AS days
FROM numbers(3)`;

/** Columns of EVERY_TYPE that have one form only as text; of the others it counts that they are decoded. */
const PLAIN = 'u8 i16 u32 text choice few maybe_text few_or_none ip4'.split(' ');

describe('the embedded store, asked by clickhouse-go over HTTP', function () {
  // The first build compiles the client.
  this.timeout(600_000);
  let go: GoProgram | undefined;
  let shop: MeasuredShop | undefined;

  before(async function () {
    go = requireClickhouseGo(this);
    shop = await startMeasuredShop();
  });
  after(async () => {
    await shop?.stop();
    go?.remove();
  });

  const json = async (
    sql: string,
  ): Promise<{ meta: { name: string; type: string }[]; data: unknown[][] }> =>
    JSON.parse(await shop!.store.client.text(sql, {}, 'JSONCompact')) as never;

  for (const compression of COMPRESSIONS) {
    it(`reads every type, several blocks, errors and inserts (compression ${compression})`, async () => {
      await go!.withClient(shop!.store, compression, async (ask) => {
        const types = await ask({ sql: EVERY_TYPE });
        assert.equal(types.error, undefined);
        const { meta, data } = await json(EVERY_TYPE);
        assert.deepEqual(
          types.columns,
          meta.map((column) => column.name),
        );
        assert.equal(types.rows!.length, data.length);
        // What has one form only as text; the rest was decoded, which needs every byte in its place.
        const textOf = (value: unknown): string | null =>
          typeof value === 'number' || typeof value === 'string' ? String(value) : null;
        for (const name of PLAIN) {
          const at: number = meta.findIndex((column) => column.name === name);
          assert.deepEqual(
            (types.rows ?? []).map((row) => row[at]),
            data.map((row) => textOf(row[at])),
            name,
          );
        }

        const blocks = await ask({
          sql: 'SELECT number, toString(number) FROM numbers(100000) SETTINGS max_block_size = 1000',
        });
        assert.equal(blocks.rows!.length, 100_000);
        assert.deepEqual(blocks.rows![99_999], ['99999', '99999']);

        assert.match((await ask({ sql: 'SELECT nope' })).error ?? '', /Code: 47\. DB::Exception/);
        assert.match(
          (await ask({ sql: "SELECT CAST('{}', 'JSON') AS doc" })).error ?? '',
          /Code: 48.*column "doc" of type JSON/,
        );

        assert.equal((await ask({ sql: 'DROP TABLE IF EXISTS given' })).error, undefined);
        const create =
          'CREATE TABLE given (Id UInt32, Value String) ENGINE = MergeTree ORDER BY Id';
        assert.equal((await ask({ sql: create })).error, undefined);
        // Long and repetitive, so that it is packed; a blank line, which must not be read as SQL.
        const rows = Array.from({ length: 2000 }, (_, n) => [
          n,
          `row ${n}\n\n${'abcab'.repeat(n % 50)}`,
        ]);
        assert.equal((await ask({ insert: 'INSERT INTO given', rows })).error, undefined);
        const back = await ask({ sql: 'SELECT * FROM given ORDER BY Id' });
        assert.deepEqual(
          back.rows,
          rows.map(([id, value]) => [String(id), value]),
        );
      });
    });
  }

  it("answers what the plugin asks to fill its editor's lists", async () => {
    await go!.withClient(shop!.store, 'lz4', async (ask) => {
      for (const [sql, known] of [
        ['SHOW DATABASES', 'azimuth'],
        ['SHOW TABLES FROM "azimuth"', 'spans'],
        ['DESC TABLE "azimuth"."otel_traces"', 'TraceId'],
        ["SELECT name FROM system.functions WHERE name = 'count'", 'count'],
        ['SELECT timezone()', 'UTC'],
        ['SELECT version()', ''],
      ] as const) {
        const { rows, error } = await ask({ sql });
        assert.equal(error, undefined, sql);
        assert.ok(
          rows!.some((row) => row[0] === known || known === ''),
          sql,
        );
      }
    });
  });

  it('shows the rows of every panel and every alert rule', async () => {
    const [slowest] = await shop!.store.client.query<{ trace: string }>(
      "SELECT TraceId AS trace FROM spans WHERE Side = 'ingress' AND HttpStatus = 200 LIMIT 1",
    );
    const all = { direction: '$__all', topology: '$__all', route: '$__all' };
    const expanded = (sql: string): string =>
      expandGrafana(sql, {
        ...{ fromS: shop!.fromS, toS: shop!.toS, intervalS: 60 },
        variables: { perspective: 'split', trace: slowest!.trace, ...all },
      });
    const queries = [
      ...ALL_DASHBOARDS.map(readDashboard).flatMap((dashboard) =>
        dataPanels(dashboard).flatMap((panel) =>
          (panel.targets ?? []).map((target) => [panel.title, expanded(target.rawSql)] as const),
        ),
      ),
      ...readAlertRules().map((rule) => [rule.title, rule.data[0]!.model.rawSql!] as const),
    ];
    await go!.withClient(shop!.store, 'lz4', async (ask) => {
      for (const [title, sql] of queries) {
        const { meta, data } = await json(sql);
        const given = await ask({ sql });
        assert.equal(given.error, undefined, title);
        assert.equal(given.rows?.length ?? 0, data.length, title);
        if (data.length === 0) continue;
        assert.deepEqual(
          given.columns,
          meta.map((column) => column.name),
          title,
        );
        for (const [at, { name, type }] of meta.entries()) {
          if (!/^(LowCardinality\()?String|^U?Int(8|16|32)$/.test(type)) continue;
          const texts = data.map((row) => String(row[at]));
          assert.deepEqual(
            given.rows!.map((row) => row[at]),
            texts,
            `${title}: ${name}`,
          );
        }
      }
    });
  });
});
