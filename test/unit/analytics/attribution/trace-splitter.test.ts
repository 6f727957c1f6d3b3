import assert from 'node:assert/strict';
import { OpenTraces } from '../../../../analytics/attribution/open-traces.ts';
import {
  reasonsOf,
  SEGMENT_KINDS,
  type IncompleteReason,
} from '../../../../analytics/attribution/segments.ts';
import { seededRandom } from '../../../helpers/prng.ts';
import { blockOf } from '../../../helpers/made-rows.ts';
import {
  makeTrace,
  type MadeSpan,
  type MadeTrace,
  type Topology,
} from '../../../helpers/trace-maker.ts';

const TOPOLOGIES: readonly Topology[] = ['separate', 'attached', 'shared', 'merged'];
const HOUR_NS = 3_600e9;

interface Seen {
  totals: Record<string, number>;
  reasons: IncompleteReason[];
  durationNs: number;
  hops: number;
  duplicates: number;
  roots: number;
  byInterval: number;
}

/** Splits the spans as one stream; one entry a trace. */
function split(spans: readonly MadeSpan[]): Seen[] {
  const seen: Seen[] = [];
  const traces = new OpenTraces(0, ({ split: found, segments }) => {
    seen.push({
      totals: Object.fromEntries(
        SEGMENT_KINDS.map((kind, i): [string, number] => [kind, segments.totals[i]!]),
      ),
      reasons: reasonsOf(found.incomplete),
      durationNs: found.durationNs,
      hops: found.hops,
      duplicates: found.duplicates,
      roots: found.roots,
      byInterval: found.byInterval,
    });
  });
  traces.add(blockOf(spans));
  traces.closeAll();
  assert.equal(traces.size, 0);
  return seen;
}

const one = (spans: readonly MadeSpan[]): Seen => {
  const seen = split(spans);
  assert.equal(seen.length, 1);
  return seen[0]!;
};

const sumOf = (seen: Seen): number => Object.values(seen.totals).reduce((a, b) => a + b, 0);

describe('TraceSplitter', () => {
  const SEED = 20_261_125;

  for (const topology of TOPOLOGIES) {
    it(`finds each segment of generated traces to the nanosecond, ${topology}`, () => {
      const random = seededRandom(SEED);
      for (let n = 0; n < 400; n++) {
        const made = makeTrace(random, { topology, depth: n % 4 });
        const seen = one(made.spans);
        const context = `seed ${SEED}, trace ${n}`;
        assert.deepEqual(seen.reasons, [], context);
        assert.deepEqual(seen.totals, made.truth, context);
        assert.equal(seen.durationNs, made.durationNs, context);
        assert.equal(sumOf(seen), made.durationNs, context);
      }
    });
  }

  it('is not moved by clocks that differ by hours between hosts', () => {
    const random = seededRandom(SEED);
    for (let n = 0; n < 300; n++) {
      const made = makeTrace(random, {
        topology: TOPOLOGIES[n % 4]!,
        depth: 3,
        skewNs: 2 * HOUR_NS,
        startNs: 10 * HOUR_NS,
      });
      const seen = one(made.spans);
      assert.deepEqual(seen.totals, made.truth, `seed ${SEED}, trace ${n}`);
      assert.deepEqual(seen.reasons, [], `seed ${SEED}, trace ${n}`);
    }
  });

  it('counts a row that is there twice once, in any order of rows', () => {
    const random = seededRandom(SEED);
    for (let n = 0; n < 200; n++) {
      const made = makeTrace(random, { topology: 'separate', depth: 2 });
      const twice = [...made.spans, ...made.spans.filter(() => random() < 0.5)];
      const seen = one(shuffle(twice, random));
      assert.deepEqual(seen.totals, made.truth, `seed ${SEED}, trace ${n}`);
      assert.equal(seen.duplicates, twice.length - made.spans.length);
    }
  });

  it('splits traces whose rows are mixed into those of others', () => {
    const random = seededRandom(SEED);
    const made = Array.from({ length: 50 }, () =>
      makeTrace(random, { topology: 'attached', depth: 2 }),
    );
    const seen = split(
      shuffle(
        made.flatMap((trace) => trace.spans),
        random,
      ),
    );
    const key = (totals: Record<string, number>): string => JSON.stringify(Object.values(totals));
    assert.deepEqual(seen.map((s) => key(s.totals)).sort(), made.map((m) => key(m.truth)).sort());
  });

  it('calls a trace that lost a hop incomplete, and still sums to the duration', () => {
    const random = seededRandom(SEED);
    let lost = 0;
    for (let n = 0; n < 300; n++) {
      const made = makeTrace(random, { topology: 'separate', depth: 3, applicationSpans: 0 });
      // The root is another case; an outbound hop that nothing hangs on cannot be missed in a trace.
      const losable = made.spans.filter((s) => s.parentId !== 0n && !isLeafOutbound(s, made));
      const victim = losable[Math.floor(random() * losable.length)];
      if (victim === undefined) continue;
      const seen = one(made.spans.filter((span) => span !== victim));
      lost++;
      assert.notDeepEqual(seen.reasons, [], `seed ${SEED}, trace ${n}: ${victim.side}`);
      assert.equal(sumOf(seen), made.durationNs);
    }
    assert.ok(lost > 200);
  });

  it('names what is missing', () => {
    const made = chain();
    const without = (side: string, service: string): IncompleteReason[] =>
      one(made.spans.filter((s) => !(s.side === side && s.service === service))).reasons;
    assert.deepEqual(without('ingress', 'edge'), ['missing_root', 'missing_parent']);
    assert.deepEqual(without('inbound', 'b'), ['missing_child']);
    assert.deepEqual(without('outbound', 'a'), ['missing_parent']);
  });

  it('calls two requests under one trace id several roots', () => {
    const one1 = chain();
    const other = chain();
    const spans = other.spans.map((span) => ({
      ...span,
      traceId: one1.spans[0]!.traceId,
      spanId: span.spanId + 0x100000n,
      parentId: span.parentId === 0n ? 0n : span.parentId + 0x100000n,
    }));
    const seen = one([...one1.spans, ...spans]);
    assert.equal(seen.roots, 2);
    assert.ok(seen.reasons.includes('several_roots'));
  });

  it('finds a call whose parent is lost by its interval, and says so', () => {
    const made = chain();
    const spans = made.spans.map((span) =>
      span.side === 'outbound' ? { ...span, parentId: 0xdead0n } : span,
    );
    const seen = one(spans);
    assert.deepEqual(seen.reasons, []);
    assert.deepEqual(seen.totals, one(made.spans).totals);
    assert.equal(seen.byInterval, 1);
  });

  it('does not choose between two calls that may have caused one', () => {
    const made = chain();
    const inbound = made.spans.find((s) => s.side === 'inbound' && s.service === 'a')!;
    const twin = { ...inbound, spanId: inbound.spanId + 0x10n };
    const spans = made.spans.map((span) =>
      span.side === 'outbound' ? { ...span, parentId: 0xdead0n } : span,
    );
    assert.ok(one([...spans, twin]).reasons.includes('ambiguous_parent'));
  });

  it('takes no instants of two clocks together', () => {
    const made = chain();
    const spans = made.spans.map((span) =>
      span.side === 'outbound' ? { ...span, clock: 'elsewhere' } : span,
    );
    assert.deepEqual(one(spans).reasons, ['clock_domains']);
  });

  it('does not trust a call that begins before what caused it, on one clock', () => {
    const made = chain();
    const spans = made.spans.map((span) =>
      span.side === 'outbound' ? { ...span, clock: 'a', startNs: span.startNs - 2e9 } : span,
    );
    assert.deepEqual(one(spans).reasons, ['clock_domains']);
  });

  it('does not trust a hop that lasted longer than the attempt that called it', () => {
    const made = chain();
    const longer = (ns: number, waitNs = 0): IncompleteReason[] =>
      one(
        made.spans.map((span) =>
          span.service === 'b'
            ? {
                ...span,
                durationNs: span.durationNs + ns + waitNs,
                ownNs: span.ownNs + ns,
                waitNs,
                attempts: span.attempts.map((a) => ({ ...a, ns: a.ns + waitNs, waitNs })),
              }
            : span,
        ),
      ).reasons;
    // The attempt is half a millisecond less than the outbound hop, the hop at b two.
    assert.deepEqual(longer(1_400_000), []);
    assert.deepEqual(longer(31_400_000), [], 'its process was put off its core');
    assert.deepEqual(longer(31_510_000), [], 'clocks run at slightly different rates');
    assert.deepEqual(longer(31_700_000), ['outlives_call']);
    assert.deepEqual(longer(31_700_000, 1000), [], 'buffers hide when a client was waited for');
  });

  it('does not trust a record whose own parts do not sum to its duration', () => {
    const made = chain();
    made.spans[0]!.ownNs += 7;
    const seen = one(made.spans);
    assert.deepEqual(seen.reasons, ['does_not_add_up']);
    assert.equal(seen.totals['residual'], -7);
  });

  it('takes a root with a foreign parent at the edge, and one below the span of a job', () => {
    const foreign = chain();
    foreign.spans[0]!.parentId = 0xabcdef12345n;
    assert.deepEqual(one(foreign.spans).reasons, []);

    const job = chain();
    const outbound = job.spans.find((s) => s.side === 'outbound')!;
    const below = job.spans.filter((s) => s === outbound || s.service === 'b');
    const span = { ...job.spans[0]!, role: '', side: '', spanId: 0x777n, parentId: 0n } as const;
    const seen = one([
      span,
      ...below.map((s) => (s === outbound ? { ...s, parentId: 0x777n } : s)),
    ]);
    assert.deepEqual(seen.reasons, []);
    assert.equal(seen.durationNs, outbound.durationNs);
  });

  it('bounds what it looks at in one trace', () => {
    const made = chain();
    const leaf = made.spans.at(-1)!;
    const many = Array.from({ length: 3000 }, (_, i) => ({
      ...leaf,
      spanId: BigInt(i + 1) << 12n,
    }));
    const seen = one([...made.spans, ...many]);
    assert.ok(seen.reasons.includes('too_large'));
  });
});

describe('OpenTraces', () => {
  it('closes a trace only when the stream has passed its end by half a minute', () => {
    const closed: string[] = [];
    const traces = new OpenTraces(0, ({ traceKey }) => closed.push(traceKey));
    const made = chain();
    traces.add(blockOf(made.spans));
    const endMs = Math.max(...made.spans.map((s) => s.startNs + s.durationNs)) / 1e6;
    traces.closeUntil(endMs + 29_999);
    assert.equal(closed.length, 0);
    assert.equal(traces.oldestMs, made.spans[0]!.startNs / 1e6);
    traces.closeUntil(endMs + 30_001);
    assert.equal(closed.length, 1);
    assert.equal(traces.oldestMs, Infinity);
  });

  it('gathers a trace over several blocks and reuses freed rows', () => {
    const totals: number[][] = [];
    const traces = new OpenTraces(0, ({ segments }) => totals.push([...segments.totals]));
    const made = chain();
    for (let round = 0; round < 3; round++) {
      for (const span of made.spans) traces.add(blockOf([span]));
      traces.closeAll();
    }
    assert.equal(totals.length, 3);
    assert.deepEqual(totals[0], totals[2]);
    assert.equal(
      totals[0]!.reduce((a, b) => a + b, 0),
      made.durationNs,
    );
  });

  it('closes what lasts too long as it stands, and says so', () => {
    const reasons: IncompleteReason[][] = [];
    const traces = new OpenTraces(0, ({ split: s }) => reasons.push(reasonsOf(s.incomplete)));
    traces.add(blockOf(chain().spans));
    traces.closeBegunBefore(10_000);
    assert.deepEqual(reasons, [['closed_early']]);
  });

  it('does not keep a trace id open that every request of a client has', () => {
    const reasons: IncompleteReason[][] = [];
    const traces = new OpenTraces(0, ({ split: s }) => reasons.push(reasonsOf(s.incomplete)));
    const { spans } = chain();
    for (let minute = 0; minute < 5; minute++) {
      const again = spans.slice(0, 2).map((span, i) => ({
        ...span,
        spanId: span.spanId + BigInt(minute) * 0x10000n,
        parentId: i === 0 ? 0n : span.parentId + BigInt(minute) * 0x10000n,
        startNs: span.startNs + minute * 10e9,
      }));
      traces.add(blockOf(again));
      // Never half a minute without a new request.
      traces.closeUntil(minute * 10_000 + 12_000);
      assert.ok(traces.size <= 1);
    }
    traces.closeAll();
    assert.ok(reasons.length > 1);
    assert.ok(reasons[0]!.includes('several_roots'));
  });

  it('keeps no more rows of one trace than it looks at, and counts the others', () => {
    let closed = 0;
    const traces = new OpenTraces(0, () => closed++);
    const [root] = chain().spans;
    for (let i = 0; i < 20; i++) {
      traces.add(
        blockOf(
          Array.from({ length: 500 }, (_, k) => ({
            ...root!,
            spanId: BigInt(i * 500 + k + 1) << 8n,
          })),
        ),
      );
    }
    assert.equal(traces.rowsLeftOut, 20 * 500 - 1001);
    traces.closeUntil(1000);
    assert.deepEqual([closed, traces.size], [1, 0]);
  });

  it('keeps no texts that only spans of applications have', () => {
    const traces = new OpenTraces(0, () => undefined);
    const { spans } = chain();
    traces.add(blockOf(spans));
    const known = traces.names.texts.length;
    traces.add(
      blockOf(
        Array.from({ length: 100 }, (_, i) => ({
          ...spans[0]!,
          role: '' as const,
          side: '' as const,
          route: `/carts/${i}`,
          spanId: BigInt(i + 1) << 40n,
        })),
      ),
    );
    assert.equal(traces.names.texts.length, known);
  });

  it("hands out no trace of an application's spans alone", () => {
    const traces = new OpenTraces(0, () => assert.fail('a trace without a hop'));
    traces.add(blockOf([{ ...chain().spans[0]!, role: '', side: '' }]));
    traces.closeAll();
  });
});

/** edge -> a (inbound) -> a (outbound) -> b (inbound), one call each. */
function chain(): MadeTrace {
  const random = seededRandom(3);
  const base = (service: string, side: MadeSpan['side'], role: MadeSpan['role']): MadeSpan => ({
    traceId: Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join(''),
    spanId: 0n,
    parentId: 0n,
    startNs: 0,
    durationNs: 0,
    role,
    side,
    edgeClass: 'loopback',
    service,
    clock: service,
    ownNs: 0,
    waitNs: 0,
    backoffNs: 0,
    attempts: [],
    phases: [],
    route: '/',
  });
  const spans = [
    base('edge', 'ingress', 'gateway'),
    base('a', 'inbound', 'sidecar'),
    base('a', 'outbound', 'sidecar'),
    base('b', 'inbound', 'sidecar'),
  ];
  spans.forEach((span, i) => {
    span.traceId = spans[0]!.traceId;
    span.spanId = BigInt(i + 1) << 8n;
    span.parentId = i === 0 ? 0n : (BigInt(i) << 8n) ^ 1n;
    span.startNs = 5e9 + i * 1e6;
    span.durationNs = 20e6 - 2 * i * 1e6;
    span.ownNs = 500_000;
    // From a quarter of a millisecond in, up to a quarter before the end.
    span.attempts = [
      {
        startNs: 250_000,
        ns: span.durationNs - 500_000,
        waitNs: 0,
        status: 200,
        bits: span.side === 'inbound' ? 2 : 3,
      },
    ];
  });
  return { spans, durationNs: spans[0]!.durationNs, truth: {} as MadeTrace['truth'] };
}

function isLeafOutbound(span: MadeSpan, made: MadeTrace): boolean {
  return (
    span.side === 'outbound' && !made.spans.some((s) => s.parentId >> 4n === span.spanId >> 4n)
  );
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}
