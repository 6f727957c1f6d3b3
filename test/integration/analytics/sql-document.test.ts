/**
 * docs/SQL.md: every query on what a real mesh recorded. Most answers are known from what was sent;
 * those that are times are compared with the raw rows.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { silentLog } from '../../../runtime/log.ts';
import { insertHops } from '../../helpers/hop-rows.ts';
import { runShop } from '../../helpers/shop-run.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

type Row = Record<string, string | number>;
type Check = (rows: Row[], store: TestStore) => void | Promise<void>;

/** `### 7. Question` and the query behind it. */
const QUESTIONS = [
  ...readFileSync(new URL('../../../docs/SQL.md', import.meta.url), 'utf8').matchAll(
    /^### (\d+)\. (.+)$[^]*?^```sql\n([^]*?)^```$/gm,
  ),
].map(([, number, question, query]) => ({ number: Number(number), question: question!, query: query! })); // prettier-ignore

const sum = (rows: readonly Row[], column: string): number =>
  rows.reduce((total, row) => total + Number(row[column]), 0);

const equal =
  (expected: unknown[]): Check =>
  (rows) =>
    assert.deepEqual(rows, expected);

/** Columns of each row, in order. */
const columns =
  (names: readonly string[], expected: readonly (readonly (string | number)[])[]): Check =>
  (rows) =>
    assert.deepEqual(
      rows.map((row) => names.map((name) => row[name])),
      expected,
    );

const total =
  (column: string, expected: number): Check =>
  (rows) =>
    assert.equal(sum(rows, column), expected);

/** Sent: 6 carts, 4 searches, 3 products, 1 without a route; made: 2 failures, one tried three times. */
const CHECKS: Readonly<Record<number, Check>> = {
  1: (rows) => assert.deepEqual([sum(rows, 'Requests'), sum(rows, 'Failed')], [16, 2]),
  2: columns(['Direction', 'Legs'], [['east_west', 40], ['north_south', 16]]), // prettier-ignore
  3: columns(['EdgeClass', 'DirectionSplit', 'DirectionWhole', 'Legs'], [
    ['gateway_to_bff', 'east_west', 'north_south', 9],
    ['gateway_to_workload', 'east_west', 'north_south', 4],
  ]), // prettier-ignore
  4: columns(['Route', 'Requests'], [
    ['/api/carts/{user}', 6],
    ['/api/search', 4],
    ['/api/products/{id}', 3],
    ['/api/home', 2],
    ['', 1],
  ]), // prettier-ignore
  5: async (rows, { client }) => {
    const [raw] = await client.query<{ ns: number }>(`SELECT sum(Duration) AS ns FROM (SELECT DISTINCT SpanId, Duration FROM spans WHERE HopVersion > 0 AND EdgeClass = 'external_to_gateway')`); // prettier-ignore
    assert.ok(Math.abs(sum(rows, 'Open') - raw!.ns / 60e9) < 1e-12);
  },
  6: (rows) =>
    assert.deepEqual(Object.fromEntries(rows.map((r) => [r['Callee'], r['Answers']])), {
      edge: 16, 'web-bff': 9, cart: 6, pricing: 15, catalog: 7, inventory: 3,
    }), // prettier-ignore
  7: (rows) => {
    assert.deepEqual(rows.map((r) => r['Proxy']), ['cart-sidecar', 'catalog-sidecar', 'edge', 'inventory-sidecar', 'pricing-sidecar', 'web-bff-sidecar']); // prettier-ignore
    for (const row of rows) assert.ok(Number(row['CpuMsPer1000Hops']) > 0);
  },
  8: columns(['Caller', 'EdgeClass', 'Legs'], [['cart', 'workload_to_workload', 12], ['web-bff', 'bff_to_workload', 3]]), // prettier-ignore
  9: columns(['Callee', 'Legs', 'Errors'], [['cart', 6, 0], ['catalog', 3, 0], ['inventory', 3, 0], ['pricing', 3, 0]]), // prettier-ignore
  10: columns(['Route', 'Requests', 'InternalEach', 'InternalMost'], [
    ['/api/carts/{user}', 6, 4, 4],
    ['/api/search', 4, 1, 1],
    ['/api/products/{id}', 3, 4, 4],
    ['/api/home', 2, 0, 0],
    ['', 1, 0, 0],
  ]), // prettier-ignore
  11: equal([]),
  12: async (rows, { client }) => {
    const raw = await client.query<Row>(`SELECT DISTINCT TraceId, Route, (Duration - WaitNs) / 1e6 AS LatencyMs FROM spans WHERE HopVersion > 0 AND EdgeClass = 'external_to_gateway' ORDER BY LatencyMs DESC LIMIT 5`); // prettier-ignore
    assert.deepEqual(rows, raw);
  },
  13: async (rows, { client }) => {
    const raw = await client.query<Row>(`SELECT Proxy, count() AS Hops, round(quantileExact(0.5)(OwnNs) / 1e6, 3) AS OwnP50Ms, round(quantileExact(0.99)(OwnNs) / 1e6, 3) AS OwnP99Ms FROM (SELECT DISTINCT SpanId, Proxy, OwnNs FROM spans WHERE HopVersion > 0) GROUP BY Proxy ORDER BY Proxy`); // prettier-ignore
    assert.deepEqual(rows, raw);
  },
  14: ([row]) => {
    assert.equal(row!['Requests'], 16);
    const parts = ['GatewayMs', 'MeshMs', 'WireMs', 'ApplicationsMs', 'OtherMs'];
    const added = parts.reduce((all, part) => all + Number(row![part]), 0);
    assert.ok(Math.abs(added - Number(row!['WholeMs'])) < 1e-9);
  },
  15: (rows) => {
    assert.equal(rows.length, 5);
    const means = rows.map((row) => Number(row['MeanMs']));
    assert.deepEqual(means, means.toSorted((a, b) => b - a)); // prettier-ignore
  },
  16: (rows) =>
    assert.deepEqual(Object.fromEntries(rows.map((r) => [`${r['Caller']} ${r['Callee']}`, r['Calls']])), {
      'cart pricing': 12, 'edge catalog': 4, 'edge web-bff': 9, 'web-bff cart': 6, 'web-bff catalog': 3, 'web-bff inventory': 3, 'web-bff pricing': 3,
    }), // prettier-ignore
  17: total('Requests', 16),
  18: async (rows, { client }) => {
    const [raw] = await client.query<{ pooled: number }>(`SELECT uniqExact(SpanId) AS pooled FROM spans WHERE HopVersion > 0 AND Attempts > 0 AND bitTest(AttemptBits, 2)`); // prettier-ignore
    const pooled = rows.reduce((all, r) => all + Number(r['Attempted']) * Number(r['PooledShare']), 0); // prettier-ignore
    assert.ok(Math.abs(pooled - raw!.pooled) < 0.1);
  },
  // The hops that were made have no generation.
  19: columns(['ConfigGeneration', 'Requests'], [[0, 2], [1, 14]]), // prettier-ignore
  20: columns(['ServiceName', 'Route', 'Errors', 'Share'], [['edge', '/api/home', 2, 1]]),
  21: (rows) =>
    assert.deepEqual(rows.map((r) => [r['HttpStatus'], r['ErrorType'], r['Requests']]), [
      [503, '', 2],
      [404, 'no_route', 1],
    ]), // prettier-ignore
  22: columns(['ServiceName', 'HttpStatus', 'Legs'], [
    ['cart', 200, 6],
    ['catalog', 200, 7],
    ['edge', 200, 13],
    ['edge', 404, 1],
    ['edge', 503, 2],
    ['inventory', 200, 3],
    ['pricing', 200, 15],
    ['web-bff', 200, 9],
  ]), // prettier-ignore
  23: equal([{ Proxy: 'edge', Target: 'web-bff', Hops: 1, Retries: 2 }]),
  24: (rows) => {
    assert.equal(rows.length, 8);
    assert.deepEqual([rows[0]!['ServiceName'], rows[0]!['EdgeClass']], ['edge', 'external_to_gateway']); // prettier-ignore
  },
  25: columns(['SpanName', 'Spans'], [
    ['GET /api/carts/{user}', 6],
    ['GET /api/search', 4],
    ['GET /api/products/{id}', 3],
    ['GET /api/home', 2],
    ['GET', 1],
  ]), // prettier-ignore
  26: ([row]) => {
    assert.equal(row!['Hops'], 56 + 27);
    assert.ok(Number(row!['Doubled']) > 0);
  },
  27: total('Dropped', 0),
  28: equal([{ Signal: 'traces', Reason: 'malformed', Messages: 1, Items: 0 }]),
  29: ([row]) => assert.ok(Number(row!['P50S']) >= 0 && Number(row!['MostS']) < 3600),
  30: equal([{ Route: '/api/home', Target: 'web-bff', CopiedTo: 'web-bff-next', Copies: 2, OtherStatus: 1, P50Ms: 5, CopyP50Ms: 7 }]), // prettier-ignore
};

describe('docs/SQL.md', function () {
  this.timeout(120_000);
  let store: TestStore;

  before(async () => {
    store = await startTestStore();
    const { statuses } = await runShop(store.client, 'separate', [
      ...Array.from({ length: 6 }, () => ['GET', '/api/carts/7'] as const),
      ...Array.from({ length: 4 }, () => ['GET', '/api/search?q=3'] as const),
      ...Array.from({ length: 3 }, () => ['GET', '/api/products/1'] as const),
      ['GET', '/nothing'],
    ]);
    assert.equal(statuses.filter((status) => status === 200).length, 13);
    const failed = { atMs: Date.now(), route: '/api/home', status: 503 };
    await insertHops(store.client, [{ ...failed, n: 0 }, { ...failed, n: 5, attempts: 3 }]); // prettier-ignore
    const copy = { ...failed, target: 'web-bff-next', durationNs: 7_000_000 };
    await insertHops(store.client, [{ ...copy, n: 10, mirrorOf: 0 }, { ...copy, n: 15, mirrorOf: 5, status: 200 }]); // prettier-ignore
    await store.client.command(`INSERT INTO dead_letters (At, Signal, Reason) SELECT now64(3), 'traces', 'malformed'`); // prettier-ignore
    const later = { store: store.client, log: silentLog, retentionDays: 7, nowMs: () => Date.now() + 300_000 }; // prettier-ignore
    await runRollup(later);
    await createAttributionJob(later).run();
  });
  after(() => store.stop());

  it('has at least twenty questions, numbered one by one', () => {
    assert.ok(QUESTIONS.length >= 20);
    assert.deepEqual(QUESTIONS.map(({ number }) => number), QUESTIONS.map((_, i) => i + 1)); // prettier-ignore
    assert.deepEqual(Object.keys(CHECKS).map(Number), QUESTIONS.map(({ number }) => number)); // prettier-ignore
  });

  for (const { number, question, query } of QUESTIONS) {
    it(`answers ${number}: ${question}`, async () => {
      await CHECKS[number]!(await store.client.query<Row>(query), store);
    });
  }
});
