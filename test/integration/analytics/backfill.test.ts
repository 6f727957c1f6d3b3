import assert from 'node:assert/strict';
import { backfill, type BackfillOutcome } from '../../../analytics/jobs/backfill.ts';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { shareDone, type JobProgress } from '../../../analytics/jobs/progress.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { readTraffic } from '../../../analytics/traffic.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import type { StoreClient } from '../../../store/client.ts';
import { attributeBySql, publishedAttribution } from '../../helpers/attribution-oracle.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace, type MadeSpan } from '../../helpers/trace-maker.ts';

const SEED = 23;
const MINUTES = 90;
const T0 = minuteOf(Date.now()) - 200 * MINUTE_MS;
const WINDOW = { fromMs: T0, toMs: T0 + MINUTES * MINUTE_MS };
const AFTER_MS = WINDOW.toMs + 5 * MINUTE_MS;

describe('backfill', function () {
  this.timeout(180_000);
  let store: TestStore;
  beforeEach(async () => {
    store = await startTestStore();
  });
  afterEach(() => store.stop());

  const settings = (client: StoreClient = store.client) => ({
    store: client,
    log: silentLog,
    retentionDays: 7,
    nowMs: () => AFTER_MS,
  });
  const run = (again = false, client = store.client, window = WINDOW): Promise<BackfillOutcome> =>
    backfill({ ...settings(client), window, again });
  const spans = (count: number, seed = SEED): MadeSpan[] => {
    const random = seededRandom(seed);
    return Array.from({ length: count }, () => {
      const startNs = Math.floor(random() * MINUTES * 60e9);
      return makeTrace(random, { topology: 'separate', depth: 1, startNs }).spans;
    }).flat();
  };
  const insert = (rows: readonly MadeSpan[], ingestedMs: number): Promise<void> =>
    insertSpans(store.client, rows, T0, ingestedMs / 1000);
  /** Published hops, and the attribution beside what the oracle says. */
  async function assertPublished(hops: number): Promise<void> {
    const [published] = await store.client.query<{ hops: number }>(
      `SELECT sum(Hops) AS hops FROM traffic(perspective = 'split')`,
    );
    assert.equal(published!.hops, hops);
    const traffic = await readTraffic(store.client, WINDOW);
    assert.equal(
      [...traffic.byEdgeClass.values()].reduce((sum, t) => sum + t.hops, 0),
      hops,
    );
    const stretch = { fromMs: T0 - 20 * MINUTE_MS, toMs: T0 + 120 * MINUTE_MS };
    const found = await publishedAttribution(store.client);
    assert.deepEqual(found, await attributeBySql(store.client, stretch));
  }
  const hopsOf = (rows: readonly MadeSpan[]): number => rows.filter((s) => s.role !== '').length;

  it('publishes all that the jobs never did, and nothing when asked once more', async () => {
    const all = spans(120);
    await insert(all, T0);
    const first = await run();
    assert.ok(first.rollup > 30 && first.attribution > 30);
    assert.equal(first.traces, 120);
    await assertPublished(hopsOf(all));
    assert.deepEqual(await run(), { rollup: 0, attribution: 0, traces: 0 });
  });

  it('finds rows that came with a stamp too old for the jobs to look at', async () => {
    const early = spans(60);
    const late = spans(30, SEED + 1);
    await insert(early, T0);
    await runRollup(settings());
    await createAttributionJob(settings()).run();
    await insert(late, T0 - 24 * 60 * MINUTE_MS);
    await runRollup(settings());
    const [before] = await store.client.query<{ hops: number }>(
      `SELECT sum(Hops) AS hops FROM traffic(perspective = 'split')`,
    );
    assert.equal(before!.hops, hopsOf(early), 'the job finds changes by when rows were stored');
    const outcome = await run();
    assert.ok(outcome.rollup > 0 && outcome.rollup <= 60);
    await assertPublished(hopsOf(early) + hopsOf(late));
  });

  it('goes on where it was broken off, with an equal result', async () => {
    const all = spans(80);
    await insert(all, T0);
    let left = 1;
    const failing: StoreClient = {
      ...store.client,
      insertNative: (...args) =>
        left-- > 0 ? store.client.insertNative(...args) : Promise.reject(new Error('away')),
      command: (...args) =>
        left-- > 0 ? store.client.command(...args) : Promise.reject(new Error('away')),
    };
    let breaks = 0;
    for (;;) {
      try {
        await run(false, failing);
        break;
      } catch (error) {
        assert.equal((error as Error).message, 'away');
        assert.ok(++breaks < 50, 'it does not get on');
        left = 2;
      }
    }
    assert.ok(breaks > 1);
    await assertPublished(hopsOf(all));
  });

  it('builds anew what has all of its rows when told to, with an equal result', async () => {
    const all = spans(60);
    await insert(all, T0);
    await run();
    const builds = async (): Promise<number> => {
      const [row] = await store.client.query<{ n: number }>(
        'SELECT count() AS n FROM builds UNION ALL SELECT count() FROM attribution_builds',
      );
      return row!.n;
    };
    const before = await builds();
    const part = { fromMs: T0 + 20 * MINUTE_MS, toMs: T0 + 50 * MINUTE_MS };
    const again = await run(true, store.client, part);
    assert.ok(again.rollup > 0 && again.rollup <= 30 && again.attribution <= 30);
    assert.ok((await builds()) > before);
    await assertPublished(hopsOf(all));
  });

  it('tells how far it is, never backwards, up to the end', async () => {
    await insert(spans(60), T0);
    const told = new Map<string, JobProgress[]>();
    await backfill({
      ...settings(),
      window: WINDOW,
      again: false,
      onProgress: (step, progress) => {
        told.set(step, [...(told.get(step) ?? []), progress]);
      },
    });
    for (const step of ['rollup', 'attribution']) {
      const shares = told.get(step)!.map(shareDone);
      assert.deepEqual(shares, [...shares].sort(), step);
      assert.equal(shares.at(-1), 1, step);
    }
  });
});
