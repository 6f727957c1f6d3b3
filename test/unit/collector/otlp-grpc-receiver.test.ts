import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { gzipSync } from 'node:zlib';
import {
  createOtlpGrpcReceiver,
  type OtlpGrpcReceiverSettings,
} from '../../../collector/otlp-grpc-receiver.ts';
import type { OtlpReceiver } from '../../../collector/otlp-request.ts';
import { createPipeline, type Pipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { makeCertificates, type Certificates } from '../../helpers/certificates.ts';
import { createFakeStore, storeAway, type FakeStore } from '../../helpers/fake-store.ts';
import { tracesOf } from '../../helpers/otlp-proto.ts';
import { seededRandom } from '../../helpers/prng.ts';

const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

interface Answer {
  httpStatus: number;
  /** grpc-status; undefined when the stream ended without one. */
  code: number | undefined;
  message: string;
  details: Buffer | undefined;
  body: Buffer;
}

const framed = (message: Buffer, compressed = 0): Buffer => {
  const prefix = Buffer.from([compressed, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};
const spans = (name: string, startMs = Date.now()): Buffer =>
  tracesOf([{ service: 'shop', name, startUnixNs: BigInt(startMs) * 1_000_000n }]);

describe('OtlpGrpcReceiver', () => {
  let store: FakeStore;
  let pipeline: Pipeline;
  let receiver: OtlpReceiver;
  const sessions: ClientHttp2Session[] = [];

  async function start(settings: Partial<OtlpGrpcReceiverSettings> = {}): Promise<void> {
    store = createFakeStore();
    pipeline = createPipeline({
      store: store.client,
      log: silentLog,
      rowsMax: 1000,
      batchIntervalMs: 0,
      bytesInFlightMax: 1e9,
      retentionDays: 7,
      now: Date.now,
      retryForMs: 0,
    });
    pipeline.start();
    receiver = createOtlpGrpcReceiver({
      host: '127.0.0.1',
      port: 0,
      pipeline,
      log: silentLog,
      ...settings,
    });
    await receiver.start();
  }

  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await receiver.stop();
    await pipeline.stop();
  });

  function open(url = `http://127.0.0.1:${receiver.port()}`, options = {}): ClientHttp2Session {
    const session = connectHttp2(url, options);
    session.on('error', () => undefined);
    sessions.push(session);
    return session;
  }

  /** One call; `body` undefined leaves the stream open. */
  function call(
    session: ClientHttp2Session,
    body: Buffer | undefined,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': TRACES,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      });
      const chunks: Buffer[] = [];
      let found: Record<string, unknown> = {};
      stream.on('response', (head) => (found = { ...found, ...(head as object) }));
      stream.on('trailers', (trailers) => (found = { ...found, ...(trailers as object) }));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => undefined);
      stream.on('close', () => {
        const details = found['grpc-status-details-bin'] as string | undefined;
        const code = found['grpc-status'] as string | undefined;
        resolve({
          httpStatus: Number(found[':status'] ?? 0),
          code: code === undefined ? undefined : Number(code),
          message: decodeURIComponent((found['grpc-message'] as string | undefined) ?? ''),
          details: details === undefined ? undefined : Buffer.from(details, 'base64'),
          body: Buffer.concat(chunks),
        });
      });
      if (body === undefined) stream.write(Buffer.from([0, 0, 0, 0, 9, 1]));
      else stream.end(body);
    });
  }

  const stillWorks = async (): Promise<void> => {
    assert.equal((await call(open(), framed(spans('after')))).code, 0);
    assert.ok(store.column('spans', 'SpanName').includes('after'));
  };

  for (const compression of ['none', 'gzip']) {
    it(`takes what the OpenTelemetry SDK sends over gRPC, compression ${compression}`, async () => {
      await start();
      const url = `http://127.0.0.1:${receiver.port()}`;
      const options = { url, compression: compression as never, timeoutMillis: 60_000 };
      const tracing = new TracerProvider({
        spanProcessors: [new SimpleSpanProcessor({ exporter: new OTLPTraceExporter(options) })],
      });
      const logging = new LoggerProvider({
        processors: [new SimpleLogRecordProcessor({ exporter: new OTLPLogExporter(options) })],
      });
      for (let i = 0; i < 3; i++) tracing.getTracer('t').startSpan(`sdk ${i}`).end();
      logging.getLogger('t').emit({ body: 'a line of an application' });
      await tracing.forceFlush();
      await logging.forceFlush();
      await tracing.shutdown();
      await logging.shutdown();
      assert.deepEqual([...store.column('spans', 'SpanName')].sort(), ['sdk 0', 'sdk 1', 'sdk 2']);
      assert.equal(pipeline.stats().otherLogs, 1);
    });
  }

  it('tells the SDK of a failure instead of swallowing it', async () => {
    await start();
    store.behave = () => {
      throw storeAway();
    };
    const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${receiver.port()}` });
    const failure = await new Promise<{ error?: unknown }>((resolve) => {
      const provider = new TracerProvider({
        spanProcessors: [
          {
            onStart: () => undefined,
            onEnd: (span) => exporter.export([span], resolve),
            forceFlush: () => Promise.resolve(),
            shutdown: () => Promise.resolve(),
          },
        ],
      });
      provider.getTracer('t').startSpan('x').end();
    });
    await exporter.shutdown();
    assert.equal((failure.error as { code?: number } | undefined)?.code, 14);
  });

  it('asks to come again, and when, while the store is away', async () => {
    await start();
    store.behave = () => {
      throw storeAway();
    };
    const answer = await call(open(), framed(spans('a')));
    assert.deepEqual([answer.httpStatus, answer.code], [200, 14]);
    assert.match(answer.message, /ClickHouse cannot be reached/);
    assert.ok(answer.details!.includes('type.googleapis.com/google.rpc.RetryInfo'));
    assert.deepEqual(
      [...answer.details!.subarray(-6)],
      [0x12, 4, 0x0a, 2, 0x08, 2],
      'RetryInfo with a delay of 2 s',
    );
    store.behave = () => undefined;
    await stillWorks();
  });

  it('answers success with what was rejected when spans lie outside of the time window', async () => {
    await start();
    const answer = await call(open(), framed(spans('old', Date.UTC(2001, 0, 1))));
    assert.equal(answer.code, 0);
    assert.equal(answer.body.readUInt32BE(1), answer.body.length - 5);
    assert.deepEqual([...answer.body.subarray(5, 6)], [0x0a], 'partial_success');
  });

  it('refuses what is not one readable message, by code, and dead-letters what is not OTLP', async () => {
    await start({ bodyBytesMax: 1000, inflatedBytesMax: 2000 });
    const session = open();
    const cases: [name: string, code: number, body: Buffer, headers?: Record<string, string>][] = [
      ['nothing', 3, Buffer.alloc(0)],
      ['half a prefix', 3, Buffer.from([0, 0])],
      ['shorter than its prefix says', 3, Buffer.from([0, 0, 0, 0, 9, 1])],
      ['two messages', 3, Buffer.concat([framed(spans('a')), framed(spans('b'))])],
      ['a flag that is none', 3, framed(spans('a'), 2)],
      ['compressed without an encoding', 3, framed(gzipSync(spans('a')), 1)],
      ['garbage for gzip', 3, framed(Buffer.from('garbage'), 1), { 'grpc-encoding': 'gzip' }],
      ['an encoding that we lack', 12, framed(spans('a'), 1), { 'grpc-encoding': 'snappy' }],
      ['garbage for OTLP', 3, framed(Buffer.from('garbage'))],
      ['too large', 8, framed(Buffer.alloc(1001))],
      ['a claim too large', 8, Buffer.from([0, 0xff, 0xff, 0xff, 0xff])],
      ['a bomb', 8, framed(gzipSync(Buffer.alloc(100_000)), 1), { 'grpc-encoding': 'gzip' }],
      ['another service', 12, framed(spans('a')), { ':path': '/a.B/C' }],
    ];
    for (const [name, code, body, headers] of cases) {
      const answer = await call(session, body, headers);
      assert.equal(answer.code, code, `${name}: ${answer.message}`);
      assert.equal(answer.details, undefined, `${name} must not be sent again`);
    }
    assert.equal(
      (await call(session, framed(spans('a')), { 'content-type': 'text/x' })).httpStatus,
      415,
    );
    assert.equal(store.rows('dead_letters'), 1);
    await stillWorks();
  });

  it('ends a call whose message does not arrive in time', async () => {
    await start({ requestTimeoutMs: 20 });
    assert.equal((await call(open(), undefined)).code, 4);
    // A busy machine may be as slow as the sender above.
    let code: number | undefined;
    do code = (await call(open(), framed(spans('after')))).code;
    while (code === 4);
    assert.equal(code, 0);
  });

  it('bounds the bytes of all messages on their way in, and forgets those that were reset', async () => {
    await start({ receivingBytesMax: 1000 });
    const session = open();
    const held = session.request({
      ':method': 'POST',
      ':path': TRACES,
      'content-type': 'application/grpc',
    });
    held.on('error', () => undefined);
    held.write(Buffer.alloc(900));
    let code: number | undefined;
    // The held bytes may arrive after the first of these.
    do code = (await call(session, framed(spans('x'.repeat(500))))).code;
    while (code === 0);
    assert.equal(code, 14);
    held.close(constants.NGHTTP2_CANCEL);
    do code = (await call(session, framed(spans('y'.repeat(500))))).code;
    while (code === 14);
    assert.equal(code, 0);
  });

  it('outlives bytes that are no HTTP/2, and floods of resets', async () => {
    await start();
    const random = seededRandom(7);
    for (const bytes of [
      'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        Buffer.from(Array.from({ length: 5_000 }, () => Math.floor(random() * 256))),
      ]),
    ]) {
      const socket = connectTcp(receiver.port(), '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => undefined);
      socket.resume();
      await once(socket, 'close');
    }
    const flooding = open();
    const streams = Array.from({ length: 500 }, () => {
      const stream = flooding.request({ ':method': 'POST', ':path': TRACES });
      stream.on('error', () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
      return stream;
    });
    await Promise.all(
      streams.map((stream) => (stream.destroyed ? Promise.resolve() : once(stream, 'close'))),
    );
    await stillWorks();
  });

  it('answers a call in hand before it stops', async () => {
    await start();
    let free: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => {
      store.behave = async () => {
        resolve();
        await new Promise<void>((go) => (free = go));
      };
    });
    const answer = call(open(), framed(spans('last')));
    await arrived;
    const stopped = receiver.stop();
    free();
    assert.equal((await answer).code, 0);
    await stopped;
  });

  describe('with TLS, client certificates and a token', function () {
    this.timeout(20_000);
    let certificates: Certificates;
    before(function () {
      certificates = makeCertificates(this);
    });
    after(() => (certificates as Certificates | undefined)?.remove());

    it('serves only who shows both', async () => {
      const { server, ca, client } = certificates;
      await start({ tls: { ...server, client_ca: ca }, token: 'correct horse' });
      const url = `https://127.0.0.1:${receiver.port()}`;
      const read = (path: string): Buffer => readFileSync(path);
      const known = open(url, {
        ca: read(ca),
        cert: read(client.cert),
        key: read(client.key),
      });
      assert.equal((await call(known, framed(spans('a')))).code, 16);
      for (const authorization of ['Bearer wrong', 'Basic correct horse', 'correct horse'])
        assert.equal((await call(known, framed(spans('a')), { authorization })).code, 16);
      assert.equal(store.rows('spans'), 0);
      const authorization = 'Bearer correct horse';
      assert.equal((await call(known, framed(spans('a')), { authorization })).code, 0);
      const stranger = open(url, { ca: read(ca) });
      assert.equal((await call(stranger, framed(spans('b')), { authorization })).code, undefined);
      assert.deepEqual(store.column('spans', 'SpanName'), ['a']);
    });
  });
});
