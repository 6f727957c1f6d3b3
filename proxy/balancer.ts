/**
 * Which of several endpoints gets the next attempt, learned from what became of those before: pure,
 * without sockets and clock of its own, so that tests run it on a virtual one.
 *
 * Of two endpoints picked by chance the less loaded one: load is the latency that it is expected to
 * have, times the requests that it holds and this one (peak EWMA, as in Finagle and Linkerd). A fast
 * failure counts as a slow answer, or an endpoint that answers 503 at once would draw all requests.
 * That alone would keep it away long after it is well, and never show whether it is dead: so whoever
 * failed is given one request soon, and what becomes of that one counts.
 *
 *   up ◄──(failure: one request 100 ms later)──► suspect
 *    ▲                                             │ failures in a row
 *    │                                             ▼
 *    └──(success)── probation: one request ◄──── ejected
 *                        └──(failure: twice as long)─┘▲
 *
 * Never the last one: an endpoint is ejected only while another one is up. Where active checks leave
 * none, all count as up again: to ask a sick service is better than to ask nobody.
 */
import type { OutliersPart } from '../mesh/part.ts';

/** What became of an attempt. */
export type AttemptOutcome =
  /** An answer that says nothing against the endpoint, also a 404. */
  | 'success'
  /** 429, or a server error of the application: it is alive, and not to be preferred for its speed. */
  | 'refusal'
  /** No answer, or one that says that there is none: 502, 503, 504. Counts towards ejection. */
  | 'failure'
  /** Ended for a reason of ours or the client's: its time is a lower bound, nothing more. */
  | 'unknown';

/** Time in which an older latency loses two thirds of its weight. Finagle's and Linkerd's. */
const DECAY_MS = 10_000;
/** Latency that a refusal or failure stands for: far above what a healthy endpoint of a mesh has. */
const PENALTY_MS = 1_000;
/** After a failure that did not lead to ejection: when it is asked again. Five of them are half a second. */
const SUSPECT_MS = 100;
/** An endpoint that was never asked gets one request at once, then waits for the answer to it. */
const UNTRIED_MS = 1_000;

/** What is known of one endpoint. Its fields belong to the balancer. */
export class EndpointLoad {
  /** Requests that it holds. */
  inFlight = 0;
  /** Attempts that were counted against it in a row. */
  failuresInRow = 0;
  /** False while active health checks fail. */
  healthy = true;
  /** Until when it gets nothing; 0: it is not ejected. */
  ejectedUntilMs = 0;
  /** From when on one request shows whether it is well again; 0: nobody doubts it. */
  trialAtMs = 0;
  /** That request is on its way. */
  probing = false;
  /** Ejections since it last did well, and since the start. */
  ejectionsInRow = 0;
  ejections = 0;
  /** Expected latency as of `costAtMs`; 0: it was never asked. */
  costMs = 0;
  costAtMs = 0;
}

/** Whatever has a load: a pool of connections. */
export interface Balanced {
  readonly load: EndpointLoad;
}

export interface BalancerSettings<E> {
  readonly outliers: OutliersPart;
  /** In order instead of by load. */
  readonly roundRobin: boolean;
  /** 0 <= x < 1. */
  readonly random: () => number;
  /** It gets nothing for so long, then one request. */
  readonly onEjected?: (endpoint: E, forMs: number) => void;
  /** It is up again: its probe was answered, or else no other endpoint is up. */
  readonly onReturned?: (endpoint: E, isWell: boolean) => void;
}

export class Balancer<E extends Balanced> {
  readonly #settings: BalancerSettings<E>;
  #endpoints: readonly E[] = [];
  #next = 0;

  constructor(settings: BalancerSettings<E>) {
    this.#settings = settings;
  }

  /** The endpoints that there are now, at least one; those that stay keep what is known of them. */
  set endpoints(endpoints: readonly E[]) {
    this.#endpoints = endpoints;
  }

  /** The endpoint for an attempt at `nowMs`; not `other` where there is a choice. */
  pick(nowMs: number, other?: E): E {
    const endpoints = this.#endpoints;
    if (endpoints.length === 1) return endpoints[0]!;
    let up = 0;
    for (const endpoint of endpoints) {
      const { load } = endpoint;
      if (isOnTrial(load, nowMs) && endpoint !== other) return endpoint;
      if (isUp(load) && endpoint !== other) up++;
    }
    // None to choose from: whoever is up, and else all.
    if (up > 0) return this.#among(up, nowMs, (one) => isUp(one.load) && one !== other);
    if (other !== undefined && isUp(other.load)) return other;
    return this.#among(endpoints.length, nowMs, () => true);
  }

  /** An attempt begins at an endpoint that `pick` gave. True when it is the probe: tell `ends`. */
  begins({ load }: E, nowMs: number): boolean {
    load.inFlight++;
    if (!isOnTrial(load, nowMs)) return false;
    load.probing = true;
    return true;
  }

  /** An attempt of `latencyMs` ended at `nowMs`: to the first byte of its answer, or its end. */
  ends(
    endpoint: E,
    nowMs: number,
    latencyMs: number,
    outcome: AttemptOutcome,
    wasProbe: boolean,
  ): void {
    const { load } = endpoint;
    load.inFlight--;
    if (wasProbe) load.probing = false;
    const counts = outcome === 'refusal' || outcome === 'failure';
    this.#learn(load, nowMs, counts ? Math.max(latencyMs, PENALTY_MS) : latencyMs, outcome);
    if (outcome === 'unknown') return;
    if (outcome !== 'failure') {
      // While it is ejected, only its probe speaks for it: others were on their way before.
      if (load.ejectedUntilMs > 0 && !wasProbe) return;
      if (wasProbe) {
        load.ejectionsInRow = 0;
        // What it was is no measure of what it is: it begins as one of the others.
        load.costMs = latencyMs;
      }
      const wasEjected = load.ejectedUntilMs > 0;
      load.failuresInRow = 0;
      load.ejectedUntilMs = 0;
      load.trialAtMs = 0;
      if (wasEjected) this.#settings.onReturned?.(endpoint, true);
      return;
    }
    load.failuresInRow++;
    if (load.ejectedUntilMs > 0 && !wasProbe) return;
    load.trialAtMs = nowMs + SUSPECT_MS;
    const wasEjected = load.ejectedUntilMs > 0;
    if (wasEjected || load.failuresInRow >= this.#settings.outliers.failures) {
      this.#eject(endpoint, nowMs);
    }
  }

  /** Requests that are held, and how slow the endpoint is: the less, the better. */
  loadOf(load: EndpointLoad, nowMs: number): number {
    if (load.costMs === 0) return load.inFlight === 0 ? 0 : UNTRIED_MS * (load.inFlight + 1);
    const decayed = load.costMs * Math.exp(-Math.max(0, nowMs - load.costAtMs) / DECAY_MS);
    return decayed * (load.inFlight + 1);
  }

  #learn(load: EndpointLoad, nowMs: number, latencyMs: number, outcome: AttemptOutcome): void {
    const passedMs = Math.max(0, nowMs - load.costAtMs);
    const weight = Math.exp(-passedMs / DECAY_MS);
    const known = load.costMs * weight;
    // A peak counts at once, and is forgotten slowly; what is only a lower bound never speaks for it.
    if (latencyMs > known) load.costMs = latencyMs;
    else if (outcome !== 'unknown') load.costMs = known + latencyMs * (1 - weight);
    else return;
    load.costAtMs = nowMs;
  }

  #eject(endpoint: E, nowMs: number): void {
    const { load } = endpoint;
    const anotherIsUp = this.#endpoints.some((one) => one !== endpoint && isUp(one.load));
    if (!anotherIsUp) {
      const wasEjected = load.ejectedUntilMs > 0;
      load.ejectedUntilMs = 0;
      if (wasEjected) this.#settings.onReturned?.(endpoint, false);
      return;
    }
    const { eject_ms: baseMs, eject_max_ms: maxMs } = this.#settings.outliers;
    const most = Math.min(maxMs, baseMs * 2 ** Math.min(load.ejectionsInRow, 16));
    load.ejectionsInRow++;
    load.ejections++;
    // Half by chance: proxies that ejected it together do not all come back together.
    const forMs = most * (0.5 + this.#settings.random() / 2);
    load.ejectedUntilMs = nowMs + forMs;
    load.trialAtMs = load.ejectedUntilMs;
    this.#settings.onEjected?.(endpoint, forMs);
  }

  /** One of the `count` endpoints that are `eligible`. */
  #among(count: number, nowMs: number, eligible: (endpoint: E) => boolean): E {
    const { roundRobin, random } = this.#settings;
    if (roundRobin || count === 1) {
      for (;;) {
        const endpoint = this.#endpoints[this.#next++ % this.#endpoints.length]!;
        if (eligible(endpoint)) return endpoint;
      }
    }
    const first = Math.floor(random() * count);
    const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
    let a: E | undefined;
    let b: E | undefined;
    let seen = 0;
    for (const endpoint of this.#endpoints) {
      if (!eligible(endpoint)) continue;
      if (seen === first) a = endpoint;
      if (seen === second) b = endpoint;
      seen++;
    }
    return this.loadOf(a!.load, nowMs) <= this.loadOf(b!.load, nowMs) ? a! : b!;
  }
}

const isUp = (load: EndpointLoad): boolean => load.healthy && load.ejectedUntilMs === 0;

const isOnTrial = (load: EndpointLoad, nowMs: number): boolean =>
  load.trialAtMs > 0 && nowMs >= load.trialAtMs && !load.probing && load.healthy;

/** In a word, for `/clusters`. */
export function stateOf(load: EndpointLoad): 'up' | 'ejected' | 'unhealthy' {
  if (!load.healthy) return 'unhealthy';
  return load.ejectedUntilMs > 0 ? 'ejected' : 'up';
}
