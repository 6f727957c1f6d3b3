/**
 * A cluster at run time: round robin over its endpoints, one pool of idle connections each, and the
 * count of requests in flight. Connections are taken last in, first out, so that a pool shrinks to
 * what is needed and the youngest connection, the least likely to be closing, is used first.
 */
import type { Cluster } from '../mesh/part.ts';
import type { Deadlines } from './deadlines.ts';
import type { Credentials } from './identity/credentials.ts';
import type { Limits } from './limits.ts';
import { UpstreamConnection, type Pool } from './upstream.ts';

/** One endpoint, as it crosses process borders. */
export interface EndpointSnapshot {
  readonly host: string;
  readonly port: number;
  readonly connections: {
    /** The other three together. */
    readonly open: number;
    readonly connecting: number;
    readonly idle: number;
    readonly active: number;
  };
  /** Since the cluster was made. */
  readonly connects: number;
  readonly connect_failures: number;
  readonly attempts: number;
}

/** A cluster, as it crosses process borders. Counts are since it was made. */
export interface ClusterSnapshot {
  readonly name: string;
  readonly meshed: boolean;
  readonly requests: number;
  readonly requests_in_flight: number;
  readonly requests_max: number;
  /** Requests turned away because so many were in flight, or waited for a connection. */
  readonly overflows: number;
  readonly endpoints: readonly EndpointSnapshot[];
}

export class ClusterRuntime {
  readonly cluster: Cluster;
  readonly #pools: readonly (Pool & { idleMax: number })[];
  readonly #requestsMax: number;
  readonly #pendingMax: number;
  #next = 0;
  #inFlight = 0;
  #requests = 0;
  #overflows = 0;
  /** Requests in flight whose connection is not established. */
  #pending = 0;

  constructor(cluster: Cluster, limits: Limits, deadlines: Deadlines, credentials: Credentials) {
    const { name, tls } = cluster;
    this.cluster = cluster;
    this.#requestsMax = limits.requestsPerCluster;
    this.#pendingMax = limits.pendingPerCluster;
    this.#pools = cluster.endpoints.map((endpoint) => ({
      endpoint,
      idle: [],
      idleMax: limits.poolPerEndpoint,
      idleTimeoutMs: limits.upstreamIdleTimeoutMs,
      deadlines,
      tls: tls === undefined ? undefined : () => credentials.ofCluster(name, tls),
      epoch: 0,
      counters: { open: 0, connecting: 0, connects: 0, connectFailures: 0, attempts: 0 },
    }));
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** As `/clusters` shows it. */
  snapshot(): ClusterSnapshot {
    const { name, meshed } = this.cluster;
    return {
      name,
      meshed,
      requests: this.#requests,
      requests_in_flight: this.#inFlight,
      requests_max: this.#requestsMax,
      overflows: this.#overflows,
      endpoints: this.#endpoints(),
    };
  }

  #endpoints(): EndpointSnapshot[] {
    return this.#pools.map(({ endpoint, idle, counters }) => {
      // A connection that died in the pool stays listed until it is next taken.
      const idleNow = idle.reduce((sum, connection) => sum + (connection.dead ? 0 : 1), 0);
      return {
        ...endpoint,
        connections: {
          open: counters.open,
          connecting: counters.connecting,
          idle: idleNow,
          active: Math.max(0, counters.open - counters.connecting - idleNow),
        },
        connects: counters.connects,
        connect_failures: counters.connectFailures,
        attempts: counters.attempts,
      };
    });
  }

  /** Counts a request in; false when the cluster has as many as it may. Pairs with `leave`. */
  enter(): boolean {
    if (this.#inFlight >= this.#requestsMax) {
      this.#overflows++;
      return false;
    }
    this.#requests++;
    this.#inFlight++;
    return true;
  }

  leave(): void {
    this.#inFlight--;
  }

  /** A request waits for its connection. Pairs with `connectEnds`. */
  connectBegins(): void {
    this.#pending++;
  }

  connectEnds(): void {
    this.#pending--;
  }

  /**
   * A connection to the next endpoint: an idle one, or one that begins to connect; undefined when
   * as many connect as may.
   */
  take(): UpstreamConnection | undefined {
    const pool = this.#nextPool();
    let connection;
    while ((connection = pool.idle.pop()) !== undefined) if (!connection.dead) return connection;
    if (this.#pending < this.#pendingMax) return new UpstreamConnection(pool);
    this.#overflows++;
    return undefined;
  }

  /** A new connection to the next endpoint, whatever is idle. */
  connect(): UpstreamConnection {
    return new UpstreamConnection(this.#nextPool());
  }

  /** Certificates changed: connections made by the old ones end with the request they carry. */
  renew(): void {
    for (const pool of this.#pools) {
      pool.epoch++;
      for (const connection of pool.idle.splice(0)) connection.release(false);
    }
  }

  /** Ends idle connections, and each busy one with its request: the cluster is not used again. */
  close(): void {
    for (const pool of this.#pools) {
      pool.idleMax = 0;
      for (const connection of pool.idle.splice(0)) connection.release(false);
    }
  }

  #nextPool(): Pool {
    const pool = this.#pools[this.#next]!;
    if (++this.#next === this.#pools.length) this.#next = 0;
    return pool;
  }
}
