/**
 * Asks the endpoints of a cluster by itself whether they are well, and writes the answer into what the
 * balancer knows of each. No hop and no record: a check is not traffic. Asks for a path of an
 * application that no proxy stands before, else only for a connection, which with TLS means that the
 * handshake succeeds by our certificate.
 */
import { get } from 'node:http';
import { connect } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Endpoint, HealthCheckPart } from '../mesh/part.ts';
import type { Timers } from '../runtime/timers.ts';
import type { EndpointLoad } from './balancer.ts';

interface Checked {
  readonly endpoint: Endpoint;
  readonly load: EndpointLoad;
}

export class HealthChecks {
  readonly #part: HealthCheckPart;
  readonly #timers: Timers;
  readonly #tls: (() => ConnectionOptions) | undefined;
  readonly #endpoints: () => readonly Checked[];
  readonly #onChange: ((endpoint: Endpoint, isWell: boolean) => void) | undefined;
  /** Checks in a row that said the opposite of what counts now. */
  readonly #against = new WeakMap<EndpointLoad, number>();
  #cancel: () => void;
  #closed = false;

  /**
   * Begins at once. `tls`: of a connection, by the certificates of its moment; undefined: plain.
   * `endpoints`: those that there are at the time of a check. `onChange`: what counts is another now.
   */
  constructor(
    part: HealthCheckPart,
    timers: Timers,
    tls: (() => ConnectionOptions) | undefined,
    endpoints: () => readonly Checked[],
    onChange?: (endpoint: Endpoint, isWell: boolean) => void,
  ) {
    this.#part = part;
    this.#timers = timers;
    this.#tls = tls;
    this.#endpoints = endpoints;
    this.#onChange = onChange;
    this.#cancel = timers.after(0, () => void this.#round());
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #round(): Promise<void> {
    const { interval_ms: intervalMs, path, timeout_ms: timeoutMs } = this.#part;
    await Promise.all(
      this.#endpoints().map(async ({ endpoint, load }) => {
        const asked =
          path === undefined
            ? takesConnections(endpoint, this.#tls, timeoutMs)
            : answers(endpoint, path, timeoutMs);
        this.#note(endpoint, load, await asked.catch(() => false));
      }),
    );
    if (this.#closed) return;
    // A tenth by chance: the proxies of a mesh do not all ask at once.
    const pauseMs = intervalMs * (0.95 + this.#timers.random() / 10);
    this.#cancel = this.#timers.after(pauseMs, () => void this.#round());
  }

  #note(endpoint: Endpoint, load: EndpointLoad, isWell: boolean): void {
    if (isWell === load.healthy) {
      this.#against.delete(load);
      return;
    }
    const inARow = (this.#against.get(load) ?? 0) + 1;
    this.#against.set(load, inARow);
    const needed = isWell ? this.#part.healthy_after : this.#part.unhealthy_after;
    if (inARow < needed) return;
    load.healthy = isWell;
    this.#against.delete(load);
    this.#onChange?.(endpoint, isWell);
  }
}

/** True when GET `path` is answered by 200 to 399 in time. Never rejects. */
function answers({ host, port }: Endpoint, path: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const headers = { 'user-agent': 'azimuth-health-check' };
    const request = get({ host, port, path, agent: false, signal, headers }, (answer) => {
      const { statusCode = 0 } = answer;
      answer.on('error', () => resolve(false));
      answer.resume().on('end', () => resolve(statusCode >= 200 && statusCode < 400));
    });
    request.on('error', () => resolve(false));
  });
}

/** True when a connection comes about in time, with the handshake of `tls`. Rejects without its files. */
function takesConnections(
  { host, port }: Endpoint,
  tls: (() => ConnectionOptions) | undefined,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket =
      tls === undefined ? connect({ host, port }) : connectTls({ host, port, ...tls() });
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.on(tls === undefined ? 'connect' : 'secureConnect', () => {
      resolve(true);
      // In order: what is cut off within its handshake counts as refused at the other side.
      socket.destroySoon();
    });
    // 'close' follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}
