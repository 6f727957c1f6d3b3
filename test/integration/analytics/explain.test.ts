import assert from 'node:assert/strict';
import { explainText } from '../../../analytics/reports/explain-text.ts';
import {
  explainTrace,
  slowestTrace,
  type Explanation,
} from '../../../analytics/reports/explain.ts';
import { SEGMENT_KINDS } from '../../../analytics/attribution/segments.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { insertHops } from '../../helpers/hop-rows.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace } from '../../helpers/trace-maker.ts';

const T0 = minuteOf(Date.now()) - 10 * MINUTE_MS;

describe('azimuth explain', () => {
  let store: TestStore;
  const random = seededRandom(21);
  const traces = Array.from({ length: 30 }, (_, i) =>
    makeTrace(random, { topology: 'attached', depth: i % 4, startNs: i * 1e9, skewNs: 5e6 }),
  );

  before(async () => {
    store = await startTestStore();
    await insertSpans(
      store.client,
      traces.flatMap((t) => t.spans),
      T0,
      T0 / 1000,
    );
  });
  after(() => store.stop());

  it('shows every hop below its caller, and kinds that sum to the duration', async () => {
    for (const made of traces) {
      const trace = await explainTrace(store.client, made.spans[0]!.traceId);
      assert.equal(trace.duration_ms, made.durationNs / 1e6);
      assert.deepEqual(trace.incomplete, []);
      for (const kind of SEGMENT_KINDS) assert.equal(trace.kinds[kind], made.truth[kind] / 1e6);
      const hops = made.spans.filter((span) => span.role !== '');
      assert.equal(trace.hops.length, hops.length);
      assert.equal(trace.hops.filter((hop) => hop.caller === null).length, 1);
      for (const hop of trace.hops) {
        const caller = hop.caller === null ? undefined : trace.hops[hop.caller]!;
        if (caller === undefined) continue;
        // Whatever the hosts' clocks say, a call stands after its caller's start.
        assert.ok(hop.offset_ms! >= caller.offset_ms!);
        assert.ok(caller.side !== 'inbound' || hop.service === caller.service);
      }
    }
  });

  it('finds the slowest request of a window', async () => {
    const slowest = traces.toSorted(
      (a, b) => b.durationNs - b.truth.client_wait - (a.durationNs - a.truth.client_wait),
    )[0]!;
    const window = { fromMs: T0, toMs: T0 + MINUTE_MS };
    const found = await slowestTrace(store.client, window, undefined);
    assert.equal(found, slowest.spans[0]!.traceId);
    await assert.rejects(slowestTrace(store.client, window, '/none'), { code: 'AZ_USAGE' });
  });

  it('takes a hop that states more attempts than it lists for one attempt', async () => {
    await insertHops(store.client, [{ n: 5000, atMs: T0, attempts: 3 }]);
    const trace = await explainTrace(store.client, (1001).toString(16).padStart(32, '0'));
    assert.deepEqual([trace.hops.length, trace.hops[0]?.attempts], [1, 1]);
    assert.equal(trace.kinds.gateway + trace.kinds.upstream, trace.duration_ms);
  });

  it('says what is wrong with an id that is none or is not stored', async () => {
    await assert.rejects(explainTrace(store.client, 'abc'), /"abc" is no trace id/);
    await assert.rejects(explainTrace(store.client, '0'.repeat(31) + '1'), /no hop of the trace/);
  });

  it('is a waterfall within the width, with the sum at its end', async () => {
    const made = traces.find((t) => t.spans.length > 6)!;
    const trace: Explanation = await explainTrace(store.client, made.spans[0]!.traceId);
    const text = explainText(trace, { width: 100, color: false });
    const lines = text.trimEnd().split('\n');
    for (const line of lines) assert.ok(line.length <= 100, line);
    assert.match(text, /^ {2}edge gateway +━+/m);
    assert.match(text, /gateway [\d.]+ \+ mesh [\d.]+ /);
    assert.match(lines.at(-1)!, /= [\d.]+ ms$/);
  });
});
