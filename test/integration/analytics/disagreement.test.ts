/**
 * Proxies that disagree: a wrong clock, a lost record, a caller outside of the mesh, a client that
 * sends one trace id for ever. Each must show as incomplete, unexplained or unknown, never as a
 * figure that one might believe; and none may hold up what is right.
 */
import assert from 'node:assert/strict';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { reconcile } from '../../../analytics/reconcile.ts';
import { readAttribution, type Attribution } from '../../../analytics/reports/attribution.ts';
import { readTraffic } from '../../../analytics/traffic.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { directionOf, PERSPECTIVES } from '../../../telemetry/edge-class.ts';
import { insertHops, insertLedger } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace, type MadeSpan } from '../../helpers/trace-maker.ts';

const SEED = 17;
const T0 = minuteOf(Date.now()) - 6 * 60 * MINUTE_MS;

describe('proxies that disagree', function () {
  this.timeout(180_000);
  let store: TestStore;
  beforeEach(async () => {
    store = await startTestStore();
  });
  afterEach(() => store.stop());

  /** Runs both jobs as they would some minutes after T0. */
  async function runJobs(minutes: number): Promise<{ publishedUntilMs: number; open: number }> {
    const settings = {
      store: store.client,
      log: silentLog,
      retentionDays: 7,
      nowMs: () => T0 + minutes * MINUTE_MS + 31_000,
    };
    await runRollup(settings);
    return createAttributionJob(settings).run();
  }
  const report = (minutes: number, fromMinute = 0): Promise<Attribution> =>
    readAttribution(
      store.client,
      { fromMs: T0 + fromMinute * MINUTE_MS, toMs: T0 + minutes * MINUTE_MS },
      {},
      { nowMs: T0 + 300 * MINUTE_MS },
    );
  const insert = (spans: readonly MadeSpan[]): Promise<void> =>
    insertSpans(store.client, spans, T0, T0 / 1000 + 60);
  const plain = (random: () => number, count: number, minutes: number): MadeSpan[] =>
    Array.from({ length: count }, () => {
      const startNs = Math.floor(random() * minutes * 60e9);
      return makeTrace(random, { topology: 'separate', depth: 2, startNs }).spans;
    }).flat();

  it('calls a request incomplete of which a host puts its part into another hour', async () => {
    const random = seededRandom(SEED);
    const { spans } = makeTrace(random, { topology: 'separate', depth: 1, startNs: 30e9 });
    const wrong = spans.map((span) =>
      span.role === 'gateway' ? span : { ...span, startNs: span.startNs + 2 * 3600e9 },
    );
    await insert([...plain(random, 10, 2), ...wrong]);
    // As the job runs live: the request is over before its other part seems to begin.
    await runJobs(5);
    await runJobs(180);
    const { complete, incomplete, requests, incomplete_by_reason: why } = await report(180);
    assert.deepEqual(
      { complete, incomplete, requests },
      { complete: 10, incomplete: 1, requests: 11 },
    );
    assert.equal(why.missing_child, 1);
  });

  it('leaves a hop unexplained of which only the ledger knows, beside the complete request', async () => {
    const hop = { n: 5, atMs: T0 + 1000, boot: 'b1', proxy: 'edge-1', seq: 1 };
    await insertHops(store.client, [{ ...hop, attemptBits: 2 }]);
    // The second hop of this process, a call that nothing hangs on, was lost.
    await insertLedger(store.client, {
      boot: 'b1',
      proxy: 'edge-1',
      atMs: T0 + 20_000,
      finished: 2,
    });
    await runJobs(10);
    const found = await report(10);
    assert.deepEqual([found.complete, found.hops_missing], [1, 1]);
    const account = await reconcile(store.client, {
      fromMs: T0,
      toMs: T0 + 10 * MINUTE_MS,
      nowMs: T0 + 20 * MINUTE_MS,
    });
    assert.equal(account.totals.unexplained, 1);
  });

  it('calls a request incomplete that lost the record of a hop below it', async () => {
    const random = seededRandom(SEED);
    const traces = Array.from({ length: 20 }, (_, i) =>
      makeTrace(random, { topology: 'separate', depth: 1, startNs: i * 1e9, waits: false }),
    );
    // The hop that the gateway called.
    await insert(
      traces.flatMap(({ spans }) => spans.filter((s) => s.edgeClass !== 'gateway_to_workload')),
    );
    await runJobs(10);
    const { complete, incomplete, bands } = await report(10);
    // Where every attempt failed there was nothing to lose.
    assert.equal(complete + incomplete, 20);
    assert.ok(incomplete >= 15);
    for (const band of bands) assert.ok(band.requests <= complete);
  });

  it('knows no direction of a leg whose caller is outside of the mesh, and no request from it', async () => {
    const random = seededRandom(SEED);
    const [, inbound] = makeTrace(random, {
      topology: 'separate',
      depth: 0,
      startNs: 10e9,
      waits: false,
      applicationSpans: 0,
    }).spans;
    const stray = { ...inbound!, edgeClass: 'unknown' as const, parentId: 0n };
    const named = { ...stray, traceId: 'f'.repeat(32), parentId: 0xabcdef0123n };
    await insert([...plain(random, 10, 2), stray, named]);
    await runJobs(10);
    const traffic = await readTraffic(store.client, { fromMs: T0, toMs: T0 + 10 * MINUTE_MS });
    assert.equal(traffic.byEdgeClass.get('unknown')?.hops, 2);
    for (const perspective of PERSPECTIVES) {
      assert.equal(directionOf('unknown', perspective), 'unknown');
    }
    const { complete, incomplete, requests } = await report(10);
    assert.deepEqual(
      { complete, incomplete, requests },
      { complete: 10, incomplete: 0, requests: 10 },
    );
  });

  it('splits no requests of a client that sends one trace id, and holds up no other', async () => {
    const random = seededRandom(SEED);
    const others = plain(random, 60, 6);
    const constant = Array.from({ length: 600 }, (_, i) =>
      makeTrace(random, {
        topology: 'separate',
        depth: 1,
        startNs: Math.floor((i * 6 * 60e9) / 600),
      }).spans.map((span) => ({ ...span, traceId: 'c'.repeat(32) })),
    ).flat();
    await insert([...others, ...constant]);
    // The seventh minute is read; the id had a request in every second until its begin.
    const { publishedUntilMs, open } = await runJobs(7);
    assert.equal(publishedUntilMs, T0 + 7 * MINUTE_MS);
    assert.equal(open, 0);
    const found = await report(7);
    assert.equal(found.requests, 660);
    assert.equal(found.complete, 60);
    assert.ok(found.incomplete >= 1 && found.incomplete <= 6);
    assert.equal(found.incomplete + found.not_split!, 600);
  });
});
