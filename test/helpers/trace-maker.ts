/**
 * Makes traces whose segments are known: each is built forward in time from pieces (own time, wire,
 * work, calls), and the truth is the sum of those pieces. Shares no formula with the attribution.
 */
import type { EDGE_CLASSES } from '../../telemetry/edge-class.ts';
import type { FUNCTIONS } from '../../telemetry/hop-record.ts';
import { SEGMENT_KINDS, type SegmentKind } from '../../analytics/attribution/segments.ts';

export interface MadeAttempt {
  startNs: number;
  ns: number;
  waitNs: number;
  status: number;
  bits: number;
}

/** One row; `startNs` counts from the base of the reader. */
export interface MadeSpan {
  traceId: string;
  spanId: bigint;
  parentId: bigint;
  startNs: number;
  durationNs: number;
  /** '' for an application's span, which is no hop. */
  role: '' | 'gateway' | 'sidecar';
  side: '' | 'ingress' | 'inbound' | 'outbound';
  edgeClass: (typeof EDGE_CLASSES)[number];
  service: string;
  clock: string;
  ownNs: number;
  waitNs: number;
  backoffNs: number;
  attempts: MadeAttempt[];
  phases: readonly (readonly [function_: (typeof FUNCTIONS)[number], ns: number])[];
  route: string;
}

export type Truth = Record<SegmentKind, number>;

export interface MadeTrace {
  readonly spans: MadeSpan[];
  readonly truth: Truth;
  readonly durationNs: number;
}

export type Topology = 'separate' | 'attached' | 'shared' | 'merged';

/** What calls: decides the edge class of the inbound hop that it reaches. */
type Caller = 'gateway' | 'bff' | 'gateway_bff' | 'workload';
type Next = 'inbound' | 'outbound' | 'workload' | 'outside' | 'unreachable';

interface HopToMake {
  parentId: bigint;
  role: 'gateway' | 'sidecar';
  side: 'ingress' | 'inbound' | 'outbound';
  edgeClass: MadeSpan['edgeClass'];
  service: string;
  /** What this hop calls for. */
  caller: Caller;
  waitNs: number;
  depth: number;
  next: Next;
}

const MESHED_ANSWERED = 3;
const ANSWERED = 2;
const MESHED = 1;

export interface MakerOptions {
  readonly topology: Topology;
  /** Hop depth below the gateway. */
  readonly depth: number;
  /** Share of calls that have application spans above them. */
  readonly applicationSpans?: number;
  /** Each workload's host has a clock off by up to this much, nanoseconds. */
  readonly skewNs?: number;
  /** Instant of the first byte, nanoseconds since the base. */
  readonly startNs?: number;
  readonly waits?: boolean;
}

/** One trace. `random` gives [0, 1). */
export function makeTrace(random: () => number, options: MakerOptions): MadeTrace {
  return new Maker(random, options).trace();
}

class Maker {
  readonly #random: () => number;
  readonly #options: MakerOptions;
  readonly #spans: MadeSpan[] = [];
  readonly #truth = Object.fromEntries(SEGMENT_KINDS.map((kind) => [kind, 0])) as Truth;
  readonly #skews = new Map<string, number>();
  readonly #traceId: string;
  #workloads = 0;

  constructor(random: () => number, options: MakerOptions) {
    this.#random = random;
    this.#options = options;
    this.#traceId = Array.from({ length: 32 }, () => this.#below(16).toString(16)).join('');
  }

  trace(): MadeTrace {
    const { topology, depth, startNs = 1_000_000_000 } = this.#options;
    const waits = this.#options.waits ?? true;
    const clientWait = waits && this.#chance(0.3) ? this.#ns(5_000_000) : 0;
    this.#truth.client_wait = clientWait;
    const merged = topology === 'merged';
    // In `shared` the gateway's sidecar serves the BFF too: to it that is one pass, to others two.
    const toBff = topology === 'shared' && this.#chance(0.7);
    const direct = topology === 'separate' || toBff;
    const root = this.#proxy(startNs, {
      parentId: 0n,
      role: merged ? 'sidecar' : 'gateway',
      side: 'ingress',
      edgeClass: merged ? 'external_to_bff' : 'external_to_gateway',
      service: merged ? BFF : 'edge',
      caller: merged ? 'gateway_bff' : 'gateway',
      waitNs: clientWait,
      depth,
      next: merged ? 'workload' : direct ? 'inbound' : 'outbound',
    });
    return { spans: this.#spans, truth: this.#truth, durationNs: root.durationNs };
  }

  /**
   * One hop from its first byte on. `waitNs` is client wait during its attempt; the hops below see
   * the same wait. Times inside are true times: the row's start is moved by its host's skew.
   */
  #proxy(atNs: number, hop: HopToMake): { durationNs: number } {
    const id = this.#hopId();
    const attempts: MadeAttempt[] = [];
    const span: MadeSpan = {
      traceId: this.#traceId,
      spanId: id,
      parentId: hop.parentId,
      startNs: atNs + this.#skewOf(hop),
      durationNs: 0,
      role: hop.role,
      side: hop.side,
      edgeClass: hop.edgeClass,
      service: hop.service,
      clock: this.#hostOf(hop),
      ownNs: 0,
      waitNs: hop.waitNs,
      backoffNs: 0,
      attempts,
      phases: [],
      route: '/r/{id}',
    };
    this.#spans.push(span);
    let now = atNs;
    const own = (most: number): void => {
      const ns = this.#ns(most);
      span.ownNs += ns;
      now += ns;
    };
    own(300_000);
    // Some attempts fail to connect before one succeeds.
    const tries = hop.next !== 'workload' && this.#chance(0.15) ? 1 + this.#below(3) : 1;
    for (let n = 1; n <= tries; n++) {
      const from = now;
      const failed = n < tries || hop.next === 'unreachable';
      if (failed) {
        const ns = this.#ns(2_000_000);
        now += ns;
        this.#truth.upstream += ns;
        attempts.push({ startNs: from - atNs, ns, waitNs: 0, status: 0, bits: MESHED });
        if (n < tries) {
          const pause = this.#ns(3_000_000);
          span.backoffNs += pause;
          this.#truth.backoff += pause;
          now += pause;
        }
        own(50_000);
        continue;
      }
      const attemptId = id ^ BigInt(n);
      let bits = MESHED_ANSWERED;
      switch (hop.next) {
        case 'outside': {
          const ns = this.#ns(20_000_000);
          this.#truth.upstream += ns;
          now += ns + hop.waitNs;
          bits = ANSWERED;
          break;
        }
        case 'workload':
          now = this.#workload(now, hop, attemptId, span.startNs - atNs);
          bits = ANSWERED;
          break;
        default: {
          const before = this.#ns(400_000);
          const after = this.#ns(200_000);
          this.#truth.wire += before + after;
          const below = this.#next(now + before, hop, attemptId);
          now += before + below.durationNs + after;
        }
      }
      attempts.push({
        startNs: from - atNs,
        ns: now - from,
        waitNs: hop.waitNs,
        status: 200,
        bits,
      });
      own(50_000);
    }
    if (hop.next === 'unreachable') span.waitNs = 0;
    span.durationNs = now - atNs;
    this.#account(span);
    return span;
  }

  /** The proxy that this one calls. */
  #next(atNs: number, hop: HopToMake, parentId: bigint): { durationNs: number } {
    const { topology } = this.#options;
    const { caller, waitNs, depth } = hop;
    if (hop.next === 'outbound') {
      return this.#proxy(atNs, {
        ...{ parentId, caller, waitNs, depth },
        role: 'sidecar',
        side: 'outbound',
        edgeClass: 'loopback',
        service: hop.service,
        next: 'inbound',
      });
    }
    const toBff = topology === 'shared' && hop.side === 'ingress';
    return this.#proxy(atNs, {
      ...{ parentId, waitNs },
      role: 'sidecar',
      side: 'inbound',
      edgeClass: toBff ? 'gateway_to_bff' : `${caller}_to_workload`,
      service: toBff ? BFF : `w${this.#workloads++}`,
      caller: toBff ? 'bff' : 'workload',
      depth: depth - 1,
      next: 'workload',
    });
  }

  /** A workload at work, calling others one after the other and side by side; returns its end. */
  #workload(atNs: number, hop: HopToMake, attemptId: bigint, skewNs: number): number {
    let now = atNs;
    let workNs = 0;
    const work = (): void => {
      const ns = this.#ns(4_000_000);
      workNs += ns;
      now += ns;
    };
    work();
    const groups = hop.depth > 0 ? this.#below(3) : 0;
    for (let g = 0; g < groups; g++) {
      const width = this.#chance(0.4) ? 2 + this.#below(3) : 1;
      const calls: { from: number; to: number }[] = [];
      let longest = now;
      for (let c = 0; c < width; c++) {
        const from = now + (c === 0 ? 0 : this.#ns(1_000_000));
        const outside = this.#chance(0.1);
        // The workload does not take the answer's bytes at once: its own time, not the call's.
        const slow = (this.#options.waits ?? true) && this.#chance(0.2) ? this.#ns(500_000) : 0;
        const call = this.#proxy(from, {
          parentId: this.#above(attemptId, from + skewNs, hop.service),
          role: 'sidecar',
          side: 'outbound',
          edgeClass: outside ? 'workload_to_external' : 'loopback',
          service: hop.service,
          caller: hop.caller,
          waitNs: slow,
          depth: hop.depth,
          next: outside ? 'outside' : this.#chance(0.05) ? 'unreachable' : 'inbound',
        });
        workNs += this.#spans.find((s) => s === call)!.waitNs;
        calls.push({ from, to: from + call.durationNs });
        longest = Math.max(longest, from + call.durationNs);
      }
      const busy = coveredNs(calls);
      const sum = calls.reduce((total, call) => total + call.to - call.from, 0);
      this.#truth.parallel_surplus -= sum - busy;
      // Between the starts of calls side by side nothing may be open: that is work.
      workNs += longest - now - busy;
      now = longest;
      work();
    }
    this.#truth.application += workNs;
    return now + hop.waitNs;
  }

  /** Parent of an outbound hop: the attempt itself, or an application's span (or two) below it. */
  #above(attemptId: bigint, startNs: number, service: string): bigint {
    let parentId = attemptId;
    const levels = this.#chance(this.#options.applicationSpans ?? 0.3) ? 1 + this.#below(2) : 0;
    for (let i = 0; i < levels; i++) {
      const spanId = this.#hopId() | BigInt(this.#below(16));
      this.#spans.push({
        ...EMPTY,
        traceId: this.#traceId,
        spanId,
        parentId,
        startNs,
        durationNs: this.#ns(1_000_000),
        service,
      });
      parentId = spanId;
    }
    return parentId;
  }

  #account(span: MadeSpan): void {
    if (span.role === 'gateway' || span.side === 'ingress') {
      const route = Math.floor(span.ownNs / 3);
      span.phases = [
        ['route', route],
        ['hygiene', Math.floor(span.ownNs / 5)],
      ];
      const functions = span.phases.reduce((sum, [, ns]) => sum + ns, 0);
      this.#truth.gateway += span.role === 'gateway' ? span.ownNs : functions;
      this.#truth.mesh += span.role === 'gateway' ? 0 : span.ownNs - functions;
    } else {
      this.#truth.mesh += span.ownNs;
    }
  }

  /** Each sidecar has a host of its own; in `shared` one serves the gateway and the BFF. */
  #hostOf({ side, service }: HopToMake): string {
    const together = this.#options.topology === 'shared' && side !== 'ingress';
    return `clock-${together && service === 'edge' ? BFF : service}`;
  }

  #skewOf(hop: HopToMake): number {
    const most = this.#options.skewNs ?? 0;
    const host = this.#hostOf(hop);
    let skew = this.#skews.get(host);
    if (skew === undefined) {
      skew = most === 0 ? 0 : this.#below(2 * most) - most;
      this.#skews.set(host, skew);
    }
    return skew;
  }

  #hopId(): bigint {
    const word = (): bigint => BigInt(this.#below(2 ** 32));
    return ((word() << 32n) | word()) & ~15n;
  }
  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
  #ns(most: number): number {
    return 1 + this.#below(most);
  }
  #chance(p: number): boolean {
    return this.#random() < p;
  }
}

/** The one BFF; the other workloads are w0, w1, … */
const BFF = 'bff';

const EMPTY = {
  role: '',
  side: '',
  edgeClass: 'unknown',
  clock: '',
  ownNs: 0,
  waitNs: 0,
  backoffNs: 0,
  attempts: [],
  phases: [],
  route: '',
} satisfies Partial<MadeSpan>;

/** Time during which at least one of the intervals is open: counts the open ones at each change. */
function coveredNs(intervals: readonly { from: number; to: number }[]): number {
  const changes = intervals
    .flatMap(({ from, to }) => [
      { at: from, by: 1 },
      { at: to, by: -1 },
    ])
    .sort((a, b) => a.at - b.at || b.by - a.by);
  let open = 0;
  let covered = 0;
  let since = 0;
  for (const { at, by } of changes) {
    if (open === 0) since = at;
    open += by;
    if (open === 0) covered += at - since;
  }
  return covered;
}
