import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import {
  createKafkaReceiver,
  type KafkaReceiver,
  type KafkaReceiverSettings,
} from '../../../collector/kafka-receiver.ts';
import type { InboundMessage } from '../../../collector/pipeline.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import type {
  ConsumedBatch,
  ConsumedMessage,
  KafkaConsumer,
  KafkaConsumerSettings,
} from '../../../transport/kafka/kafka-consumer.ts';

const NOTHING = { spans: 0, ledgers: 0, rejected: [] };
const busy = (): AzimuthError => new AzimuthError('AZ_COLLECTOR_BUSY');

/** Consumers that do what the test says; `events` is what happened, in order. */
function scene(settings: Partial<KafkaReceiverSettings> = {}) {
  const events: string[] = [];
  const consumers: {
    settings: KafkaConsumerSettings;
    deliver: (batch: ConsumedBatch) => Promise<void>;
    crash: (error: Error) => void;
  }[] = [];
  const open = (consumerSettings: KafkaConsumerSettings): KafkaConsumer => {
    let end: () => void = () => undefined;
    return {
      run: (onBatch) =>
        new Promise((resolve, reject) => {
          end = resolve;
          consumers.push({ settings: consumerSettings, deliver: onBatch, crash: reject });
        }),
      close: () => {
        events.push('close');
        end();
        return Promise.resolve();
      },
    };
  };
  const receiver: KafkaReceiver = createKafkaReceiver({
    brokers: ['unused:1'],
    topics: { traces: 'spans', logs: 'logs' },
    groupId: 'g',
    log: silentLog,
    pipeline: { accept: () => Promise.resolve(NOTHING) },
    openConsumer: open,
    ...settings,
  });
  const batch = (
    values: readonly (string | null)[],
    overrides: Partial<ConsumedBatch> = {},
  ): ConsumedBatch => ({
    topic: 'spans',
    partition: 3,
    messages: values.map((value, i): ConsumedMessage => ({
      offset: 100 + i,
      value: value === null ? null : Buffer.from(value),
    })),
    highWatermark: 100 + values.length,
    isCurrent: () => true,
    heartbeat: () => Promise.resolve(),
    resolve: (offset) => events.push(`resolve ${offset}`),
    commit: (next) => {
      events.push(`commit ${next}`);
      return Promise.resolve();
    },
    positions: () => Promise.resolve({ committed: undefined, oldest: 0 }),
    pause: () => {
      events.push('pause');
      return () => events.push('resume');
    },
    ...overrides,
  });
  return { receiver, events, consumers, batch };
}

describe('KafkaReceiver', () => {
  let receiver: KafkaReceiver;
  afterEach(() => receiver.stop());

  it('commits the offset only after the store confirmed', async () => {
    let confirm = (): void => undefined;
    const s = scene({
      pipeline: {
        accept: () =>
          new Promise((resolve) => {
            s.events.push('accept');
            confirm = () => {
              s.events.push('stored');
              resolve(NOTHING);
            };
          }),
      },
    });
    receiver = s.receiver;
    await receiver.start();
    const delivered = s.consumers[0]!.deliver(s.batch(['a', 'b']));
    await setImmediate();
    assert.deepEqual(s.events, ['accept']);
    confirm();
    await delivered;
    assert.deepEqual(s.events, ['accept', 'stored', 'resolve 101', 'commit 102']);
    assert.equal(receiver.stats().lag, 0);
  });

  it('hands the pipeline signal, encoding and origin of each message, and no empty one', async () => {
    const seen: InboundMessage[] = [];
    const s = scene({
      pipeline: {
        accept: (messages) => {
          seen.push(...messages);
          return Promise.resolve(NOTHING);
        },
      },
    });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(['\n\u0001x', null, '{"resourceSpans":[]}', '', '[]']));
    await s.consumers[0]!.deliver(s.batch(['log'], { topic: 'logs' }));
    assert.deepEqual(
      seen.map(({ signal, encoding, source }) => [signal, encoding, source.name, source.offset]),
      [
        ['traces', 'protobuf', 'spans', 100],
        ['traces', 'json', 'spans', 102],
        ['traces', 'protobuf', 'spans', 104],
        ['logs', 'protobuf', 'logs', 100],
      ],
    );
    assert.equal(seen[0]?.source.partition, 3);
    assert.equal(receiver.stats().emptyMessages, 2);
    assert.deepEqual(s.events, ['resolve 104', 'commit 105', 'resolve 100', 'commit 101']);
  });

  it('pauses on a rejection without resolving anything, and resumes', async () => {
    const s = scene({ pipeline: { accept: () => Promise.reject(busy()) }, backOffBaseMs: 1 });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(['a']));
    assert.deepEqual(s.events, ['pause']);
    while (!s.events.includes('resume')) await setImmediate();
    assert.deepEqual(s.events, ['pause', 'resume']);
    assert.equal(receiver.stats().retries, 1);
    assert.equal(receiver.stats().lag, 1);
  });

  it('treats whatever the pipeline throws as not stored', async () => {
    const s = scene({
      pipeline: { accept: () => Promise.reject(new SyntaxError('a fault of ours')) },
    });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(['a']));
    assert.deepEqual(s.events, ['pause']);
  });

  it('takes a large batch in slices, and keeps what was stored when a later slice fails', async () => {
    let calls = 0;
    const s = scene({
      pipeline: {
        accept: () => (++calls === 3 ? Promise.reject(busy()) : Promise.resolve(NOTHING)),
      },
    });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(Array.from({ length: 1_300 }, (_, i) => `m${i}`)));
    assert.deepEqual(s.events, [
      'resolve 599',
      'commit 600',
      'resolve 1099',
      'commit 1100',
      'pause',
    ]);
  });

  it('begins nothing when the consumer stops, but commits what was stored meanwhile', async () => {
    let current = true;
    const s = scene({
      pipeline: {
        accept: () => {
          current = false;
          return Promise.resolve(NOTHING);
        },
      },
    });
    receiver = s.receiver;
    await receiver.start();
    const values = Array.from({ length: 600 }, (_, i) => `m${i}`);
    await s.consumers[0]!.deliver(s.batch(values, { isCurrent: () => current }));
    assert.deepEqual(s.events, ['resolve 599', 'commit 600']);
    await s.consumers[0]!.deliver(s.batch(['later'], { isCurrent: () => current }));
    assert.deepEqual(s.events, ['resolve 599', 'commit 600']);
  });

  it('goes on when a commit fails, because the messages are stored', async () => {
    const s = scene();
    receiver = s.receiver;
    await receiver.start();
    const commit = (): Promise<void> => Promise.reject(new Error('coordinator moved'));
    await s.consumers[0]!.deliver(s.batch(['a'], { commit }));
    assert.equal(receiver.stats().commitFailures, 1);
    assert.deepEqual(s.events, ['resolve 100']);
  });

  it('makes a new consumer when one crashes', async () => {
    const s = scene({ backOffBaseMs: 1 });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    assert.equal(receiver.notReady(), undefined);
    s.consumers[0]!.crash(new Error('brokers of null'));
    while (s.consumers.length < 2) await setImmediate();
    assert.match(receiver.notReady() ?? '', /brokers of null/);
    assert.equal(receiver.stats().crashes, 1);
    assert.deepEqual(s.events, ['close']);
  });

  it('is unhealthy when messages wait and nothing became of them for a minute', async () => {
    let nowMs = 0;
    let answer = (): void => undefined;
    const s = scene({
      nowMs: () => nowMs,
      pipeline: { accept: () => new Promise((resolve) => (answer = () => resolve(NOTHING))) },
    });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    const delivered = s.consumers[0]!.deliver(s.batch(['a']));
    nowMs = 60_000;
    assert.equal(receiver.unhealthy(), undefined);
    nowMs = 60_001;
    assert.match(receiver.unhealthy() ?? '', /1 messages wait .* for 60 s/);
    await setImmediate();
    answer();
    await delivered;
    assert.equal(receiver.unhealthy(), undefined);
  });

  it('is not ready but needs no restart while the pipeline tells to come again', async () => {
    let nowMs = 0;
    const s = scene({
      nowMs: () => nowMs,
      pipeline: { accept: () => Promise.reject(busy()) },
    });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    for (; nowMs <= 70_000; nowMs += 10_000) {
      s.consumers[0]!.settings.onFetched();
      await s.consumers[0]!.deliver(s.batch(['a']));
      assert.equal(receiver.unhealthy(), undefined, `at ${nowMs} ms`);
    }
    assert.match(receiver.notReady() ?? '', /not taken for 80 s/);
  });

  describe('on messages that the broker deleted before they were read', () => {
    const recorder = (): {
      seen: InboundMessage[];
      accept: (m: readonly InboundMessage[]) => Promise<typeof NOTHING>;
    } => {
      const seen: InboundMessage[] = [];
      return {
        seen,
        accept: (messages) => {
          seen.push(...messages);
          return Promise.resolve(NOTHING);
        },
      };
    };
    const holes = (seen: readonly InboundMessage[]): unknown[] =>
      seen
        .filter(({ deleted }) => deleted !== undefined)
        .map(({ source, deleted }) => [source.partition, source.offset, deleted]);

    it('records the hole after the committed offset, once, with the first message behind it', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.resolve({ committed: 40, oldest: 100 });
      await s.consumers[0]!.deliver(s.batch(['a', 'b'], { positions }));
      await s.consumers[0]!.deliver(
        s.batch(['c'], { messages: [{ offset: 102, value: Buffer.from('c') }], positions }),
      );
      assert.deepEqual(holes(pipeline.seen), [[3, 40, 60]]);
      assert.equal(pipeline.seen[0]?.deleted, 60);
      assert.equal(receiver.stats().deleted, 60);
      assert.equal(receiver.stats().messages, 3);
      assert.equal(receiver.stats().emptyMessages, 0);
    });

    it('records a hole that opens while it reads', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      await s.consumers[0]!.deliver(s.batch(['a']));
      await s.consumers[0]!.deliver(
        s.batch([], {
          messages: [{ offset: 200, value: Buffer.from('x') }],
          positions: () => Promise.resolve({ committed: 101, oldest: 150 }),
        }),
      );
      assert.deepEqual(holes(pipeline.seen), [[3, 101, 49]]);
    });

    it('takes offsets that are missing behind the oldest one for no loss', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.resolve({ committed: 90, oldest: 12 });
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      assert.deepEqual(holes(pipeline.seen), []);
    });

    it('reads again when the positions cannot be learned', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.reject(new Error('coordinator moved'));
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      assert.deepEqual(s.events, ['pause']);
      assert.deepEqual(pipeline.seen, []);
    });
  });

  it('is unhealthy when nothing could be fetched for a minute, also without lag', async () => {
    let nowMs = 0;
    const s = scene({ nowMs: () => nowMs });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    nowMs = 59_000;
    assert.equal(receiver.unhealthy(), undefined);
    s.consumers[0]!.settings.onFetched();
    nowMs = 119_000;
    assert.equal(receiver.unhealthy(), undefined);
    nowMs = 119_001;
    assert.match(receiver.unhealthy() ?? '', /nothing could be fetched/);
  });
});
