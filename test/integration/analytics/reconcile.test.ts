import assert from 'node:assert/strict';
import type { BootAccount } from '../../../analytics/boot-account.ts';
import { hasFault, reconcile, type ReconcileOptions } from '../../../analytics/reconcile.ts';
import { insertHops, insertLedger, type TestHop } from '../../helpers/hop-rows.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const T0 = Math.floor(Date.now() / 60_000) * 60_000 - 3_600_000;
/** Long after every ledger here: nothing is in flight any more. */
const LATE: ReconcileOptions = { fromMs: T0 - 1000, toMs: T0 + 30_000, nowMs: T0 + 600_000 };

/** Hops 1..count of a boot, one each 10 ms, without those that `lost` names. */
let namedSoFar = 0;
function hopsOf(
  boot: string,
  count: number,
  lost: (seq: number) => boolean = () => false,
): TestHop[] {
  namedSoFar += 100_000;
  const first = namedSoFar;
  return Array.from({ length: count }, (_, i) => ({
    n: first + i,
    atMs: T0 + i * 10,
    boot,
    proxy: `proxy-${boot}`,
    seq: i + 1,
  })).filter((hop) => !lost(hop.seq));
}

/** The sum that must hold for every boot. */
function assertSum(boot: BootAccount): void {
  const { stored, dropped_total, in_flight, spooled, lost_at_end, unexplained, twins } = boot;
  assert.equal(
    stored - twins + dropped_total + in_flight + spooled + lost_at_end + unexplained,
    boot.finished,
    `sum of ${boot.boot_id}`,
  );
}

describe('reconcile', function () {
  this.timeout(60_000);
  let test: TestStore;
  const accountOf = async (
    boot: string,
    options: ReconcileOptions = LATE,
  ): Promise<BootAccount> => {
    const found = (await reconcile(test.client, options)).boots.find((b) => b.boot_id === boot);
    assert.ok(found, `boot ${boot} is not in the account`);
    assertSum(found);
    return found;
  };
  const ledger = (
    boot: string,
    afterMs: number,
    finished: number,
    more: Partial<Parameters<typeof insertLedger>[1]> = {},
  ): Promise<void> =>
    insertLedger(test.client, {
      boot,
      proxy: `proxy-${boot}`,
      atMs: T0 + afterMs,
      finished,
      ...more,
    });

  before(async () => {
    test = await startTestStore();
  });
  after(() => test.stop());

  it('accounts for everything of a process that ended in order, each doubled row once', async () => {
    const hops = hopsOf('whole', 1000);
    await insertHops(test.client, [...hops, ...hops.slice(100, 300)]);
    await ledger('whole', 5000, 500);
    await ledger('whole', 11_000, 1000, { closing: true });
    const { gaps, ...account } = await accountOf('whole');
    assert.deepEqual(gaps, []);
    assert.equal(account.state, 'closed');
    assert.equal(account.finished, 1000);
    assert.equal(account.stored, 1000);
    assert.equal(account.rows_doubled, 200);
    assert.equal(account.unexplained, 0);
  });

  it('finds one missing hop, with its number', async () => {
    await insertHops(
      test.client,
      hopsOf('hole', 200, (seq) => seq === 77),
    );
    await ledger('hole', 11_000, 200, { closing: true });
    const account = await accountOf('hole');
    assert.equal(account.unexplained, 1);
    assert.deepEqual(account.gaps, [{ from_seq: 77, to_seq: 77 }]);
    assert.equal(hasFault(await reconcile(test.client, LATE)), true);
  });

  it('finds what is missing at the very beginning and at the very end', async () => {
    await insertHops(
      test.client,
      hopsOf('ends', 100, (seq) => seq <= 2 || seq > 97),
    );
    await ledger('ends', 11_000, 100, { closing: true });
    assert.deepEqual((await accountOf('ends')).gaps, [
      { from_seq: 1, to_seq: 2 },
      { from_seq: 98, to_seq: 100 },
    ]);
  });

  it('explains a drop by its reason', async () => {
    await insertHops(
      test.client,
      hopsOf('drop', 200, (seq) => seq > 50 && seq <= 60),
    );
    await ledger('drop', 11_000, 200, { dropped: { queue_full: 9, shutdown: 1 }, closing: true });
    const account = await accountOf('drop');
    assert.deepEqual(account.dropped, { queue_full: 9, shutdown: 1 });
    assert.equal(account.dropped_total, 10);
    assert.equal(account.unexplained, 0);
  });

  it('explains a dead letter by its reason, once, and not at all when the hop was stored too', async () => {
    await insertHops(
      test.client,
      hopsOf('dead', 100, (seq) => seq === 10),
    );
    await ledger('dead', 11_000, 100, { closing: true });
    const letter = (seqs: number[]): Promise<void> =>
      test.client.command(
        `INSERT INTO dead_letters (At, Signal, Reason, Items, BootIds, Seqs)
         SELECT now64(3), 'traces', 'out_of_window', {n:UInt32}, {boots:Array(String)}, {seqs:Array(UInt64)}`,
        { n: seqs.length, boots: seqs.map(() => 'dead'), seqs },
      );
    await letter([10, 11]);
    await letter([10]);
    const account = await accountOf('dead');
    assert.deepEqual(account.dropped, { dead_letter_out_of_window: 1 });
    assert.equal(account.unexplained, 0);
  });

  it('counts a hop that was reported dropped and stored all the same as stored', async () => {
    await insertHops(test.client, hopsOf('lied', 100));
    await ledger('lied', 11_000, 100, { dropped: { deadline: 4 }, closing: true });
    const account = await accountOf('lied');
    assert.equal(account.stored, 100);
    assert.equal(account.dropped_total, 0);
    assert.equal(account.dropped_but_stored, 4);
  });

  it('alarms when one sequence number stands for two hops', async () => {
    const hops = hopsOf('twin', 50);
    await insertHops(test.client, [...hops, { ...hops[7]!, n: hops[7]!.n + 50_000 }]);
    await ledger('twin', 11_000, 50, { closing: true });
    assert.equal((await accountOf('twin')).twins, 1);
  });

  it('takes the queue of a running process for in flight, and not more than that', async () => {
    await insertHops(test.client, hopsOf('busy', 480));
    await ledger('busy', 5000, 500, { emitted: 485 });
    const now = { ...LATE, nowMs: T0 + 40_000, toMs: T0 + 40_000 };
    await ledger('busy', 39_000, 500, { emitted: 485 });
    // Emitted and settled since half a minute, yet 5 more are missing than the queue holds.
    const account = await accountOf('busy', now);
    assert.equal(account.state, 'running');
    assert.deepEqual([account.in_flight, account.unexplained], [15, 5]);
  });

  it('gives what was handed on just now half a minute to arrive', async () => {
    await insertHops(test.client, hopsOf('fresh', 400));
    await ledger('fresh', 4000, 400);
    await ledger('fresh', 9000, 450);
    const account = await accountOf('fresh', { fromMs: T0, toMs: T0 + 9500, nowMs: T0 + 9500 });
    assert.deepEqual([account.in_flight, account.unexplained], [50, 0]);
    // Half a minute later it has not come.
    await ledger('fresh', 39_500, 450);
    const later = await accountOf('fresh', { ...LATE, toMs: T0 + 40_000, nowMs: T0 + 40_000 });
    assert.deepEqual([later.in_flight, later.unexplained], [0, 50]);
  });

  it('reports a process that was killed with its bounds, and loses no more than its queue', async () => {
    // 500 counted by the last ledger, 20 of them still queued; then 30 more arrived of 40.
    await insertHops(
      test.client,
      hopsOf('killed', 540, (seq) => (seq > 485 && seq <= 500) || (seq > 520 && seq <= 530)),
    );
    await ledger('killed', 5000, 500, { emitted: 480 });
    const account = await accountOf('killed');
    assert.equal(account.state, 'ended_without_closing_ledger');
    assert.deepEqual(
      [account.finished, account.last_seq, account.stored, account.lost_at_end],
      [540, 540, 515, 25],
    );
    assert.equal(account.unexplained, 0);
  });

  it('takes the bounds of a killed process, and its last counters, from its successor', async () => {
    // Its last ledger counts 500; the counters it left, 560 of them 20 queued; 7 of those are lost.
    await insertHops(
      test.client,
      hopsOf('stated', 560, (seq) => seq > 553),
    );
    await ledger('stated', 5000, 500);
    await ledger('stated', 6200, 560, { emitted: 540, endedByMs: T0 + 6950 });
    const { ended, ...account } = await accountOf('stated');
    assert.equal(account.state, 'ended_without_closing_ledger');
    assert.deepEqual(ended, {
      after: new Date(T0 + 6200).toISOString(),
      before: new Date(T0 + 6950).toISOString(),
    });
    assert.deepEqual([account.finished, account.lost_at_end, account.unexplained], [560, 7, 0]);
    // Just after its end, what it handed on last may still be on its way.
    const soon = await accountOf('stated', { ...LATE, nowMs: T0 + 7000 });
    assert.equal(soon.state, 'ended_without_closing_ledger');
    assert.deepEqual([soon.in_flight, soon.lost_at_end], [7, 0]);
    // Before its end, nothing is known of it.
    const earlier = await accountOf('stated', { ...LATE, toMs: T0 + 4000 });
    assert.deepEqual([earlier.state, earlier.ended], ['running', undefined]);
  });

  it('keeps the bounds and the counters of a killed process when its spool is delivered later', async () => {
    await insertHops(
      test.client,
      hopsOf('heir', 400, (seq) => seq > 380),
    );
    // Queued at its end: 20. Twice stated, as two workers may; the earlier time is the better bound.
    const counters = { emitted: 330, spooled: 50 };
    await ledger('heir', 6200, 400, { ...counters });
    await ledger('heir', 6200, 400, { ...counters, endedByMs: T0 + 9000 });
    await ledger('heir', 6200, 400, { ...counters, endedByMs: T0 + 6950 });
    // Who delivers the spool goes on from the ledger before.
    await ledger('heir', 12_000, 350, { emitted: 350 });
    const account = await accountOf('heir');
    assert.equal(account.state, 'ended_without_closing_ledger');
    assert.equal(account.ended?.before, new Date(T0 + 6950).toISOString());
    assert.deepEqual(
      [account.finished, account.spooled, account.lost_at_end, account.unexplained],
      [400, 0, 20, 0],
    );
  });

  it('does not believe in the end of a process that was only silent', async () => {
    await insertHops(test.client, hopsOf('silent', 300));
    await ledger('silent', 5000, 200, { endedByMs: T0 + 7000 });
    await ledger('silent', 11_000, 300, { closing: true });
    await insertHops(test.client, hopsOf('silent2', 300));
    await ledger('silent2', 5000, 200, { endedByMs: T0 + 7000 });
    await ledger('silent2', 11_000, 300);
    assert.equal((await accountOf('silent')).state, 'closed');
    const { state, ended } = await accountOf('silent2', { ...LATE, nowMs: T0 + 12_000 });
    assert.deepEqual([state, ended], ['running', undefined]);
  });

  it('calls what a process left on disk spooled, until its successor states that all is delivered', async () => {
    const missing = (seq: number): boolean => seq > 300 && seq <= 400;
    await insertHops(test.client, hopsOf('spooling', 500, missing));
    await ledger('spooling', 5000, 500, { spooled: 100, closing: true });
    const account = await accountOf('spooling');
    assert.deepEqual(
      [account.state, account.spooled, account.unexplained, account.lost_at_end],
      ['closed', 100, 0, 0],
    );
    // Sixty arrived, forty were found damaged.
    await insertHops(
      test.client,
      hopsOf('spooling', 360).filter(({ seq }) => seq! > 300),
    );
    const dropped = { spool_damaged: 40 };
    await ledger('spooling', 20_000, 500, { dropped, closing: true });
    const later = await accountOf('spooling');
    assert.deepEqual(
      [later.stored, later.spooled, later.dropped['spool_damaged'], later.unexplained],
      [460, 0, 40, 0],
    );
  });

  it('does not call more spooled than the ledger says, nor excuses a loss with it', async () => {
    await insertHops(
      test.client,
      hopsOf('spooling2', 500, (seq) => seq > 300 && seq <= 400),
    );
    await ledger('spooling2', 5000, 500, { spooled: 60 });
    const account = await accountOf('spooling2');
    assert.equal(account.state, 'ended_without_closing_ledger');
    assert.deepEqual([account.spooled, account.lost_at_end, account.unexplained], [60, 0, 40]);
  });

  it('does not take a loss before the queue for one at the end', async () => {
    await insertHops(
      test.client,
      hopsOf('killed2', 500, (seq) => seq > 100 && seq <= 140),
    );
    await ledger('killed2', 5000, 500, { emitted: 490 });
    const account = await accountOf('killed2');
    assert.deepEqual([account.lost_at_end, account.unexplained], [10, 30]);
  });

  it('finds a process whose ledgers never arrived, and its gaps', async () => {
    await insertHops(
      test.client,
      hopsOf('mute', 90, (seq) => seq === 33),
    );
    const account = await accountOf('mute');
    assert.equal(account.state, 'no_ledger');
    assert.deepEqual([account.finished, account.stored, account.unexplained], [90, 89, 1]);
    assert.deepEqual(account.gaps, [{ from_seq: 33, to_seq: 33 }]);
    assert.equal(account.last_ledger, undefined);
  });

  it('counts from the last ledger before the window on, so that a long life costs nothing', async () => {
    await insertHops(
      test.client,
      hopsOf('long', 1000, (seq) => seq === 3 || seq === 900),
    );
    for (const [afterMs, finished] of [
      [2000, 200],
      [5000, 500],
      [8000, 800],
      [11_000, 1000],
    ] as const)
      // prettier-ignore
      await ledger('long', afterMs, finished);
    const account = await accountOf('long', { ...LATE, fromMs: T0 + 6000, toMs: T0 + 11_500 });
    assert.deepEqual(
      [account.base_seq, account.finished, account.stored, account.unexplained],
      [500, 500, 499, 1],
    );
    assert.deepEqual(account.gaps, [{ from_seq: 900, to_seq: 900 }]);
  });

  it('goes back to the beginning when there were drops since the ledger before the window', async () => {
    // At 5 s ten hops are queued; they are dropped later. Counted from 5 s on they would excuse others.
    await insertHops(
      test.client,
      hopsOf('back', 800, (seq) => seq > 490 && seq <= 500),
    );
    await ledger('back', 5000, 500, { emitted: 490 });
    await ledger('back', 8000, 800, { dropped: { queue_full: 10 }, closing: true });
    const account = await accountOf('back', { ...LATE, fromMs: T0 + 6000 });
    assert.deepEqual(
      [account.base_seq, account.finished, account.dropped_total, account.unexplained],
      [0, 800, 10, 0],
    );
  });

  it('finds hops that started hours before the ledger that counts them', async () => {
    const [first, ...rest] = hopsOf('slow', 20);
    await insertHops(test.client, [{ ...first!, atMs: T0 - 5 * 3_600_000 }, ...rest]);
    await ledger('slow', 11_000, 20, { closing: true });
    assert.equal((await accountOf('slow')).unexplained, 0);
  });

  it('counts messages that could not be decoded apart: nobody knows what they held', async () => {
    const at = (await test.client.query<{ ms: number }>('SELECT toUnixTimestamp64Milli(now64(3)) AS ms'))[0]!.ms; // prettier-ignore
    await test.client.command(
      `INSERT INTO dead_letters (At, Signal, Reason, Items) SELECT fromUnixTimestamp64Milli({at:Int64}), 'traces', 'malformed', 0`,
      { at },
    );
    const result = await reconcile(test.client, { fromMs: at - 1000, toMs: at + 1000 });
    assert.equal(result.undecodable_messages, 1);
  });

  it('shows which messages the broker deleted unread, each hole once', async () => {
    const at = (await test.client.query<{ ms: number }>('SELECT toUnixTimestamp64Milli(now64(3)) AS ms'))[0]!.ms; // prettier-ignore
    // The second of partition 1 is the same hole again, after a kill between insert and commit.
    await test.client.command(
      `INSERT INTO dead_letters (At, Signal, Source, SourcePartition, SourceOffset, Reason, Items)
       SELECT fromUnixTimestamp64Milli({at:Int64}), 'traces', 'otlp_spans', p, o, 'deleted_by_broker', n
       FROM values('p UInt16, o UInt64, n UInt32', (1, 100, 50), (1, 100, 50), (2, 7, 1))`,
      { at },
    );
    const result = await reconcile(test.client, { fromMs: at - 1000, toMs: at + 1000 });
    assert.deepEqual(result.deleted_by_broker, [
      { topic: 'otlp_spans', partition: 1, from_offset: 100, to_offset: 149, messages: 50 },
      { topic: 'otlp_spans', partition: 2, from_offset: 7, to_offset: 7, messages: 1 },
    ]);
  });

  it('shows where a group without a position began, each partition once', async () => {
    const at = (await test.client.query<{ ms: number }>('SELECT toUnixTimestamp64Milli(now64(3)) AS ms'))[0]!.ms; // prettier-ignore
    await test.client.command(
      `INSERT INTO dead_letters (At, Signal, Source, SourcePartition, SourceOffset, Reason, Items)
       SELECT fromUnixTimestamp64Milli({at:Int64}), 'traces', 'otlp_spans', p, o, 'before_first_read', o
       FROM values('p UInt16, o UInt64', (1, 100), (1, 100), (0, 9))`,
      { at },
    );
    const result = await reconcile(test.client, { fromMs: at - 1000, toMs: at + 1000 });
    assert.deepEqual(result.began_past_start, [
      { topic: 'otlp_spans', partition: 0, offset: 9 },
      { topic: 'otlp_spans', partition: 1, offset: 100 },
    ]);
    assert.equal(hasFault(result), false);
  });

  it('sums up over processes what each says', async () => {
    const { boots, totals } = await reconcile(test.client, LATE);
    assert.ok(boots.length >= 10);
    for (const boot of boots) assertSum(boot);
    assert.equal(totals.finished, boots.reduce((n, boot) => n + boot.finished, 0)); // prettier-ignore
    assert.equal(totals.unexplained, boots.reduce((n, boot) => n + boot.unexplained, 0)); // prettier-ignore
    assert.equal(totals.dropped['queue_full'], 19);
  });

  it('compares exits with entries by the parent chain, edge by edge', async () => {
    const fromMs = T0 + 120_000;
    const call = (n: number, what: Partial<TestHop>): TestHop => ({ n, atMs: fromMs + n, boot: `e${n}`, ...what }); // prettier-ignore
    const exit = { service: 'orders', target: 'stock', role: 'sidecar', side: 'outbound', edgeClass: 'loopback', attemptBits: 3 } as const; // prettier-ignore
    const entry = { service: 'stock', target: 'stock', peer: 'orders', role: 'sidecar', side: 'inbound', edgeClass: 'workload_to_workload', peerKnown: 'configuration' } as const; // prettier-ignore
    await insertHops(test.client, [
      // Three calls seen at both ends, one of them stored twice.
      call(0, exit), call(1, { ...entry, parentOf: 0 }),
      call(5, exit), call(6, { ...entry, parentOf: 5 }), call(6, { ...entry, parentOf: 5 }),
      call(10, exit), call(11, { ...entry, parentOf: 10 }),
      // The entry of one was lost; one was sent and never answered; one came from nowhere.
      call(15, exit),
      call(20, { ...exit, attemptBits: 1 }),
      call(25, { ...entry, parentOf: 26 }),
      // A caller that nobody vouches for is no edge.
      call(30, { ...entry, peer: '', peerKnown: 'unknown', edgeClass: 'unknown' }),
    ]); // prettier-ignore
    const { edges } = await reconcile(test.client, { fromMs, toMs: fromMs + 1000, nowMs: T0 + 600_000, edges: true }); // prettier-ignore
    assert.deepEqual(edges, [
      { caller: 'orders', target: 'stock', exits: 4, entries: 4, exits_unmatched: 1, entries_unmatched: 1 }, // prettier-ignore
    ]);
  });
});
