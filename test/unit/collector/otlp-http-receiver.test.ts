import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import {
  createOtlpHttpReceiver,
  type OtlpHttpReceiverSettings,
} from '../../../collector/otlp-http-receiver.ts';
import type { OtlpReceiver } from '../../../collector/otlp-request.ts';
import { createPipeline, type Pipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { WireCursor } from '../../../telemetry/protobuf.ts';
import { makeCertificates, type Certificates } from '../../helpers/certificates.ts';
import { createFakeStore, storeAway, type FakeStore } from '../../helpers/fake-store.ts';
import { tracesOf } from '../../helpers/otlp-proto.ts';
import { seededRandom } from '../../helpers/prng.ts';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

function body(name: string, atMs = NOW_MS): Buffer {
  return tracesOf([{ service: 'shop', name, startUnixNs: BigInt(atMs) * 1_000_000n }]);
}

/** Field 1 (code) and 2 (message) of a google.rpc.Status. */
function status(bytes: Buffer): { code: number; message: string } {
  const cursor = new WireCursor().reset(bytes);
  const found = { code: 0, message: '' };
  while (cursor.position < bytes.length) {
    if (cursor.tag(bytes.length) === 8) found.code = cursor.varint(bytes.length);
    else {
      const end = cursor.lengthDelimited(bytes.length);
      found.message = bytes.toString('utf8', cursor.position, end);
      cursor.position = end;
    }
  }
  return found;
}

describe('OtlpHttpReceiver', () => {
  let store: FakeStore;
  let pipeline: Pipeline;
  let receiver: OtlpReceiver;

  async function start(settings: Partial<OtlpHttpReceiverSettings> = {}): Promise<void> {
    store = createFakeStore();
    pipeline = createPipeline({
      store: store.client,
      log: silentLog,
      rowsMax: 1000,
      batchIntervalMs: 0,
      bytesInFlightMax: 1e9,
      retentionDays: 7,
      now: () => NOW_MS,
      retryForMs: 0,
    });
    pipeline.start();
    receiver = createOtlpHttpReceiver({
      host: '127.0.0.1',
      port: 0,
      pipeline,
      log: silentLog,
      ...settings,
    });
    await receiver.start();
  }

  afterEach(async () => {
    await receiver.stop();
    await pipeline.stop();
  });

  function post(
    path: string,
    headers: Record<string, string | number>,
    content: Buffer | ((write: (chunk: Buffer) => void) => void),
    method = 'POST',
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port: receiver.port(), path, method, headers, agent: false },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk: Buffer) => chunks.push(chunk));
          res.on('end', () => {
            resolve({
              status: res.statusCode!,
              headers: res.headers,
              body: Buffer.concat(chunks),
            });
          });
        },
      );
      req.on('error', reject);
      if (typeof content === 'function') content((chunk) => void req.write(chunk));
      else req.end(content);
    });
  }

  /** Sends bytes as they are and returns all that came back until the other side closed. */
  function raw(bytes: Buffer | string): Promise<string> {
    return new Promise((resolve) => {
      let answer = '';
      const socket = connect(receiver.port(), '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(answer));
    });
  }

  const stillWorks = async (): Promise<void> => {
    assert.equal((await post('/v1/traces', PROTOBUF, body('after'))).status, 200);
    assert.ok(store.column('spans', 'SpanName').includes('after'));
  };

  it('answers 200 with an empty response in the encoding of the request', async () => {
    await start();
    const protobuf = await post('/v1/traces', PROTOBUF, body('a'));
    assert.equal(protobuf.status, 200);
    assert.equal(protobuf.headers['content-type'], 'application/x-protobuf');
    assert.equal(protobuf.body.length, 0);
    const text = JSON.stringify({
      resourceSpans: [
        {
          resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
          scopeSpans: [
            {
              spans: [
                {
                  traceId: '5b8efff798038103d269b633813fc60c',
                  spanId: 'eee19b7ec3c1b174',
                  name: 'json',
                  kind: 2,
                  startTimeUnixNano: String(BigInt(NOW_MS) * 1_000_000n),
                  endTimeUnixNano: String(BigInt(NOW_MS) * 1_000_000n + 5n),
                },
              ],
            },
          ],
        },
      ],
    });
    const json = await post('/v1/traces?x=1', JSON_TYPE, Buffer.from(text));
    assert.equal(json.status, 200, json.body.toString());
    assert.equal(json.headers['content-type'], 'application/json');
    assert.equal(json.body.toString(), '{}');
    assert.deepEqual(store.column('spans', 'SpanName'), ['a', 'json']);
    assert.deepEqual(store.column('spans', 'Source'), ['otlp_http', 'otlp_http']);
  });

  it('inflates gzip, deflate (with and without its head) and zstd, and takes chunked bodies', async () => {
    await start();
    const encodings: [string, (plain: Buffer) => Buffer][] = [
      ['gzip', (b) => gzipSync(b)],
      ['deflate', (b) => deflateSync(b)],
      ['deflate', (b) => deflateRawSync(b)],
      ['zstd', (b) => zstdCompressSync(b)],
      ['identity', (b) => b],
    ];
    for (const [encoding, compress] of encodings) {
      const headers = { ...PROTOBUF, 'content-encoding': encoding, 'transfer-encoding': 'chunked' };
      const answer = await post('/v1/traces', headers, compress(body(encoding)));
      assert.equal(answer.status, 200, encoding);
    }
    assert.equal(store.rows('spans'), encodings.length);
  });

  it('names the fault: 404, 405, 415', async () => {
    await start();
    const answers = await Promise.all([
      post('/v1/metrics', PROTOBUF, body('a')),
      post('/v1/traces', PROTOBUF, Buffer.alloc(0), 'GET'),
      post('/v1/traces', { 'content-type': 'text/plain' }, body('a')),
      post('/v1/traces', {}, body('a')),
      post('/v1/traces', { ...PROTOBUF, 'content-encoding': 'br' }, body('a')),
      post('/v1/traces', { ...PROTOBUF, 'content-encoding': 'toString' }, body('a')),
    ]);
    assert.deepEqual(
      answers.map((answer) => answer.status),
      [404, 405, 415, 415, 415, 415],
    );
    assert.equal(answers[1].headers.allow, 'POST');
    assert.match(status(answers[0].body).message, /\/v1\/traces or \/v1\/logs/);
    assert.equal(store.tried.length, 0);
  });

  it('answers 400 with a Status in the encoding of the request, and keeps the bytes', async () => {
    await start();
    const protobuf = await post('/v1/traces', PROTOBUF, Buffer.from('no protobuf'));
    assert.equal(protobuf.status, 400);
    assert.equal(status(protobuf.body).code, 3);
    const json = await post('/v1/logs', JSON_TYPE, Buffer.from('{"resourceLogs":7}'));
    assert.equal(json.status, 400);
    const parsed = JSON.parse(json.body.toString()) as { code: number; message: string };
    assert.equal(parsed.code, 3);
    assert.match(parsed.message, /resourceLogs/);
    const gzip = { ...PROTOBUF, 'content-encoding': 'gzip' };
    assert.equal((await post('/v1/traces', gzip, Buffer.from('no gzip'))).status, 400);
    assert.deepEqual(store.column('dead_letters', 'Body'), ['no protobuf', '{"resourceLogs":7}']);
    await stillWorks();
  });

  it('answers partial success when spans lie outside of what is kept', async () => {
    await start();
    const mixed = Buffer.concat([body('old', Date.UTC(1970, 1, 1)), body('now')]);
    const answer = await post('/v1/traces', PROTOBUF, mixed);
    assert.equal(answer.status, 200);
    const cursor = new WireCursor().reset(answer.body);
    assert.equal(cursor.tag(answer.body.length), 0x0a);
    const end = cursor.lengthDelimited(answer.body.length);
    assert.deepEqual(status(answer.body.subarray(cursor.position, end)).code, 1);
    assert.match(answer.body.toString(), /1970-02-01/);
    assert.deepEqual(store.column('spans', 'SpanName'), ['now']);
  });

  it('answers 413 to a length above the limit before it reads, and to a longer chunked body', async () => {
    await start({ bodyBytesMax: 100_000, lingerMs: 20 });
    // The body never comes: the head alone is refused.
    const announced = await raw(
      'POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 104857600\r\n\r\n',
    );
    assert.match(announced, /^HTTP\/1\.1 413 /);
    const chunked = await post('/v1/traces', PROTOBUF, (write) => {
      for (let i = 0; i < 20; i++) write(Buffer.alloc(10_000));
    });
    assert.equal(chunked.status, 413);
    await stillWorks();
  });

  it('lets a sender of 100 MB see its 413 and not a reset', async () => {
    await start();
    const answer = await post('/v1/traces', PROTOBUF, Buffer.alloc(100 * 1024 * 1024));
    assert.equal(answer.status, 413);
    await stillWorks();
  });

  it('does not let Expect: 100-continue in when the body will be refused', async () => {
    await start({ bodyBytesMax: 1000, lingerMs: 20 });
    const head = (bytes: number): string =>
      `POST /v1/traces HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${bytes}\r\n\r\n`;
    assert.match(await raw(head(5000)), /^HTTP\/1\.1 413 /);
  });

  it('refuses gzip, deflate and zstd bombs while inflating', async () => {
    await start({ inflatedBytesMax: 1_000_000 });
    const zeros = Buffer.alloc(50_000_000);
    for (const [encoding, bomb] of [
      ['gzip', gzipSync(zeros)],
      ['deflate', deflateSync(zeros)],
      ['zstd', zstdCompressSync(zeros)],
    ] as const) {
      const answer = await post('/v1/traces', { ...PROTOBUF, 'content-encoding': encoding }, bomb);
      assert.equal(answer.status, 413, encoding);
    }
    await stillWorks();
  });

  it('answers 429 with Retry-After when too many bodies are being received', async () => {
    await start({ receivingBytesMax: 50_000 });
    const answer = await post('/v1/traces', PROTOBUF, Buffer.alloc(100_000));
    assert.equal(answer.status, 429);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    await stillWorks();
  });

  it('answers 503 with Retry-After while the store is away', async () => {
    await start();
    store.behave = () => {
      throw storeAway();
    };
    const answer = await post('/v1/traces', PROTOBUF, body('a'));
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    assert.equal(status(answer.body).code, 14);
    store.behave = () => undefined;
    await stillWorks();
  });

  it('survives garbage on its port, half requests and senders that hang up', async () => {
    await start();
    const random = seededRandom(5);
    const noise = (): Buffer => Buffer.from(Array.from({ length: 300 }, () => random() * 256));
    for (let i = 0; i < 20; i++) assert.doesNotMatch(await raw(noise()), /^HTTP\/1\.1 200/);
    assert.match(await raw('\0\0\0\0\r\n\r\n'), /^HTTP\/1\.1 400/);
    assert.match(
      await raw(`POST /v1/traces HTTP/1.1\r\nhost: x\r\nbig: ${'x'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431/,
    );
    await new Promise<void>((resolve) => {
      const socket = connect(receiver.port(), '127.0.0.1', () => {
        socket.write(
          'POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\nabc',
          () => socket.destroy(),
        );
      });
      socket.on('close', () => resolve());
    });
    await stillWorks();
    assert.equal(store.rows('dead_letters'), 0);
  });

  it('ends a body that comes too slowly', async () => {
    await start({ headTimeoutMs: 20, requestTimeoutMs: 20 });
    const answer = await raw(
      'POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\nabc',
    );
    assert.match(answer, /^HTTP\/1\.1 40[08] |^$/);
    const head = await raw('POST /v1/traces HTTP/1.1\r\nhost: x\r\n');
    assert.match(head, /^HTTP\/1\.1 408 /);
  });

  it('answers what it has in hand when it stops', async () => {
    await start();
    const gate = Promise.withResolvers<undefined>();
    store.behave = () => gate.promise;
    const answer = post('/v1/traces', PROTOBUF, body('a'));
    while (store.tried.length === 0) await new Promise(setImmediate);
    const stopped = receiver.stop();
    gate.resolve(undefined);
    assert.equal((await answer).status, 200);
    await stopped;
  });

  it('serves only who shows the bearer token, when one is set', async () => {
    await start({ token: 'correct horse' });
    for (const authorization of [undefined, 'Bearer wrong', 'Bearer ', 'Basic correct horse']) {
      const headers = authorization === undefined ? PROTOBUF : { ...PROTOBUF, authorization };
      const answer = await post('/v1/traces', headers, body('stranger'));
      assert.equal(answer.status, 401);
      assert.equal(answer.headers['www-authenticate'], 'Bearer');
      assert.equal(status(answer.body).code, 16);
    }
    const authorization = 'Bearer correct horse';
    const answer = await post('/v1/traces', { ...PROTOBUF, authorization }, body('friend'));
    assert.equal(answer.status, 200);
    assert.deepEqual(store.column('spans', 'SpanName'), ['friend']);
  });

  describe('with TLS', function () {
    this.timeout(20_000);
    let certificates: Certificates;
    before(function () {
      certificates = makeCertificates(this);
    });
    after(() => (certificates as Certificates | undefined)?.remove());

    /** Status of the answer, or the code of the error that came instead. */
    const secured = (client?: { cert: string; key: string }): Promise<number | string> =>
      new Promise((resolve) => {
        const req = requestTls(
          {
            ...{ host: '127.0.0.1', port: receiver.port(), path: '/v1/traces', method: 'POST' },
            ...{ headers: PROTOBUF, agent: false, ca: readFileSync(certificates.ca) },
            ...(client === undefined
              ? {}
              : { cert: readFileSync(client.cert), key: readFileSync(client.key) }),
          },
          (res) => resolve(res.resume().statusCode!),
        );
        req.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        req.end(body('secured'));
      });

    it('takes OTLP over TLS, and nothing without it', async () => {
      await start({ tls: certificates.server });
      assert.equal(await secured(), 200);
      assert.deepEqual(await raw('GET / HTTP/1.1\r\nhost: x\r\n\r\n'), '');
      assert.equal(await secured(), 200);
    });

    it('serves only clients of its authority, when one is set', async () => {
      await start({ tls: { ...certificates.server, client_ca: certificates.ca } });
      assert.equal(typeof (await secured()), 'string');
      assert.equal(store.rows('spans'), 0);
      assert.equal(await secured(certificates.client), 200);
    });

    it('says at the start which file cannot be read', async () => {
      await start();
      assert.throws(
        () =>
          createOtlpHttpReceiver({
            ...{ host: '127.0.0.1', port: 0, pipeline, log: silentLog },
            tls: { ...certificates.server, key: '/nowhere.pem' },
          }),
        /tls\.key: the file \/nowhere\.pem cannot be read/,
      );
    });
  });
});
