import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { KafkaReceiver } from '../../../collector/kafka-receiver.ts';
import type { InboundMessage } from '../../../collector/pipeline.ts';
import { createLog } from '../../../runtime/log.ts';
import { busy, happens, NOTHING, scene } from '../../helpers/kafka-scene.ts';

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

  it('names the topics and the brokers when a topic does not exist', async () => {
    const lines: string[] = [];
    const log = createLog({ json: true, write: (line) => lines.push(line) });
    const s = scene({ backOffBaseMs: 1, brokers: ['kafka-1:9092', 'kafka-2:9092'], log });
    receiver = s.receiver;
    await receiver.start();
    const missing = new Error('This server does not host this topic-partition');
    s.consumers[0]!.crash(Object.assign(missing, { type: 'UNKNOWN_TOPIC_OR_PARTITION' }));
    while (s.consumers.length < 2) await setImmediate();
    for (const text of [receiver.notReady() ?? '', lines.join('')]) {
      assert.match(text, /not all of the topics spans, logs exist; `azimuth topics` creates them/);
      assert.match(text, /kafka-1:9092, kafka-2:9092/);
    }
    s.consumers[1]!.settings.onJoined();
    assert.equal(receiver.notReady(), undefined);
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

  it('needs no restart while answers of a broker come too late, and names it', async () => {
    let nowMs = 0;
    const warnings: unknown[] = [];
    const log = createLog({ json: true, write: (line) => warnings.push(JSON.parse(line)) });
    const s = scene({ nowMs: () => nowMs, log });
    receiver = s.receiver;
    await receiver.start();
    const { onJoined, onUnanswered } = s.consumers[0]!.settings;
    onJoined();
    const late = { commit: () => Promise.reject(new Error('timed out')) };
    await s.consumers[0]!.deliver(s.batch(['a'], late));
    warnings.length = 0;
    for (const atMs of [30_000, 50_000, 61_000, 110_000]) {
      nowMs = atMs;
      assert.equal(receiver.unhealthy(), undefined, `at ${nowMs} ms`);
      onUnanswered({ api: 'Fetch', broker: 'kafka-2:9092' });
    }
    assert.equal(warnings.length, 3);
    assert.match(JSON.stringify(warnings[0]), /does not answer in time.*kafka-2:9092/);
    assert.match(receiver.notReady() ?? '', /kafka-2:9092 did not answer Fetch in time/);
    nowMs = 170_001;
    assert.match(receiver.unhealthy() ?? '', /1 messages wait/, 'silence is a wedge all the same');
  });

  it('needs no restart while commits fail because no broker can be reached', async () => {
    let nowMs = 0;
    const s = scene({ nowMs: () => nowMs });
    receiver = s.receiver;
    await receiver.start();
    s.consumers[0]!.settings.onJoined();
    const away = Object.assign(new Error('Closed'), { name: 'KafkaJSConnectionClosedError' });
    const commit = Promise.withResolvers<never>();
    await s.consumers[0]!.deliver(s.batch(['a'], { commit: () => commit.promise }));
    nowMs = 50_000;
    commit.reject(away);
    await setImmediate();
    assert.equal(receiver.stats().commitFailures, 1);
    nowMs = 110_000;
    s.consumers[0]!.settings.onFetched();
    assert.equal(receiver.unhealthy(), undefined);
    nowMs = 110_001;
    assert.match(receiver.unhealthy() ?? '', /last error: Closed/);
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
