import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { silentLog } from '../../../runtime/log.ts';
import type { Exporter } from '../../../transport/exporter.ts';
import { createKafkaClient } from '../../../transport/kafka/kafka-client.ts';
import { createKafkaExporter } from '../../../transport/kafka/kafka-exporter.ts';
import { ensureTopics } from '../../../transport/kafka/kafka-topics.ts';
import { kcat, requireKcat, testKafka, type TestKafka } from '../../helpers/kafka-broker.ts';
import { spansOf, tracesOf } from '../../helpers/otlp-proto.ts';

/** All messages of a topic as kcat reads them. */
function readTopic(kafka: TestKafka, topic: string): { partition: number; value: Buffer }[] {
  const args = ['-C', '-e', '-t', topic, '-o', 'beginning', '-f', '%p %S\n%s'];
  const out = kcat(kafka, args);
  const messages: { partition: number; value: Buffer }[] = [];
  for (let at = 0; at < out.length;) {
    const lineEnd = out.indexOf('\n', at);
    const [partition, bytes] = out.toString('latin1', at, lineEnd).split(' ').map(Number);
    const value = out.subarray(lineEnd + 1, lineEnd + 1 + bytes!);
    messages.push({ partition: partition!, value });
    at = lineEnd + 1 + bytes!;
  }
  return messages;
}

describe('KafkaExporter on a real broker', function () {
  this.timeout(30_000);
  let kafka: TestKafka;
  let exporter: Exporter | undefined;

  before(async function () {
    kafka = await testKafka(this);
  });
  afterEach(() => exporter?.close());

  it('writes what kcat reads and an independent protobuf implementation decodes', async function () {
    requireKcat(this);
    const topics = await kafka.topics(6);
    const client = createKafkaClient({
      brokers: kafka.brokers,
      clientId: 'test',
      log: silentLog,
    });
    exporter = createKafkaExporter({ client, topics, log: silentLog });
    const sent = exporter;
    const names = Array.from({ length: 60 }, (_, i) => `GET /products/${i}`);
    await Promise.all(
      names.map((name) =>
        sent.send({ signal: 'traces', body: tracesOf([{ service: 'edge', name }]), items: 1 }),
      ),
    );
    const messages = readTopic(kafka, topics.traces);
    assert.deepEqual(
      messages.flatMap(({ value }) => spansOf(value).map((span) => span.name)).sort(),
      [...names].sort(),
    );
    // The first six go to six partitions; after that, one whose answer is late is passed over.
    assert.equal(new Set(messages.map(({ partition }) => partition)).size, 6);
    assert.equal(exporter.concurrency, 6);
  });

  it('delivers though the clock of its process is two hours ahead', async () => {
    const topics = await kafka.topics(1);
    const client = createKafkaClient({
      ...{ brokers: kafka.brokers, clientId: 'test', log: silentLog },
    });
    exporter = createKafkaExporter({ client, topics, log: silentLog });
    const wallMs = Date.now;
    Date.now = () => wallMs() + 2 * 3_600_000;
    try {
      await exporter.send({ signal: 'traces', body: tracesOf([{ service: 'a', name: 'b' }]), items: 1 }); // prettier-ignore
    } finally {
      Date.now = wallMs;
    }
  });

  it('splits what is larger than the broker takes, and every span arrives', async function () {
    requireKcat(this);
    const topics = await kafka.topics(2);
    const client = createKafkaClient({
      brokers: kafka.brokers,
      clientId: 'test',
      log: silentLog,
    });
    exporter = createKafkaExporter({ client, topics, log: silentLog });
    const specs = Array.from({ length: 30 }, (_, i) => ({
      service: `s${i % 3}`,
      name: `span-${i}`,
      padding: 100_000,
    }));
    const body = tracesOf(specs);
    await exporter.send({ signal: 'traces', body, items: specs.length });
    const messages = readTopic(kafka, topics.traces);
    assert.ok(messages.length >= 4);
    assert.ok(messages.every(({ value }) => value.length <= 900_000));
    assert.deepEqual(
      messages
        .flatMap(({ value }) => spansOf(value))
        .map(({ service, name }) => `${service} ${name}`)
        .sort(),
      specs.map(({ service, name }) => `${service} ${name}`).sort(),
    );
  });

  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    it(`writes record batches with compression ${compression} that kcat reads`, async function () {
      requireKcat(this);
      const topics = await kafka.topics(1);
      const client = createKafkaClient({
        brokers: kafka.brokers,
        compression,
        clientId: 'test',
        log: silentLog,
      });
      exporter = createKafkaExporter({ client, topics, log: silentLog });
      const bodies = [10, 2_000].map((count) =>
        tracesOf(
          Array.from({ length: count }, (_, i) => ({
            service: 'edge',
            name: `GET /products/${i}`,
            padding: 50,
          })),
        ),
      );
      for (const body of bodies) await exporter.send({ signal: 'traces', body, items: 1 });
      assert.deepEqual(
        readTopic(kafka, topics.traces).map(({ value }) => value),
        bodies,
      );
    });
  }

  it('counts a single span that no record batch takes, and sends the others of its message', async function () {
    requireKcat(this);
    const topics = await kafka.topics(1);
    const client = createKafkaClient({ brokers: kafka.brokers, clientId: 'test', log: silentLog });
    exporter = createKafkaExporter({ client, topics, log: silentLog });
    // The limit holds after compression: one shrinks below it, random bytes do not.
    const body = tracesOf([
      { service: 'edge', name: 'small-1', padding: 10 },
      { service: 'edge', name: 'shrinks', padding: 2_000_000 },
      { service: 'edge', name: randomBytes(1_500_000).toString('base64'), padding: 0 },
      { service: 'edge', name: 'small-2', padding: 10 },
    ]);
    await assert.rejects(exporter.send({ signal: 'traces', body, items: 4 }), {
      code: 'AZ_EXPORT_TOO_LARGE',
      retryable: false,
      refusedItems: 1,
    });
    const names = readTopic(kafka, topics.traces)
      .flatMap(({ value }) => spansOf(value))
      .map(({ name }) => name);
    assert.deepEqual(names, ['small-1', 'shrinks', 'small-2']);
  });

  it('says retryable and what to do when the topic does not exist', async () => {
    const client = createKafkaClient({
      brokers: kafka.brokers,
      clientId: 'test',
      log: silentLog,
    });
    const topics = { traces: 'no-such-topic', logs: 'no-such-topic' };
    exporter = createKafkaExporter({ client, topics, log: silentLog });
    const body = tracesOf([{ service: 'a', name: 'x' }]);
    await assert.rejects(exporter.send({ signal: 'traces', body, items: 1 }), {
      code: 'AZ_EXPORT_FAILED',
      retryable: true,
      message: /azimuth topics/,
    });
  });
});

describe('ensureTopics on a real broker', function () {
  this.timeout(30_000);
  let kafka: TestKafka;

  before(async function () {
    kafka = await testKafka(this);
  });

  it('creates what is missing, also from two processes at once, and leaves the rest', async () => {
    const topics = [`topic-${kafka.group()}`];
    const settings = { brokers: kafka.brokers, topics, partitions: 3, replication: 1 };
    const both = await Promise.all([ensureTopics(settings), ensureTopics(settings)]);
    assert.deepEqual(
      both.flat().map(({ partitions }) => partitions),
      [3, 3],
    );
    assert.deepEqual(await ensureTopics({ ...settings, partitions: 9 }), [
      { topic: topics[0], partitions: 3, created: false },
    ]);
  });

  it("reports Kafka's refusal in its words", async () => {
    const topics = [`topic-${kafka.group()}`];
    await assert.rejects(
      ensureTopics({ brokers: kafka.brokers, topics, partitions: 1, replication: 5 }),
      { code: 'AZ_KAFKA_REFUSED', message: /replication/i },
    );
  });

  it('names the address at which no broker answers', async () => {
    const brokers = ['127.0.0.1:1'];
    await assert.rejects(ensureTopics({ brokers, topics: ['x'], partitions: 1, replication: 1 }), {
      code: 'AZ_KAFKA_UNAVAILABLE',
      message: /127\.0\.0\.1:1/,
    });
  });
});
