/**
 * A peer that runs, with a collector of its own, and what was measured of it. Here is how one slice
 * of load is measured: an exact number of requests, the CPU from before the first to after the last
 * of their spans has left, and how much of either core others took meanwhile. A slice that others
 * disturbed is thrown away and measured again, as long as there is patience; after that the least
 * disturbed is kept, and counted as such.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectionsOf, coreBusyS, endedChildrenS, exactCpuUs } from './cpu.ts';
import { saturate, type Headers } from './load.ts';
import type { OurLedger, Peer, Running } from './peer.ts';
import { firstLine, getJson, pinned, rssMib, sleep, startNode } from './processes.ts';

/** Share of the proxy's core, and of the load's, that others may take in a slice that counts. */
const OTHERS_ON_PROXY_CORE_MAX = 0.05;
const OTHERS_ON_LOAD_CORE_MAX = 0.1;
const TRIES_MAX = 4;
/** In all of a run; then slices are kept as they come. */
const PATIENCE_S = 60;

/** What happens around the subjects, the same for all. */
export interface Surroundings {
  readonly h2load: string | undefined;
  readonly connections: number;
  upstreamPort: number;
  /** Processes on the load's core that are not the load: upstream, collectors. */
  readonly around: number[];
  readonly scratch: string;
}

export type Condition = 'healthy' | '50ms' | '250ms' | 'away';

export interface Subject {
  readonly peer: Peer;
  readonly running: Running;
  readonly sink: { readonly port: number; readonly control: number };
  /** All of its processes. */
  readonly pids: readonly number[];
  /** Of those, the ones that carry requests. */
  readonly workers: readonly number[];
  /** Requests answered since its start. */
  requests: number;
  perSecond: number;
  readonly slices: Slice[];
  readonly browserSlices: Slice[];
  readonly p50: number[];
  readonly p99: number[];
  idleRss: number;
  rss: number;
  readonly delivered: Partial<Record<Condition, number>>;
  /** Largest share of the connections that one worker had. */
  largestShare: number;
}

export interface Slice {
  readonly cpuUs: number;
  readonly perSecond: number;
  /** Share of a core that the proxy had: below 0.95 the load was the limit, or others were. */
  readonly busy: number;
  /** Share of the proxy's core, and of the load's, that others had. */
  readonly othersProxy: number;
  readonly othersLoad: number;
}

export const isQuiet = (slice: Slice): boolean =>
  slice.othersProxy <= OTHERS_ON_PROXY_CORE_MAX && slice.othersLoad <= OTHERS_ON_LOAD_CORE_MAX;

/** Starts a peer with its collector. */
export async function begin(peer: Peer, to: Surroundings): Promise<Subject> {
  const folder = join(to.scratch, peer.key);
  mkdirSync(folder);
  const collector = startNode(1, 'lib/span-sink.ts', []);
  const sink = await firstLine<Subject['sink']>(collector);
  if (collector.pid !== undefined) to.around.push(collector.pid);
  const { upstreamPort } = to;
  const running = await peer.run({ upstreamPort, collectorPort: sink.port, folder });
  const { pid } = running.child;
  if (pid === undefined) throw new Error(`${peer.name} did not start`);
  const workers = (await running.ledgers?.())?.map((ledger) => ledger.pid) ?? [pid];
  const pids = [...new Set([pid, ...workers])];
  return {
    peer,
    running,
    sink,
    pids,
    workers,
    requests: 0,
    perSecond: 0,
    slices: [],
    browserSlices: [],
    p50: [],
    p99: [],
    idleRss: rssMib(pids),
    rss: 0,
    delivered: {},
    largestShare: 0,
  };
}

/** Spans that have arrived at a subject's collector. */
export const spansAt = async (subject: Subject): Promise<number> =>
  (await getJson<{ spans: number }>(subject.sink.control, '/count')).spans;

/** Our own ledgers of a subject; none when it is not ours. */
export const ledgersOf = async (subject: Subject): Promise<readonly OurLedger[]> =>
  (await subject.running.ledgers?.()) ?? [];

export interface SliceOptions {
  readonly headers?: Headers;
  /** Take it as it comes. */
  readonly anyway?: boolean;
}

/** Measures slices of load. */
export class Slicer {
  readonly #to: Surroundings;
  #patienceMs = PATIENCE_S * 1000;
  /** Slices thrown away so far. */
  discarded = 0;

  constructor(to: Surroundings) {
    this.#to = to;
  }

  /** One slice of `requests`, an undisturbed one if it can be had. */
  async slice(subject: Subject, requests: number, options: SliceOptions = {}): Promise<Slice> {
    let best: Slice | undefined;
    for (let tries = 1; ; tries++) {
      const startMs = performance.now();
      const slice = await this.#measure(subject, requests, {
        ...subject.peer.headers,
        ...options.headers,
      });
      if (best !== undefined) this.discarded++;
      if (best === undefined || disturbance(slice) < disturbance(best)) best = slice;
      if (isQuiet(slice) || options.anyway === true || tries === TRIES_MAX) return best;
      if (this.#patienceMs <= 0) return best;
      this.#patienceMs -= performance.now() - startMs;
    }
  }

  async #measure(subject: Subject, requests: number, headers: Headers): Promise<Slice> {
    const { h2load, connections } = this.#to;
    const spansBefore = await spansAt(subject);
    const before = this.#cores(subject);
    const { port } = subject.running;
    const isTls = subject.peer.isTls === true;
    const loading = saturate(h2load, port, connections, requests, headers, isTls);
    if (subject.workers.length > 1) await this.#noteShares(subject);
    const load = await loading;
    const after = this.#cores(subject);
    subject.requests += requests;
    subject.perSecond = requests / load.seconds;
    await exported(subject, spansBefore + requests * subject.peer.spansPerRequest);
    const proxyS = (after.proxyUs - before.proxyUs) / 1e6;
    const loadS = after.loadS - before.loadS;
    const others = (core: 0 | 1, ownS: number): number =>
      pinned ? Math.max(0, after.busyS[core] - before.busyS[core] - ownS) / load.seconds : 0;
    return {
      cpuUs: (exactCpuUs(subject.pids) - before.proxyUs) / requests,
      perSecond: subject.perSecond,
      busy: proxyS / load.seconds,
      othersProxy: others(0, proxyS),
      othersLoad: others(1, loadS),
    };
  }

  #cores(subject: Subject) {
    const around = exactCpuUs([process.pid, ...this.#to.around]) / 1e6;
    return {
      proxyUs: exactCpuUs(subject.pids),
      loadS: around + endedChildrenS(),
      busyS: [coreBusyS(0), coreBusyS(1)] as const,
    };
  }

  /** As soon as all connections are there: a share of the first few says nothing. */
  async #noteShares(subject: Subject): Promise<void> {
    const { port } = subject.running;
    for (let tries = 0; tries < 5; tries++) {
      await sleep(100);
      const counts = subject.workers.map((pid) => connectionsOf(pid, port));
      const all = counts.reduce((sum, n) => sum + n, 0);
      if (all !== this.#to.connections) continue;
      subject.largestShare = Math.max(subject.largestShare, Math.max(...counts) / all);
      return;
    }
  }
}

const disturbance = (slice: Slice): number => slice.othersProxy + slice.othersLoad;

/**
 * Waits until all spans that are due have arrived, or nothing has arrived for so long that they were
 * lost: the CPU of their export belongs to the slice.
 */
async function exported(subject: Subject, due: number): Promise<void> {
  if (subject.peer.spansPerRequest === 0) return;
  const QUIET_MS = 1_500;
  const MOST_MS = 8_000;
  // What is below a batch may lie for as long as the peer's exporter likes: it is not the slice's cost.
  const enough = due - 16;
  const endMs = performance.now() + MOST_MS;
  let seen = -1;
  let quietSinceMs = performance.now();
  while (performance.now() < endMs && performance.now() - quietSinceMs < QUIET_MS) {
    const spans = await spansAt(subject);
    if (spans >= enough) return;
    if (spans !== seen) quietSinceMs = performance.now();
    seen = spans;
    await sleep(40);
  }
}
