/**
 * A gateway that copies half of its requests to another version of a service, with real proxies over
 * mutual TLS and a real store: what the copies leave behind, and what they must not.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { reconcile } from '../../../analytics/reconcile.ts';
import { readAmplification } from '../../../analytics/reports/amplification.ts';
import { createSnapshotReader } from '../../../analytics/live/snapshot.ts';
import { explainTrace } from '../../../analytics/reports/explain.ts';
import { readGatewayVsMesh } from '../../../analytics/reports/gateway-vs-mesh.ts';
import { readEdges, readRoutes } from '../../../analytics/traffic.ts';
import { createPipeline, type Pipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { freePorts } from '../../helpers/free-ports.ts';
import { SmallMesh } from '../../helpers/small-mesh.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { until } from '../../helpers/until.ts';

async function serve(listener: RequestListener): Promise<Server> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** Status and text of a GET. */
async function get(port: number, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const sent = request({ host: '127.0.0.1', port, path: '/items/7', headers, agent: false }).end();
  const [answer] = (await once(sent, 'response')) as [
    NodeJS.ReadableStream & { statusCode: number },
  ];
  let text = '';
  for await (const part of answer) text += String(part);
  return `${answer.statusCode} ${text}`;
}

const REQUESTS = 40;

describe('Mirroring through a mesh', function () {
  this.timeout(120_000);
  let store: TestStore;
  let pipeline: Pipeline;
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-mirroring-'));
  const mesh = new SmallMesh();
  const servers: Server[] = [];
  const fromMs = Date.now() - 1_000;
  const calls = { items: 0, 'items-next': 0, prices: 0 };
  const window = (): { fromMs: number; toMs: number } => ({ fromMs, toMs: Date.now() + 1_000 });
  let sent = 0;

  before(async () => {
    store = await startTestStore();
    pipeline = createPipeline({
      store: store.client,
      log: silentLog,
      rowsMax: 8_000,
      batchIntervalMs: 5,
      bytesInFlightMax: 1e9,
      now: Date.now,
      retentionDays: 7,
    });
    pipeline.start();
    const ports = await freePorts(11);
    /** Calls `prices` before it answers, and passes on of the request what most pass on: the trace. */
    const application = (name: 'items' | 'items-next', outbound: number): Promise<Server> =>
      serve((req, res) => {
        calls[name]++;
        const traceparent = String(req.headers['traceparent']);
        void get(outbound, { host: 'prices', traceparent }).then(() => res.end(name));
      });
    const items = await application('items', ports[3]!);
    const next = await application('items-next', ports[6]!);
    const prices = await serve((_, res) => {
      calls.prices++;
      res.end('9');
    });
    servers.push(items, next, prices);
    const sidecar = (name: string, at: number): string => `
  - name: ${name}-sidecar
    admin: { port: ${ports[at + 2]} }
    serves:
      - workload: ${name}
        inbound: { port: ${ports[at]} }
        outbound: { port: ${ports[at + 1]} }`;
    await mesh.start(
      `
identity: { mode: strict, trust_domain: shop.example, dir: certs }
gateways:
  - name: edge
    listen: { port: ${ports[0]} }
    admin: { port: ${ports[1]} }
    routes: [ { path: "/items/{id}", to: items, mirror: { to: items-next, percent: 50 } } ]
workloads:
  - { name: items, address: "127.0.0.1:${portOf(items)}" }
  - { name: items-next, address: "127.0.0.1:${portOf(next)}" }
  - { name: prices, address: "127.0.0.1:${portOf(prices)}" }
sidecars:${sidecar('items', 2)}${sidecar('items-next', 5)}${sidecar('prices', 8)}
`,
      {
        folder,
        deliver: async ({ signal, body }) => {
          const source = { name: 'test', partition: 0, offset: 0 };
          await pipeline.accept([{ signal, encoding: 'protobuf', body, source }]);
        },
      },
    );
    for (let i = 0; i < REQUESTS; i++) assert.equal(await get(ports[0]!), '200 items');
    const cluster = await until(async () => {
      const found = await mesh.cluster('edge', 'items-next');
      return found['requests_in_flight'] === 0 && found;
    });
    sent = (cluster['mirror'] as { sent: number }).sent;
    await mesh.stop();
  });
  after(async () => {
    await mesh.stop();
    await pipeline.stop();
    await store.stop();
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('sends about half of them, and nobody else notices', () => {
    // Outside of these once in 2^39.
    assert.ok(sent > 0 && sent < REQUESTS, `${sent} of ${REQUESTS}`);
    assert.deepEqual(calls, { items: REQUESTS, 'items-next': sent, prices: REQUESTS + sent });
  });

  it('keeps a row of every hop, those of copies marked whatever the application passes on', async () => {
    const rows = await store.client.query<{
      service: string;
      side: string;
      hops: number;
      copies: number;
    }>(
      `SELECT ServiceName AS service, toString(Side) AS side, toUInt32(countIf(HopVersion > 0)) AS hops,
              toUInt32(countIf(MirrorVersion > 0)) AS copies
       FROM spans GROUP BY service, side ORDER BY service, side`,
    );
    assert.deepEqual(
      rows.map(({ service, side, hops, copies }) => [service, side, hops, copies]),
      [
        ['edge', 'ingress', REQUESTS, sent],
        ['items', 'inbound', REQUESTS, 0],
        ['items', 'outbound', REQUESTS, 0],
        ['items-next', 'inbound', 0, sent],
        ['items-next', 'outbound', 0, sent],
        ['prices', 'inbound', REQUESTS, sent],
      ],
    );
  });

  it('counts requests only: no report, edge, route or attribution knows of copies', async () => {
    const report = await readGatewayVsMesh(store.client, window(), 'split', { retentionDays: 7 });
    assert.equal(report.requests, REQUESTS);
    assert.deepEqual(report.legs, {
      north_south: REQUESTS,
      east_west: 2 * REQUESTS,
      unknown: 0,
      loopback: REQUESTS,
      sum: 4 * REQUESTS,
    });
    const { groups: edges } = await readEdges(store.client, window());
    assert.equal(JSON.stringify(edges).includes('items-next'), false);
    const { groups: routes } = await readRoutes(store.client, window());
    assert.equal(JSON.stringify(routes).includes('items-next'), false);
  });

  it('splits each request as if there were no copies, and no copy at all', async () => {
    const job = createAttributionJob({
      store: store.client,
      log: silentLog,
      retentionDays: 7,
      // Late enough for every minute of the test to be closed.
      nowMs: () => Date.now() + 10 * 60_000,
    });
    await job.run();
    const [split] = await store.client.query<{ traces: number; odd: number; copies: number }>(
      `SELECT toUInt32(count()) AS traces, toUInt32(countIf(Incomplete != 0 OR ResidualNs != 0)) AS odd,
              toUInt32(countIf(has(\`Segments.Place\`, 'items-next'))) AS copies
       FROM attribution`,
    );
    assert.deepEqual(split, { traces: REQUESTS, odd: 0, copies: 0 });
    const amplification = await readAmplification(store.client, window());
    assert.deepEqual(
      [amplification.requests, amplification.legs_without_request, amplification.retries],
      [REQUESTS, 0, 0],
    );
  });

  it('shows requests only on the live page', async () => {
    const read = createSnapshotReader({
      store: store.client,
      retentionDays: 7,
      lastMs: 15 * 60_000,
      nowMs: Date.now,
    });
    const { edges, columns, slowest, perspectives } = await read();
    assert.equal(JSON.stringify(edges).includes('items-next'), false);
    assert.equal(
      columns.cells.reduce((sum, [, , requests]) => sum + requests, 0),
      REQUESTS,
    );
    assert.equal(perspectives.whole.requests, REQUESTS);
    const traces = await store.client.query<{ trace: string }>(
      `SELECT DISTINCT TraceId AS trace FROM spans WHERE MirrorVersion > 0`,
    );
    assert.equal(traces.length, sent);
    const mirrored = new Set(traces.map(({ trace }) => trace));
    assert.ok(slowest.length > 0 && slowest.every(({ trace }) => !mirrored.has(trace)));
  });

  it('accounts for the hops of copies as for any other', async () => {
    const nowMs = Date.now() + 10 * 60_000;
    const { totals, edges } = await reconcile(store.client, { ...window(), nowMs, edges: true });
    assert.equal(totals.finished, 4 * REQUESTS + 4 * sent);
    assert.equal(totals.stored, totals.finished);
    assert.equal(totals.unexplained, 0);
    assert.deepEqual(
      edges!.map(({ caller, target, exits, entries }) => [caller, target, exits, entries]),
      [
        ['edge', 'items', REQUESTS, REQUESTS],
        ['edge', 'items-next', sent, sent],
        ['items', 'prices', REQUESTS, REQUESTS],
        ['items-next', 'prices', sent, sent],
      ],
    );
    const unmatched = edges!.map((edge) => edge.exits_unmatched + edge.entries_unmatched);
    assert.deepEqual(unmatched, [0, 0, 0, 0]);
  });

  it('finds for each copy the request that it is a copy of', async () => {
    const since = new Date(fromMs - 60_000).toISOString().slice(0, 19);
    const until = new Date(Date.now() + 60_000).toISOString().slice(0, 19);
    const pairs = await store.client.query<{ route: string; of: string }>(
      `SELECT copy.Route AS route, request.Target AS of
       FROM mirrored_hops(since = '${since}', until = '${until}') AS copy
       INNER JOIN hops(since = '${since}', until = '${until}') AS request
           ON request.TraceId = copy.OfTraceId AND request.SpanId = copy.OfSpanId`,
    );
    assert.equal(pairs.length, sent);
    for (const pair of pairs) assert.deepEqual(pair, { route: '/items/{id}', of: 'items' });
  });

  it('shows the trace of a copy to whoever asks for that one', async () => {
    const [copy] = await store.client.query<{ trace: string }>(
      `SELECT TraceId AS trace FROM spans WHERE MirrorVersion > 0 AND Side = 'ingress' LIMIT 1`,
    );
    const { hops, incomplete } = await explainTrace(store.client, copy!.trace);
    assert.deepEqual(incomplete, []);
    assert.deepEqual(hops.map(({ service, side }) => `${service} ${side}`).sort(), [
      'edge ingress',
      'items-next inbound',
      'items-next outbound',
      'prices inbound',
    ]);
  });
});
