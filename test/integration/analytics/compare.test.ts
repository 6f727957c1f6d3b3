import assert from 'node:assert/strict';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { readReport, reportOf, type ReadReport } from '../../../analytics/reports/catalogue.ts';
import type { ComparedLine, Comparison } from '../../../analytics/reports/compare.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { insertHops, type TestHop } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const T0 = minuteOf(Date.now()) - 30 * MINUTE_MS;
const COUNT = 3000;

/** Requests of two minutes from `fromMs` on; `slowerNs` is put on top of every one's own time. */
function requests(
  random: () => number,
  fromMs: number,
  firstN: number,
  slowerNs: number,
  errorShare: number,
  count = COUNT,
): TestHop[] {
  // prettier-ignore
  return Array.from({ length: count }, (_, i): TestHop => {
    const upstreamNs = Math.round(2e6 * Math.exp(random() * 2));
    return {
      n: firstN + 5 * i,
      atMs: fromMs + Math.floor((i / count) * 2 * MINUTE_MS),
      durationNs: upstreamNs + 200_000 + slowerNs,
      ownNs: 200_000 + slowerNs,
      status: random() < errorShare ? 503 : 200,
    };
  });
}

describe('report compare', function () {
  this.timeout(60_000);
  let store: TestStore;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const read = (options: Record<string, string>): Promise<ReadReport> =>
    readReport(reportOf('compare'), options, { store: store.client, retentionDays: 7, nowMs: T0 + 20 * MINUTE_MS }); // prettier-ignore
  const verdicts = (lines: readonly ComparedLine[]): Record<string, string> =>
    Object.fromEntries(lines.map(({ measure, verdict }) => [measure, verdict]));

  before(async () => {
    store = await startTestStore();
    const random = seededRandom(41);
    const base = requests(random, T0, 0, 0, 0.01);
    const same = requests(random, T0 + 2 * MINUTE_MS, 5 * COUNT, 0, 0.01);
    const slower = requests(random, T0 + 4 * MINUTE_MS, 10 * COUNT, 700_000, 0.06);
    const few = requests(random, T0 + 6 * MINUTE_MS, 15 * COUNT, 700_000, 0, 20);
    // A replay stores rows twice.
    await insertHops(store.client, [...base, ...same, ...slower, ...few, ...slower.slice(0, 400)]);
    const job = createAttributionJob({ store: store.client, log: silentLog, retentionDays: 7, nowMs: () => T0 + 20 * MINUTE_MS }); // prettier-ignore
    await job.run();
  });
  after(() => store.stop());

  it('states an effect with its interval, and that interval holds the true one', async () => {
    const report = await read({ from: iso(T0 + 4 * MINUTE_MS), to: iso(T0 + 6 * MINUTE_MS), base_from: iso(T0), base_to: iso(T0 + 2 * MINUTE_MS) }); // prettier-ignore
    const { lines, base, current, rows } = report.figures as Comparison;
    assert.deepEqual([base.requests, current.requests, rows], [COUNT, COUNT, 2 * COUNT]);
    const of = (measure: string): ComparedLine => lines.find((l) => l.measure === measure)!;
    for (const measure of ['mean', 'p50', 'own_mean', 'part_gateway']) {
      const line = of(measure);
      assert.equal(line.verdict, 'higher', measure);
      assert.ok(line.low! <= 0.7 && 0.7 <= line.high!, `${measure} ${line.low} ${line.high}`);
    }
    assert.equal(of('error_share').verdict, 'higher');
    assert.equal(of('rate').verdict, 'no_difference_shown');
    const [raw] = await store.client.query<{ mean: number; p90: number; errors: number }>(
      `SELECT avg(Duration) / 1e6 AS mean, quantileExact(0.9)(Duration) / 1e6 AS p90, avg(HttpStatus >= 500) AS errors
       FROM (SELECT DISTINCT TraceId, Duration, HttpStatus, Timestamp FROM spans WHERE toUnixTimestamp64Milli(Timestamp) >= ${T0 + 4 * MINUTE_MS} AND toUnixTimestamp64Milli(Timestamp) < ${T0 + 6 * MINUTE_MS})`,
    );
    assert.ok(Math.abs(of('mean').current! - raw!.mean) < 1e-9);
    assert.ok(Math.abs(of('p90').current! / raw!.p90 - 1) < 0.01);
    assert.ok(Math.abs(of('error_share').current! - raw!.errors) < 1e-12);
    const text = report.text({ width: 110, color: false });
    assert.match(text, /p50 latency +ms +[\d.]+ +\+0\.\d+ +\+0\.\d+ to \+[\d.]+ +higher by \d/);
    for (const line of text.split('\n')) assert.ok(line.length <= 110, line);
  });

  it('compares with the window before by itself, and says when chance explains all', async () => {
    const report = await read({ from: iso(T0 + 2 * MINUTE_MS), to: iso(T0 + 4 * MINUTE_MS) });
    const figures = report.figures as Comparison;
    assert.deepEqual([figures.base.from, figures.base.to], [iso(T0), iso(T0 + 2 * MINUTE_MS)]);
    for (const [measure, verdict] of Object.entries(verdicts(figures.lines))) {
      if (measure === 'part_mesh' || measure === 'part_wire' || measure === 'part_application')
        continue;
      assert.equal(verdict, 'no_difference_shown', measure);
    }
    assert.match(report.text({ width: 110, color: false }), /Nothing differs by more than chance explains\. That is no proof of equality/); // prettier-ignore
  });

  it('tells nothing of too few requests', async () => {
    const report = await read({ from: iso(T0 + 6 * MINUTE_MS), to: iso(T0 + 8 * MINUTE_MS), base_from: iso(T0), base_to: iso(T0 + 2 * MINUTE_MS) }); // prettier-ignore
    const { lines } = report.figures as Comparison;
    for (const line of lines) {
      assert.deepEqual([line.verdict, line.difference, line.low], ['too_few', null, null]);
    }
    assert.match(report.text({ width: 110, color: false }), /Too few requests on one of the sides/);
  });

  it('compares topologies and generations within one window', async () => {
    const window = { from: iso(T0), to: iso(T0 + 2 * MINUTE_MS) };
    const { base, current, lines } = (await read({ ...window, topology: 'separate', base_topology: 'merged' })).figures as Comparison; // prettier-ignore
    assert.deepEqual([base.from, base.filter.topology, base.requests], [window.from, 'merged', 0]);
    assert.deepEqual([current.filter.topology, current.requests], ['separate', COUNT]);
    assert.equal(verdicts(lines)['mean'], 'too_few');
    await assert.rejects(async () => read({ base_from: window.from }), /base_from and base_to belong together/); // prettier-ignore
    await assert.rejects(async () => read({ base_generation: 'x' }), /no generation/);
  });

  it('finds the effect of a topology or a generation in traffic of the same minutes', async () => {
    const random = seededRandom(42);
    const fromMs = T0 + 10 * MINUTE_MS;
    const here = requests(random, fromMs, 40 * COUNT, 0, 0.01, 1500).map((hop) => ({ ...hop, generation: 7 })); // prettier-ignore
    const there = requests(random, fromMs, 60 * COUNT, 700_000, 0.01, 1500).map((hop) => ({ ...hop, topology: 'merged', generation: 8 })); // prettier-ignore
    await insertHops(store.client, [...here, ...there]);
    const window = { from: iso(fromMs), to: iso(fromMs + 2 * MINUTE_MS) };
    for (const options of [
      { topology: 'merged', base_topology: 'separate' },
      { generation: '8', base_generation: '7' },
    ]) {
      const { base, current, lines } = (await read({ ...window, ...options }))
        .figures as Comparison;
      assert.deepEqual([base.requests, current.requests], [1500, 1500]);
      const own = lines.find(({ measure }) => measure === 'own_mean')!;
      assert.equal(own.verdict, 'higher');
      assert.ok(Math.abs(own.difference! - 0.7) < 1e-6, String(own.difference));
      assert.equal(verdicts(lines)['rate'], 'no_difference_shown');
    }
  });
});
