import assert from 'node:assert/strict';
import { AzimuthError } from '../../../runtime/errors.ts';
import type { OutboundMessage } from '../../../transport/exporter.ts';
import { FakeSpool } from '../../helpers/fake-spool.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { away, QueueBench, refused, settled } from '../../helpers/queue-bench.ts';

const PLAIN: OutboundMessage = { signal: 'traces', body: new Uint8Array(10), items: 1 };

describe('ExportQueue with a spool', () => {
  const spooling = (
    settings: ConstructorParameters<typeof QueueBench>[0] = {},
  ): { bench: QueueBench; spool: FakeSpool } => {
    const spool = new FakeSpool();
    return { bench: new QueueBench({ concurrency: 1, itemsMax: 10, ...settings, spool }), spool };
  };

  it('moves the oldest to disk from half of the bound on, and drops nothing', async () => {
    const { bench, spool } = spooling();
    for (let bytes = 1; bytes <= 30; bytes++) {
      bench.offer(1, bytes);
      await settled();
    }
    assert.equal(bench.queue.queuedItems, 5);
    assert.equal(bench.queue.spooledItems, 25);
    assert.deepEqual(
      spool.stored.map(({ body }) => body.length),
      Array.from({ length: 25 }, (_, i) => i + 2),
    );
    assert.deepEqual(
      Object.values(bench.queue.dropped).filter((n) => n > 0),
      [],
    );
  });

  it('delivers what lies on disk once the next takes again, and settles it', async () => {
    const { bench, spool } = spooling();
    for (let i = 0; i < 20; i++) {
      bench.offer();
      await settled();
    }
    await bench.okAll();
    assert.equal(bench.queue.emitted, 20);
    assert.deepEqual([bench.queue.spooledItems, bench.queue.queuedItems], [0, 0]);
    assert.ok(spool.settled.every(({ dropped }) => dropped === 0));
  });

  it('gives what comes from disk at most half of the places while new ones wait', async () => {
    const { bench, spool } = spooling({ concurrency: 4, itemsMax: 100 });
    for (let i = 0; i < 8; i++) await spool.append({ ...PLAIN, items: 3 });
    bench.offered += 24;
    for (let i = 0; i < 20; i++) bench.offer(1);
    bench.queue.wake();
    await settled();
    const fromDisk = (): number =>
      bench.pending.filter(({ message }) => message.items === 3).length;
    assert.equal(bench.pending.length, 4);
    for (let round = 0; round < 12; round++) {
      bench.pending[0]!.ok();
      await settled();
      assert.ok(fromDisk() <= 2, `round ${round}`);
    }
    await bench.okAll();
    assert.equal(bench.queue.emitted, 44);
  });

  it('tries what is in memory first while the next is away', async () => {
    const { bench, spool } = spooling();
    await spool.append({ ...PLAIN, items: 3 });
    bench.offered += 3;
    bench.offer(1);
    bench.offer(2);
    await settled();
    const tried: number[] = [];
    for (let round = 0; round < 4; round++) {
      tried.push(bench.pending[0]!.message.items);
      bench.pending[0]!.fail(away());
      await settled();
      await bench.pass(800);
    }
    assert.deepEqual(tried, [3, 1, 1, 1]);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 6);
  });

  it('sends from disk and from memory in turn where there is only one place', async () => {
    const { bench, spool } = spooling();
    for (let i = 0; i < 3; i++) await spool.append({ ...PLAIN, items: 3 });
    bench.offered += 9;
    for (let i = 0; i < 3; i++) bench.offer(1);
    await settled();
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map(({ items }) => items),
      [3, 1, 3, 1, 3, 1],
    );
  });

  it('tries a message from disk again after a failure, and drops what is refused', async () => {
    const { bench, spool } = spooling();
    await spool.append({ ...PLAIN, items: 3 });
    await spool.append({ ...PLAIN, items: 4 });
    bench.offered += 7;
    bench.queue.wake();
    await settled();
    bench.pending[0]!.fail(away());
    await settled();
    await bench.pass(100);
    assert.equal(bench.pending[0]!.message.items, 3);
    bench.pending[0]!.fail(
      new AzimuthError('AZ_EXPORT_TOO_LARGE', 'one of them', { refusedItems: 1 }),
    );
    await settled();
    await bench.okAll();
    assert.deepEqual([bench.queue.emitted, bench.queue.dropped.too_large], [6, 1]);
    assert.deepEqual(spool.settled[0], { items: 3, dropped: 1, reason: 'too_large' });
  });

  it('drops what lay on disk for too long, and what is damaged there', async () => {
    const { bench, spool } = spooling({ ageMaxMs: 1_000 });
    await spool.append({ ...PLAIN, items: 3 });
    spool.wallMs = bench.nowMs = 1_500;
    await spool.append({ ...PLAIN, items: 4 });
    spool.news.push({ kind: 'damaged', items: 2 });
    spool.items += 2;
    bench.offered += 9;
    bench.queue.wake();
    await settled();
    await bench.okAll();
    const { emitted, dropped } = bench.queue;
    assert.deepEqual([emitted, dropped.deadline, dropped.spool_damaged], [4, 3, 2]);
  });

  it('delivers what earlier processes left, and counts none of it as its own', async () => {
    const { bench, spool } = spooling();
    spool.inherited.push({ ...PLAIN, items: 5, writtenAtMs: 0 });
    bench.queue.wake();
    await settled();
    spool.items += 5;
    await bench.okAll();
    assert.equal(bench.queue.emitted, 0);
    assert.deepEqual(spool.settled, [{ items: 5, dropped: 0, reason: 'refused' }]);
  });

  it('drops the oldest and counts it while the disk is full, and spools again when there is room', async () => {
    const { bench, spool } = spooling();
    spool.room = 2;
    for (let i = 0; i < 20; i++) {
      bench.offer();
      await settled();
    }
    assert.equal(bench.queue.spooledItems, 2);
    assert.equal(bench.queue.dropped.queue_full, 8);
    spool.room = Infinity;
    bench.offer();
    await settled();
    assert.equal(bench.queue.spooledItems, 2, 'a full disk is not asked at once again');
    await bench.pass(5_000);
    bench.offer();
    await settled();
    assert.equal(Math.sign(bench.queue.spooledItems - 2), 1, 'there is room again');
    await bench.okAll();
    assert.equal(bench.queue.emitted + bench.queue.dropped.queue_full, 22);
  });

  it('leaves at the end on disk what was not acknowledged, in flight or waiting', async () => {
    const { bench } = spooling();
    for (let i = 0; i < 4; i++) bench.offer(2);
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await drained;
    assert.deepEqual([bench.queue.spooledItems, bench.queue.queuedItems], [8, 0]);
    assert.equal(bench.queue.dropped.shutdown, 0);
  });

  it('counts at the end what a full disk does not take', async () => {
    const { bench, spool } = spooling();
    spool.room = 1;
    for (let i = 0; i < 4; i++) bench.offer(2);
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await drained;
    assert.deepEqual([bench.queue.spooledItems, bench.queue.dropped.shutdown], [2, 6]);
  });

  it('ends also when the disk stands still, and counts what it did not take', async () => {
    const { bench, spool } = spooling();
    spool.hangs = true;
    for (let i = 0; i < 8; i++) bench.offer(1);
    await settled();
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await bench.pass(3_000);
    await drained;
    assert.deepEqual([bench.queue.dropped.shutdown, bench.queue.queuedItems], [8, 0]);
    bench.assertConserved();
  });

  it('keeps its sum while next and disk fail at random', async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() >>> 0);
    const random = seededRandom(seed);
    const { bench, spool } = spooling({
      concurrency: 3,
      itemsMax: 40,
      bytesMax: 400,
      mergedBytesMax: 100,
      ageMaxMs: 20_000,
    });
    for (let step = 0; step < 3_000; step++) {
      const dice = random();
      if (dice < 0.5) bench.offer(1 + Math.floor(random() * 12), Math.floor(random() * 120));
      else if (dice < 0.85 && bench.pending.length > 0) {
        const pending = bench.pending[Math.floor(random() * bench.pending.length)]!;
        const outcome = random();
        if (outcome < 0.5) pending.ok();
        else pending.fail(outcome < 0.9 ? away() : refused());
      } else if (dice < 0.9) spool.room = random() < 0.5 ? 0 : Infinity;
      else await bench.pass(400);
      await settled();
      spool.wallMs = bench.nowMs;
      bench.assertConserved();
      assert.ok(bench.queue.queuedItems <= 40 && bench.queue.queuedBytes <= 400, `seed ${seed}`);
    }
    const drained = bench.queue.drain(1_000);
    await bench.pass(1_000);
    await bench.pass(3_000);
    await drained;
    bench.assertConserved();
    assert.equal(bench.queue.queuedItems, 0, `seed ${seed}`);
    assert.ok(spool.settled.length > 0 && bench.queue.emitted > 0, `seed ${seed}`);
  });
});
