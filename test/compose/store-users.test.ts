/**
 * The users of deploy/clickhouse/users.d/azimuth.xml against what the code does in ClickHouse: every
 * statement of the schema step, the collector, the jobs and the reports is written down as it is
 * issued, and then put to the engine with the grants of each user. The engine refuses, not a parser.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createAttributionJob } from '../../analytics/jobs/attribution.ts';
import { runRollup } from '../../analytics/jobs/rollup.ts';
import { createSnapshotReader } from '../../analytics/live/snapshot.ts';
import { readReport, REPORTS } from '../../analytics/reports/catalogue.ts';
import { explainTrace, slowestTrace } from '../../analytics/reports/explain.ts';
import { sql } from '../../analytics/sql.ts';
import { dayOf, HOUR_MS, MINUTE_MS } from '../../analytics/window.ts';
import { DeadLettersTable } from '../../collector/columns/dead-letters-table.ts';
import { LedgersTable } from '../../collector/columns/ledgers-table.ts';
import { SpansTable } from '../../collector/columns/spans-table.ts';
import { silentLog } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { migrate } from '../../store/migrate.ts';
import { insertHops, insertLedger, randomHops } from '../helpers/hop-rows.ts';
import { seededRandom } from '../helpers/prng.ts';
import { startTestStore } from '../helpers/store.ts';
import { ROOT } from './compose-file.ts';
import type { RunAs, Statement } from './run-as.ts';

const TENANT = readFileSync(`${ROOT}deploy/clickhouse/tenant-example.xml`, 'utf8');
const USERS = readFileSync(`${ROOT}deploy/clickhouse/users.d/azimuth.xml`, 'utf8');
const RUN_AS = fileURLToPath(new URL('./run-as.ts', import.meta.url));
const SEED = 11;
/** Rows of the namespace that the example tenant has. */
const OF_SHOP = 3;
/** The last hour of a day that is over, well inside the retention: hour and day are built. */
const T0 = dayOf(Date.now() - 3 * HOUR_MS) - HOUR_MS;

type Name = 'azimuth_owner' | 'azimuth_writer' | 'azimuth_reader' | 'tenant_shop';

/** What stands between the tags of an element; the file has no attributes or repeats where this looks. */
const inside = (element: string, xml: string): string => {
  const found = new RegExp(`<${element}>(.*?)</${element}>`, 's').exec(xml)?.[1];
  assert.ok(found !== undefined, `users.d/azimuth.xml has no <${element}>`);
  return found;
};
const userOf = (name: Name): string =>
  inside(name, inside('users', name === 'tenant_shop' ? TENANT : USERS));
const grantsOf = (name: Name): string[] =>
  [...inside('grants', userOf(name)).matchAll(/<query>(.*?)<\/query>/gs)].map(
    ([, query]) => query!,
  );

/** Filters on rows, where the user has some. */
const databasesOf = (name: Name): string =>
  /<databases>.*<\/databases>/s.exec(userOf(name))?.[0] ?? '';

/** users.xml of an engine whose one user is the named one. */
function usersXml(name: Name): string {
  const grants = grantsOf(name).map((query) => `<query>${query}</query>`);
  return `<clickhouse>
    <profiles><default/>${inside('profiles', USERS)}</profiles>
    <users><default>
      <password></password><networks><ip>::/0</ip></networks>
      <profile>${inside('profile', userOf(name))}</profile><quota>default</quota>
      <grants>${grants.join('')}</grants>
      ${databasesOf(name)}
    </default></users>
    <quotas><default/></quotas>
  </clickhouse>`;
}

/** A value as the server wants the text of a parameter. */
function paramText(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map((one) => (typeof one === 'string' ? `'${one}'` : String(one))).join(',')}]`;
  }
  return String(value);
}

/** The client, with every statement written down. Rows in bytes become an insert of no rows. */
function recording(store: StoreClient, log: Statement[]): StoreClient {
  const note = (text: string, params: Readonly<Record<string, unknown>> = {}): void => {
    const values = Object.entries(params).map(([k, v]) => [k, paramText(v)] as const);
    log.push({ sql: text, database: store.database, params: values });
  };
  return {
    ...store,
    query: (text, params, settings) => (note(text, params), store.query(text, params, settings)),
    text: (text, params, format) => (note(text, params), store.text(text, params, format)),
    stream: (text, params) => (note(text, params), store.stream(text, params)),
    command: (text, params) => (note(text, params), store.command(text, params)),
    insertNative: (table, block, options) => {
      note(insertOfNothing(table));
      return store.insertNative(table, block, options);
    },
    inDatabase: (database) => recording(store.inDatabase(database), log),
  };
}

function insertOfNothing(target: string): string {
  const [, table, columns = '*'] = /^(\S+)(?: \((.*)\))?$/s.exec(target)!;
  return `INSERT INTO ${target} SELECT ${columns} FROM ${table!} LIMIT 0`;
}

/** What the engine says of each statement to a user; null where it does it. */
async function runAs(name: Name, folder: string, statements: readonly Statement[]) {
  const child = spawn(process.execPath, [RUN_AS], { stdio: ['pipe', 'pipe', 'pipe'] });
  const order: RunAs = { folder, users: usersXml(name), statements };
  child.stdin.end(JSON.stringify(order));
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  assert.match(stdout, /^\[.*\]$/s, `${name}: ${stderr}`);
  return JSON.parse(stdout) as (string | null)[];
}

describe('the users of the local stack in ClickHouse', function () {
  this.timeout(120_000);
  /** As they were issued, by whom. */
  const schema: Statement[] = [];
  const collector: Statement[] = [];
  const jobs: Statement[] = [];
  const reports: Statement[] = [];
  let root = '';
  let migrated = '';
  let empty = '';

  before('write every statement down', async () => {
    root = mkdtempSync(join(tmpdir(), 'azimuth-users-'));
    migrated = join(root, 'migrated');
    empty = join(root, 'empty');
    const store = await startTestStore({ migrated: false });
    try {
      const settings = { database: store.database, retention_days: 7 };
      await migrate(recording(store.client, schema), settings, silentLog);
      // Another retention, as a changed mesh file asks for.
      await migrate(recording(store.client, schema), { ...settings, retention_days: 8 }, silentLog);
      store.embedded.markReady();
      for (const table of [new SpansTable(), new LedgersTable(), new DeadLettersTable()]) {
        await recording(store.client, collector).insertNative(table.name, table.emptyBlock());
      }

      const count = { count: 400, fromMs: T0, spanMs: 10 * MINUTE_MS };
      await insertHops(store.client, randomHops(seededRandom(SEED), count));
      await insertLedger(store.client, {
        atMs: T0 + 11 * MINUTE_MS,
        boot: 'boot-edge',
        finished: 400,
      });
      let nowMs = T0 + 3 * HOUR_MS;
      const client = recording(store.client, jobs);
      const context = { store: client, log: silentLog, retentionDays: 7, nowMs: () => nowMs };
      const attribution = createAttributionJob(context);
      await runRollup(context);
      await attribution.run();
      // Late rows, so that published minutes are built again and some of their traces kept.
      await insertHops(
        store.client,
        randomHops(seededRandom(SEED + 1), { ...count, count: 5, firstN: 1_000 }).map((hop) => ({
          ...hop,
          ingestedS: nowMs / 1000,
        })),
      );
      nowMs += 2 * MINUTE_MS;
      await runRollup(context);
      await attribution.run();

      // Of one tenant; the hops above have no namespace.
      await store.client.command(
        `INSERT INTO spans (Timestamp, TraceId, SpanId, ServiceNamespace, ServiceName)
         SELECT fromUnixTimestamp64Milli({at:Int64}), leftPad(hex(number + 1), 32, '0'),
           leftPad(hex(number + 1), 16, '0'), 'shop', 'catalog' FROM numbers({rows:UInt8})`,
        { at: T0, rows: OF_SHOP },
      );
      const reader = recording(store.client, reports);
      const window = { fromMs: T0, toMs: T0 + HOUR_MS };
      for (const report of REPORTS) {
        for (const hours of [1, 72]) {
          const from = new Date(T0 + HOUR_MS - hours * HOUR_MS).toISOString();
          const to = new Date(T0 + HOUR_MS).toISOString();
          await readReport(report, { from, to }, { store: reader, retentionDays: 7, nowMs });
        }
      }
      await explainTrace(reader, await slowestTrace(reader, window, undefined));
      const live = { store: reader, retentionDays: 7, lastMs: HOUR_MS, nowMs: () => window.toMs };
      await createSnapshotReader(live)();
      // At rest: the engine's files are a consistent whole only then.
      await store.embedded.stop();
      cpSync(store.folder, migrated, { recursive: true });
    } finally {
      await store.stop();
    }
  });

  after(() => {
    if (root !== '') rmSync(root, { recursive: true });
  });

  it('are put to every statement that writes: none was left out here', () => {
    const issued = new Set(jobs.map(({ sql: text }) => text));
    const files = readdirSync(`${ROOT}analytics/queries`).filter((file) => file.endsWith('.sql'));
    const writing = files
      .map((file) => sql(file.slice(0, -'.sql'.length)))
      .filter((text) => text.replace(/^--.*\n/gm, '').startsWith('INSERT'));
    assert.ok(writing.length >= 5, `${writing.length} files that insert`);
    for (const text of writing) assert.ok(issued.has(text), text.slice(0, 200));
  });

  it('let the owner make the schema, change its retention, and nothing beyond', async () => {
    const all = schema.map((one) => ({ ...one, database: 'system' }));
    const refusals = await runAs('azimuth_owner', empty, [
      ...all,
      ...['DROP TABLE azimuth.spans', 'TRUNCATE TABLE azimuth.spans', 'CREATE DATABASE other'].map(
        (text) => ({ sql: text, database: 'system', params: [] }),
      ),
      {
        sql: "SELECT * FROM url('http://127.0.0.1:9/', CSV, 'a String')",
        database: 'system',
        params: [],
      },
    ]);
    assert.ok(schema.length > 20);
    refusals.forEach((refusal, i) => {
      if (i < all.length) assert.equal(refusal, null, all[i]!.sql);
      else assert.match(refusal ?? 'was done', /ACCESS_DENIED|Not enough privileges/);
    });
  });

  it('let the writer do all that collector, jobs and reports do, and change or remove nothing', async () => {
    const own = [...collector, ...jobs, ...reports];
    const forbidden = [
      ...schema.filter(({ sql: text }) => /^(CREATE|ALTER)/.test(text)),
      ...[
        'DROP TABLE spans',
        'TRUNCATE TABLE spans',
        'ALTER TABLE spans DELETE WHERE 1',
        'DELETE FROM spans WHERE 1',
        'OPTIMIZE TABLE spans',
        'INSERT INTO schema_migrations (Version) SELECT 1',
        'CREATE TABLE azimuth.other (a UInt8) ENGINE = MergeTree ORDER BY a',
      ].map((text) => ({ sql: text, database: 'azimuth', params: [] })),
    ];
    const refusals = await runAs('azimuth_writer', migrated, [...own, ...forbidden]);
    refusals.forEach((refusal, i) => {
      if (i < own.length) assert.equal(refusal, null, own[i]!.sql);
      else
        assert.match(
          refusal ?? `${forbidden[i - own.length]!.sql} was done`,
          /Not enough privileges/,
        );
    });
  });

  it('give the writer no insert that nobody issues', () => {
    const issued = [...collector, ...jobs].flatMap(
      ({ sql: text }) => /^(?:\s*--.*\n)*\s*INSERT INTO (\w+)/.exec(text)?.[1] ?? [],
    );
    const granted = grantsOf('azimuth_writer').flatMap(
      (grant) => /^GRANT INSERT ON azimuth\.(\w+)$/.exec(grant)?.[1] ?? [],
    );
    assert.deepEqual(granted.sort(), [...new Set(issued)].sort());
  });

  it('let the reader read within limits, and write nothing', async () => {
    const allowed = [
      ...reports,
      {
        sql: 'SELECT count() FROM otel_traces SETTINGS max_execution_time = 20',
        database: 'azimuth',
        params: [],
      },
    ];
    const writes = [...collector, ...jobs].filter(({ sql: text }) => /INSERT INTO/.test(text));
    const forbidden = [
      ...writes,
      ...schema.filter(({ sql: text }) => /^(CREATE|ALTER)/.test(text)),
      ...[
        'SELECT 1 SETTINGS max_execution_time = 3600',
        'SELECT 1 SETTINGS max_memory_usage = 0',
        'SELECT number FROM numbers(1) SETTINGS max_result_rows = 100000000',
        "SELECT * FROM file('x.csv', CSV, 'a String')",
        'SET readonly = 0',
      ].map((text) => ({ sql: text, database: 'azimuth', params: [] })),
    ];
    const refusals = await runAs('azimuth_reader', migrated, [...allowed, ...forbidden]);
    refusals.forEach((refusal, i) => {
      if (i < allowed.length) assert.equal(refusal, null, allowed[i]!.sql);
      else
        assert.match(
          refusal ?? `${forbidden[i - allowed.length]!.sql} was done`,
          /Not enough privileges|in readonly mode|shouldn't be (greater|less)|Cannot modify/,
        );
    });
  });

  it('let a tenant see the rows of its namespace, also through the views, and no sums of others', async () => {
    const counts = (table: string, where: string): Statement => ({
      sql: `SELECT throwIf(count() != ${OF_SHOP} OR countIf(NOT (${where})) > 0) FROM ${table}`,
      database: 'azimuth',
      params: [],
    });
    const own = [
      counts('spans', "ServiceNamespace = 'shop'"),
      counts('otel_traces', "ResourceAttributes['service.namespace'] = 'shop'"),
    ];
    const others = ['traffic_1m', 'attribution_traces', 'ledgers', 'dead_letters'].map((table) => ({
      sql: `SELECT count() FROM ${table}`,
      database: 'azimuth',
      params: [],
    }));
    const refusals = await runAs('tenant_shop', migrated, [...own, ...others]);
    assert.deepEqual(refusals.slice(0, own.length), [null, null]);
    for (const refusal of refusals.slice(own.length)) assert.match(refusal ?? 'done', /privileges/);
  });
});
