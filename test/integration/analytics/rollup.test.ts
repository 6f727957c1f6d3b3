import assert from 'node:assert/strict';
import { bucketOf, boundsOf } from '../../../analytics/histogram.ts';
import { runRollup, type RollupOutcome } from '../../../analytics/jobs/rollup.ts';
import { readTraffic, type Traffic } from '../../../analytics/traffic.ts';
import {
  DAY_MS,
  dayOf,
  HOUR_MS,
  MINUTE_MS,
  minuteOf,
  type Window,
} from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { directionOf, isRequest, type EdgeClass } from '../../../telemetry/edge-class.ts';
import { insertHops, randomHops, type TestHop } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const SEED = 7;
/** A whole minute, recent enough for retention; nothing else here depends on the wall clock. */
const T0 = minuteOf(Date.now()) - 30 * MINUTE_MS;

/** What the figures must be, straight from the hops: no SQL, no histogram of the store's. */
function expected(hops: readonly TestHop[], { fromMs, toMs }: Window): Map<EdgeClass, object> {
  const once = new Map(hops.map((hop) => [hop.n, hop]));
  const out = new Map<EdgeClass, ReturnType<typeof plain>>();
  for (const hop of once.values()) {
    if (hop.atMs < fromMs || hop.atMs >= toMs) continue;
    const edgeClass = hop.edgeClass ?? 'external_to_gateway';
    const sums = out.get(edgeClass) ?? plain();
    const { durationNs = 5e6, waitNs = 0, ownNs = 3e5, status = 200 } = hop;
    sums.hops += 1;
    sums.errors += status === 0 || status >= 500 ? 1 : 0;
    sums.durationNs += durationNs;
    sums.waitNs += waitNs;
    sums.ownNs += ownNs;
    sums.bytesOut += 720;
    if ((hop.streamClass ?? '') === '') {
      const bucket = bucketOf(durationNs - waitNs);
      sums.latency.set(bucket, (sums.latency.get(bucket) ?? 0) + 1);
      sums.own.set(bucketOf(ownNs), (sums.own.get(bucketOf(ownNs)) ?? 0) + 1);
    } else sums.streams += 1;
    out.set(edgeClass, sums);
  }
  return out;
}

const plain = () => ({
  hops: 0,
  errors: 0,
  streams: 0,
  durationNs: 0,
  waitNs: 0,
  ownNs: 0,
  bytesOut: 0,
  latency: new Map<number, number>(),
  own: new Map<number, number>(),
});

function comparable(byEdgeClass: ReadonlyMap<EdgeClass, Traffic>): Map<EdgeClass, object> {
  return new Map(
    [...byEdgeClass].map(([edgeClass, t]) => {
      const { hops, errors, streams, durationNs, waitNs, ownNs, bytesOut, latency, own } = t;
      return [
        edgeClass,
        { hops, errors, streams, durationNs, waitNs, ownNs, bytesOut, latency, own },
      ];
    }),
  );
}

describe('rollup', function () {
  this.timeout(60_000);
  let test: TestStore;
  const hops: TestHop[] = [];
  const run = (nowMs: number): Promise<RollupOutcome> =>
    runRollup({ store: test.client, log: silentLog, retentionDays: 7, nowMs: () => nowMs });
  const figures = async (window: Window) =>
    comparable((await readTraffic(test.client, window)).byEdgeClass);
  const builds = () =>
    test.client.query<{ minute: number; builds: number; rows: number; uniques: number }>(
      `SELECT toUnixTimestamp(Minute) AS minute, count() AS builds, argMax(Rows, Build) AS rows,
         argMax(Uniques, Build) AS uniques FROM builds GROUP BY Minute ORDER BY minute`,
    );
  const insert = async (more: readonly TestHop[]): Promise<void> => {
    hops.push(...more);
    await insertHops(test.client, more);
  };
  /** Windows whose edges cut minutes, fall on them, lie in one minute, and reach past the data. */
  const WINDOWS: Window[] = [
    { fromMs: T0, toMs: T0 + 5 * MINUTE_MS },
    { fromMs: T0 + 12_345, toMs: T0 + 4 * MINUTE_MS + 321 },
    { fromMs: T0 + 61_000, toMs: T0 + 62_000 },
    { fromMs: T0 - 10 * MINUTE_MS, toMs: T0 + 20 * MINUTE_MS },
    { fromMs: T0 + 59_999, toMs: T0 + 60_001 },
  ];
  const assertFigures = async (): Promise<void> => {
    for (const window of WINDOWS) {
      assert.deepEqual(
        await figures(window),
        expected(hops, window),
        `window ${window.fromMs - T0}..${window.toMs - T0}, seed ${SEED}`,
      );
    }
  };

  before(async () => {
    test = await startTestStore();
    const random = seededRandom(SEED);
    const first = randomHops(random, { count: 3000, fromMs: T0, spanMs: 5 * MINUTE_MS });
    await insert(first);
    // A replay of a third of them, and hops exactly on the edges of a window and of a minute.
    await insert(first.filter((hop) => hop.n % 3 === 0));
    await insert([
      { n: 90_000, atMs: T0 + 12_345 },
      { n: 90_001, atMs: T0 + 12_344 },
      { n: 90_002, atMs: T0 + 4 * MINUTE_MS + 321 },
      { n: 90_003, atMs: T0 + 59_999 },
      { n: 90_004, atMs: T0 + 60_000 },
      { n: 90_005, atMs: T0 + 60_001 },
    ]);
  });
  after(() => test.stop());

  it('gives exact figures from raw rows alone, each doubled hop once', async () => {
    await assertFigures();
    const traffic = await readTraffic(test.client, WINDOWS[0]!);
    assert.equal(traffic.finalUntilMs, WINDOWS[0]!.fromMs, 'all of it is provisional');
  });

  it('builds closed minutes only, and the figures stay exactly what raw rows gave', async () => {
    // Minute 4 ends at +5 min and closes 30 s later: at +5:29 it is still open.
    const outcome = await run(T0 + 5 * MINUTE_MS + 29_000);
    assert.deepEqual(outcome, { built: 4, reopened: 0, publishedUntilMs: T0 + 4 * MINUTE_MS });
    await assertFigures();
    const { finalUntilMs } = await readTraffic(test.client, WINDOWS[0]!);
    assert.equal(finalUntilMs, T0 + 4 * MINUTE_MS);
  });

  it('keeps rows and unique hops of each build, so that readers know where rows are doubled', async () => {
    for (const { minute, rows, uniques } of await builds()) {
      const inMinute = hops.filter((hop) => minuteOf(hop.atMs) === minute * 1000);
      assert.equal(rows, inMinute.length);
      assert.equal(uniques, new Set(inMinute.map((hop) => hop.n)).size);
    }
  });

  it('does nothing when run again without news', async () => {
    const before = await builds();
    assert.deepEqual(await run(T0 + 5 * MINUTE_MS + 29_000), {
      built: 0,
      reopened: 0,
      publishedUntilMs: T0 + 4 * MINUTE_MS,
    });
    assert.deepEqual(await builds(), before);
  });

  it('publishes an empty minute once it is the newest, and catches up after a pause in one run', async () => {
    await insert(randomHops(seededRandom(8), { count: 50, fromMs: T0 + 7 * MINUTE_MS, spanMs: 1000, firstN: 10_000 })); // prettier-ignore
    const outcome = await run(T0 + 10 * MINUTE_MS + 31_000);
    // Minute 4, minute 7, and the empty minute 9 as the new watermark; 5, 6 and 8 held nothing.
    assert.deepEqual(outcome, { built: 3, reopened: 0, publishedUntilMs: T0 + 10 * MINUTE_MS });
    assert.deepEqual((await builds()).map((b) => (b.minute * 1000 - T0) / MINUTE_MS), [0, 1, 2, 3, 4, 7, 9]); // prettier-ignore
    await assertFigures();
  });

  it('opens a minute again that got late rows, also one that was empty; readers see them at once', async () => {
    const lateS = Math.floor((T0 + 11 * MINUTE_MS) / 1000);
    await insert([
      { n: 50_000, atMs: T0 + 2 * MINUTE_MS + 5, ingestedS: lateS, edgeClass: 'loopback' },
      { n: 50_001, atMs: T0 + 5 * MINUTE_MS + 5, ingestedS: lateS, status: 503 },
    ]);
    await assertFigures();
    const early = await readTraffic(test.client, WINDOWS[0]!);
    assert.equal(early.finalUntilMs, T0 + 2 * MINUTE_MS, 'what changed is not final');
    const outcome = await run(T0 + 11 * MINUTE_MS + 31_000);
    assert.equal(outcome.reopened, 2);
    await assertFigures();
    const late = await readTraffic(test.client, WINDOWS[0]!);
    assert.equal(late.finalUntilMs, WINDOWS[0]!.toMs);
    assert.equal((await builds()).find((b) => b.minute * 1000 === T0 + 2 * MINUTE_MS)?.builds, 2);
  });

  it('finds rows whose insert took minutes after they were stamped', async () => {
    // Stamped before the last run began, readable only after it.
    const stampedS = Math.floor((T0 + 5 * MINUTE_MS) / 1000);
    await insert([{ n: 50_002, atMs: T0 + MINUTE_MS, ingestedS: stampedS }]);
    assert.equal((await run(T0 + 12 * MINUTE_MS + 31_000)).reopened, 1);
    await assertFigures();
  });

  it('rebuilds a minute to the same result when a replay adds nothing new', async () => {
    const replayS = Math.floor((T0 + 13 * MINUTE_MS) / 1000);
    const before = await figures(WINDOWS[3]!);
    const replay = hops.filter((hop) => minuteOf(hop.atMs) === T0 + 3 * MINUTE_MS);
    await insert(replay.map((hop) => ({ ...hop, ingestedS: replayS })));
    assert.equal((await run(T0 + 13 * MINUTE_MS + 31_000)).reopened, 1);
    assert.deepEqual(await figures(WINDOWS[3]!), before);
  });

  it('gives one equal result when two jobs run at once', async () => {
    await insert(randomHops(seededRandom(9), { count: 500, fromMs: T0 + 14 * MINUTE_MS, spanMs: 3 * MINUTE_MS, firstN: 20_000 })); // prettier-ignore
    const nowMs = T0 + 17 * MINUTE_MS + 31_000;
    await Promise.all([run(nowMs), run(nowMs)]);
    const published = (await builds()).filter((b) => b.minute * 1000 >= T0 + 14 * MINUTE_MS);
    assert.ok(published.some((b) => b.builds === 2), 'both have built'); // prettier-ignore
    await assertFigures();
  });

  it('ignores a build that was written and never published', async () => {
    const before = await figures(WINDOWS[3]!);
    await test.client.command(
      `INSERT INTO traffic_1m SELECT * REPLACE (toUInt64(18446744073709551615) AS Build) FROM traffic_1m LIMIT 100`,
    );
    assert.deepEqual(await figures(WINDOWS[3]!), before);
  });

  it('builds a minute with a greater number also after the clock was set back', async () => {
    await insert([{ n: 50_003, atMs: T0 + MINUTE_MS + 7, ingestedS: Math.floor((T0 + 18 * MINUTE_MS) / 1000) }]); // prettier-ignore
    assert.equal((await run(T0 + 3 * MINUTE_MS)).reopened, 1);
    await assertFigures();
    const { finalUntilMs } = await readTraffic(test.client, WINDOWS[0]!);
    assert.equal(finalUntilMs, WINDOWS[0]!.toMs);
  });

  it('leaves builds alone whose raw rows have expired', async () => {
    const window = { fromMs: T0, toMs: T0 + 2 * MINUTE_MS };
    const before = await figures(window);
    await test.client.command(
      `ALTER TABLE spans DELETE WHERE Timestamp < fromUnixTimestamp64Milli({to_ms:Int64}) SETTINGS mutations_sync = 1`,
      { to_ms: window.toMs },
    );
    assert.equal((await run(T0 + 19 * MINUTE_MS)).reopened, 0);
    assert.deepEqual(await figures(window), before);
  });

  it('agrees with the view `traffic` on every direction and on requests', async () => {
    const minutes = { from: T0 / 1000, to: T0 / 1000 + 600 };
    const window = { fromMs: T0, toMs: T0 + 10 * MINUTE_MS };
    const { byEdgeClass } = await readTraffic(test.client, window);
    for (const perspective of ['split', 'whole'] as const) {
      const rows = await test.client.query<{ direction: string; hops: number; requests: number }>(
        `SELECT Direction AS direction, sum(Hops) AS hops, sumIf(Hops, IsRequest) AS requests
         FROM traffic(perspective = '${perspective}')
         WHERE Minute >= toDateTime({from:UInt32}) AND Minute < toDateTime({to:UInt32}) GROUP BY direction`,
        minutes,
      );
      const ours = new Map<string, number>();
      let requests = 0;
      for (const [edgeClass, { hops: n }] of byEdgeClass) {
        const direction = directionOf(edgeClass, perspective);
        ours.set(direction, (ours.get(direction) ?? 0) + n);
        requests += isRequest(edgeClass) ? n : 0;
      }
      assert.deepEqual(new Map(rows.map((row) => [row.direction, row.hops])), ours);
      assert.equal(rows.reduce((n, row) => n + row.requests, 0), requests); // prettier-ignore
    }
  });

  it('has the store put every duration into the bucket that we do', async () => {
    const edges = Array.from({ length: 216 }, (_, i) => boundsOf(i).lowNs);
    const values = [...edges, ...edges.map((ns) => Math.max(0, ns - 1)), 3_600e9, 12_345_678];
    const fromMs = T0 + 25 * MINUTE_MS;
    await insertHops(
      test.client,
      values.map((durationNs, i) => ({
        n: 80_000 + i,
        atMs: fromMs,
        durationNs,
        ownNs: durationNs,
      })),
    );
    const { byEdgeClass } = await readTraffic(test.client, { fromMs, toMs: fromMs + 1 });
    const ours = new Map<number, number>();
    for (const ns of values) ours.set(bucketOf(ns), (ours.get(bucketOf(ns)) ?? 0) + 1);
    assert.deepEqual(byEdgeClass.get('external_to_gateway')?.latency, ours);
    assert.deepEqual(byEdgeClass.get('external_to_gateway')?.own, ours);
  });
});

describe('rollup by hours and days', () => {
  const retentionDays = 30;
  // Both within a day, whatever the time is now.
  const endMs = dayOf(Date.now()) - 17 * HOUR_MS;
  const fromMs = dayOf(endMs) - 4 * DAY_MS - 5 * HOUR_MS;
  const random = seededRandom(SEED);
  const hops = randomHops(random, { count: 600, fromMs, spanMs: endMs - fromMs });
  const inWholeDays = hops.filter(({ atMs }) => atMs < dayOf(endMs));
  // Windows that begin and end inside an hour and a day, of whole hours, of whole days.
  const windows = [
    { fromMs: fromMs + 1234, toMs: endMs - 5678 },
    { fromMs: fromMs + HOUR_MS, toMs: endMs },
    { fromMs: dayOf(fromMs) + DAY_MS, toMs: dayOf(endMs) },
    { fromMs: dayOf(fromMs) + DAY_MS + HOUR_MS, toMs: dayOf(endMs) - HOUR_MS },
  ];
  let store: Awaited<ReturnType<typeof startTestStore>>;
  before(async () => {
    store = await startTestStore({ retention_days: retentionDays });
    await insertHops(store.client, hops);
  });
  after(() => store.stop());

  const run = (nowMs: number) =>
    runRollup({ store: store.client, log: silentLog, retentionDays, nowMs: () => nowMs });
  const published = async (unit: 'Hour' | 'Day'): Promise<number> => {
    const [table, builds] =
      unit === 'Hour' ? ['traffic_1h', 'hour_builds'] : ['traffic_1d', 'day_builds'];
    const [row] = await store.client.query<{ n: number }>(
      `SELECT sum(Hops) AS n FROM ${table} WHERE (${unit}, Build) IN (SELECT ${unit}, max(Build) FROM ${builds} GROUP BY ${unit})`,
    );
    return row!.n;
  };
  const assertFigures = async (all: readonly TestHop[]): Promise<void> => {
    for (const window of windows) {
      const { byEdgeClass } = await readTraffic(store.client, window);
      assert.deepEqual(comparable(byEdgeClass), expected(all, window), `seed ${SEED}`);
    }
  };

  it('serves long windows from days and hours, exactly as minutes and raw rows would', async () => {
    await assertFigures(hops);
    await run(endMs + MINUTE_MS);
    assert.equal(await published('Hour'), hops.length);
    assert.equal(await published('Day'), inWholeDays.length);
    await assertFigures(hops);
  });

  it('reads days where they are, so that a wrong one would show', async () => {
    const [day] = await store.client.query<{ s: number }>(
      'SELECT toUnixTimestamp(max(Day)) AS s FROM day_builds',
    );
    await store.client.command(
      'INSERT INTO day_builds SELECT Day, Build + 1, HourBuilds, BuiltAt FROM day_builds WHERE Day = toDateTime({s:UInt32})',
      { s: day!.s },
    );
    // The day is published anew, as a build without rows.
    const without = hops.filter(({ atMs }) => dayOf(atMs) !== day!.s * 1000);
    const { byEdgeClass } = await readTraffic(store.client, windows[2]!);
    assert.deepEqual(comparable(byEdgeClass), expected(without, windows[2]!));
    await store.client.command('TRUNCATE TABLE day_builds');
  });

  it('reads hours where a day has no sums, and builds those of a database that had none', async () => {
    assert.equal(await published('Day'), 0);
    await assertFigures(hops);
    await run(endMs + MINUTE_MS);
    assert.equal(await published('Day'), inWholeDays.length);
    await assertFigures(hops);
  });

  it('opens minute, hour and day again that got late rows; readers see them at once', async () => {
    const late = randomHops(random, {
      count: 20,
      fromMs: dayOf(endMs) - 40 * HOUR_MS,
      spanMs: 3 * HOUR_MS,
      firstN: 500_000,
    }).map((hop) => ({ ...hop, ingestedS: Math.floor(endMs / 1000) + 90 }));
    await insertHops(store.client, late);
    await assertFigures([...hops, ...late]);
    await run(endMs + 2 * MINUTE_MS);
    assert.equal(await published('Hour'), hops.length + late.length);
    assert.equal(await published('Day'), inWholeDays.length + late.length);
    await assertFigures([...hops, ...late]);
  });

  it('builds an hour and its day anew also where the clock was set back after one of its minutes', async () => {
    const before = await store.client.query<{ n: number }>('SELECT count() AS n FROM spans');
    const hourMs = dayOf(endMs) - 60 * HOUR_MS;
    const aheadMs = endMs + 10 * HOUR_MS;
    const lateHop = (n: number, minute: number): TestHop => ({
      ...randomHops(random, {
        count: 1,
        fromMs: hourMs + minute * MINUTE_MS,
        spanMs: MINUTE_MS,
        firstN: n,
      })[0]!,
      ingestedS: aheadMs / 1000 + n - 600_000,
    });
    await insertHops(store.client, [lateHop(600_000, 10)]);
    await run(aheadMs);
    const days = await published('Day');
    await insertHops(store.client, [lateHop(600_001, 20)]);
    await run(endMs + 3 * MINUTE_MS);
    const [row] = await store.client.query<{ n: number }>('SELECT count() AS n FROM spans');
    assert.equal(row!.n, before[0]!.n + 2);
    assert.equal(await published('Day'), days + 1);
    assert.equal(await published('Hour'), row!.n);
  });
});
