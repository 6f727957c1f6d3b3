import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createKafkaReceiver, type KafkaReceiver } from '../../../collector/kafka-receiver.ts';
import type { InboundMessage, Pipeline } from '../../../collector/pipeline.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createExportQueue } from '../../../transport/export-queue.ts';
import { createKafkaClient, type KafkaClient } from '../../../transport/kafka/kafka-client.ts';
import { openKafka } from '../../../transport/kafka/kafka-connection.ts';
import { createKafkaExporter } from '../../../transport/kafka/kafka-exporter.ts';
import { ensureTopics, readLag } from '../../../transport/kafka/kafka-topics.ts';
import { kcat, requireKcat, testKafka, type TestKafka } from '../../helpers/kafka-broker.ts';
import { spansOf, tracesOf } from '../../helpers/otlp-proto.ts';
import { createRecordingPipeline } from '../../helpers/recording-pipeline.ts';
import { until } from '../../helpers/until.ts';

const fixtureFile = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/kafka/${name}.bin`, import.meta.url));
const CHILD = fileURLToPath(new URL('../../helpers/kafka-receiver-child.ts', import.meta.url));
/** The test broker allows sessions this short: a killed member's partitions are free after it. */
const SESSION_MS = 2_000;

const namesOf = (messages: readonly InboundMessage[]): string[] =>
  messages.flatMap(({ body }) => spansOf(body).map((span) => span.name));

describe('KafkaReceiver on a real broker', function () {
  this.timeout(40_000);
  let kafka: TestKafka;
  let client: KafkaClient;
  const receivers: KafkaReceiver[] = [];
  let folder: string;

  before(async function () {
    kafka = await testKafka(this);
    folder = mkdtempSync(join(tmpdir(), 'azimuth-kafka-test-'));
    client = createKafkaClient({ brokers: kafka.brokers, clientId: 'test', log: silentLog });
    await client.connect();
  });
  afterEach(async () => {
    for (const receiver of receivers.splice(0)) await receiver.stop();
  });
  after(async () => {
    await (client as KafkaClient | undefined)?.close();
    if ((folder as string | undefined) !== undefined) rmSync(folder, { recursive: true });
  });

  const receive = async (
    topics: { traces: string; logs: string },
    groupId: string,
    pipeline: Pick<Pipeline, 'accept'>,
  ): Promise<KafkaReceiver> => {
    const receiver = createKafkaReceiver({
      brokers: kafka.brokers,
      topics,
      groupId,
      pipeline,
      log: silentLog,
      sessionTimeoutMs: SESSION_MS,
      backOffBaseMs: 20,
    });
    receivers.push(receiver);
    await receiver.start();
    return receiver;
  };
  const produce = async (topic: string, partition: number, names: string[]): Promise<void> => {
    for (const name of names)
      await client.send(topic, partition, tracesOf([{ service: 'a', name }]));
  };

  it('skips nothing while the store fails and comes back, and keeps the order of a partition', async () => {
    const topics = await kafka.topics(2);
    const names = [0, 1].map((p) => Array.from({ length: 20 }, (_, i) => `${p}-${i}`));
    await Promise.all(names.map((list, p) => produce(topics.traces, p, list)));
    let failures = 0;
    const pipeline = createRecordingPipeline(() => {
      if (failures++ < 5) throw new AzimuthError('AZ_STORE_UNAVAILABLE');
    });
    const group = kafka.group();
    const receiver = await receive(topics, group, pipeline);
    await pipeline.until(40);
    for (const [p, list] of names.entries())
      assert.deepEqual(
        namesOf(pipeline.accepted.filter(({ source }) => source.partition === p)),
        list,
      );
    assert.equal(receiver.stats().retries, 5);
    await receiver.stop();
    assert.equal(receiver.stats().lag, 0);

    // Committed: the next member of the group starts behind them.
    await produce(topics.traces, 0, ['later']);
    const next = createRecordingPipeline();
    await receive(topics, group, next);
    await next.until(1);
    assert.deepEqual(namesOf(next.accepted), ['later']);
  });

  it('begins by itself when topics are created after its start', async () => {
    const topics = { traces: `spans_${kafka.group()}`, logs: `logs_${kafka.group()}` };
    const pipeline = createRecordingPipeline();
    const receiver = await receive(topics, kafka.group(), pipeline);
    await until(() => receiver.notReady()?.includes('`azimuth topics`') === true, 30_000);
    const names = Object.values(topics);
    await ensureTopics({ brokers: kafka.brokers, topics: names, partitions: 1, replication: 1 });
    await produce(topics.traces, 0, ['first']);
    await pipeline.until(1);
    assert.deepEqual(namesOf(pipeline.accepted), ['first']);
    assert.equal(receiver.notReady(), undefined);
  });

  it('hands poison to the pipeline with its origin, and the messages behind it flow', async function () {
    requireKcat(this);
    const topics = await kafka.topics(1);
    const put = (value: Buffer): void => {
      const file = join(folder, 'value');
      writeFileSync(file, value);
      kcat(kafka, ['-P', '-t', topics.traces, '-p', '0', file]);
    };
    const good = readFileSync(fixtureFile('proto_none-0'));
    put(Buffer.from('garbage, not OTLP'));
    // kcat's -Z: an empty value is sent as null, a tombstone.
    kcat(kafka, ['-P', '-Z', '-t', topics.traces, '-p', '0', '-K', ':'], Buffer.from('key:\n'));
    await client.send(topics.traces, 0, Buffer.alloc(0));
    put(good.subarray(0, good.length - 100));
    put(readFileSync(fixtureFile('jaeger_proto-0')));
    put(readFileSync(fixtureFile('zipkin_json-0')));
    put(good);
    const pipeline = createRecordingPipeline();
    const group = kafka.group();
    const receiver = await receive(topics, group, pipeline);
    await pipeline.until(5);
    assert.deepEqual(
      pipeline.accepted.map(({ source, encoding }) => [source.name, source.offset, encoding]),
      [0, 3, 4, 5, 6].map((offset) => [topics.traces, offset, 'protobuf']),
    );
    assert.deepEqual(Buffer.from(pipeline.accepted.at(-1)!.body), good);
    await receiver.stop();
    assert.equal(receiver.stats().emptyMessages, 2);
    assert.equal(receiver.stats().lag, 0);
  });

  it("reads a stock Collector's values in every codec, protobuf and JSON", async function () {
    requireKcat(this);
    const topics = await kafka.topics(1);
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
    for (const codec of codecs)
      for (const value of ['proto_none-0', 'json_none-0'])
        kcat(kafka, ['-P', '-z', codec, '-t', topics.traces, '-p', '0', fixtureFile(value)]);
    const pipeline = createRecordingPipeline();
    await receive(topics, kafka.group(), pipeline);
    await pipeline.until(2 * codecs.length);
    const proto = readFileSync(fixtureFile('proto_none-0'));
    const json = readFileSync(fixtureFile('json_none-0'));
    for (const [n, { body, encoding }] of pipeline.accepted.entries()) {
      assert.equal(encoding, n % 2 === 0 ? 'protobuf' : 'json');
      assert.deepEqual(Buffer.from(body), n % 2 === 0 ? proto : json, codecs[n >> 1]);
    }
  });

  it('dead-letters a batch that inflates beyond the limit, and the next message flows', async () => {
    const topics = await kafka.topics(1);
    await client.send(topics.traces, 0, Buffer.alloc(70 * 1024 * 1024));
    await produce(topics.traces, 0, ['behind the bomb']);
    const pipeline = createRecordingPipeline();
    await receive(topics, kafka.group(), pipeline);
    await pipeline.until(2);
    const [standIn] = pipeline.accepted;
    assert.deepEqual([standIn?.body[0], standIn?.source.offset], [0, 0]);
    assert.deepEqual(namesOf(pipeline.accepted.slice(1)), ['behind the bomb']);
  });

  it('gives its partitions to another member at once when it stops', async () => {
    const topics = await kafka.topics(2);
    const group = kafka.group();
    const first = createRecordingPipeline();
    const leaving = await receive(topics, group, first);
    await produce(topics.traces, 0, ['before']);
    await first.until(1);
    await leaving.stop();
    await produce(topics.traces, 0, ['after']);
    const second = createRecordingPipeline();
    await receive(topics, group, second);
    await second.until(1);
    assert.deepEqual(namesOf(second.accepted), ['after']);
  });

  const startChild = (
    topics: { traces: string; logs: string },
    group: string,
    store: string,
    mode: string,
    sessionMs = SESSION_MS,
  ): ChildProcess =>
    spawn(process.execPath, [CHILD], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        BROKERS: kafka.brokers.join(','),
        TOPICS: JSON.stringify(topics),
        GROUP: group,
        SESSION_MS: String(sessionMs),
        STORE: store,
        MODE: mode,
      },
    });
  /** Resolves when so many rows were written. */
  const stored = async (child: ChildProcess, rows: number): Promise<void> => {
    for await (const line of createInterface({ input: child.stdout! }))
      if (Number(line) >= rows) return;
    throw new Error('the child ended early');
  };

  it('replays what was stored but not committed when the process is killed, and loses nothing', async () => {
    const topics = await kafka.topics(1);
    const group = kafka.group();
    const names = Array.from({ length: 30 }, (_, i) => `span-${i}`);
    await produce(topics.traces, 0, names.slice(0, 10));
    const store = join(folder, 'store');
    const rowsIn = (): string[] => readFileSync(store, 'utf8').trim().split('\n');

    const killed = startChild(topics, group, store, 'hang-after-insert');
    await stored(killed, 10);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    const before = rowsIn();
    assert.deepEqual(before, names.slice(0, 10));

    await produce(topics.traces, 0, names.slice(10));
    const next = startChild(topics, group, store, 'normal');
    try {
      await stored(next, 30);
    } finally {
      next.kill('SIGTERM');
      await once(next, 'exit');
    }
    // Once more from the committed offset: the first ten twice, all of them at least once.
    assert.deepEqual(rowsIn(), [...names.slice(0, 10), ...names]);
  });

  it('takes over from a member of its machine that was killed without waiting for its session', async function () {
    if (process.platform !== 'linux') this.skip();
    const topics = await kafka.topics(2);
    const group = kafka.group();
    const store = join(folder, 'takeover');
    await produce(topics.traces, 0, ['before']);
    // Within this session the test would run out of its time.
    const killed = startChild(topics, group, store, 'normal', 600_000);
    await stored(killed, 1);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    await produce(topics.traces, 0, ['after']);
    await produce(topics.traces, 1, ['after']);
    const next = createRecordingPipeline();
    await receive(topics, group, next);
    while (namesOf(next.accepted).filter((name) => name === 'after').length < 2)
      await next.until(next.accepted.length + 1);
  });

  it('leaves members alone that live, and shares the partitions with them', async () => {
    const topics = await kafka.topics(2);
    const group = kafka.group();
    const first = createRecordingPipeline();
    await receive(topics, group, first);
    await produce(topics.traces, 0, ['a']);
    await produce(topics.traces, 1, ['b']);
    await first.until(2);
    const store = join(folder, 'shared');
    const second = startChild(topics, group, store, 'normal');
    try {
      // Until each of both has got something, whoever gets which partition.
      let stop = false;
      const arrived = stored(second, 1).then(() => (stop = true));
      for (let i = 0; !stop; i++) {
        await produce(topics.traces, 0, [`x${i}`]);
        await produce(topics.traces, 1, [`y${i}`]);
      }
      await arrived;
    } finally {
      second.kill('SIGTERM');
      await once(second, 'exit');
    }
  });

  it('counts what the broker deleted before it was read', async () => {
    const topics = await kafka.topics(1);
    const group = kafka.group();
    await produce(topics.traces, 0, ['0', '1']);
    const first = createRecordingPipeline();
    const before = await receive(topics, group, first);
    await first.until(2);
    await before.stop();
    await produce(topics.traces, 0, ['2', '3', '4', '5']);
    const { kafka: direct, abort } = openKafka({
      brokers: kafka.brokers,
      clientId: 'test',
      log: silentLog,
    });
    const admin = direct.admin();
    await admin.connect();
    // kafkajs deletes only in topics that it has been asked about before.
    await admin.fetchTopicOffsets(topics.traces);
    await admin.deleteTopicRecords({
      topic: topics.traces,
      partitions: [{ partition: 0, offset: '5' }],
    });
    await admin.disconnect();
    abort();
    assert.deepEqual(await readLag({ brokers: kafka.brokers }, group, [topics.traces]), [
      { topic: topics.traces, messages: 1, partitions_behind_retention: 1 },
    ]);
    const next = createRecordingPipeline();
    const receiver = await receive(topics, group, next);
    await next.until(2);
    assert.deepEqual(
      next.accepted.map(({ source, hole }) => [source.offset, hole?.messages]),
      [
        [2, 3],
        [5, undefined],
      ],
    );
    await receiver.stop();
    assert.equal(receiver.stats().deleted, 3);
    assert.equal(receiver.stats().beganPastStart, 0);

    // A group that was never here cannot know whether those were for it.
    const stranger = createRecordingPipeline();
    const other = await receive(topics, kafka.group(), stranger);
    await stranger.until(2);
    await other.stop();
    assert.deepEqual(
      stranger.accepted.map(({ source, hole }) => [source.offset, hole?.reason]),
      [
        [5, 'before_first_read'],
        [5, undefined],
      ],
    );
    assert.deepEqual([other.stats().deleted, other.stats().beganPastStart], [0, 1]);
    assert.deepEqual(await readLag({ brokers: kafka.brokers }, group, [topics.traces]), [
      { topic: topics.traces, messages: 0, partitions_behind_retention: 0 },
    ]);
  });

  it('loses nothing that was acknowledged while the broker is killed and comes back', async function () {
    const { broker } = kafka;
    if (broker === undefined) this.skip();
    const topics = await kafka.topics(4);
    const pipeline = createRecordingPipeline();
    const receiver = await receive(topics, kafka.group(), pipeline);
    const exporter = createKafkaExporter({
      client: createKafkaClient({ brokers: kafka.brokers, clientId: 'proxy', log: silentLog }),
      topics,
      log: silentLog,
    });
    const queue = createExportQueue({
      exporter,
      itemsMax: 100_000,
      bytesMax: 32 * 1024 * 1024,
      log: silentLog,
    });
    let offered = 0;
    const offer = (): void => {
      const name = `span-${offered++}`;
      queue.offer({ signal: 'traces', body: tracesOf([{ service: 'a', name }]), items: 1 });
    };
    // Telemetry goes on all the time, as a proxy's does: before, during and after the outage.
    const traffic = setInterval(offer, 5);
    try {
      await pipeline.until(50);
      await broker.kill9();
      const during = offered;
      await broker.start();
      assert.ok(offered > during + 50, 'the broker came back before anything was offered');
      await pipeline.until(during + 50);
    } finally {
      clearInterval(traffic);
    }
    await queue.drain(15_000);
    assert.deepEqual(
      [queue.emitted, queue.queuedItems, queue.dropped.shutdown, queue.dropped.refused],
      [offered, 0, 0, 0],
    );
    const missing = (): string[] => {
      const arrived = new Set(namesOf(pipeline.accepted));
      return Array.from({ length: offered }, (_, i) => `span-${i}`).filter((n) => !arrived.has(n));
    };
    // How many come twice is left open: a request whose answer died with the broker is sent again,
    // and the figures count each row once by its identity.
    while (missing().length > 0) await pipeline.until(pipeline.accepted.length + 1);
    queue.close();
    await exporter.close();
    await receiver.stop();
  });
});
