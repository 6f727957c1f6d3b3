import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKafkaReceiver } from '../../../collector/kafka-receiver.ts';
import { createOtlpHttpReceiver } from '../../../collector/otlp-http-receiver.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { jsonToProtobuf } from '../../../telemetry/otlp-json.ts';
import { createKafkaClient, type KafkaClient } from '../../../transport/kafka/kafka-client.ts';
import { hopMessage } from '../../helpers/hop-messages.ts';
import { testKafka, type TestKafka } from '../../helpers/kafka-broker.ts';
import { spansOf, tracesOf } from '../../helpers/otlp-proto.ts';
import { createRecordingPipeline } from '../../helpers/recording-pipeline.ts';
import {
  requireStockCollector,
  startStockCollector,
  type StockCollector,
} from '../../helpers/stock-collector.ts';

const ENCODINGS = ['otlp_proto', 'otlp_json'] as const;
/** What our proxies may write. */
const OURS = ['none', 'gzip', 'zstd'] as const;
const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Both ways between us and what others run, through a real broker. */
describe('A stock OpenTelemetry Collector', function () {
  this.timeout(60_000);
  let kafka: TestKafka;
  let clients: readonly KafkaClient[] = [];
  let path: string;
  let folder: string;
  const stops: (() => Promise<void>)[] = [];

  before(async function () {
    path = requireStockCollector(this);
    kafka = await testKafka(this);
    folder = mkdtempSync(join(tmpdir(), 'azimuth-test-otelcol-'));
    clients = OURS.map((compression) =>
      createKafkaClient({ brokers: kafka.brokers, clientId: 'test', log: silentLog, compression }),
    );
    for (const client of clients) await client.connect();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  after(async () => {
    for (const client of clients) await client.close();
    if ((folder as string | undefined) !== undefined) rmSync(folder, { recursive: true });
  });

  const startCollector = (yaml: string): StockCollector => {
    const collector = startStockCollector(path, yaml, join(folder, 'config.yaml'));
    stops.push(() => collector.stop());
    return collector;
  };

  it('reads our topic in each compression, and delivers to our OTLP/HTTP receiver, again after 429 and 503', async () => {
    const topics = await kafka.topics(2);
    const bodies = [1, 2, 3, 4, 5, 6].map((seq) =>
      hopMessage({ startUnixMs: Date.now(), seq, hopFormat: seq % 2 ? 'packed' : 'attributes' }),
    );
    for (const [i, body] of bodies.entries())
      await clients[i % clients.length]!.send(topics.traces, i % 2, body);
    const refusals = [
      new AzimuthError('AZ_COLLECTOR_BUSY', 'busy', { retryAfterS: 1 }),
      new AzimuthError('AZ_STORE_UNAVAILABLE', 'away', { retryAfterS: 1 }),
    ];
    let calls = 0;
    const pipeline = createRecordingPipeline(() => {
      const refusal = refusals[calls++];
      if (refusal !== undefined) throw refusal;
    });
    const receiver = createOtlpHttpReceiver({
      ...{ host: '127.0.0.1', port: 0, pipeline, log: silentLog },
    });
    await receiver.start();
    stops.push(() => receiver.stop());
    startCollector(`receivers:
  kafka:
    brokers: ${JSON.stringify(kafka.brokers)}
    group_id: ${kafka.group()}
    initial_offset: earliest
    traces: { topics: [${topics.traces}] }
exporters:
  otlphttp: { endpoint: "http://127.0.0.1:${receiver.port()}", sending_queue: { enabled: false } }
service:
  pipelines: { traces: { receivers: [kafka], exporters: [otlphttp] } }
`);
    await pipeline.until(bodies.length);
    const identities = (messages: readonly Uint8Array[]): string[] =>
      messages.flatMap(spansOf).map(({ service, name, spanId }) => `${service} ${name} ${spanId}`);
    const got = identities(pipeline.accepted.map(({ body }) => body));
    assert.deepEqual(new Set(got), new Set(identities(bodies)));
    assert.ok(calls > refusals.length, 'it came again after our refusals');
  });

  it('writes what we read: protobuf and JSON, each with every compression', async () => {
    const topics = await kafka.topics(1);
    const port = await freePort();
    const exporters = ENCODINGS.flatMap((encoding) =>
      COMPRESSIONS.map((compression) => ({ encoding, compression })),
    );
    const collector = startCollector(`receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:${port}" } } }
exporters:
${exporters
  .map(
    ({ encoding, compression }) => `  kafka/${encoding}_${compression}:
    brokers: ${JSON.stringify(kafka.brokers)}
    traces: { topic: ${topics.traces}, encoding: ${encoding} }
    producer: { compression: ${compression} }
`,
  )
  .join('')}service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [${exporters.map((e) => `kafka/${e.encoding}_${e.compression}`).join(', ')}]
`);
    const names = Array.from({ length: 50 }, (_, i) => `GET /things/${i}`);
    const body = tracesOf(names.map((name) => ({ service: 'shop', name })));
    await postUntilTaken(`http://127.0.0.1:${port}/v1/traces`, body, collector);
    const pipeline = createRecordingPipeline();
    const receiver = createKafkaReceiver({
      ...{ brokers: kafka.brokers, topics, groupId: kafka.group(), pipeline, log: silentLog },
    });
    await receiver.start();
    stops.push(() => receiver.stop());
    await pipeline.until(exporters.length);
    const count = (encoding: string): number =>
      pipeline.accepted.filter((message) => message.encoding === encoding).length;
    assert.equal(count('protobuf'), COMPRESSIONS.length);
    assert.equal(count('json'), COMPRESSIONS.length);
    for (const { encoding, body: read } of pipeline.accepted) {
      const spans = spansOf(encoding === 'json' ? jsonToProtobuf('traces', read) : read);
      assert.deepEqual(
        spans.map(({ service, name }) => `${service} ${name}`),
        names.map((name) => `shop ${name}`),
      );
    }
  });
});

/** Posts once the Collector listens; its log is the error's text when it ends or never does. */
async function postUntilTaken(url: string, body: Buffer, collector: StockCollector): Promise<void> {
  for (let tries = 0; ; tries++) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(body),
    }).catch(() => undefined);
    if (answer?.status === 200) return;
    if (tries > 400) throw new Error(`the Collector takes nothing:\n${collector.log()}`);
    await sleep(100);
  }
}
