import assert from 'node:assert/strict';
import {
  readReport,
  reportOf,
  REPORTS,
  type ReadReport,
} from '../../../analytics/reports/catalogue.ts';
import type { Edges } from '../../../analytics/reports/edges.ts';
import type { Routes } from '../../../analytics/reports/routes.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { isRequest } from '../../../telemetry/edge-class.ts';
import { insertHops, randomHops } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { runShop, type ShopRun } from '../../helpers/shop-run.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

/** Each hop once, by the long way: nothing of it is shared with the reports. */
const HOPS = `(SELECT DISTINCT TraceId, SpanId, ParentSpanId, EdgeClass, ServiceName, Peer, Route, Side,
  toUInt64(Duration - WaitNs) AS EffectiveNs, OwnNs, HttpStatus, StreamClass, BytesIn, BytesOut
  FROM spans WHERE HopVersion > 0 AND EdgeClass != 'loopback')`;

const REQUESTS = [
  ...Array.from({ length: 6 }, () => ['GET', '/api/carts/7'] as const),
  ...Array.from({ length: 4 }, () => ['GET', '/api/search?q=3'] as const),
  ...Array.from({ length: 3 }, (_, i) => ['GET', `/api/products/${i + 1}`] as const),
  ['GET', '/nothing'] as const,
];

describe('reports of routes and edges on a run of the shop', function () {
  this.timeout(60_000);
  let store: TestStore;
  let run: ShopRun;
  const read = async (name: string, options: Record<string, string> = {}): Promise<ReadReport> =>
    readReport(
      reportOf(name),
      {
        from: new Date(run.window.fromMs).toISOString(),
        to: new Date(run.window.toMs).toISOString(),
        ...options,
      },
      // As if it were read later: both ends of every call have arrived.
      { store: store.client, retentionDays: 7, nowMs: run.window.toMs + 60_000 },
    );

  before(async () => {
    store = await startTestStore();
    run = await runShop(store.client, 'separate', REQUESTS);
    assert.deepEqual(new Set(run.statuses), new Set([200, 404]));
  });
  after(() => store.stop());

  it('count every leg once, by service, route and class, as the raw hops do', async () => {
    const figures = (await read('routes')).figures as Routes;
    const expected = await store.client.query<{ line: string; legs: number }>(
      `SELECT concat(ServiceName, ' ', Route) AS line, count() AS legs FROM ${HOPS} GROUP BY line ORDER BY line`,
    );
    assert.deepEqual(
      figures.lines.map((l) => [`${l.service} ${l.route}`, l.legs] as const).toSorted((a, b) => (a[0] < b[0] ? -1 : 1)), // prettier-ignore
      expected.map((row) => [row.line, row.legs]),
    );
    const [cart] = figures.lines.filter(
      (l) => l.service === 'edge' && l.route === '/api/carts/{user}',
    );
    assert.deepEqual([cart?.legs, cart?.requests, cart?.direction], [6, 6, 'north_south']);
    assert.equal(figures.rows, expected.reduce((sum, row) => sum + row.legs, 0)); // prettier-ignore
    assert.equal(figures.provisional, true);
  });

  it('have quantiles within the bounds that they state', async () => {
    const { lines } = (await read('routes')).figures as Routes;
    for (const line of lines) {
      const [exact] = await store.client.query<{ p50: number; p99: number; own99: number }>(
        `SELECT quantileExactLow(0.5)(EffectiveNs) / 1e6 AS p50, quantileExactHigh(0.99)(EffectiveNs) / 1e6 AS p99,
           quantileExactHigh(0.99)(OwnNs) / 1e6 AS own99
         FROM ${HOPS} WHERE ServiceName = {service:String} AND Route = {route:String}`,
        { service: line.service, route: line.route },
      );
      for (const [stated, found] of [
        [line.latency.p50, exact!.p50],
        [line.latency.p99, exact!.p99],
        [line.own.p99, exact!.own99],
      ] as const) {
        // prettier-ignore
        assert.ok(stated.low_ms! <= found && found <= stated.high_ms!, `${line.service} ${line.route}: ${JSON.stringify(stated)} ${found}`); // prettier-ignore
      }
      assert.equal(line.few, true);
    }
  });

  it('move the legs between gateway and mesh with the perspective, and no request', async () => {
    const of = async (perspective: string): Promise<Map<string, number>> => {
      const { lines } = (await read('routes', { perspective })).figures as Routes;
      const sums = new Map<string, number>();
      for (const l of lines) sums.set(l.direction, (sums.get(l.direction) ?? 0) + l.legs);
      sums.set('requests', lines.reduce((sum, l) => sum + l.requests, 0)); // prettier-ignore
      return sums;
    };
    const [moved] = await store.client.query<{ legs: number }>(
      `SELECT count() AS legs FROM ${HOPS} WHERE startsWith(toString(EdgeClass), 'gateway_')`,
    );
    const [split, whole] = [await of('split'), await of('whole')];
    assert.equal(whole.get('north_south')! - split.get('north_south')!, moved!.legs);
    assert.equal(split.get('requests'), REQUESTS.length);
    assert.equal(whole.get('requests'), REQUESTS.length);
  });

  it('name who called whom with both directions, and compare both ends', async () => {
    const figures = (await read('edges')).figures as Edges;
    const expected = await store.client.query<{ edge: string; legs: number; bytes: number }>(
      `SELECT concat(if(startsWith(toString(EdgeClass), 'external'), 'clients', Peer), ' ', ServiceName, ' ', toString(EdgeClass)) AS edge,
         count() AS legs, sum(BytesIn + BytesOut) AS bytes
       FROM ${HOPS} GROUP BY edge ORDER BY edge`,
    );
    assert.deepEqual(
      figures.lines
        .map(
          (l) => [`${l.from} ${l.to} ${l.edge_class}`, l.legs, l.bytes_in + l.bytes_out] as const,
        )
        .toSorted((a, b) => (a[0] < b[0] ? -1 : 1)),
      expected.map((row) => [row.edge, row.legs, row.bytes]),
    );
    for (const line of figures.lines) {
      if (isRequest(line.edge_class)) {
        assert.equal(line.ends, null);
        continue;
      }
      assert.deepEqual(
        line.ends,
        { exits: line.legs, entries: line.legs, exits_unmatched: 0, entries_unmatched: 0 },
        `${line.from} ${line.to}`,
      );
    }
    const toBff = figures.lines.find((l) => l.edge_class === 'gateway_to_bff');
    assert.deepEqual(toBff?.direction, { split: 'east_west', whole: 'north_south' });
  });

  it('tell an entry whose exit was lost, in words too', async () => {
    const [lost] = await store.client.query<{ trace: string; span: string }>(
      `SELECT TraceId AS trace, SpanId AS span FROM spans WHERE Side = 'outbound' AND Target = 'cart' LIMIT 1`,
    );
    await store.client.command(
      `CREATE TABLE kept ENGINE = Memory AS SELECT * FROM spans WHERE TraceId = {trace:String} AND SpanId = {span:String}`,
      lost,
    );
    const remove = `DELETE FROM spans WHERE TraceId = {trace:String} AND SpanId = {span:String} SETTINGS lightweight_deletes_sync = 2`;
    await store.client.command(remove, lost);
    try {
      const report = await read('edges');
      const line = (report.figures as Edges).lines.find(
        (l) => l.from === 'web-bff' && l.to === 'cart',
      );
      assert.deepEqual(line?.ends, {
        exits: 5,
        entries: 6,
        exits_unmatched: 0,
        entries_unmatched: 1,
      });
      assert.match(report.text({ width: 110, color: false }), /web-bff → cart: 0 answered calls match no entry, 1 entries no call/); // prettier-ignore
    } finally {
      await store.client.command('INSERT INTO spans SELECT * FROM kept');
      await store.client.command('DROP TABLE kept');
    }
  });

  it('are one page each, with as many rows as the figures, as is every report', async () => {
    for (const { name } of REPORTS) {
      const report = await read(name);
      const html = report.html();
      assert.match(html, /^<!doctype html>/, name);
      assert.doesNotMatch(html, /NaN|undefined|<script/, name);
      if (name !== 'routes' && name !== 'edges') continue;
      const { lines } = report.figures as Routes | Edges;
      assert.equal(html.match(/<th scope="row">/g)?.length, lines.length);
    }
  });

  it('are tables in the terminal that fit its width, and one CSV line a row', async () => {
    for (const name of ['routes', 'edges']) {
      const report = await read(name);
      const { lines } = report.figures as Routes | Edges;
      for (const width of [80, 110]) {
        const text = report.text({ width, color: false });
        assert.match(text, /data provisional/);
        if (width === 110) assert.match(text, /█/);
        for (const line of text.split('\n')) assert.ok(line.length <= width, `${width}: ${line}`);
      }
      const csv = report.csv().trimEnd().split('\n');
      assert.equal(csv.length, lines.length + 1);
      for (const line of csv) assert.equal(line.split(',').length, csv[0]!.split(',').length, line);
      assert.match(csv[0]!, /^from,to,final_until,.*latency_p99_ms,latency_p99_low_ms/);
    }
  });
});

describe('reports of routes and edges on many hops', function () {
  this.timeout(60_000);

  it('count errors, streams and unknown callers as the raw hops do', async () => {
    const store = await startTestStore();
    try {
      const T0 = minuteOf(Date.now()) - 30 * MINUTE_MS;
      const hops = randomHops(seededRandom(8), { count: 3000, fromMs: T0, spanMs: 3 * MINUTE_MS });
      await insertHops(store.client, [...hops, ...hops.slice(0, 500)]);
      const options = {
        from: new Date(T0).toISOString(),
        to: new Date(T0 + 3 * MINUTE_MS).toISOString(),
      };
      const context = { store: store.client, retentionDays: 7, nowMs: T0 + 20 * MINUTE_MS };
      const { lines } = (await readReport(reportOf('edges'), options, context)).figures as Edges;
      const expected = await store.client.query<object>(
        `SELECT toString(EdgeClass) AS edge_class, count() AS legs, countIf(HttpStatus = 0 OR HttpStatus >= 500) AS errors, countIf(StreamClass != '') AS streams
         FROM ${HOPS} GROUP BY edge_class ORDER BY edge_class`,
      );
      assert.deepEqual(
        lines
          .map(({ edge_class, legs, errors, streams }) => ({ edge_class, legs, errors, streams }))
          .toSorted((a, b) => (a.edge_class < b.edge_class ? -1 : 1)),
        expected,
      );
    } finally {
      await store.stop();
    }
  });
});
