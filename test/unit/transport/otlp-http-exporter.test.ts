import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AzimuthError } from '../../../runtime/errors.ts';
import type { OutboundMessage } from '../../../transport/exporter.ts';
import { createOtlpHttpExporter, parseRetryAfter } from '../../../transport/otlp-http-exporter.ts';

const message = (signal: OutboundMessage['signal'] = 'traces'): OutboundMessage => ({
  signal,
  body: Buffer.from('spans'),
  items: 1,
});

interface Post {
  readonly path: string;
  readonly type: string;
  readonly body: string;
}

async function withCollector(
  answer: (req: IncomingMessage, res: ServerResponse) => void,
  run: (endpoint: string, posts: readonly Post[], server: Server) => Promise<void>,
): Promise<void> {
  const posts: Post[] = [];
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      posts.push({ path: req.url ?? '', type: req.headers['content-type'] ?? '', body });
      answer(req, res);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, posts, server);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function failureOf(sending: Promise<void>): Promise<AzimuthError> {
  const error: unknown = await sending.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AzimuthError, String(error));
  return error;
}

describe('OtlpHttpExporter', () => {
  it('posts traces and logs as protobuf to their paths, over one kept connection', () => {
    let connections = 0;
    return withCollector(
      (_, res) => res.end(),
      async (endpoint, posts, server) => {
        server.on('connection', () => connections++);
        const exporter = createOtlpHttpExporter({ endpoint: endpoint + '/' });
        await exporter.send(message());
        await exporter.send(message('logs'));
        await exporter.close();
        await exporter.close();
        assert.deepEqual(posts, [
          { path: '/v1/traces', type: 'application/x-protobuf', body: 'spans' },
          { path: '/v1/logs', type: 'application/x-protobuf', body: 'spans' },
        ]);
        assert.equal(connections, 1);
      },
    );
  });

  for (const [status, retryable] of [
    [401, true],
    [403, true],
    [429, true],
    [502, true],
    [503, true],
    [504, true],
    [400, false],
    [404, false],
    [413, false],
    [500, false],
    [302, false],
  ] as const) {
    it(`takes ${status} for ${retryable ? 'a passing failure' : 'a refusal'}`, () =>
      withCollector(
        (_, res) => res.writeHead(status, { 'retry-after': '3' }).end('why\x00 not'),
        async (endpoint) => {
          const exporter = createOtlpHttpExporter({ endpoint });
          const error = await failureOf(exporter.send(message()));
          assert.equal(error.retryable, retryable);
          assert.equal(error.retryAfterS, retryable ? 3 : undefined);
          assert.match(error.message, new RegExp(`status ${status}: why not`));
          await exporter.close();
        },
      ));
  }

  it('takes a refused connection for a passing failure', async () => {
    let port = 0;
    await withCollector(
      () => undefined,
      (endpoint) => {
        port = Number(new URL(endpoint).port);
        return Promise.resolve();
      },
    );
    const exporter = createOtlpHttpExporter({ endpoint: `http://127.0.0.1:${port}` });
    assert.equal((await failureOf(exporter.send(message()))).code, 'AZ_EXPORT_FAILED');
    await exporter.close();
  });

  it('takes a connection that is cut off for a passing failure', () =>
    withCollector(
      (req) => req.socket.resetAndDestroy(),
      async (endpoint) => {
        const exporter = createOtlpHttpExporter({ endpoint });
        assert.equal((await failureOf(exporter.send(message()))).retryable, true);
        await exporter.close();
      },
    ));

  it('takes an answer that is cut off for a passing failure', () =>
    withCollector(
      (req, res) => {
        res.writeHead(200, { 'content-length': '10' });
        res.write('abc', () => req.socket.resetAndDestroy());
      },
      async (endpoint) => {
        const exporter = createOtlpHttpExporter({ endpoint });
        assert.equal((await failureOf(exporter.send(message()))).retryable, true);
        await exporter.close();
      },
    ));

  it('gives a collector that does not answer up at the deadline', () =>
    withCollector(
      () => undefined,
      async (endpoint) => {
        const exporter = createOtlpHttpExporter({ endpoint, deadlineMs: 20 });
        const error = await failureOf(exporter.send(message()));
        assert.equal(error.retryable, true);
        assert.match(error.message, /no answer within 20 ms/);
        await exporter.close();
      },
    ));

  it('reads Retry-After as seconds and as a date', () => {
    const nowMs = Date.parse('2026-11-25T00:00:00Z');
    assert.equal(parseRetryAfter('7', nowMs), 7);
    assert.equal(parseRetryAfter('Wed, 25 Nov 2026 00:00:09 GMT', nowMs), 9);
    assert.equal(parseRetryAfter('Wed, 25 Nov 2020 00:00:09 GMT', nowMs), 0);
    assert.equal(parseRetryAfter('soon', nowMs), undefined);
    assert.equal(parseRetryAfter(undefined, nowMs), undefined);
  });
});
