import assert from 'node:assert/strict';
import type { OutboundMessage } from '../../../transport/exporter.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { away, QueueBench, refused, settled } from '../../helpers/queue-bench.ts';

describe('ExportQueue', () => {
  it('keeps as many sends in flight as the exporter takes', async () => {
    const bench = new QueueBench({ concurrency: 3 });
    for (let i = 0; i < 5; i++) bench.offer();
    assert.equal(bench.pending.length, 3);
    await bench.okAll();
    assert.equal(bench.mostAtOnce, 3);
    assert.equal(bench.queue.emitted, 5);
    assert.deepEqual([bench.queue.queuedItems, bench.queue.queuedBytes], [0, 0]);
  });

  it('drops the oldest that waits when items are full, and never what is in flight', async () => {
    const bench = new QueueBench({ concurrency: 1, itemsMax: 3 });
    for (let bytes = 1; bytes <= 5; bytes++) bench.offer(1, bytes);
    assert.equal(bench.queue.dropped.queue_full, 2);
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map((m) => m.body.length),
      [1, 4, 5],
    );
  });

  it('drops the oldest when bytes are full, as many as the new one needs', async () => {
    const bench = new QueueBench({ concurrency: 1, bytesMax: 100 });
    bench.offer(1, 10);
    bench.offer(2, 40);
    bench.offer(3, 40);
    bench.offer(4, 90);
    assert.equal(bench.queue.dropped.queue_full, 5);
    assert.equal(bench.queue.queuedBytes, 100);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 5);
  });

  it('drops the new one when all that is kept is in flight', () => {
    const bench = new QueueBench({ concurrency: 2, itemsMax: 2 });
    for (let i = 0; i < 3; i++) bench.offer();
    assert.equal(bench.queue.dropped.queue_full, 1);
  });

  it('drops a message that can never fit, as too_large', () => {
    const bench = new QueueBench({ bytesMax: 100 });
    bench.offer(3, 101);
    assert.equal(bench.queue.dropped.too_large, 3);
    assert.equal(bench.sent.length, 0);
  });

  it('drops what is refused, and goes on at once', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer(5);
    bench.offer(2);
    bench.pending[0]!.fail(refused());
    await settled();
    assert.equal(bench.queue.dropped.refused, 5);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 2);
  });

  it('calls a fault of the exporter a refusal: to try for ever cannot help', async () => {
    const bench = new QueueBench();
    bench.offer();
    bench.pending[0]!.fail(new TypeError('oops'));
    await settled();
    assert.equal(bench.queue.dropped.refused, 1);
  });

  it('tries again for ever, each pause twice the last up to the most, one message at a time', async () => {
    const bench = new QueueBench({ concurrency: 4 });
    for (let i = 0; i < 6; i++) bench.offer(1, i + 1);
    for (const pending of [...bench.pending]) pending.fail(away());
    await settled();
    assert.equal(bench.pending.length, 0);
    await bench.pass(50);
    for (let round = 0; round < 6; round++) {
      assert.equal(bench.pending.length, 1, 'a probe');
      bench.pending[0]!.fail(away());
      await settled();
      await bench.pass(800);
    }
    // Four failures at once are one pause; jitter of 0 halves each.
    assert.equal(bench.delaysMs[0], 50);
    assert.deepEqual(bench.delaysMs.slice(1), [400, 400, 400, 400, 400, 400]);
    assert.equal(bench.queue.queuedItems, 6);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 6);
    assert.equal(bench.mostAtOnce, 4);
  });

  it('doubles the pause with each failure', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer();
    for (let i = 0; i < 5; i++) {
      bench.pending[0]!.fail(away());
      await settled();
      await bench.pass(800);
    }
    assert.deepEqual(bench.delaysMs, [50, 100, 200, 400, 400]);
  });

  it('waits as long as Retry-After asks, but at most a minute', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer();
    bench.pending[0]!.fail(away(7));
    await settled();
    await bench.pass(6_999);
    assert.equal(bench.pending.length, 0);
    await bench.pass(1);
    bench.pending[0]!.fail(away(86_400));
    await settled();
    assert.deepEqual(bench.delaysMs, [7_000, 60_000]);
  });

  it('ends the pause when another send succeeds', async () => {
    const bench = new QueueBench({ concurrency: 2 });
    for (let i = 0; i < 3; i++) bench.offer();
    const [first, second] = bench.pending;
    first!.fail(away(60));
    await settled();
    assert.equal(bench.pending.length, 1);
    second!.ok();
    await settled();
    assert.equal(bench.pending.length, 2);
  });

  it('drops what waits for its retry when newer messages need the room', async () => {
    const bench = new QueueBench({ concurrency: 1, itemsMax: 2 });
    bench.offer(1, 1);
    bench.pending[0]!.fail(away());
    await settled();
    bench.offer(1, 2);
    bench.offer(1, 3);
    assert.equal(bench.queue.dropped.queue_full, 1);
    await bench.pass(100);
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map((m) => m.body.length),
      [1, 2, 3],
    );
  });

  it('drains: waits for the acknowledgements, takes nothing more', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer();
    bench.offer();
    const drained = bench.queue.drain(5_000);
    bench.offer();
    assert.equal(bench.queue.dropped.shutdown, 1);
    await bench.okAll();
    await drained;
    assert.equal(bench.queue.emitted, 2);
  });

  it('drains without waiting for the end of a pause', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer();
    bench.pending[0]!.fail(away(50));
    await settled();
    const drained = bench.queue.drain(5_000);
    assert.equal(bench.pending.length, 1);
    bench.pending[0]!.ok();
    await drained;
    assert.equal(bench.queue.emitted, 1);
  });

  it('gives up at the deadline: the rest is dropped as shutdown, a late answer changes nothing', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.offer(2);
    bench.offer(3);
    const late = bench.pending[0]!;
    const drained = bench.queue.drain(5_000);
    await bench.pass(5_000);
    await drained;
    assert.equal(bench.queue.dropped.shutdown, 5);
    late.ok();
    await settled();
    bench.assertConserved();
    assert.equal(bench.queue.emitted, 0);
  });

  it('sends together what waits, up to its bound, while the next is slow', async () => {
    const bench = new QueueBench({ concurrency: 1, mergedBytesMax: 30 });
    for (let i = 0; i < 5; i++) bench.offer(2, 10);
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map(({ body, items }) => [body.length, items]),
      [
        [10, 2],
        [30, 6],
        [10, 2],
      ],
    );
    assert.equal(bench.queue.emitted, 10);
  });

  it('drops what could not be delivered for too long, as deadline, and keeps the younger', async () => {
    const bench = new QueueBench({ concurrency: 1, ageMaxMs: 1_000 });
    bench.offer(3);
    bench.nowMs = 600;
    bench.offer(2);
    bench.pending[0]!.fail(away());
    await settled();
    await bench.pass(500);
    assert.equal(bench.queue.dropped.deadline, 3);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 2);
  });

  it('tells ledgers of several boots apart, and says which arrived', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    const arrived: string[] = [];
    const offer = (slot: string, bytes: number): void =>
      bench.queue.offerLatest({ signal: 'logs', body: new Uint8Array(bytes), items: 1 }, slot, () =>
        arrived.push(`${slot} ${bytes}`),
      );
    bench.offer();
    offer('a', 1);
    offer('b', 2);
    offer('a', 3);
    await bench.okAll();
    assert.deepEqual(arrived.sort(), ['a 3', 'b 2']);
  });

  it('sends only the newest ledger, first, and never counts it', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    const ledger = (bytes: number): OutboundMessage => ({
      signal: 'logs',
      body: new Uint8Array(bytes),
      items: 1,
    });
    bench.offer(1, 10);
    bench.offer(1, 11);
    bench.queue.offerLatest(ledger(1));
    bench.queue.offerLatest(ledger(2));
    bench.pending[0]!.ok();
    await settled();
    assert.equal(bench.pending[0]!.message.body.length, 2);
    // It failed, and a newer one came meanwhile: the older is not worth a retry.
    bench.queue.offerLatest(ledger(3));
    bench.pending[0]!.fail(away());
    await settled();
    await bench.pass(100);
    assert.equal(bench.pending[0]!.message.body.length, 3);
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map((m) => m.body.length),
      [10, 2, 3, 11],
    );
    bench.assertConserved();
    await bench.queue.drain(1_000);
    bench.queue.offerLatest(ledger(4));
    const drained = bench.queue.drain(1_000);
    await bench.okAll();
    await drained;
    assert.equal(bench.sent.at(-1)!.body.length, 4);
  });

  it('sends nothing and waits for nothing once it is closed, so that its process can end', async () => {
    const bench = new QueueBench({ concurrency: 1 });
    bench.queue.offerLatest({ signal: 'logs', body: new Uint8Array(1), items: 1 });
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await drained;
    bench.queue.close();
    bench.pending[0]!.fail(away());
    await settled();
    await bench.pass(60_000);
    assert.deepEqual([bench.sent.length, bench.timers.length], [1, 0]);
  });

  it('keeps its sum under a random exporter', async () => {
    const seed = Number(process.env['SEED'] ?? 20261125);
    const random = seededRandom(seed);
    const bench = new QueueBench({ concurrency: 3, itemsMax: 40, bytesMax: 400 });
    for (let step = 0; step < 3_000; step++) {
      const dice = random();
      if (dice < 0.5) bench.offer(1 + Math.floor(random() * 12), Math.floor(random() * 120));
      else if (dice < 0.9 && bench.pending.length > 0) {
        const pending = bench.pending[Math.floor(random() * bench.pending.length)]!;
        const outcome = random();
        if (outcome < 0.5) pending.ok();
        else pending.fail(outcome < 0.9 ? away() : refused());
        await settled();
      } else await bench.pass(400);
      bench.assertConserved();
      assert.ok(bench.queue.queuedItems <= 40 && bench.queue.queuedBytes <= 400, `seed ${seed}`);
    }
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await drained;
    bench.assertConserved();
    assert.equal(bench.queue.queuedItems, 0);
    assert.ok(bench.queue.emitted > 100 && bench.queue.dropped.queue_full > 100, `seed ${seed}`);
  });
});
