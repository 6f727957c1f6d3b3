/**
 * A cluster at run time: its endpoints with a pool of idle connections each, among which a balancer
 * chooses where there are several, and the count of requests in flight. Connections are taken last
 * in, first out, so that a pool shrinks to what is needed and the youngest connection, the least
 * likely to be closing, is used first.
 */
import type { Cluster, Endpoint } from '../mesh/part.ts';
import { DEFAULT_OUTLIERS, DEFAULT_RETRY_BUDGET } from '../mesh/resilience.ts';
import type { Log } from '../runtime/log.ts';
import type { Timers } from '../runtime/timers.ts';
import type { AttemptRecord } from '../telemetry/hop-record.ts';
import { failureText, outcomeOf } from './attempt-outcome.ts';
import { Balancer, EndpointLoad, stateOf, type Balanced } from './balancer.ts';
import type { Deadlines } from './deadlines.ts';
import { DnsEndpoints } from './dns-endpoints.ts';
import { EndpointLog, type EndpointEjection } from './endpoint-log.ts';
import { HealthChecks } from './health-checks.ts';
import type { Credentials } from './identity/credentials.ts';
import type { Limits } from './limits.ts';
import type { MirrorCounts, MirrorSnapshot } from './mirror-counts.ts';
import { RetryBudget } from './retry-budget.ts';
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
  /** `ejected`: it failed, and gets one request now and then; `unhealthy`: health checks fail. */
  readonly state: 'up' | 'ejected' | 'unhealthy';
  readonly ejections: number;
  /** Absent where there was none. */
  readonly last_ejection?: EndpointEjection;
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
  /** Retries by the routes' rules, and those that the budget did not allow. */
  readonly retries: number;
  readonly retries_refused: number;
  /** Of a cluster of copies, which are no load; absent: its requests are requests. */
  readonly mirror?: MirrorSnapshot;
  readonly endpoints: readonly EndpointSnapshot[];
}

type ClusterPool = Pool & Balanced & { idleMax: number };

export class ClusterRuntime {
  readonly cluster: Cluster;
  /** Of the requests of routes that retry. */
  readonly retryBudget: RetryBudget;
  /** Present: what it carries are copies of requests. */
  readonly mirrors: MirrorCounts | undefined;
  #pools: readonly ClusterPool[];
  /** Undefined where there is nothing to choose. */
  readonly #balancer: Balancer<ClusterPool> | undefined;
  readonly #dns: DnsEndpoints | undefined;
  readonly #healthChecks: HealthChecks | undefined;
  readonly #requestsMax: number;
  readonly #pendingMax: number;
  readonly #events: EndpointLog;
  /** The attempt that ends now, whose end may eject its endpoint. */
  #ending: AttemptRecord | undefined;
  #inFlight = 0;
  #requests = 0;
  #overflows = 0;
  /** Requests in flight whose connection is not established. */
  #pending = 0;

  constructor(
    cluster: Cluster,
    limits: Limits,
    deadlines: Deadlines,
    timers: Timers,
    credentials: Credentials,
    log: Log,
    mirrors?: MirrorCounts,
  ) {
    const { name, tls } = cluster;
    this.#events = new EndpointLog(
      log.with({ cluster: name, ...(mirrors === undefined ? {} : { mirrored: true }) }),
    );
    this.cluster = cluster;
    this.mirrors = mirrors;
    const { percent, min_per_s } = cluster.retry_budget ?? DEFAULT_RETRY_BUDGET;
    this.retryBudget = new RetryBudget(percent, min_per_s);
    const isOfCopies = mirrors !== undefined;
    this.#requestsMax = isOfCopies ? limits.mirrorsPerCluster : limits.requestsPerCluster;
    this.#pendingMax = isOfCopies ? limits.mirrorsPerCluster : limits.pendingPerCluster;
    const tlsNow = tls === undefined ? undefined : () => credentials.ofCluster(name, tls);
    const newPool = (endpoint: Endpoint): ClusterPool => ({
      endpoint,
      idle: [],
      idleMax: limits.poolPerEndpoint,
      idleTimeoutMs: limits.upstreamIdleTimeoutMs,
      deadlines,
      tls: tlsNow,
      epoch: 0,
      counters: { open: 0, connecting: 0, connects: 0, connectFailures: 0, attempts: 0 },
      load: new EndpointLoad(),
    });
    this.#pools = cluster.endpoints.map(newPool);
    const { dns_refresh_ms: refreshMs, health_check: check } = cluster;
    if (cluster.endpoints.length > 1 || refreshMs !== undefined) {
      this.#balancer = new Balancer({
        outliers: cluster.outliers ?? DEFAULT_OUTLIERS,
        roundRobin: cluster.balance === 'round_robin',
        random: timers.random,
        onEjected: ({ endpoint, load }, forMs) =>
          this.#events.ejected(endpoint, load, forMs, failureText(this.#ending!)),
        onReturned: ({ endpoint }, isWell) => this.#events.returned(endpoint, isWell),
      });
      this.#balancer.endpoints = this.#pools;
    }
    if (refreshMs !== undefined) {
      this.#dns = new DnsEndpoints(cluster.endpoints, refreshMs, timers, (endpoints) =>
        this.#replace(endpoints, newPool),
      );
    }
    // The same endpoints are asked for the sake of requests already, where they have any.
    if (check !== undefined && !isOfCopies)
      this.#healthChecks = new HealthChecks(
        check,
        timers,
        tlsNow,
        () => this.#pools,
        (endpoint, isWell) => this.#events.checked(endpoint, isWell),
      );
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
      retries: this.retryBudget.given,
      retries_refused: this.retryBudget.refused,
      ...(this.mirrors === undefined ? {} : { mirror: this.mirrors.snapshot() }),
      endpoints: this.#endpoints(),
    };
  }

  #endpoints(): EndpointSnapshot[] {
    return this.#pools.map(({ endpoint, idle, counters, load }) => {
      // A connection that died in the pool stays listed until it is next taken.
      const lastEjection = this.#events.last(load);
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
        state: stateOf(load),
        ejections: load.ejections,
        ...(lastEjection === undefined ? {} : { last_ejection: lastEjection }),
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
   * A connection to an endpoint: an idle one, or one that begins to connect; undefined when as many
   * connect as may. `before`: what failed, another endpoint is better.
   */
  take(nowMs: number, before?: UpstreamConnection): UpstreamConnection | undefined {
    const pool = this.#pick(nowMs, before);
    let connection;
    while ((connection = pool.idle.pop()) !== undefined) if (!connection.dead) return connection;
    if (this.#pending < this.#pendingMax) return new UpstreamConnection(pool);
    this.#overflows++;
    return undefined;
  }

  /** A new connection to an endpoint, whatever is idle. */
  connect(nowMs: number): UpstreamConnection {
    return new UpstreamConnection(this.#pick(nowMs));
  }

  /** An attempt begins on this connection. True: tell `attemptEnds` so. */
  attemptBegins({ pool }: UpstreamConnection, nowMs: number): boolean {
    return this.#balancer?.begins(pool as ClusterPool, nowMs) ?? false;
  }

  /** It ended, `latencyMs` to the first byte of its answer, or to its end. Pairs with the above. */
  attemptEnds(
    { pool }: UpstreamConnection,
    nowMs: number,
    latencyMs: number,
    attempt: AttemptRecord,
    wasProbe: boolean,
  ): void {
    this.#ending = attempt;
    const outcome = outcomeOf(attempt);
    this.#balancer?.ends(pool as ClusterPool, nowMs, latencyMs, outcome, wasProbe);
  }

  /** True when what becomes of attempts matters. */
  get isBalanced(): boolean {
    return this.#balancer !== undefined;
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
    this.#dns?.close();
    this.#healthChecks?.close();
    for (const pool of this.#pools) closePool(pool);
  }

  #pick(nowMs: number, before?: UpstreamConnection): ClusterPool {
    if (this.#balancer === undefined) return this.#pools[0]!;
    return this.#balancer.pick(nowMs, before?.pool as ClusterPool | undefined);
  }

  /** Other endpoints: those that stay keep their connections, those that go finish their requests. */
  #replace(endpoints: readonly Endpoint[], newPool: (endpoint: Endpoint) => ClusterPool): void {
    const before = new Map(this.#pools.map((pool) => [keyOf(pool.endpoint), pool]));
    this.#pools = endpoints.map((endpoint) => before.get(keyOf(endpoint)) ?? newPool(endpoint));
    this.#balancer!.endpoints = this.#pools;
    for (const pool of this.#pools) before.delete(keyOf(pool.endpoint));
    for (const pool of before.values()) closePool(pool);
  }
}

const keyOf = ({ host, port }: Endpoint): string => `${host} ${port}`;

/** Idle connections end now, busy ones with their request. */
function closePool(pool: ClusterPool): void {
  pool.idleMax = 0;
  for (const connection of pool.idle.splice(0)) connection.release(false);
}
