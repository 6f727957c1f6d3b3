import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import {
  type KafkaReceiver,
  type KafkaReceiverSettings,
} from '../../../collector/kafka-receiver.ts';
import type { InboundMessage } from '../../../collector/pipeline.ts';
import type { ConsumedBatch, ConsumedMessage } from '../../../transport/kafka/kafka-consumer.ts';
import { busy, happens, manualPipeline, NOTHING, scene } from '../../helpers/kafka-scene.ts';

describe('KafkaLane', () => {
  let receiver: KafkaReceiver;
  afterEach(() => receiver.stop());

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
});
