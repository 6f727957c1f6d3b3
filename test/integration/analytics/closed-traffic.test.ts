/** Traffic of closed minutes on /metrics, against the hops that were stored. */
import assert from 'node:assert/strict';
import { ClosedTraffic, CLOSED_DURATION_BOUNDS_S } from '../../../analytics/closed-traffic.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { trafficMetrics } from '../../../analytics/traffic-metrics.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { MetricsText } from '../../../runtime/metrics-text.ts';
import { silentLog } from '../../../runtime/log.ts';
import { directionOf, DIRECTIONS, isRequest, PERSPECTIVES } from '../../../telemetry/edge-class.ts';
import { seriesOf, sumOf } from '../../helpers/exposition.ts';
import { insertHops, randomHops, type TestHop } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const SEED = 28;
/** A whole minute, recent enough to be counted; nothing else here depends on the wall clock. */
const T0 = minuteOf(Date.now()) - 40 * MINUTE_MS;

describe('traffic of closed minutes', function () {
  this.timeout(60_000);
  let store: TestStore;
  let now = T0;
  const hops: TestHop[] = [];
  const rollup = () =>
    runRollup({ store: store.client, log: silentLog, retentionDays: 7, nowMs: () => now });
  const counters = (): ClosedTraffic =>
    new ClosedTraffic({ store: store.client, nowMs: () => now });
  const page = (closed: ClosedTraffic): Map<string, number> =>
    seriesOf(trafficMetrics(new MetricsText(), closed).toString());
  const insert = async (more: readonly TestHop[]): Promise<void> => {
    hops.push(...more);
    await insertHops(store.client, more);
  };

  /** What a page must say of hops, straight from them. */
  const assertPage = (series: Map<string, number>, of: readonly TestHop[]): void => {
    const once = [...new Map(of.map((hop) => [hop.n, hop])).values()];
    const count = (some: readonly TestHop[]): number => some.length;
    const requests = once.filter((hop) => isRequest(hop.edgeClass!));
    assert.equal(sumOf(series, 'azimuth_traffic_requests_total'), count(requests), `seed ${SEED}`);
    const failed = requests.filter(({ status }) => status === 0 || status! >= 500);
    const errors = ['none', '5xx'].map((name) =>
      sumOf(series, 'azimuth_traffic_requests_total', { azimuth_status_class: name }),
    );
    assert.equal(errors[0]! + errors[1]!, count(failed));
    for (const perspective of PERSPECTIVES) {
      const all = { azimuth_traffic_perspective: perspective };
      assert.equal(sumOf(series, 'azimuth_traffic_legs_total', all), count(once), perspective);
      for (const direction of DIRECTIONS) {
        const labels = { ...all, azimuth_traffic_direction: direction };
        const some = once.filter((hop) => directionOf(hop.edgeClass!, perspective) === direction);
        assert.equal(sumOf(series, 'azimuth_traffic_legs_total', labels), count(some), direction);
        const timed = some.filter(({ streamClass }) => streamClass === '');
        const seconds = timed.reduce((sum, hop) => sum + hop.durationNs! - hop.waitNs!, 0) / 1e9;
        const shown = sumOf(series, 'azimuth_traffic_leg_duration_seconds_sum', labels);
        assert.ok(Math.abs(shown - seconds) < 1e-9 * Math.max(1, seconds), direction);
        for (const bound of CLOSED_DURATION_BOUNDS_S) {
          const below = timed.filter((hop) => hop.durationNs! - hop.waitNs! < bound * 1e9);
          assert.equal(
            sumOf(series, 'azimuth_traffic_leg_duration_seconds_bucket', {
              ...labels,
              le: String(bound),
            }),
            count(below),
            `${direction} le ${bound}`,
          );
        }
        assert.equal(
          sumOf(series, 'azimuth_traffic_leg_own_time_seconds_count', labels),
          count(timed),
        );
      }
    }
  };

  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  it('stands at 0 in every series before anything happened', async () => {
    const closed = counters();
    const series = page(closed);
    assert.ok(series.size > 100);
    for (const [name, value] of series) {
      if (name !== 'azimuth_traffic_closed_until_seconds') assert.equal(value, 0, name);
    }
    assert.ok(Number.isNaN(series.get('azimuth_traffic_closed_until_seconds')));
    await closed.begin();
    await closed.read();
    assert.equal(closed.closedUntilMs, undefined);
  });

  it('counts each hop of closed minutes once, the same under both perspectives, to the stored buckets', async () => {
    const random = seededRandom(SEED);
    const closed = counters();
    await closed.begin();
    await insert(randomHops(random, { count: 2500, fromMs: T0, spanMs: 5 * MINUTE_MS }));
    // A replay stores rows twice.
    await insertHops(store.client, hops.slice(0, 700));
    now = T0 + 4 * MINUTE_MS + 40_000;
    await rollup();
    await closed.read();
    await closed.read();
    const complete = (toMs: number): TestHop[] => hops.filter(({ atMs }) => atMs < toMs);
    assertPage(page(closed), complete(T0 + 4 * MINUTE_MS));
    assert.equal(closed.closedUntilMs, T0 + 4 * MINUTE_MS);
    now += MINUTE_MS;
    await rollup();
    await closed.read();
    assertPage(page(closed), hops);
    assert.equal(closed.closedUntilMs, T0 + 5 * MINUTE_MS);
    assert.deepEqual(closed.minutes, { closed: 5, corrected: 0 });
  });

  it('adds the difference when late rows open a minute again, and no counter falls', async () => {
    const random = seededRandom(SEED + 1);
    const before = counters();
    // Counted from a beginning at which all is published: only what comes later.
    await before.begin();
    const late: TestHop[] = [];
    for (let round = 0; round < 4; round++) {
      const shown = page(before);
      const more = randomHops(random, {
        ...{ count: 150, fromMs: T0, spanMs: 3 * MINUTE_MS },
        firstN: 100_000 + 1000 * round,
      }).map((hop) => ({ ...hop, ingestedS: Math.floor(now / 1000) }));
      late.push(...more);
      await insert(more);
      await rollup();
      await before.read();
      for (const [name, value] of page(before)) {
        assert.ok(!(value < shown.get(name)!), `${name}, seed ${SEED + 1}, round ${round}`);
      }
    }
    assertPage(page(before), late);
    assert.deepEqual(before.minutes, { closed: 0, corrected: 12 });
  });

  it('counts the same in two processes that both publish, each from its own start', async () => {
    const [one, other] = [counters(), counters()];
    await Promise.all([one.begin(), other.begin()]);
    const random = seededRandom(SEED + 2);
    const fresh = randomHops(random, {
      ...{ count: 400, fromMs: T0 + 5 * MINUTE_MS, spanMs: 2 * MINUTE_MS },
      firstN: 200_000,
    });
    await insert(fresh);
    now = T0 + 7 * MINUTE_MS + 31_000;
    await Promise.all([rollup(), rollup()]);
    await Promise.all([one.read(), other.read()]);
    assertPage(page(one), fresh);
    // Whichever build was counted, another one of the same rows changes nothing.
    await other.read();
    await one.read();
    for (const closed of [one, other]) assertPage(page(closed), fresh);
  });

  it('leaves out what is older than a day, also after the clock was set back', async () => {
    const closed = counters();
    await closed.begin();
    const dayMs = 24 * 60 * MINUTE_MS;
    const real = now;
    now = real + dayMs;
    await closed.read();
    now = real;
    await insert([{ n: 300_000, atMs: T0 + 1000, edgeClass: 'external_to_gateway' }]);
    await rollup();
    await closed.read();
    assert.equal(sumOf(page(closed), 'azimuth_traffic_requests_total'), 0);
  });

  it('waits with a build that the store has not got whole', async () => {
    const closed = counters();
    await closed.begin();
    const minute = (T0 + 20 * MINUTE_MS) / 1000;
    const publish = (uniques: number): Promise<void> =>
      store.client.command(
        `INSERT INTO builds SELECT toDateTime(${minute}), 1, ${uniques}, ${uniques}, now()`,
      );
    await publish(3);
    await closed.read();
    assert.equal(closed.minutes.closed, 0);
    assert.equal(closed.closedUntilMs, minute * 1000);
    await store.client.command(
      `INSERT INTO traffic_1m (Minute, Build, Role, EdgeClass, StatusClass, Hops)
       VALUES (${minute}, 1, 'gateway', 'external_to_gateway', 2, 3)`,
    );
    await closed.read();
    assert.equal(sumOf(page(closed), 'azimuth_traffic_requests_total'), 3);
    assert.equal(closed.closedUntilMs, minute * 1000 + MINUTE_MS);
  });
});
