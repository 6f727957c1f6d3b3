/**
 * The streaming worker against a second way of computing the same: one SQL statement in the store.
 * Truth from the generator says that whole traces are right; the oracle says the same of broken ones.
 */
import assert from 'node:assert/strict';
import { createAttributionJob } from '../../../analytics/jobs/attribution.ts';
import { MINUTE_MS, minuteOf } from '../../../analytics/window.ts';
import { silentLog } from '../../../runtime/log.ts';
import { attributeBySql, publishedAttribution } from '../../helpers/attribution-oracle.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { insertSpans } from '../../helpers/made-rows.ts';
import { makeTrace, type MadeSpan, type Topology } from '../../helpers/trace-maker.ts';

const SEED = 20_261_125;
const T0 = minuteOf(Date.now()) - 60 * MINUTE_MS;
const STRETCH = { fromMs: T0 - 30 * MINUTE_MS, toMs: T0 + 30 * MINUTE_MS };
const TOPOLOGIES: readonly Topology[] = ['separate', 'attached', 'shared', 'merged'];

describe('attribution beside the SQL oracle', function () {
  this.timeout(180_000);
  let store: TestStore;
  beforeEach(async () => {
    store = await startTestStore();
  });
  afterEach(() => store.stop());

  /** Stores the spans, runs the job until all is published, and compares trace by trace. */
  async function compare(spans: readonly MadeSpan[], context: string): Promise<void> {
    await insertSpans(store.client, spans, T0, T0 / 1000 + 5);
    const job = createAttributionJob({
      store: store.client,
      log: silentLog,
      retentionDays: 7,
      nowMs: () => T0 + 30 * MINUTE_MS,
    });
    await job.run();
    const published = await publishedAttribution(store.client);
    const expected = await attributeBySql(store.client, STRETCH);
    assert.equal(published.length, expected.length, context);
    published.forEach((trace, i) => {
      assert.deepEqual(trace, expected[i], `${context}, trace ${i}`);
    });
  }
  const made = (random: () => number, count: number, options = {}): MadeSpan[][] =>
    Array.from({ length: count }, (_, i) => {
      const startNs = Math.floor(random() * 4 * 60e9);
      const topology = TOPOLOGIES[i % 4]!;
      return makeTrace(random, { topology, depth: (i >> 2) % 4, startNs, ...options }).spans;
    });

  it('agrees on whole traces of all topologies in every named segment', async () => {
    const traces = made(seededRandom(SEED), 320);
    await compare(traces.flat(), `seed ${SEED}`);
    const published = await publishedAttribution(store.client);
    assert.equal(published.length, 320);
    for (const trace of published) {
      assert.deepEqual([trace.lacks, trace.residualNs], [[], 0], `seed ${SEED}, ${trace.trace}`);
    }
  });

  it('agrees on traces that lost hops, got rows twice or lost the ids of parents', async () => {
    const random = seededRandom(SEED + 1);
    const spans = made(random, 320).flatMap((trace) => {
      const kept = trace.filter(() => random() > 0.08);
      const twice = kept.filter(() => random() < 0.1);
      const blind = kept.map((span) =>
        span.side === 'outbound' && random() < 0.15 ? { ...span, parentId: 0xdead0n } : span,
      );
      return [...blind, ...twice.filter((span) => blind.includes(span))];
    });
    await compare(spans, `seed ${SEED + 1}`);
    const published = await publishedAttribution(store.client);
    const reasons = new Set(published.flatMap((trace) => trace.lacks));
    for (const reason of ['missing_root', 'missing_parent', 'missing_child']) {
      assert.ok(reasons.has(reason), `no trace with ${reason} was made`);
    }
    assert.ok(published.some((trace) => trace.byInterval > 0));
  });

  it('agrees on hosts whose clocks differ by seconds', async () => {
    const traces = made(seededRandom(SEED + 2), 200, { skewNs: 10e9, startNs: 60e9 });
    await compare(traces.flat(), `seed ${SEED + 2}`);
  });
});
