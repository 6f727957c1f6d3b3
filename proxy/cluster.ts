/**
 * A cluster at run time: round robin over its endpoints, one pool of idle connections each, and the
 * count of requests in flight. Connections are taken last in, first out, so that a pool shrinks to
 * what is needed and the youngest connection, the least likely to be closing, is used first.
 */
import type { Cluster } from '../mesh/part.ts';
import type { Deadlines } from './deadlines.ts';
import type { Limits } from './limits.ts';
import { UpstreamConnection, type Pool } from './upstream.ts';

export class ClusterRuntime {
  readonly cluster: Cluster;
  readonly #pools: readonly (Pool & { idleMax: number })[];
  readonly #requestsMax: number;
  #next = 0;
  #inFlight = 0;

  constructor(cluster: Cluster, limits: Limits, deadlines: Deadlines) {
    this.cluster = cluster;
    this.#requestsMax = limits.requestsPerCluster;
    this.#pools = cluster.endpoints.map((endpoint) => ({
      endpoint,
      idle: [],
      idleMax: limits.poolPerEndpoint,
      idleTimeoutMs: limits.upstreamIdleTimeoutMs,
      deadlines,
    }));
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Counts a request in; false when the cluster has as many as it may. Pairs with `leave`. */
  enter(): boolean {
    if (this.#inFlight >= this.#requestsMax) return false;
    this.#inFlight++;
    return true;
  }

  leave(): void {
    this.#inFlight--;
  }

  /** A connection to the next endpoint: an idle one, or one that begins to connect. */
  take(): UpstreamConnection {
    const pool = this.#nextPool();
    let connection;
    while ((connection = pool.idle.pop()) !== undefined) if (!connection.dead) return connection;
    return new UpstreamConnection(pool);
  }

  /** A new connection to the next endpoint, whatever is idle. */
  connect(): UpstreamConnection {
    return new UpstreamConnection(this.#nextPool());
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
