/** The adapter beside the real npm http-proxy: what it records, and that its guards hold. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import httpProxy from 'http-proxy';
import {
  instrument,
  type HttpProxyInstrumentation,
  type HttpProxySettings,
} from '../../../proxy/adapters/http-proxy.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { RESPONSE_FLAGS } from '../../../telemetry/hop-record.ts';
import { decodeHop, type PackedHop } from '../../../telemetry/packed-hop.ts';
import type { Span } from '../../../telemetry/otlp-objects.ts';
import { OtlpSink } from '../../helpers/otlp-sink.ts';
import { RawPeer } from '../../helpers/raw-peer.ts';

const portOf = (server: net.Server): number => (server.address() as net.AddressInfo).port;

const hopOf = (span: Span): PackedHop =>
  decodeHop(span.attributes.get('azimuth.hop') as Uint8Array);
const flagsOf = (span: Span): string[] =>
  RESPONSE_FLAGS.filter((_, bit) => (hopOf(span).flags >> bit) & 1);
const number = (span: Span, name: string): number => Number(span.attributes.get(name) ?? 0);

describe('an instrumented http-proxy', () => {
  let sink: OtlpSink;
  let upstream: net.Server;
  let server: http.Server;
  let proxy: httpProxy;
  let instrumentation: HttpProxyInstrumentation | undefined;
  const sockets = new Set<net.Socket>();
  let upstreamSockets: net.Socket[] = [];

  /** An application of http-proxy in front of `upstreamServer`, as its README shows it. */
  async function start(
    upstreamServer: net.Server,
    settings: Partial<HttpProxySettings> = {},
    options: httpProxy.ServerOptions = {},
  ): Promise<void> {
    upstream = upstreamServer;
    upstreamSockets = [];
    upstream.on('connection', (socket) => {
      sockets.add(socket);
      upstreamSockets.push(socket);
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    proxy = httpProxy.createProxyServer({
      target: `http://127.0.0.1:${portOf(upstream)}`,
      ...options,
    });
    instrumentation = instrument(proxy, { name: 'edge', endpoint: sink.endpoint, ...settings });
    server = http.createServer((request, response) => {
      proxy.web(request, response, {}, () => response.writeHead(502).end('no answer\n'));
    });
    server.on('connection', (socket) => sockets.add(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }

  async function connect(): Promise<RawPeer> {
    const socket = net.connect(portOf(server), '127.0.0.1');
    sockets.add(socket);
    await once(socket, 'connect');
    return new RawPeer(socket);
  }

  beforeEach(async () => {
    sink = await new OtlpSink().start();
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    server.close();
    upstream.close();
    await instrumentation?.stop();
    instrumentation = undefined;
    sink.stop();
  });

  it('writes one hop record per request, with own time flagged as an upper bound', async () => {
    let seen: http.IncomingHttpHeaders = {};
    await start(
      http.createServer((request, response) => {
        seen = request.headers;
        response.end('hello');
      }),
      { target: 'catalog', routes: ['/products/{id}'] },
    );
    const client = await connect();
    client.send('GET /products/7?q=1 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('hello');
    const [span] = await sink.until(1);
    assert.ok(span !== undefined);
    assert.equal(span.name, 'GET /products/{id}');
    assert.equal(span.attributes.get('http.route'), '/products/{id}');
    assert.equal(span.attributes.get('azimuth.edge_class'), 'external_to_gateway');
    assert.equal(span.attributes.get('azimuth.target'), 'catalog');
    assert.equal(span.attributes.get('azimuth.own_bound'), 'upper_bound');
    assert.equal(number(span, 'http.response.status_code'), 200);
    assert.equal(number(span, 'azimuth.attempts'), 1);
    const hop = hopOf(span);
    const durationNs = Number(span.endTimeUnixNano - span.startTimeUnixNano);
    assert.equal(
      number(span, 'azimuth.own_ns') + number(span, 'azimuth.upstream_ns') + hop.waitNs,
      durationNs,
    );
    assert.ok(number(span, 'azimuth.upstream_ns') > 0);
    assert.ok(hop.bytesIn > 40 && hop.bytesOut > 40, `${hop.bytesIn} ${hop.bytesOut}`);
    assert.equal(hop.attempts[0]!.status, 200);
    // The attempt's span is the parent of what the upstream records.
    const attempt = Buffer.from(span.spanId, 'hex');
    attempt[7] = attempt[7]! ^ 1;
    assert.equal(seen['traceparent'], `00-${span.traceId}-${attempt.toString('hex')}-03`);
  });

  it('restarts the trace of its client, and believes nobody who names himself a peer', async () => {
    let seen: http.IncomingHttpHeaders = {};
    await start(
      http.createServer((request, response) => {
        seen = request.headers;
        response.end('hello');
      }),
    );
    const client = await connect();
    const theirs = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    client.send(
      `GET / HTTP/1.1\r\nHost: a\r\ntraceparent: ${theirs}\r\ntracestate: a=b\r\nazimuth-peer: bff;x\r\n\r\n`,
    );
    await client.until('hello');
    const [span] = await sink.until(1);
    assert.notEqual(span!.traceId, theirs.slice(3, 35));
    assert.equal(span!.links.length, 1);
    assert.equal(span!.attributes.get('http.route'), '/*');
    assert.equal(seen['azimuth-peer'], undefined);
    assert.equal(seen['tracestate'], undefined);
  });

  for (const method of ['DELETE', 'OPTIONS']) {
    it(`keeps the chunks of a ${method}, so that its body is no second request`, async () => {
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
      const seen: string[] = [];
      await start(
        http.createServer((request, response) => {
          let body = '';
          request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
          request.on('end', () => {
            seen.push(`${request.method!} ${request.url!} ${body}`);
            response.end('done');
          });
        }),
      );
      const client = await connect();
      client.send(
        `${method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
          `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
      );
      await client.until('done');
      assert.deepEqual(seen, [`${method} /a ${smuggled}`]);
    });

    it(`leaves a ${method} without a body as http-proxy frames it`, async () => {
      let length: string | undefined;
      await start(
        http.createServer((request, response) => {
          length = request.headers['content-length'];
          response.end('done');
        }),
      );
      const client = await connect();
      client.send(`${method} /a HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until('done');
      assert.equal(length, '0');
    });
  }

  it('closes the upstreams of 20 streams whose clients leave', async () => {
    await start(
      http.createServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: first\n\n');
      }),
    );
    const clients = await Promise.all(Array.from({ length: 20 }, connect));
    for (const client of clients) client.send('GET /events HTTP/1.1\r\nHost: a\r\n\r\n');
    for (const client of clients) await client.until('data: first');
    const closed = upstreamSockets.map((socket) => once(socket, 'close'));
    assert.equal(closed.length, 20);
    for (const { socket } of clients) socket.destroy();
    await Promise.all(closed);
    const spans = await sink.until(20);
    for (const span of spans) {
      assert.deepEqual(flagsOf(span), ['DC']);
      assert.equal(hopOf(span).streamClass, 1);
      assert.equal(hopOf(span).answeredBy, 3);
    }
  });

  it('closes the upstream of a request whose client leaves before an answer', async () => {
    await start(http.createServer(() => undefined));
    const client = await connect();
    const asked = once(upstream, 'request');
    client.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked;
    const closed = once(upstreamSockets[0]!, 'close');
    client.socket.destroy();
    await closed;
    const [span] = await sink.until(1);
    assert.equal(number(span!, 'http.response.status_code'), 0);
    assert.equal(span!.attributes.get('error.type'), 'client_gone');
  });

  it('cuts off a client whose answer the upstream broke off', async () => {
    await start(
      net.createServer((socket) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this', () =>
            socket.destroy(),
          );
        });
        socket.on('error', () => undefined);
      }),
    );
    const client = await connect();
    client.send('GET /short HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.untilClosed();
    const [span] = await sink.until(1);
    assert.equal(hopOf(span!).answeredBy, 1);
    assert.equal(span!.attributes.get('error.type'), 'upstream_closed');
    assert.deepEqual(flagsOf(span!), ['UC']);
  });

  it('records a refused connection, and a second try as a second attempt of the same hop', async () => {
    const other = net.createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const refusing = portOf(other);
    other.close();
    await once(other, 'close');
    await start(http.createServer((_, response) => response.end('hello')));
    const second = `http://127.0.0.1:${portOf(upstream)}`;
    server.removeAllListeners('request');
    server.on('request', (request, response) => {
      proxy.web(request, response, { target: `http://127.0.0.1:${refusing}` }, () => {
        proxy.web(request, response, { target: second });
      });
    });
    const client = await connect();
    client.send('GET /twice HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('hello');
    const [span] = await sink.until(1);
    assert.deepEqual(
      hopOf(span!).attempts.map(({ status }) => status),
      [0, 200],
    );
    assert.equal(number(span!, 'http.response.status_code'), 200);
    assert.equal(span!.attributes.get('error.type'), undefined);
  });

  it('records the answer of the application when no upstream answers', async () => {
    await start(http.createServer(), {}, { target: 'http://127.0.0.1:1' });
    const client = await connect();
    client.send('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('no answer');
    const [span] = await sink.until(1);
    assert.equal(number(span!, 'http.response.status_code'), 502);
    assert.equal(span!.attributes.get('error.type'), 'upstream_connect_failed');
    assert.equal(hopOf(span!).answeredBy, 2);
  });

  it('numbers hops without a gap over kept connections, and accounts for all of them when it stops', async () => {
    await start(
      http.createServer((_, response) => response.end('hello')),
      {},
      { agent: new http.Agent({ keepAlive: true, maxSockets: 1 }) },
    );
    const client = await connect();
    for (let i = 1; i <= 5; i++) {
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await client.until((peer) => peer.received.split('hello').length > i);
    }
    const account = await instrumentation!.stop();
    assert.deepEqual([account.finished, account.emitted], [5, 5]);
    assert.equal(
      Object.values(account.dropped).reduce((a, b) => a + b, 0),
      0,
    );
    assert.deepEqual(sink.spans.map((span) => hopOf(span).seq).sort(), [1, 2, 3, 4, 5]);
    const sizes = sink.spans.map((span) => hopOf(span).bytesIn);
    assert.deepEqual(sizes, Array(5).fill(sizes[0]));
    assert.equal(sink.logs, 1);
  });

  it('carries a request all the same when its target cannot be named', async () => {
    await start(
      http.createServer((_, response) => response.end('hello')),
      {
        target: () => {
          throw new Error('which target?');
        },
      },
    );
    const client = await connect();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('hello');
    assert.equal(instrumentation!.account().finished, 0);
  });

  it('refuses to instrument twice, or what is no http-proxy', async () => {
    await start(http.createServer());
    const isUsage = (error: unknown): boolean =>
      error instanceof AzimuthError && error.code === 'AZ_USAGE';
    const settings = { name: 'edge', endpoint: sink.endpoint };
    assert.throws(() => instrument(proxy, settings), isUsage);
    assert.throws(() => instrument({ web: () => undefined }, settings), isUsage);
    const fresh = httpProxy.createProxyServer({ target: 'http://127.0.0.1:1' });
    assert.throws(() => instrument(fresh, { name: 'edge', endpoint: 'not a url' }), isUsage);
  });
});
