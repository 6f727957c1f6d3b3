/**
 * A delay at a known place of a mesh lab, in every second request: a positive control for whatever
 * claims to tell where the time went. Notes what it really waited.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startDelayRelay, type DelayRelay } from '../../demo/delay-relay.ts';
import type { Route, ProxyPart } from '../../mesh/part.ts';
import { Router } from '../../proxy/router.ts';

export const DELAY_PLACES = ['gateway', 'sidecar', 'application', 'wire'] as const;
export type DelayPlace = (typeof DELAY_PLACES)[number];

/** The workload at or before which it is injected, but for the gateway. */
export const DELAYED_WORKLOAD = 'cart';

const isDelayed = (pass: number): boolean => pass % 2 === 1;

type Match = (this: object, ...args: unknown[]) => Route | string;
const prototype = Router.prototype as unknown as { match: Match };

export class InjectedDelay {
  readonly place: DelayPlace;
  readonly ms: number;
  readonly #waitedMs: number[] = [];
  #relay: DelayRelay | undefined;
  #passes = 0;
  #requests = 0;
  #isWireDue = false;
  #restore: () => void = () => undefined;

  constructor(place: DelayPlace, ms: number) {
    this.place = place;
    this.ms = ms;
  }

  get waitedMs(): readonly number[] {
    return this.#relay?.waitedMs ?? this.#waitedMs;
  }

  /** Begins; `inboundPort` is that of the workload's sidecar. */
  async start(inboundPort: number): Promise<void> {
    if (this.place === 'wire') {
      this.#relay = await startDelayRelay(inboundPort, () => (this.#takeWire() ? this.ms : 0));
    } else if (this.place !== 'application') this.#slowRouters();
  }

  /** A request is about to be sent; one at a time. */
  beforeRequest(): void {
    this.#isWireDue = isDelayed(this.#requests++);
  }

  /** The first that the wire carries of a request: reads cannot be counted, a handshake has some. */
  #takeWire(): boolean {
    const isDue = this.#isWireDue;
    this.#isWireDue = false;
    return isDue;
  }

  stop(): void {
    this.#restore();
    this.#relay?.stop();
  }

  /** The part of a proxy that calls the workload by the delayed wire. */
  wired(part: ProxyPart, inboundPort: number): ProxyPart {
    const relay = this.#relay;
    if (relay === undefined) return part;
    const moved = (route: Route): Route => ({
      ...route,
      cluster: {
        ...route.cluster,
        endpoints: route.cluster.endpoints.map(({ host, port }) => ({
          host,
          port: port === inboundPort ? relay.port : port,
        })),
      },
    });
    return {
      ...part,
      listeners: part.listeners.map((listener) => ({
        ...listener,
        routes: listener.routes.map(moved),
      })),
    };
  }

  /** Called by each application that begins to work. */
  async atWork(workload: string): Promise<void> {
    if (this.place !== 'application' || workload !== DELAYED_WORKLOAD) return;
    if (!isDelayed(this.#passes++)) return;
    const fromMs = performance.now();
    await sleep(this.ms);
    this.#waitedMs.push(performance.now() - fromMs);
  }

  /** A proxy that is slow while it looks for a route: nothing else runs in it meanwhile. */
  #slowRouters(): void {
    const real = prototype.match;
    // The first router that is asked at all is that of the entrance.
    let entrance: object | undefined;
    const passes = (router: object, found: Route | string): boolean => {
      entrance ??= router;
      if (this.place === 'gateway') return router === entrance;
      return (
        typeof found === 'object' &&
        found.cluster.name === DELAYED_WORKLOAD &&
        !found.cluster.meshed
      );
    };
    const block = (): void => {
      const fromMs = performance.now();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, this.ms);
      this.#waitedMs.push(performance.now() - fromMs);
    };
    const isDue = (): boolean => isDelayed(this.#passes++);
    prototype.match = function (...args) {
      const found = real.apply(this, args);
      if (passes(this, found) && isDue()) block();
      return found;
    };
    this.#restore = () => {
      prototype.match = real;
    };
  }
}
