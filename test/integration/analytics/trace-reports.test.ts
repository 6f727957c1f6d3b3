import assert from 'node:assert/strict';
import { KIND, SEGMENT_KINDS } from '../../../analytics/attribution/segments.ts';
import { readAmplification, type Amplification } from '../../../analytics/reports/amplification.ts';
import { readReport, reportOf, type ReadReport } from '../../../analytics/reports/catalogue.ts';
import type { ContextLoss } from '../../../analytics/reports/context-loss.ts';
import type { Deadlines } from '../../../analytics/reports/deadlines.ts';
import { MINUTE_MS, minuteOf, type Window } from '../../../analytics/window.ts';
import { insertHops, type TestHop } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { runShop } from '../../helpers/shop-run.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace } from '../../helpers/trace-maker.ts';

const T0 = minuteOf(Date.now()) - 20 * MINUTE_MS;

describe('reports of whole traces', function () {
  this.timeout(60_000);
  let store: TestStore;
  const read = (
    name: string,
    window: Window,
    options: Record<string, string> = {},
  ): Promise<ReadReport> =>
    // prettier-ignore
    readReport(
      reportOf(name),
      { from: new Date(window.fromMs).toISOString(), to: new Date(window.toMs).toISOString(), ...options }, // prettier-ignore
      { store: store.client, retentionDays: 7, nowMs: window.toMs + 60_000 },
    );
  const made: Window = { fromMs: T0, toMs: T0 + MINUTE_MS };

  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());
  beforeEach(() => store.client.command('TRUNCATE TABLE spans'));

  it('tell what one request becomes, as the shop really calls', async () => {
    const { window } = await runShop(store.client, 'separate', [
      ...Array.from({ length: 5 }, () => ['GET', '/api/carts/7'] as const),
      ...Array.from({ length: 3 }, () => ['GET', '/api/search?q=1'] as const),
      ['GET', '/nothing'],
    ]);
    const report = await read('amplification', window);
    const figures = report.figures as Amplification;
    assert.deepEqual(
      figures.lines.map((l) => [l.route, l.requests, l.calls_per_request, l.calls_max, l.retries, l.services_max]), // prettier-ignore
      [
        ['/api/carts/{user}', 5, 4, 4, 0, 3],
        ['/api/search', 3, 1, 1, 0, 1],
        ['', 1, 0, 0, 0, 0],
      ],
    );
    const [raw] = await store.client.query<{ legs: number; hops: number }>(
      `SELECT uniqExactIf(SpanId, EdgeClass NOT IN ('external_to_gateway', 'loopback')) AS legs, uniqExact(SpanId) AS hops FROM spans WHERE HopVersion > 0`,
    );
    assert.equal(figures.calls, raw!.legs);
    assert.equal(figures.rows, raw!.hops);
    assert.match(report.text({ width: 110, color: false }), /9 requests from outside {4}23 internal calls/); // prettier-ignore
    const loss = (await read('context-loss', window)).figures as ContextLoss;
    assert.ok(loss.lines.some((l) => l.workload === 'cart' && l.calls === 10 && l.exits === 10));
    for (const l of loss.lines) {
      assert.deepEqual(
        [l.calls_without_parent, l.calls_parent_unknown, l.exits_unmatched, l.entries_without_parent, l.entries_parent_unknown], // prettier-ignore
        [0, 0, 0, 0, 0],
        l.workload,
      );
    }
  });

  it('tell retries apart, and leave out what belongs to no single request', async () => {
    const gateway: Partial<TestHop> = { service: 'edge', route: '/a' };
    const inbound: Partial<TestHop> = { role: 'sidecar', side: 'inbound', edgeClass: 'gateway_to_workload', service: 'a', peer: 'edge' }; // prettier-ignore
    const hop = (n: number, more: Partial<TestHop>): TestHop => ({ n, atMs: T0 + n, ...more });
    await insertHops(store.client, [
      // Trace 1: the gateway tried three times; the first attempt reached nobody.
      hop(0, { ...gateway, attempts: 3 }),
      hop(1, { ...inbound, parentOf: 0, parentAttempt: 2 }),
      hop(2, { ...inbound, parentOf: 0, parentAttempt: 3 }),
      // Trace 2: plain, and stored twice.
      hop(5, gateway),
      hop(6, { ...inbound, parentOf: 5 }),
      hop(6, { ...inbound, parentOf: 5 }),
      // Trace 3: no request. Trace 4: two of them.
      hop(10, { ...inbound, edgeClass: 'workload_to_workload' }),
      hop(15, gateway),
      hop(16, gateway),
      hop(17, { ...inbound, parentOf: 15 }),
    ]);
    const { lines, ...figures } = (await read('amplification', made)).figures as Amplification;
    assert.equal(lines.length, 1);
    const [line] = lines;
    assert.deepEqual(
      [line?.requests, line?.calls, line?.retries, line?.repeated_legs, line?.calls_max, line?.few],
      [2, 1, 2, 2, 1, true],
    );
    assert.deepEqual(
      [figures.legs_without_request, figures.traces_without_request, figures.legs_of_several, figures.traces_of_several], // prettier-ignore
      [1, 1, 1, 1],
    );
  });

  it('read every n-th trace of a busy window, whole, and say so', async () => {
    const hops = Array.from({ length: 400 }, (_, i): TestHop[] => [
      { n: 5 * i, atMs: T0 + i, route: '/a' },
      { n: 5 * i + 1, atMs: T0 + i, role: 'sidecar', side: 'inbound', edgeClass: 'gateway_to_workload', service: 'a', parentOf: 5 * i }, // prettier-ignore
    ]);
    await insertHops(store.client, hops.flat());
    const all = await readAmplification(store.client, made);
    const some = await readAmplification(store.client, made, 200);
    assert.deepEqual([all.every, all.requests, some.every], [1, 400, 4]);
    assert.ok(some.requests > 40 && some.requests < 200, String(some.requests));
    assert.equal(some.lines[0]!.calls_per_request, 1);
  });

  it('find the workload that hands no context on, and the exits that arrived nowhere', async () => {
    const outbound: Partial<TestHop> = { role: 'sidecar', side: 'outbound', edgeClass: 'loopback', service: 'cart', target: 'pricing', attemptBits: 3 }; // prettier-ignore
    const hop = (n: number, more: Partial<TestHop>): TestHop => ({ n, atMs: T0 + n, ...more });
    await insertHops(store.client, [
      hop(0, { role: 'sidecar', side: 'inbound', edgeClass: 'gateway_to_workload', service: 'cart', peer: 'edge', parentOf: 3 }), // prettier-ignore
      hop(3, { service: 'edge', target: 'cart', attemptBits: 3 }),
      hop(1, { ...outbound, parentOf: 0 }),
      hop(2, { ...outbound, parentOf: 4 }),
      hop(5, outbound),
      hop(6, outbound),
      hop(6, outbound),
    ]);
    const report = await read('context-loss', made);
    const { lines, rows } = report.figures as ContextLoss;
    const [cart] = lines;
    assert.deepEqual(
      [cart?.workload, cart?.calls, cart?.calls_without_parent, cart?.calls_parent_unknown, cart?.calls_lost_share], // prettier-ignore
      ['cart', 4, 2, 1, 0.75],
    );
    assert.deepEqual([cart?.exits, cart?.exits_unmatched, cart?.entries, cart?.entries_parent_unknown], [4, 4, 1, 0]); // prettier-ignore
    assert.equal(rows, 5);
    assert.match(report.text({ width: 110, color: false }), /cart began 2 of 4 calls without a trace/); // prettier-ignore
  });

  it('give the time of late requests to its owners, by deadline and by 504', async () => {
    const random = seededRandom(31);
    const traces = Array.from({ length: 40 }, (_, i) =>
      makeTrace(random, { topology: 'attached', depth: 2, startNs: i * 1e9 }),
    );
    await insertSpans(store.client, traces.flatMap((t) => t.spans), T0, T0 / 1000); // prettier-ignore
    const none = (await read('deadlines', made)).figures as Deadlines;
    assert.deepEqual([none.requests, none.timed_out, none.split, none.with_deadline], [40, 0, 0, 0]); // prettier-ignore

    const late = traces.slice(0, 12);
    const ids = (some: typeof traces): string => some.map((t) => `'${t.spans[0]!.traceId}'`).join();
    const change = (set: string, some: typeof traces, where = ''): Promise<void> =>
      store.client.command(`ALTER TABLE spans UPDATE ${set} WHERE TraceId IN (${ids(some)}) AND EdgeClass LIKE 'external%' ${where} SETTINGS mutations_sync = 2`); // prettier-ignore
    await change('HttpStatus = 504, Flags = 8', late.slice(0, 4));
    // Granted 1 ms less than it took, and a tenth more; whole milliseconds, plus one.
    await change('DeadlineMs = toUInt32(intDiv(Duration, 1000000))', late.slice(4, 8), 'AND Duration > 2000000'); // prettier-ignore
    await change('DeadlineMs = toUInt32(intDiv(Duration * 11, 10000000) + 2)', late.slice(8)); // prettier-ignore
    const report = await read('deadlines', made);
    const figures = report.figures as Deadlines;
    const [raw] = await store.client.query<{ late: number; budgets: number; over: number }>(
      `SELECT countIf(HttpStatus = 504 OR Duration >= 0.8e6 * (DeadlineMs - 1) AND DeadlineMs > 0) AS late, countIf(DeadlineMs > 0) AS budgets,
         countIf(DeadlineMs > 0 AND Duration >= 1e6 * (DeadlineMs - 1)) AS over
       FROM (SELECT DISTINCT SpanId, Duration, DeadlineMs, HttpStatus FROM spans WHERE EdgeClass LIKE 'external%')`,
    );
    assert.equal(figures.over + figures.near + figures.timed_out, raw!.late);
    assert.deepEqual([figures.timed_out, figures.with_deadline, figures.over], [4, raw!.budgets, raw!.over]); // prettier-ignore
    assert.equal(figures.split, raw!.late);
    const lateIds = new Set(
      (await store.client.query<{ id: string }>(`SELECT DISTINCT TraceId AS id FROM spans WHERE HttpStatus = 504 OR DeadlineMs > 0 AND Duration >= 0.8e6 * (DeadlineMs - 1)`)).map(({ id }) => id), // prettier-ignore
    );
    const truths = traces.filter((t) => lateIds.has(t.spans[0]!.traceId)).map((t) => t.truth);
    for (const kind of SEGMENT_KINDS) {
      if (kind === 'client_wait') continue;
      const expected = truths.reduce((sum, truth) => sum + truth[kind], 0) / truths.length / 1e6;
      const found = figures.lines.filter((l) => l.kind === kind).reduce((sum, l) => sum + l.ms, 0);
      assert.ok(Math.abs(found - expected) < 1e-9 * Math.max(1, Math.abs(expected)), `${kind} ${found} ${expected}`); // prettier-ignore
    }
    assert.equal(figures.lines.reduce((sum, l) => sum + l.largest_in, 0), figures.split); // prettier-ignore
    assert.ok(Math.abs(figures.lines.reduce((sum, l) => sum + l.share, 0) - 1) < 1e-9);
    assert.deepEqual(figures.gave_up.map(({ service, hops }) => [service, hops]), [['edge', 4]]); // prettier-ignore
    assert.match(report.text({ width: 110, color: false }), /Where the time of late requests went/);
    // Only the gateway's records named a deadline: at every other proxy it is unknown, and not guessed.
    for (const { service, side, hops, unknown, left_ms: left } of figures.left) {
      const isEdge = service === 'edge' && side === 'ingress';
      assert.equal(hops, isEdge ? figures.over + figures.near : 0, `${service} ${side}`);
      assert.equal(left === null, !isEdge);
      if (isEdge) assert.equal(unknown, 4);
    }
    assert.equal(KIND.residual, SEGMENT_KINDS.length - 1);
  });

  it('say what was left of a deadline at each proxy, as the proxies recorded it', async () => {
    const hop = (n: number, more: Partial<TestHop>): TestHop => ({ n, atMs: T0 + 1000, ...more });
    const inner = { role: 'sidecar', side: 'inbound', peer: 'edge' } as const;
    // Three requests with 100 ms each. The gateway takes some before it calls; `c` got no deadline.
    const hops = [0, 1, 2].flatMap((i) => [
      hop(5 * i, { durationNs: 101e6, ownNs: 5e6, deadlineMs: 100, status: 504, flags: 8 }),
      hop(5 * i + 1, { ...inner, edgeClass: 'gateway_to_bff', service: 'b', parentOf: 5 * i, durationNs: (80 + 10 * i) * 1e6, deadlineMs: 90 - 10 * i }), // prettier-ignore
      hop(5 * i + 2, { ...inner, edgeClass: 'bff_to_workload', service: 'c', parentOf: 5 * i + 1, durationNs: 40e6 }), // prettier-ignore
    ]);
    await insertHops(store.client, hops);
    await insertHops(store.client, hops.slice(0, 4));
    const report = await read('deadlines', made);
    const { left } = report.figures as Deadlines;
    assert.deepEqual(left, [
      { service: 'edge', side: 'ingress', hops: 3, unknown: 0, left_ms: 100, left_after_ms: 0, over: 3 }, // prettier-ignore
      // 90, 80 and 70 ms were left, and took 80, 90 and 100.
      { service: 'b', side: 'inbound', hops: 3, unknown: 0, left_ms: 80, left_after_ms: 0, over: 2 }, // prettier-ignore
      { service: 'c', side: 'inbound', hops: 0, unknown: 3, left_ms: null, left_after_ms: null, over: 0 }, // prettier-ignore
    ]);
    const text = report.text({ width: 110, color: false });
    assert.match(text, /b \(inbound\) +80(\.0)? +0/);
    assert.match(text, /c \(inbound\) +unknown +unknown/);
  });
});
