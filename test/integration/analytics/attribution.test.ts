import assert from 'node:assert/strict';
import { SEGMENT_KINDS } from '../../../analytics/attribution/segments.ts';
import { TracesTable } from '../../../analytics/attribution/traces-table.ts';
import { attributionCsv, attributionText } from '../../../analytics/reports/attribution-forms.ts';
import { readAttribution, type Attribution } from '../../../analytics/reports/attribution.ts';
import { createAttributionJob, type AttributionJob } from '../../../analytics/jobs/attribution.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace, type MadeTrace } from '../../helpers/trace-maker.ts';

const SEED = 11;
const T0 = minuteOf(Date.now()) - 60 * MINUTE_MS;

interface Row {
  TraceId: string;
  minute: number;
  Incomplete: number;
  DurationNs: number;
  totals: number[];
  segments: number;
}

describe('attribution job', () => {
  let store: TestStore;
  let nowMs = T0;
  let job: AttributionJob;
  const newJob = (): AttributionJob =>
    createAttributionJob({
      store: store.client,
      log: silentLog,
      retentionDays: 7,
      nowMs: () => nowMs,
    });
  /** Runs the job as it would at an offset from T0. */
  const runAt = (ms: number, which = job) => {
    nowMs = T0 + ms;
    return which.run();
  };
  const rows = (): Promise<Row[]> =>
    store.client.query<Row>(
      `SELECT TraceId, toUnixTimestamp(Minute) AS minute, Incomplete, DurationNs,
         [GatewayNs, MeshNs, BackoffNs, WireNs, ApplicationNs, UpstreamNs, ParallelSurplusNs, ClientWaitNs, ResidualNs] AS totals,
         toInt64(arraySum(Segments.Ns)) AS segments
       FROM attribution ORDER BY TraceId`,
    );
  /** Traces that begin spread over some minutes from T0. */
  const made = (count: number, random: () => number, minutes = 3): MadeTrace[] =>
    Array.from({ length: count }, (_, i) =>
      makeTrace(random, {
        topology: (['separate', 'attached', 'merged'] as const)[i % 3]!,
        depth: i % 4,
        startNs: Math.floor(random() * minutes * 60e9),
      }),
    );
  const insert = (traces: readonly MadeTrace[], afterMs = 5000): Promise<void> =>
    insertSpans(
      store.client,
      traces.flatMap((trace) => trace.spans),
      T0,
      (T0 + afterMs) / 1000,
    );
  const expected = (traces: readonly MadeTrace[]): unknown[] =>
    traces
      .map(({ spans, truth, durationNs }) => ({
        TraceId: spans[0]!.traceId,
        minute: minuteOf(T0 + Math.floor(spans[0]!.startNs / 1e9) * 1000) / 1000,
        Incomplete: 0,
        DurationNs: durationNs,
        totals: SEGMENT_KINDS.map((kind) => truth[kind]),
        segments: durationNs,
      }))
      .sort((a, b) => (a.TraceId < b.TraceId ? -1 : 1));

  beforeEach(async () => {
    store = await startTestStore();
    job = newJob();
  });
  afterEach(() => store.stop());

  it('publishes every request of closed minutes, split to the nanosecond', async () => {
    const traces = made(300, seededRandom(SEED));
    await insert(traces);
    const first = await runAt(3 * MINUTE_MS + 31_000);
    assert.equal(first.publishedUntilMs, T0 + 2 * MINUTE_MS, 'the last minute may still be open');
    const second = await runAt(4 * MINUTE_MS + 31_000);
    assert.equal(second.publishedUntilMs, T0 + 4 * MINUTE_MS);
    assert.equal(second.open, 0);
    assert.equal(first.traces + second.traces, 300);
    assert.deepEqual(await rows(), expected(traces));
  });

  it('gives the same when another process goes on in the middle, and when two run at once', async () => {
    const traces = made(120, seededRandom(SEED));
    await insert(traces);
    await runAt(2 * MINUTE_MS + 31_000);
    const other = newJob();
    await runAt(5 * MINUTE_MS + 31_000, other);
    assert.deepEqual(await rows(), expected(traces));
    await Promise.all([runAt(9 * MINUTE_MS + 31_000), runAt(9 * MINUTE_MS + 31_000, other)]);
    assert.deepEqual(await rows(), expected(traces));
  });

  it('splits a trace again when rows of it come late, in its own minute or another', async () => {
    const random = seededRandom(SEED);
    const traces = made(60, random);
    // One that lies across the end of a minute.
    const across = makeTrace(random, { topology: 'separate', depth: 3, startNs: 60e9 - 2e6 });
    const all = [...traces, across];
    const late = all.filter((_, i) => i % 5 === 0).map((t) => t.spans.at(-1)!);
    late.push(across.spans.find((s) => s.side === 'inbound')!);
    const early = all.flatMap((t) => t.spans).filter((span) => !late.includes(span));
    await insertSpans(store.client, early, T0, T0 / 1000 + 5);
    await runAt(5 * MINUTE_MS + 31_000);
    const before = await rows();
    assert.ok(before.some((row) => row.Incomplete !== 0));
    for (const row of before) assert.equal(row.segments, row.DurationNs);

    await insertSpans(store.client, late, T0, T0 / 1000 + 340);
    const outcome = await runAt(6 * MINUTE_MS + 31_000);
    assert.ok(outcome.reopened > 0);
    assert.deepEqual(await rows(), expected(all));
    assert.equal((await runAt(7 * MINUTE_MS + 31_000)).reopened, 0);
  });

  it('replaces a request whose root came late, wherever its other rows were counted', async () => {
    const trace = makeTrace(seededRandom(SEED), {
      topology: 'separate',
      depth: 2,
      startNs: 60e9 - 1000,
    });
    const [root, ...rest] = trace.spans;
    await insertSpans(store.client, rest, T0, T0 / 1000 + 5);
    await runAt(4 * MINUTE_MS + 31_000);
    const [alone] = await rows();
    assert.deepEqual([alone!.DurationNs, alone!.Incomplete & 1], [0, 1]);
    await insertSpans(store.client, [root!], T0, T0 / 1000 + 280);
    await runAt(5 * MINUTE_MS + 31_000);
    assert.deepEqual(await rows(), expected([trace]));
  });

  it('counts a replayed row once', async () => {
    const traces = made(30, seededRandom(SEED), 1);
    await insert(traces);
    await insert(traces);
    await runAt(4 * MINUTE_MS + 31_000);
    await insert(traces, 290_000);
    await runAt(5 * MINUTE_MS + 31_000);
    assert.deepEqual(await rows(), expected(traces));
  });

  it('catches up over a pause in bounded reads', async () => {
    const traces = made(100, seededRandom(SEED), 40);
    await insert(traces);
    const outcome = await runAt(50 * MINUTE_MS);
    assert.equal(outcome.open, 0);
    assert.deepEqual(await rows(), expected(traces));
  });
});

describe('TracesTable', () => {
  it('has the columns of the table in the store, in their order', async () => {
    const store = await startTestStore();
    try {
      const columns = await store.client.query<{ name: string; type: string }>(
        `SELECT name, type FROM system.columns
         WHERE database = currentDatabase() AND table = 'attribution_traces' ORDER BY position`,
      );
      assert.deepEqual(
        new TracesTable().columns.map(({ name, type }) => ({ name, type })),
        columns,
      );
    } finally {
      await store.stop();
    }
  });
});

describe('attribution report', () => {
  let store: TestStore;
  const random = seededRandom(SEED);
  const traces = Array.from({ length: 400 }, () =>
    makeTrace(random, {
      topology: 'separate',
      depth: 2,
      startNs: Math.floor(random() * 4 * 60e9),
    }),
  );
  const window = { fromMs: T0, toMs: T0 + 4 * MINUTE_MS };
  const read = (filter = {}): Promise<Attribution> =>
    readAttribution(store.client, window, filter, { nowMs: T0 + 30 * MINUTE_MS });

  before(async () => {
    store = await startTestStore();
    await insertSpans(
      store.client,
      traces.flatMap((t) => t.spans),
      T0,
      T0 / 1000 + 5,
    );
  });
  after(() => store.stop());

  it('says the same before its minutes are published, half published, and after', async () => {
    const figures = ({ bands, complete, incomplete, requests, not_split }: Attribution) => ({
      complete,
      incomplete,
      requests,
      not_split,
      bands: bands.map(({ percentile, requests: n, total, kinds, segments }) => ({
        percentile,
        n,
        ms: total.ms.toFixed(9),
        kinds: SEGMENT_KINDS.map((kind) => kinds[kind].ms.toFixed(9)),
        segments: segments.map((s) => `${s.kind} ${s.place} ${s.detail} ${s.ms.toFixed(9)}`).sort(),
      })),
    });
    const raw = await read();
    assert.equal(raw.final_until, raw.from);
    assert.equal(raw.complete, 400);
    assert.equal(raw.requests, 400);
    assert.equal(raw.not_split, 0);
    for (const minutes of [3, 9]) {
      const job = createAttributionJob({
        store: store.client,
        log: silentLog,
        retentionDays: 7,
        nowMs: () => T0 + minutes * MINUTE_MS + 31_000,
      });
      await job.run();
      const published = await read();
      assert.equal(published.provisional, minutes === 3);
      assert.deepEqual(figures(published), figures(raw), `after ${minutes} minutes`);
    }
  });

  it('has parts that add up to each total, and named segments that add up to each kind', async () => {
    const { bands } = await read();
    assert.equal(bands.length, 4);
    for (const { total, kinds, segments } of bands) {
      const sum = SEGMENT_KINDS.reduce(
        (all, kind) => all + (kind === 'client_wait' ? 0 : kinds[kind].ms),
        0,
      );
      assert.ok(Math.abs(sum - total.ms) < 1e-6);
      for (const kind of SEGMENT_KINDS) {
        const named = segments.filter((s) => s.kind === kind).reduce((all, s) => all + s.ms, 0);
        assert.ok(Math.abs(named - kinds[kind].ms) < 1e-6, kind);
      }
    }
  });

  it('takes only the requests that a filter names', async () => {
    assert.equal((await read({ route: '/r/{id}' })).complete, 400);
    assert.equal((await read({ route: '/other' })).complete, 0);
    assert.equal((await read({ service: 'edge', generation: 1 })).complete, 0);
  });

  it('does not call a request incomplete whose records may still be on their way', async () => {
    const lacking = makeTrace(seededRandom(3), {
      topology: 'separate',
      depth: 1,
      startNs: 12 * 60e9,
    });
    await insertSpans(store.client, lacking.spans.slice(0, 1), T0, T0 / 1000 + 730);
    const late = { fromMs: T0 + 12 * MINUTE_MS, toMs: T0 + 13 * MINUTE_MS };
    const at = (nowMs: number): Promise<Attribution> =>
      readAttribution(store.client, late, {}, { nowMs });
    const soon = await at(T0 + 12 * MINUTE_MS + 10_000);
    assert.deepEqual([soon.arriving, soon.incomplete, soon.not_split], [1, 0, 0]);
    const later = await at(T0 + 20 * MINUTE_MS);
    assert.deepEqual([later.arriving, later.incomplete, later.not_split], [0, 1, 0]);
  });

  it('says in text and CSV what it says in figures', async () => {
    const figures = await read();
    const text = attributionText(figures, { width: 100, color: false });
    for (const line of text.split('\n')) assert.ok(line.length <= 100, line);
    assert.match(text, /Where the time goes/);
    assert.match(text, /400 complete requests/);
    assert.match(text, /p99\.9 +\d/);
    assert.match(text, /Every request was split completely/);
    const [head, ...lines] = attributionCsv(figures).trim().split('\n');
    assert.equal(lines.length, 4 * (SEGMENT_KINDS.length + 1));
    for (const line of lines) assert.equal(line.split(',').length, head!.split(',').length);
  });
});
