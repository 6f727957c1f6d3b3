import assert from 'node:assert/strict';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createExportQueue, type ExportQueue } from '../../../transport/export-queue.ts';
import type { Exporter, OutboundMessage } from '../../../transport/exporter.ts';
import { FakeSpool } from '../../helpers/fake-spool.ts';
import { seededRandom } from '../../helpers/prng.ts';

interface Pending {
  readonly message: OutboundMessage;
  ok(): void;
  fail(error: Error): void;
}

/** Sends wait until the test settles them; timers run when the test says so. */
class Bench implements Exporter {
  readonly name = 'fake';
  readonly concurrency: number;
  readonly pending: Pending[] = [];
  readonly sent: OutboundMessage[] = [];
  mostAtOnce = 0;
  timers: { atMs: number; run: () => void }[] = [];
  delaysMs: number[] = [];
  nowMs = 0;
  readonly queue: ExportQueue;
  readonly spool: FakeSpool | undefined;
  offered = 0;

  constructor(
    settings: {
      concurrency?: number;
      itemsMax?: number;
      bytesMax?: number;
      mergedBytesMax?: number;
      ageMaxMs?: number;
      spool?: FakeSpool;
    } = {},
  ) {
    this.concurrency = settings.concurrency ?? 2;
    this.spool = settings.spool;
    this.queue = createExportQueue({
      exporter: this,
      itemsMax: settings.itemsMax ?? 100,
      bytesMax: settings.bytesMax ?? 1000,
      mergedBytesMax: settings.mergedBytesMax ?? 0,
      ...(settings.ageMaxMs === undefined ? {} : { ageMaxMs: settings.ageMaxMs }),
      spool: settings.spool,
      retryBaseMs: 100,
      retryMaxMs: 800,
      log: silentLog,
      wallMs: () => this.nowMs,
      timers: {
        nowMs: () => this.nowMs,
        random: () => 0,
        after: (delayMs, run) => {
          const timer = { atMs: this.nowMs + delayMs, run };
          this.delaysMs.push(delayMs);
          this.timers.push(timer);
          return () => {
            this.timers = this.timers.filter((t) => t !== timer);
          };
        },
      },
    });
  }

  send(message: OutboundMessage): Promise<void> {
    this.sent.push(message);
    return new Promise((resolve, reject) => {
      const settle = (run: () => void) => (): void => {
        this.pending.splice(this.pending.indexOf(entry), 1);
        run();
      };
      const entry: Pending = {
        message,
        ok: settle(resolve),
        fail: (error) => settle(() => reject(error))(),
      };
      this.pending.push(entry);
      this.mostAtOnce = Math.max(this.mostAtOnce, this.pending.length);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  offer(items = 1, bytes = 10): void {
    this.offered += items;
    this.queue.offer({ signal: 'traces', body: new Uint8Array(bytes), items });
    this.assertConserved();
  }

  /** Runs the timers that are due within `ms`. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    const due = this.timers.filter((t) => t.atMs <= this.nowMs);
    this.timers = this.timers.filter((t) => t.atMs > this.nowMs);
    for (const { run } of due) run();
    await settled();
  }

  async okAll(): Promise<void> {
    while (this.pending.length > 0) {
      this.pending[0]!.ok();
      await settled();
      this.assertConserved();
    }
  }

  assertConserved(): void {
    const { emitted, dropped, queuedItems, queuedBytes, spooledItems } = this.queue;
    const lost = Object.values(dropped).reduce((a, b) => a + b, 0);
    assert.equal(this.offered, emitted + lost + queuedItems + spooledItems);
    assert.ok(queuedBytes >= 0);
  }
}

const PLAIN: OutboundMessage = { signal: 'traces', body: new Uint8Array(10), items: 1 };

/** Lets promises settle. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const away = (retryAfterS?: number): AzimuthError =>
  new AzimuthError('AZ_EXPORT_FAILED', 'away', { retryAfterS });
const refused = (): AzimuthError => new AzimuthError('AZ_EXPORT_REFUSED', 'no');

describe('ExportQueue', () => {
  it('keeps as many sends in flight as the exporter takes', async () => {
    const bench = new Bench({ concurrency: 3 });
    for (let i = 0; i < 5; i++) bench.offer();
    assert.equal(bench.pending.length, 3);
    await bench.okAll();
    assert.equal(bench.mostAtOnce, 3);
    assert.equal(bench.queue.emitted, 5);
    assert.deepEqual([bench.queue.queuedItems, bench.queue.queuedBytes], [0, 0]);
  });

  it('drops the oldest that waits when items are full, and never what is in flight', async () => {
    const bench = new Bench({ concurrency: 1, itemsMax: 3 });
    for (let bytes = 1; bytes <= 5; bytes++) bench.offer(1, bytes);
    assert.equal(bench.queue.dropped.queue_full, 2);
    await bench.okAll();
    assert.deepEqual(
      bench.sent.map((m) => m.body.length),
      [1, 4, 5],
    );
  });

  it('drops the oldest when bytes are full, as many as the new one needs', async () => {
    const bench = new Bench({ concurrency: 1, bytesMax: 100 });
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
    const bench = new Bench({ concurrency: 2, itemsMax: 2 });
    for (let i = 0; i < 3; i++) bench.offer();
    assert.equal(bench.queue.dropped.queue_full, 1);
  });

  it('drops a message that can never fit, as too_large', () => {
    const bench = new Bench({ bytesMax: 100 });
    bench.offer(3, 101);
    assert.equal(bench.queue.dropped.too_large, 3);
    assert.equal(bench.sent.length, 0);
  });

  it('drops what is refused, and goes on at once', async () => {
    const bench = new Bench({ concurrency: 1 });
    bench.offer(5);
    bench.offer(2);
    bench.pending[0]!.fail(refused());
    await settled();
    assert.equal(bench.queue.dropped.refused, 5);
    await bench.okAll();
    assert.equal(bench.queue.emitted, 2);
  });

  it('calls a fault of the exporter a refusal: to try for ever cannot help', async () => {
    const bench = new Bench();
    bench.offer();
    bench.pending[0]!.fail(new TypeError('oops'));
    await settled();
    assert.equal(bench.queue.dropped.refused, 1);
  });

  it('tries again for ever, each pause twice the last up to the most, one message at a time', async () => {
    const bench = new Bench({ concurrency: 4 });
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
    const bench = new Bench({ concurrency: 1 });
    bench.offer();
    for (let i = 0; i < 5; i++) {
      bench.pending[0]!.fail(away());
      await settled();
      await bench.pass(800);
    }
    assert.deepEqual(bench.delaysMs, [50, 100, 200, 400, 400]);
  });

  it('waits as long as Retry-After asks, but at most a minute', async () => {
    const bench = new Bench({ concurrency: 1 });
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
    const bench = new Bench({ concurrency: 2 });
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
    const bench = new Bench({ concurrency: 1, itemsMax: 2 });
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
    const bench = new Bench({ concurrency: 1 });
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
    const bench = new Bench({ concurrency: 1 });
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
    const bench = new Bench({ concurrency: 1 });
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
    const bench = new Bench({ concurrency: 1, mergedBytesMax: 30 });
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
    const bench = new Bench({ concurrency: 1, ageMaxMs: 1_000 });
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
    const bench = new Bench({ concurrency: 1 });
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
    const bench = new Bench({ concurrency: 1 });
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

  it('keeps its sum under a random exporter', async () => {
    const seed = Number(process.env['SEED'] ?? 20261125);
    const random = seededRandom(seed);
    const bench = new Bench({ concurrency: 3, itemsMax: 40, bytesMax: 400 });
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

  describe('with a spool', () => {
    const spooling = (
      settings: ConstructorParameters<typeof Bench>[0] = {},
    ): { bench: Bench; spool: FakeSpool } => {
      const spool = new FakeSpool();
      return { bench: new Bench({ concurrency: 1, itemsMax: 10, ...settings, spool }), spool };
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
});
