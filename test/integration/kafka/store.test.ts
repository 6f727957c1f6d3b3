import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKafkaReceiver } from '../../../collector/kafka-receiver.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createKafkaClient, type KafkaClient } from '../../../transport/kafka/kafka-client.ts';
import { testKafka, type TestKafka } from '../../helpers/kafka-broker.ts';
import { spansOf, tracesOf } from '../../helpers/otlp-proto.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { until } from '../../helpers/until.ts';

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../fixtures/kafka/${name}.bin`, import.meta.url));
/** The fixtures keep their date: they must stay inside the window for as long as this project lives. */
const RETENTION_DAYS = 3_650;

/** The whole way behind the proxies: Kafka, receiver, pipeline, embedded ClickHouse. */
describe('Kafka to store', function () {
  this.timeout(60_000);
  let kafka: TestKafka;
  let store: TestStore;
  let client: KafkaClient;
  const stops: (() => Promise<void>)[] = [];

  before(async function () {
    kafka = await testKafka(this);
    store = await startTestStore({ retention_days: RETENTION_DAYS });
    client = createKafkaClient({ brokers: kafka.brokers, clientId: 'test', log: silentLog });
    await client.connect();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  after(async () => {
    await (client as KafkaClient | undefined)?.close();
    await (store as TestStore | undefined)?.stop();
  });

  /** Receives into the store until stopped; `rejectCalls`: so many inserts fail first. */
  const receive = async (
    topics: { traces: string; logs: string },
    groupId: string,
    insertsThatFail = 0,
  ): Promise<{ lag: () => number; retries: () => number }> => {
    let failing = insertsThatFail;
    const pipeline = createPipeline({
      store: {
        ...store.client,
        insertNative: (table, block, options) =>
          failing-- > 0
            ? Promise.reject(new Error('the store is away'))
            : store.client.insertNative(table, block, options),
      },
      log: silentLog,
      rowsMax: 10_000,
      batchIntervalMs: 20,
      bytesInFlightMax: 64 * 1024 * 1024,
      retentionDays: RETENTION_DAYS,
      now: Date.now,
      retryForMs: 0,
    });
    const receiver = createKafkaReceiver({
      brokers: kafka.brokers,
      topics,
      groupId,
      pipeline,
      log: silentLog,
      sessionTimeoutMs: 2_000,
      backOffBaseMs: 20,
    });
    pipeline.start();
    await receiver.start();
    stops.push(
      () => pipeline.stop(),
      () => receiver.stop(),
    );
    return { lag: () => receiver.stats().lag, retries: () => receiver.stats().retries };
  };
  const rows = async <Row>(sql: string): Promise<Row[]> => store.client.query<Row>(sql);
  /** Waits until a count in the store is reached. */
  const reached = async (sql: string, count: number): Promise<void> => {
    await until(async () => ((await rows<{ n: number }>(sql))[0]?.n ?? 0) >= count);
  };

  it("stores a stock Collector's messages, protobuf and JSON, with service and ids", async () => {
    const topics = await kafka.topics(2);
    await client.send(topics.traces, 0, fixture('proto_none-0'));
    await client.send(topics.traces, 1, fixture('json_none-0'));
    await receive(topics, kafka.group());
    // The same six spans in both encodings: two rows each, one identity.
    await reached('SELECT count() AS n FROM spans', 12);
    const stored = await rows<{ SpanId: string; ServiceName: string }>(
      'SELECT DISTINCT TraceId, SpanId, ServiceName FROM spans',
    );
    assert.equal(stored.length, 6);
    for (const { spanId, service } of spansOf(fixture('proto_none-0'))) {
      assert.notEqual(service, '');
      assert.ok(stored.some((row) => row.SpanId === spanId && row.ServiceName === service));
    }
  });

  it('keeps poison in dead_letters with topic, partition and offset, and stores what follows', async () => {
    const topics = await kafka.topics(1);
    const good = tracesOf([{ service: 'behind-the-poison', name: 'GET /ok' }]);
    const poison = [
      Buffer.from('garbage, not OTLP'),
      good.subarray(0, good.length - 7),
      fixture('jaeger_proto-0'),
      fixture('zipkin_json-0'),
      Buffer.from('{"resourceSpans": "no list"}'),
      Buffer.alloc(70 * 1024 * 1024),
    ];
    for (const value of poison) await client.send(topics.traces, 0, value);
    await client.send(topics.traces, 0, Buffer.alloc(0));
    await client.send(topics.traces, 0, good);
    const group = kafka.group();
    const received = await receive(topics, group);
    await reached("SELECT count() AS n FROM spans WHERE ServiceName = 'behind-the-poison'", 1);
    const letters = await rows<{ partition: number; offset: number; reason: string }>(
      `SELECT SourcePartition AS partition, SourceOffset AS offset, Reason AS reason
       FROM dead_letters WHERE Source = '${topics.traces}' ORDER BY offset`,
    );
    assert.deepEqual(
      letters.map(({ partition, offset }) => [partition, offset]),
      poison.map((_, offset) => [0, offset]),
    );
    assert.ok(letters.every(({ reason }) => reason !== '' && reason !== 'internal'));
    while (received.lag() > 0) await sleep(10);
  });

  it('stores every span once per figure when inserts fail and are tried again', async () => {
    const topics = await kafka.topics(3);
    for (let i = 0; i < 30; i++)
      await client.send(
        topics.traces,
        i % 3,
        tracesOf([{ service: 'after-failures', name: `span-${i}` }]),
      );
    const received = await receive(topics, kafka.group(), 4);
    const mine = "FROM spans WHERE ServiceName = 'after-failures'";
    await reached(`SELECT uniqExact(TraceId, SpanId) AS n ${mine}`, 30);
    const names = await rows<{ SpanName: string }>(`SELECT DISTINCT SpanName ${mine}`);
    assert.equal(names.length, 30);
    assert.ok(received.retries() > 0, 'no insert failed');
    while (received.lag() > 0) await sleep(10);
  });
});
