import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { AzimuthError } from '../../../../runtime/errors.ts';
import { silentLog } from '../../../../runtime/log.ts';
import type { OutboundMessage } from '../../../../transport/exporter.ts';
import { createKafkaExporter } from '../../../../transport/kafka/kafka-exporter.ts';
import { createFakeKafkaClient, type FakeKafkaClient } from '../../../helpers/fake-kafka-client.ts';
import { spansOf, tracesOf } from '../../../helpers/otlp-proto.ts';
import { seededRandom } from '../../../helpers/prng.ts';

const TOPICS = { traces: 'otlp_spans', logs: 'otlp_logs' };
const PARTITIONS = { otlp_spans: [0, 1, 2, 3], otlp_logs: [0] };

const away = (): AzimuthError => new AzimuthError('AZ_EXPORT_FAILED', 'broker away');
const message = (name: string, signal: 'traces' | 'logs' = 'traces'): OutboundMessage => ({
  signal,
  body: tracesOf([{ service: 'a', name }]),
  items: 1,
});
const namesIn = (client: FakeKafkaClient): string[] =>
  client.sent.flatMap(({ value }) => spansOf(value).map((span) => span.name));

/** A broker whose limit is so many bytes, for what is not compressed. */
const refuseOver =
  (bytesMax: number) =>
  ({ value }: { value: Buffer }): void => {
    if (value.length > bytesMax) throw new AzimuthError('AZ_EXPORT_TOO_LARGE', 'MESSAGE_TOO_LARGE');
  };

describe('KafkaExporter', () => {
  it('uses every partition in turn, one send in flight for each', async () => {
    const client = createFakeKafkaClient({ partitions: PARTITIONS });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    const names = Array.from({ length: 40 }, (_, i) => `span-${i}`);
    await Promise.all(names.map((name) => exporter.send(message(name))));
    assert.deepEqual(namesIn(client).sort(), [...names].sort());
    assert.equal(client.mostPerPartition(), 1);
    assert.equal(client.mostInFlight(), 4);
    assert.equal(exporter.concurrency, 4);
    for (const partition of PARTITIONS.otlp_spans)
      assert.equal(client.sent.filter((send) => send.partition === partition).length, 10);
  });

  it('sends logs to their own topic', async () => {
    const client = createFakeKafkaClient({ partitions: PARTITIONS });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    await exporter.send(message('ledger', 'logs'));
    assert.deepEqual(
      client.sent.map(({ topic, partition }) => [topic, partition]),
      [['otlp_logs', 0]],
    );
  });

  it('lets a partition that failed rest, and uses it again afterwards', async () => {
    let nowMs = 1_000;
    let broken = true;
    const client = createFakeKafkaClient({
      partitions: PARTITIONS,
      outcome: ({ partition }) => {
        if (partition === 1 && broken) throw away();
      },
    });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      nowMs: () => nowMs,
    });
    const send = (name: string): Promise<void> => exporter.send(message(name));
    await send('to-0');
    await assert.rejects(send('to-1'), { code: 'AZ_EXPORT_FAILED', retryable: true });
    for (let i = 0; i < 6; i++) await send(`while-resting-${i}`);
    assert.ok(client.sent.every(({ partition }) => partition !== 1));
    broken = false;
    nowMs += 1_001;
    for (let i = 0; i < 4; i++) await send(`after-${i}`);
    assert.equal(client.sent.filter(({ partition }) => partition === 1).length, 1);
  });

  it('still tries when all partitions rest, so that it notices when the broker is back', async () => {
    let broken = true;
    const client = createFakeKafkaClient({
      partitions: { ...PARTITIONS, otlp_spans: [0, 1] },
      outcome: () => {
        if (broken) throw away();
      },
    });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      nowMs: () => 5_000,
    });
    for (let i = 0; i < 4; i++) await assert.rejects(exporter.send(message('x')));
    broken = false;
    await exporter.send(message('back'));
    assert.deepEqual(namesIn(client), ['back']);
  });

  it('starts without a broker, rejects retryable, and works once it is there', async () => {
    let there = false;
    const client = createFakeKafkaClient({
      partitions: PARTITIONS,
      connect: () => (there ? Promise.resolve() : Promise.reject(away())),
    });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    await exporter.start?.();
    assert.equal(exporter.concurrency, 1);
    await assert.rejects(exporter.send(message('early')), { retryable: true });
    there = true;
    await exporter.send(message('late'));
    assert.deepEqual(namesIn(client), ['late']);
  });

  it('splits a large message, and a retry sends only the parts that are left', async () => {
    let failures = 1;
    const client = createFakeKafkaClient({
      partitions: PARTITIONS,
      outcome: ({ value }) => {
        if (spansOf(value).some((span) => span.name === 'span-5') && failures-- > 0) throw away();
      },
    });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      valueBytesMax: 1_000,
    });
    const names = Array.from({ length: 10 }, (_, i) => `span-${i}`);
    const large: OutboundMessage = {
      signal: 'traces',
      body: tracesOf(names.map((name) => ({ service: 'a', name, padding: 400 }))),
      items: 10,
    };
    await assert.rejects(exporter.send(large), { retryable: true });
    const before = namesIn(client).length;
    assert.ok(before > 0 && before < 10);
    await exporter.send(large);
    assert.deepEqual(namesIn(client), names);
    assert.ok(client.sent.every(({ value }) => value.length <= 1_000));
  });

  it('halves what a broker with a lower limit refuses, and asks for less from then on', async () => {
    const client = createFakeKafkaClient({
      partitions: PARTITIONS,
      outcome: refuseOver(2_000),
    });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    const names = Array.from({ length: 20 }, (_, i) => `span-${i}`);
    const body = tracesOf(names.map((name) => ({ service: 'a', name, padding: 400 })));
    await exporter.send({ signal: 'traces', body, items: names.length });
    assert.deepEqual(namesIn(client), names);
    const refused = client.begun.length - client.sent.length;
    assert.ok(refused > 0);
    await exporter.send({ signal: 'traces', body, items: names.length });
    assert.deepEqual(namesIn(client), [...names, ...names]);
    assert.equal(client.begun.length - client.sent.length, refused, 'nothing was refused again');
  });

  it('tries a single span over its own limit, which the broker may take compressed', async () => {
    const client = createFakeKafkaClient({ partitions: PARTITIONS });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      valueBytesMax: 1_000,
    });
    const body = tracesOf([{ service: 'a', name: 'large', padding: 2_000 }]);
    await exporter.send({ signal: 'traces', body, items: 1 });
    assert.deepEqual(namesIn(client), ['large']);
  });

  it('refuses a single span over the limit as too large, after sending the others', async () => {
    const client = createFakeKafkaClient({ partitions: PARTITIONS, outcome: refuseOver(1_000) });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      valueBytesMax: 1_000,
    });
    const body = tracesOf([
      { service: 'a', name: 'small', padding: 600 },
      { service: 'a', name: 'large', padding: 2_000 },
    ]);
    await assert.rejects(exporter.send({ signal: 'traces', body, items: 2 }), {
      code: 'AZ_EXPORT_TOO_LARGE',
      retryable: false,
      refusedItems: 1,
    });
    assert.deepEqual(namesIn(client), ['small']);
  });

  it('takes MESSAGE_TOO_LARGE as final, and does not rest the partition for it', async () => {
    const client = createFakeKafkaClient({
      partitions: { ...PARTITIONS, otlp_spans: [0] },
      outcome: ({ value }) => {
        if (spansOf(value)[0]?.name === 'large')
          throw new AzimuthError('AZ_EXPORT_TOO_LARGE', 'MESSAGE_TOO_LARGE');
      },
    });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    await assert.rejects(exporter.send(message('large')), {
      code: 'AZ_EXPORT_TOO_LARGE',
      refusedItems: 1,
    });
    await exporter.send(message('small'));
    assert.deepEqual(namesIn(client), ['small']);
  });

  it('ends waiting sends when it is closed', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const client = createFakeKafkaClient({
      partitions: { ...PARTITIONS, otlp_spans: [0] },
      outcome: () => held,
    });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    const first = exporter.send(message('first'));
    const second = exporter.send(message('second'));
    await setImmediate();
    await exporter.close();
    await assert.rejects(second, { retryable: true });
    assert.ok(client.closed());
    release();
    await first;
    await assert.rejects(exporter.send(message('third')), { retryable: true });
  });

  it('conserves every span under random failures: sent = acknowledged + refused', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const client = createFakeKafkaClient({
      partitions: { ...PARTITIONS, otlp_spans: [0, 1, 2, 3, 4] },
      outcome: async (send) => {
        refuseOver(2_000)(send);
        for (let turns = Math.floor(random() * 4); turns > 0; turns--) await setImmediate();
        if (random() < 0.3) throw away();
      },
    });
    const exporter = createKafkaExporter({
      client,
      topics: TOPICS,
      log: silentLog,
      valueBytesMax: 2_000,
    });
    const expected: string[] = [];
    let refused = 0;
    const messages = Array.from({ length: 120 }, (_, m): OutboundMessage => {
      const specs = Array.from({ length: 1 + Math.floor(random() * 8) }, (_, s) => ({
        service: `service-${m % 3}`,
        name: `${m}-${s}`,
        padding: random() < 0.05 ? 3_000 : Math.floor(random() * 700),
      }));
      for (const { name, padding } of specs) if (padding < 3_000) expected.push(name);
      return { signal: 'traces', body: tracesOf(specs), items: specs.length };
    });
    const deliver = async (outbound: OutboundMessage): Promise<void> => {
      for (;;) {
        try {
          await exporter.send(outbound);
          return;
        } catch (error) {
          assert.ok(error instanceof AzimuthError);
          if (error.retryable) continue;
          refused += error.refusedItems ?? outbound.items;
          return;
        }
      }
    };
    await Promise.all(messages.map(deliver));
    const context = `seed ${seed}`;
    assert.deepEqual(namesIn(client).sort(), expected.sort(), context);
    const items = messages.reduce((sum, { items: count }) => sum + count, 0);
    assert.equal(expected.length + refused, items, context);
    assert.equal(client.mostPerPartition(), 1, context);
    assert.ok(client.begun.length > client.sent.length, `nothing failed, ${context}`);
  });
});
