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
      return (offset) => events.push(offset === undefined ? 'resume' : `resume ${offset}`);
    },
    ...overrides,
  });
  return { receiver, events, consumers, batch };
}

/** Waits for an event of a scene. The test's own time limit ends it. */
async function happens(s: { readonly events: readonly string[] }, event: string): Promise<void> {
  while (!s.events.includes(event)) await setImmediate();
}

/** A pipeline whose answers the test gives, call by call. */
function manualPipeline() {
  const calls: {
    readonly offsets: number[];
    readonly store: () => void;
    readonly refuse: (error: Error) => void;
  }[] = [];
  return {
    calls,
    accept: (messages: readonly InboundMessage[]) =>
      new Promise<typeof NOTHING>((resolve, reject) => {
        const offsets = messages.map(({ source }) => source.offset);
        calls.push({ offsets, store: () => resolve(NOTHING), refuse: reject });
      }),
  };
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
    assert.deepEqual(s.events, ['resolve 101', 'accept']);
    await delivered;
    confirm();
    await setImmediate();
    assert.deepEqual(s.events, ['resolve 101', 'accept', 'stored', 'commit 102']);
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
    await setImmediate();
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

  it('pauses on a rejection without committing anything, and reads the same messages again', async () => {
    const s = scene({ pipeline: { accept: () => Promise.reject(busy()) }, backOffBaseMs: 1 });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(['a']));
    await happens(s, 'resume 100');
    assert.deepEqual(s.events, ['resolve 100', 'pause', 'resume 100']);
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
    await happens(s, 'pause');
    assert.deepEqual(s.events, ['resolve 100', 'pause']);
  });

  it('takes a large batch in slices, and keeps what was stored when a later slice fails', async () => {
    let calls = 0;
    const s = scene({
      pipeline: {
        accept: () => (++calls === 3 ? Promise.reject(busy()) : Promise.resolve(NOTHING)),
      },
      backOffBaseMs: 1,
    });
    receiver = s.receiver;
    await receiver.start();
    await s.consumers[0]!.deliver(s.batch(Array.from({ length: 1_300 }, (_, i) => `m${i}`)));
    await happens(s, 'resume 1100');
    assert.deepEqual(
      s.events.filter((event) => !event.startsWith('resolve')),
      ['commit 600', 'pause', 'commit 1100', 'resume 1100'],
    );
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
    await happens(s, 'commit 600');
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
    await setImmediate();
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
    await happens(s, 'commit 101');
    assert.equal(receiver.unhealthy(), undefined);
  });

  it('is not ready but needs no restart while the pipeline tells to come again', async () => {
    let nowMs = 0;
    const s = scene({
      nowMs: () => nowMs,
      pipeline: { accept: () => Promise.reject(busy()) },
      backOffBaseMs: 0.1,
    });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    for (; nowMs <= 70_000; nowMs += 10_000) {
      s.events.length = 0;
      s.consumers[0]!.settings.onFetched();
      await s.consumers[0]!.deliver(s.batch(['a']));
      await happens(s, 'resume 100');
      assert.equal(receiver.unhealthy(), undefined, `at ${nowMs} ms`);
    }
    assert.match(receiver.notReady() ?? '', /not taken for 80 s/);
  });

  describe('with several slices of a partition in flight', () => {
    const messagesFrom = (first: number, count: number): { messages: ConsumedMessage[] } => ({
      messages: Array.from({ length: count }, (_, i) => ({
        offset: first + i,
        value: Buffer.from('x'),
      })),
    });
    const begin = async (settings: Partial<KafkaReceiverSettings> = {}) => {
      const pipeline = manualPipeline();
      const s = scene({ pipeline, backOffBaseMs: 1, ...settings });
      receiver = s.receiver;
      await receiver.start();
      const deliver = (first: number, count = 1, more: Partial<ConsumedBatch> = {}) =>
        s.consumers[0]!.deliver(
          s.batch([], { ...messagesFrom(first, count), highWatermark: 1_000, ...more }),
        );
      return { ...s, pipeline, deliver };
    };

    it('takes the next batch while the store has not confirmed the one before', async () => {
      const s = await begin();
      await s.deliver(100);
      await s.deliver(101);
      assert.deepEqual(
        s.pipeline.calls.map(({ offsets }) => offsets),
        [[100], [101]],
      );
      assert.deepEqual(s.events, ['resolve 100', 'resolve 101']);
      for (const call of s.pipeline.calls) call.store();
      await happens(s, 'commit 102');
    });

    it('commits nothing past a batch that is not stored yet', async () => {
      const s = await begin();
      await s.deliver(100);
      await s.deliver(101);
      s.pipeline.calls[1]!.store();
      await setImmediate();
      assert.deepEqual(s.events, ['resolve 100', 'resolve 101']);
      s.pipeline.calls[0]!.store();
      await happens(s, 'commit 102');
      assert.equal(receiver.stats().messages, 2);
    });

    it('goes back to the first of two when that one is refused, though the second was stored', async () => {
      const s = await begin();
      await s.deliver(100, 2);
      await s.deliver(102, 2);
      s.pipeline.calls[0]!.refuse(busy());
      await happens(s, 'pause');
      await setImmediate();
      assert.ok(
        !s.events.some((event) => event.startsWith('resume')),
        'before the other has ended',
      );
      s.pipeline.calls[1]!.store();
      await happens(s, 'resume 100');
      assert.ok(!s.events.some((event) => event.startsWith('commit')), s.events.join());
      await s.deliver(100, 2);
      s.pipeline.calls[2]!.store();
      await happens(s, 'commit 102');
      assert.equal(receiver.stats().messages, 2, 'each message that counts, once');
    });

    it('keeps the first of two when the second is refused', async () => {
      const s = await begin();
      await s.deliver(100, 2);
      await s.deliver(102, 2);
      s.pipeline.calls[1]!.refuse(busy());
      s.pipeline.calls[0]!.store();
      await happens(s, 'resume 102');
      assert.deepEqual(
        s.events.filter((event) => event.startsWith('commit')),
        ['commit 102'],
      );
    });

    it('takes nothing of the partition while it rests', async () => {
      const s = await begin({ backOffBaseMs: 60_000 });
      await s.deliver(100);
      s.pipeline.calls[0]!.refuse(busy());
      await happens(s, 'pause');
      await s.deliver(101);
      assert.equal(s.pipeline.calls.length, 1);
      assert.ok(!s.events.includes('resolve 101'));
    });

    it('asks once more for what seems to be missing right after it went back', async () => {
      const s = await begin();
      await s.deliver(100);
      s.pipeline.calls[0]!.refuse(busy());
      await happens(s, 'resume 100');
      s.events.length = 0;
      // From a fetch that another broker answered late.
      await s.deliver(101);
      assert.deepEqual(s.events, ['pause', 'resume 100']);
      assert.equal(s.pipeline.calls.length, 1);
      // And again: then there is nothing at 100.
      await s.deliver(101);
      assert.deepEqual(s.pipeline.calls[1]?.offsets, [101]);
      s.pipeline.calls[1].store();
      await happens(s, 'commit 102');
    });

    it('commits nothing of an assignment that is over, and counts it no more', async () => {
      const s = await begin();
      await s.deliver(100);
      await s.deliver(101);
      s.consumers[0]!.settings.onJoined();
      await s.deliver(100);
      s.pipeline.calls[0]!.store();
      s.pipeline.calls[1]!.refuse(busy());
      await setImmediate();
      assert.ok(!s.events.some((event) => /commit|pause|resume/.test(event)), s.events.join());
      s.pipeline.calls[2]!.store();
      await happens(s, 'commit 101');
      assert.equal(receiver.stats().retries, 0);
    });

    it('waits for room before it hands more on, and stops waiting when the group rebalances', async () => {
      const s = await begin({ inFlightBytesMax: 1, heartbeatEveryMs: 1 });
      await s.deliver(100);
      let done = false;
      const second = s.deliver(101).then(() => (done = true));
      await setImmediate();
      assert.equal(s.pipeline.calls.length, 1);
      assert.ok(!done);
      s.pipeline.calls[0]!.store();
      await second;
      assert.equal(s.pipeline.calls.length, 2);
      await s.deliver(102, 1, { heartbeat: () => Promise.reject(new Error('rebalancing')) });
      assert.ok(!s.events.includes('resolve 102'));
      s.pipeline.calls[1]!.store();
      await happens(s, 'commit 102');
    });

    it('stops only after what is in flight was stored and committed', async () => {
      const s = await begin();
      await s.deliver(100);
      await s.deliver(101);
      const stopped = receiver.stop();
      await s.deliver(102);
      assert.equal(s.pipeline.calls.length, 2, 'nothing new');
      for (const call of s.pipeline.calls) call.store();
      await stopped;
      assert.ok(s.events.indexOf('commit 102') < s.events.indexOf('close'), s.events.join());
      assert.ok(s.events.includes('commit 102'));
    });
  });

  for (const [what, name, restarts] of [
    ['needs no restart while no broker can be reached', 'KafkaJSConnectionClosedError', false],
    ['is unhealthy when consumers end otherwise for a minute', 'KafkaJSProtocolError', true],
  ] as const) {
    it(what, async () => {
      let nowMs = 0;
      const s = scene({ nowMs: () => nowMs, backOffBaseMs: 1 });
      receiver = s.receiver;
      await receiver.start();
      s.consumers[0]!.settings.onJoined();
      await s.consumers[0]!.deliver(
        s.batch(['a'], { commit: () => Promise.reject(new Error('Closed connection')) }),
      );
      for (let ended = 0; ended < 3; ended++) {
        nowMs += 30_000;
        // As kafkajs wraps it when it gives up.
        const cause = Object.assign(new Error('Closed connection'), { name });
        s.consumers[ended]!.crash(new Error('gave up', { cause }));
        while (s.consumers.length < ended + 2) await setImmediate();
      }
      assert.equal(receiver.stats().lag, 1);
      assert.equal(receiver.unhealthy() !== undefined, restarts);
      assert.match(receiver.notReady() ?? '', /not in the consumer group yet/);
      nowMs += 60_001;
      assert.notEqual(receiver.unhealthy(), undefined, 'silence is a wedge all the same');
    });
  }

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
      seen.flatMap(({ source, hole }) =>
        hole === undefined ? [] : [[source.partition, source.offset, hole.reason, hole.messages]],
      );

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
      assert.deepEqual(holes(pipeline.seen), [[3, 40, 'deleted_by_broker', 60]]);
      await setImmediate();
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
      assert.deepEqual(holes(pipeline.seen), [[3, 101, 'deleted_by_broker', 49]]);
    });

    it('says of a group without a position only where it began, once', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.resolve({ committed: undefined, oldest: 100 });
      await s.consumers[0]!.deliver(s.batch(['a', 'b'], { positions }));
      await s.consumers[0]!.deliver(
        s.batch([], { messages: [{ offset: 102, value: Buffer.from('c') }], positions }),
      );
      assert.deepEqual(holes(pipeline.seen), [[3, 100, 'before_first_read', 100]]);
      await setImmediate();
      assert.deepEqual([receiver.stats().beganPastStart, receiver.stats().deleted], [1, 0]);
      assert.equal(receiver.stats().messages, 3);
    });

    it('says it again with the messages that were refused', async () => {
      const pipeline = recorder();
      let calls = 0;
      const accept = (messages: readonly InboundMessage[]): Promise<typeof NOTHING> =>
        calls++ === 0 ? Promise.reject(busy()) : pipeline.accept(messages);
      const s = scene({ pipeline: { accept }, backOffBaseMs: 1 });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.resolve({ committed: undefined, oldest: 100 });
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      await happens(s, 'resume 100');
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      await happens(s, 'commit 101');
      assert.deepEqual(holes(pipeline.seen), [[3, 100, 'before_first_read', 100]]);
      assert.equal(receiver.stats().beganPastStart, 1);
    });

    it('says nothing of a group without a position that begins at the first offset', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.resolve({ committed: undefined, oldest: 0 });
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      assert.deepEqual(holes(pipeline.seen), []);
      assert.equal(receiver.stats().beganPastStart, 0);
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

    it('needs no restart while the positions cannot be learned for want of a broker', async () => {
      let nowMs = 0;
      const s = scene({ nowMs: () => nowMs, backOffBaseMs: 1 });
      receiver = s.receiver;
      await receiver.start();
      s.consumers[0]!.settings.onJoined();
      const away = Object.assign(new Error('away'), { name: 'KafkaJSGroupCoordinatorNotFound' });
      const positions = () => Promise.reject(away);
      for (; nowMs <= 70_000; nowMs += 10_000) {
        s.events.length = 0;
        s.consumers[0]!.settings.onFetched();
        await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
        assert.equal(receiver.unhealthy(), undefined, `at ${nowMs} ms`);
        await happens(s, 'resume');
      }
      assert.equal(receiver.stats().retries, 8);
    });

    it('reads again when the positions cannot be learned', async () => {
      const pipeline = recorder();
      const s = scene({ pipeline, backOffBaseMs: 1 });
      receiver = s.receiver;
      await receiver.start();
      const positions = () => Promise.reject(new Error('coordinator moved'));
      await s.consumers[0]!.deliver(s.batch(['a'], { positions }));
      assert.deepEqual(s.events, ['pause']);
      assert.deepEqual(pipeline.seen, []);
      await happens(s, 'resume');
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
