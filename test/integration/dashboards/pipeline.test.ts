/** Every query of the dashboard `Pipeline` against the real schema, expanded as Grafana would. */
import assert from 'node:assert/strict';
import { dataPanels, PIPELINE, readDashboard } from '../../helpers/grafana-dashboard.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { expandGrafana } from './grafana-macros.ts';
import { checkShape, type Answer } from './panel-shape.ts';

describe('dashboard Pipeline', function () {
  this.timeout(120_000);
  const panels = dataPanels(readDashboard(PIPELINE));
  let store: TestStore;
  /** Begin of the window, Unix seconds; it is ten minutes long. */
  const fromS = Math.floor(Date.now() / 60_000) * 60 - 15 * 60;

  before(async () => {
    store = await startTestStore();
    // 300 hops of 2 s, stored 3 s after their end, 20 of them twice; and one before the window.
    const hops = `INSERT INTO spans (Timestamp, TraceId, SpanId, HopVersion, Duration, IngestedAt)
      SELECT toDateTime64({from:UInt32} + number, 9), leftPad(lower(hex(number)), 32, '0'),
        leftPad(lower(hex(number)), 16, '0'), 1, 2000000000, toDateTime({from:UInt32} + number + 5)
      FROM numbers({first:UInt32}, {rows:UInt32})`;
    await store.client.command(hops, { from: fromS, first: 0, rows: 300 });
    await store.client.command(hops, { from: fromS, first: 0, rows: 20 });
    await store.client.command(hops, { from: fromS - 2000, first: 1000, rows: 1 });
    const ledger = `INSERT INTO ledgers (Timestamp, Proxy, BootId, HopsFinished, Emitted, Dropped, Spooled, Closing)
      VALUES (toDateTime64({at:UInt32}, 9), {proxy:String}, {boot:String}, {finished:UInt64}, {emitted:UInt64},
        map('queue_full', {full:UInt64}, 'too_large', {large:UInt64}), {spooled:UInt64}, {closing:UInt8})`;
    const write = (
      proxy: string,
      afterS: number,
      [finished, emitted, full, large, spooled]: readonly number[],
      closing = 0,
    ): Promise<void> =>
      store.client.command(ledger, {
        ...{ at: fromS + afterS, proxy, boot: `boot-${proxy}`, closing },
        ...{ finished, emitted, full, large, spooled },
      });
    // `a` began before the window and lives; `b` begins in it and closes; `c` ends without a word.
    await write('a', -60, [1000, 990, 10, 0, 0]);
    await write('a', 30, [1100, 1080, 12, 0, 0]);
    await write('a', 599, [1200, 1150, 15, 1, 20]);
    await write('b', 60, [50, 50, 0, 0, 0]);
    await write('b', 120, [80, 80, 0, 0, 0], 1);
    await write('c', 60, [7, 3, 0, 0, 0]);
    await store.client.command(
      `INSERT INTO dead_letters (At, Signal, Source, Reason, Items)
       SELECT toDateTime64({from:UInt32} + 100 + number, 3), 'traces', 'otlp_http', 'malformed', 0 FROM numbers(3)`,
      { from: fromS },
    );
  });
  after(() => store.stop());

  async function answer(rawSql: string): Promise<Answer> {
    const window = { fromS, toS: fromS + 600, intervalS: 60, variables: {} };
    return JSON.parse(await store.client.text(expandGrafana(rawSql, window), {}, 'JSON')) as Answer;
  }
  const rowsOf = async (title: string): Promise<Answer['data']> => {
    const panel = panels.find((p) => p.title === title);
    assert.ok(panel !== undefined, `there is a panel "${title}"`);
    return (await answer(panel.targets![0]!.rawSql)).data;
  };
  const valueOf = async (title: string): Promise<number> =>
    Number(Object.values((await rowsOf(title))[0]!)[0]);

  for (const panel of panels) {
    it(`gets columns of the right kind for "${panel.title}"`, async () => {
      for (const target of panel.targets ?? [])
        checkShape(panel, target, await answer(target.rawSql));
    });
  }

  it('counts what belongs to the window, each hop once', async () => {
    assert.equal(await valueOf('Hops finished'), 200 + 80 + 7);
    assert.equal(await valueOf('Hops stored'), 300);
    assert.equal(await valueOf('Rows doubled'), 20);
    assert.equal(await valueOf('Hops dropped'), 5 + 1);
    assert.equal(await valueOf('Dead letters'), 3);
    // a: 1200 - 1150 - 16 dropped, spooled among them; c: 7 - 3.
    assert.equal(await valueOf('Hops waiting'), 34 + 4);
  });

  it('shows rates and delays by the time of storing', async () => {
    const stored = await rowsOf('Hops stored per second');
    const sum = (name: string): number =>
      stored.reduce((total, row) => total + Number(row[name]) * 60, 0);
    assert.equal(Math.round(sum('stored')), 300);
    assert.equal(Math.round(sum('doubled')), 20);
    for (const row of await rowsOf('Time until stored, p50 and p99'))
      assert.equal(Number(row['p50 until stored']), 3);
  });

  it('names losses by process and reason, and processes that ended without a word', async () => {
    assert.deepEqual(await rowsOf('Dropped hops by process and reason'), [
      { proxy: 'a', reason: 'queue_full', hops: 5 },
      { proxy: 'a', reason: 'too_large', hops: 1 },
    ]);
    const states = (await rowsOf('Processes')).map((row) => [row['proxy'], row['state']]);
    assert.deepEqual(states, [
      ['a', 'running'],
      ['c', 'no closing ledger'],
      ['b', 'closed'],
    ]);
    const lost = await rowsOf('Hops dropped and dead letters');
    const dead = lost.reduce((total, row) => total + Number(row['dead letters']), 0);
    assert.equal(dead, 3);
  });
});
