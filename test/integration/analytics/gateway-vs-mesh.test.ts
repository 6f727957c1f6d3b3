import assert from 'node:assert/strict';
import { createAnalyticsApi } from '../../../analytics/api.ts';
import { NOT_RUN, type JobState } from '../../../analytics/scheduler.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import {
  readGatewayVsMesh,
  type GatewayVsMesh,
} from '../../../analytics/reports/gateway-vs-mesh.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { insertHops, insertLedger, randomHops } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const T0 = minuteOf(Date.now()) - 30 * MINUTE_MS;
const WINDOW = { fromMs: T0 + 10_000, toMs: T0 + 3 * MINUTE_MS + 10_000 };
const NOW = { nowMs: T0 + 20 * MINUTE_MS };

describe('gateway-vs-mesh on a store', function () {
  this.timeout(60_000);
  let test: TestStore;
  const read = (perspective: 'split' | 'whole'): Promise<GatewayVsMesh> =>
    readGatewayVsMesh(test.client, WINDOW, perspective, NOW);

  before(async () => {
    test = await startTestStore();
    const hops = randomHops(seededRandom(3), { count: 2000, fromMs: T0, spanMs: 4 * MINUTE_MS });
    await insertHops(test.client, hops.map((hop, i) => ({ ...hop, seq: i + 1 }))); // prettier-ignore
    for (let s = 0; s <= 240; s += 5) {
      const finished = Math.floor((s * 2000) / 240);
      await insertLedger(test.client, { atMs: T0 + s * 1000, boot: 'boot-edge', finished, cpuNs: 900_000_000 + finished * 50_000 }); // prettier-ignore
    }
  });
  after(() => test.stop());

  it('has the same requests and the same sum of legs in both perspectives', async () => {
    const [split, whole] = [await read('split'), await read('whole')];
    assert.ok(split.requests > 100);
    assert.equal(split.requests, whole.requests);
    for (const { legs } of [split, whole]) {
      assert.equal(legs.north_south + legs.east_west + legs.unknown + legs.loopback, legs.sum);
    }
    assert.equal(split.legs.sum, whole.legs.sum);
    assert.equal(whole.legs.north_south - split.legs.north_south, split.moved.legs);
    assert.ok(split.moved.legs > 100);
  });

  it('leaves the cost of starting up out of the CPU per 1,000 hops', async () => {
    const [gateway] = (await read('split')).cpu;
    assert.equal(gateway?.role, 'gateway');
    assert.ok(Math.abs((gateway.cpu_ms_per_1000_hops ?? 0) - 50) < 1e-9);
  });

  it('tells the CPU also of a window too short for two ledgers, from the first one after it', async () => {
    const perHop = async (fromMs: number, toMs: number): Promise<number | null | undefined> => {
      const { cpu } = await readGatewayVsMesh(test.client, { fromMs, toMs }, 'split', NOW);
      return cpu[0]?.cpu_ms_per_1000_hops;
    };
    // With one ledger inside, the first one of its process; with none; and with none yet.
    assert.ok(Math.abs(((await perHop(T0 - 2_000, T0 + 3_000)) ?? 0) - 50) < 1e-9);
    assert.ok(Math.abs(((await perHop(T0 + 21_000, T0 + 24_000)) ?? 0) - 50) < 1e-9);
    assert.equal(await perHop(T0 - 8_000, T0 - 1_000), undefined);
  });

  it('says the same when its minutes are published, and calls them final', async () => {
    const raw = await read('split');
    assert.equal(raw.provisional, true);
    await runRollup({ store: test.client, log: silentLog, retentionDays: 7, nowMs: () => T0 + 5 * MINUTE_MS }); // prettier-ignore
    const published = await read('split');
    assert.equal(published.provisional, false);
    assert.deepEqual(
      { ...published, final_until: '', provisional: true },
      { ...raw, final_until: '', provisional: true },
    );
  });

  it('is served as JSON by the API, which refuses what it does not understand', async () => {
    const api = createAnalyticsApi({
      host: '127.0.0.1',
      port: 0,
      store: test.client,
      retentionDays: 7,
      jobs: [{ name: 'rollup', state: () => ({ ...NOT_RUN, succeededMs: NOW.nowMs - 1000 }) }],
      nowMs: () => NOW.nowMs,
    });
    await api.start();
    try {
      const get = (path: string): Promise<Response> =>
        fetch(`http://127.0.0.1:${api.port()}${path}`);
      const from = new Date(WINDOW.fromMs).toISOString();
      const to = new Date(WINDOW.toMs).toISOString();
      const ok = await get(`/api/gateway-vs-mesh?from=${from}&to=${to}&perspective=whole`);
      assert.equal(ok.status, 200);
      const body = (await ok.json()) as GatewayVsMesh;
      assert.deepEqual(body.lines, (await read('whole')).lines);
      for (const query of [
        'last=never',
        'perspective=sideways',
        'last=5m&from=2026-01-01',
        'route=/a',
      ]) {
        const bad = await get(`/api/gateway-vs-mesh?${query}`);
        assert.equal(bad.status, 400, query);
        assert.equal(((await bad.json()) as { code: string }).code, 'AZ_USAGE');
      }
      assert.equal((await get('/readyz')).status, 200);
      assert.equal((await get('/healthz')).status, 200);
    } finally {
      await api.stop();
    }
  });

  it('is not ready before its first rollup, and no longer when they stop', async () => {
    let state: JobState = NOT_RUN;
    const api = createAnalyticsApi({
      host: '127.0.0.1',
      port: 0,
      store: test.client,
      retentionDays: 7,
      jobs: [{ name: 'rollup', state: () => state }],
      nowMs: () => NOW.nowMs,
    });
    await api.start();
    try {
      const ready = async (): Promise<[number, string]> => {
        const res = await fetch(`http://127.0.0.1:${api.port()}/readyz`);
        return [res.status, (await res.text()).trim()];
      };
      assert.deepEqual(await ready(), [503, 'the first run of rollup is under way']);
      const progress = { fromMs: 0, untilMs: 120_000, goalMs: 600_000 };
      state = { ...NOT_RUN, progress };
      assert.deepEqual(await ready(), [
        503,
        'the first run of rollup is under way, 20 % done, published up to 1970-01-01T00:02:00.000Z',
      ]);
      state = { ...NOT_RUN, failure: 'store away' };
      assert.deepEqual(await ready(), [503, 'store away']);
      state = { ...state, succeededMs: NOW.nowMs - 1000, publishedUntilMs: NOW.nowMs - 90_000 };
      assert.equal((await ready())[0], 200);
      const metrics = await fetch(`http://127.0.0.1:${api.port()}/metrics`);
      assert.match(await metrics.text(), /^azimuth_analytics_job_lag_seconds\{job="rollup"\} 90$/m);
      state = { ...state, succeededMs: NOW.nowMs - 200_000 };
      assert.deepEqual(await ready(), [503, 'no rollup for 200 s: store away']);
    } finally {
      await api.stop();
    }
  });
});
