/**
 * Connections that live long, through a gateway and a sidecar, with real peers: WebSocket by the
 * `ws` package on both ends, event streams by node's own client and server.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';
import { createCollector, type CollectorProcess } from '../../../collector/process.ts';
import { bucketOf } from '../../../analytics/histogram.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { readTraffic, type Traffic } from '../../../analytics/traffic.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { startProxyChain, type ProxyChain } from '../../helpers/proxy-chain.ts';
import type { RecordedHop } from '../../helpers/proxy-lab.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const HOUR_MS = 3_600_000;
const TUNNEL = 2;
const STREAM = 1;

describe('Long lives through gateway and sidecar', function () {
  this.timeout(60_000);
  let chain: ProxyChain;
  let sockets: WebSocketServer;
  /** Open event streams of the application. */
  const streams = new Set<ServerResponse>();
  let onStreams: () => void = () => undefined;

  beforeEach(async () => {
    const application = createServer((request, response) => {
      if (request.url !== '/events') {
        response.end('ok');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 0\n\n');
      streams.add(response);
      response.on('close', () => {
        streams.delete(response);
        onStreams();
      });
    });
    sockets = new WebSocketServer({ server: application });
    sockets.on('connection', (socket) => {
      socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
    });
    chain = await startProxyChain(application);
  });
  afterEach(async () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    streams.clear();
    await chain.stop();
  });

  const connect = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://${chain.authority}/chat`);
    await once(socket, 'open');
    return socket;
  };
  const echo = async (socket: WebSocket, message: Buffer | string): Promise<Buffer> => {
    socket.send(message);
    const [answer] = (await once(socket, 'message')) as [Buffer];
    return answer;
  };

  it('carries WebSocket messages of all sizes both ways', async () => {
    const socket = await connect();
    assert.equal(String(await echo(socket, 'hello')), 'hello');
    const large = Buffer.alloc(3_000_000, 'azimuth');
    assert.ok((await echo(socket, large)).equals(large));
    socket.close(1000, 'enough');
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    assert.deepEqual([code, String(reason)], [1000, 'enough']);
    const [outer] = await chain.gateway.tunnelIntervals(1);
    const [inner] = await chain.sidecar.tunnelIntervals(1);
    for (const name of ['azimuth.tunnel.total_bytes_in', 'azimuth.tunnel.total_bytes_out']) {
      assert.equal(outer!.attributes.get(name), inner!.attributes.get(name));
      assert.ok(Number(outer!.attributes.get(name)) > large.length);
    }
    assert.deepEqual(outer!.traceId, inner!.traceId);
    const hops = [await chain.gateway.hop(), await chain.sidecar.hop()];
    assert.deepEqual(
      hops.map((h) => [h.status, h.hop.streamClass]),
      [
        [101, TUNNEL],
        [101, TUNNEL],
      ],
    );
  });

  it('carries the closing handshake that the server begins', async () => {
    const socket = await connect();
    await echo(socket, 'hello');
    for (const served of sockets.clients) served.close(1001, 'going away');
    const [code] = (await once(socket, 'close')) as [number];
    assert.equal(code, 1001);
    await chain.gateway.tunnelIntervals(1);
    await chain.sidecar.tunnelIntervals(1);
  });

  it('tells either side that the other has vanished', async () => {
    const leaving = await connect();
    const [served] = sockets.clients;
    leaving.terminate();
    const [seenByServer] = (await once(served!, 'close')) as [number];
    assert.equal(seenByServer, 1006);
    const staying = await connect();
    for (const other of sockets.clients) other.terminate();
    const [seenByClient] = (await once(staying, 'close')) as [number];
    assert.equal(seenByClient, 1006);
    await chain.gateway.tunnelIntervals(2);
    await chain.sidecar.tunnelIntervals(2);
  });

  it('refuses WebSocket where no route allows it', async () => {
    const socket = new WebSocket(`ws://${chain.authority}/elsewhere`);
    const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]; // prettier-ignore
    assert.equal(answer.statusCode, 200, 'the application answered a plain GET');
    socket.on('error', () => undefined);
    socket.terminate();
    assert.equal((await chain.gateway.hop()).hop.streamClass, 0);
  });

  it('passes each event on as it comes, and closes the stream when its client leaves', async () => {
    const leave = new AbortController();
    const answer = await fetch(`http://${chain.authority}/events`, { signal: leave.signal });
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (let n = 0; n < 5; n++) {
      while (!text.includes(`data: ${n}\n\n`)) text += (await reader.read()).value ?? '';
      for (const response of streams) response.write(`data: ${n + 1}\n\n`);
    }
    leave.abort();
    await reader.closed.catch(() => undefined);
    if (streams.size > 0) await new Promise<void>((resolve) => (onStreams = resolve));
    const hops: RecordedHop[] = [await chain.gateway.hop(), await chain.sidecar.hop()];
    for (const hop of hops) {
      assert.deepEqual([hop.status, hop.hop.streamClass, hop.flags], [200, STREAM, ['DC']]);
    }
  });

  describe('in the store', () => {
    let store: TestStore;
    let collector: CollectorProcess;
    before(async () => {
      store = await startTestStore();
      const { url, database, user, password } = store;
      collector = createCollector(
        {
          otlp_http: { host: '127.0.0.1', port: 0 },
          otlp_grpc: { host: '127.0.0.1', port: 0 },
          admin: { host: '127.0.0.1', port: 0 },
          kafka: { group_id: 'unused' },
          store: { url, database, user, password, retention_days: 7 },
          telemetry: {
            transport: 'otlp',
            otlp: { endpoint: '', compression: 'none' },
            kafka: { brokers: [], topic_spans: '', topic_logs: '', compression: 'none' },
            hop_format: 'packed',
            path: 'template',
            flush_interval_ms: 200,
            queue_bytes_max: 1,
            queue_hops_max: 1,
            age_max_ms: 86_400_000,
            spool: { bytes_max: 0 },
          },
        },
        silentLog,
      );
      await collector.lifecycle.start();
    });
    after(async () => {
      await collector.lifecycle.stop();
      await store.stop();
    });

    it('counts streams and tunnels as hops, and keeps them out of every latency histogram', async () => {
      const { gateway, sidecar } = chain;
      const fromMs = minuteOf(Date.now());
      for (let n = 0; n < 3; n++) await (await fetch(`http://${chain.authority}/x`)).text();
      const leave = new AbortController();
      const answer = await fetch(`http://${chain.authority}/events`, { signal: leave.signal });
      const reader = answer.body!.getReader();
      await reader.read();
      const socket = await connect();
      await echo(socket, 'hello');
      // Both go on for an hour, by the clock of the record.
      gateway.elapse(HOUR_MS);
      leave.abort();
      await reader.closed.catch(() => undefined);
      socket.close();
      await gateway.tunnelIntervals(1);
      await sidecar.tunnelIntervals(1);
      const longest = Math.max(...(await gateway.hops(5)).map((hop) => hop.durationNs));
      assert.ok(longest >= HOUR_MS * 1e6, 'the stream was an hour long');
      await sidecar.hops(5);

      for (const { signal, body } of [...gateway.messages, ...sidecar.messages]) {
        if (signal !== 'traces') continue;
        const posted = await fetch(`http://127.0.0.1:${collector.otlpHttp.port()}/v1/traces`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-protobuf' },
          body: new Uint8Array(body),
        });
        assert.equal(posted.status, 200);
      }
      const [stored] = await store.client.query<{ hops: number; intervals: number }>(
        `SELECT countIf(HopVersion > 0) AS hops, countIf(SpanName = 'tunnel interval') AS intervals FROM spans`,
      );
      assert.deepEqual([stored!.hops, stored!.intervals], [10, 2]);

      const window = { fromMs: fromMs - MINUTE_MS, toMs: minuteOf(Date.now()) + MINUTE_MS };
      const check = async (): Promise<void> => {
        const all = [...(await readTraffic(store.client, window)).byEdgeClass.values()];
        const sum = (of: (traffic: Traffic) => number): number =>
          all.reduce((total, traffic) => total + of(traffic), 0);
        assert.equal(
          sum((t) => t.hops),
          10,
        );
        assert.equal(
          sum((t) => t.streams),
          4,
        );
        const inBuckets = (histogram: Traffic['latency']): number =>
          [...histogram.values()].reduce((a, b) => a + b, 0);
        assert.equal(
          sum((t) => inBuckets(t.latency)),
          6,
        );
        assert.equal(
          sum((t) => inBuckets(t.own)),
          6,
        );
        for (const { latency } of all) {
          assert.ok(Math.max(...latency.keys(), 0) < bucketOf(HOUR_MS * 1e6));
        }
      };
      await check();
      const nowMs = window.toMs + 2 * MINUTE_MS;
      await runRollup({
        store: store.client,
        log: silentLog,
        retentionDays: 7,
        nowMs: () => nowMs,
      });
      await check();
    });
  });
});
