/**
 * A listener made ready for requests: routes compiled, peers, everything that is the same for all
 * its connections worked out once. Lives as long as the listener, and stays the same object when its
 * configuration changes (`apply`), so that the next request on every open connection meets the new
 * routes, and a request in hand ends by the old.
 */
import type {
  Cluster,
  IdentityPart,
  Listener,
  ListenerTlsPart,
  MirrorPart,
  Route,
} from '../mesh/part.ts';
import type { Timers } from '../runtime/timers.ts';
import type { Log } from '../runtime/log.ts';
import { FUNCTIONS, type HopShape } from '../telemetry/hop-record.ts';
import { PEER_HEADER } from '../telemetry/names.ts';
import { Admission, type ProcessLoad } from './admission.ts';
import { ClusterRuntime } from './cluster.ts';
import { compileFilters, type CompiledFilters } from './filters/compile.ts';
import { FilterState } from './filters/filter-state.ts';
import { roleOf } from './filters/order.ts';
import { STRIP } from './codec/tables.ts';
import type { Deadlines } from './deadlines.ts';
import type { Limits } from './limits.ts';
import type { Credentials } from './identity/credentials.ts';
import { TlsGate } from './identity/tls-gate.ts';
import { MirrorCounts } from './mirror-counts.ts';
import { edgeClassOf, Peers, type Peer } from './peer.ts';
import type { RecordedShape, Recorder } from './recorder.ts';
import { RetryRules } from './retry-rules.ts';
import { Router } from './router.ts';
import { Share } from './share.ts';

/** A route with its cluster at run time. */
export interface CompiledRoute extends Route {
  readonly runtime: ClusterRuntime;
  /** `azimuth-peer` line for this target; '' outside the mesh. */
  readonly peerLine: string;
  /** Routes to each target, where there are several: whoever matched this one goes on with `next`. */
  readonly share?: Share<CompiledRoute>;
  /** What is tried again; absent: nothing. */
  readonly retry?: RetryRules;
  /** Undefined for a route without functions. */
  readonly filters: CompiledFilters | undefined;
  /** Where copies of its requests go; absent: nowhere. */
  readonly mirroring?: Mirroring;
}

/** Where copies of a route's requests go. Made when a configuration is taken. */
export interface Mirroring {
  /** The route as the copies take it: to their own cluster, without filters. */
  readonly route: CompiledRoute;
  /** Share of the requests, 0 to 100. */
  readonly percent: number;
  readonly bodyBytesMax: number;
  readonly timeoutMs: number;
  readonly counts: MirrorCounts;
  /** Copies in flight at the listener, so that none outlives it. */
  readonly live: Set<{ cut(): void }>;
}

/** What all listeners of a process share. */
export interface ProxyShared {
  readonly limits: Limits;
  readonly deadlines: Deadlines;
  readonly timers: Timers;
  readonly load: ProcessLoad;
  readonly recorder: Recorder;
  readonly log: Log;
  readonly pathMode: 'template' | 'hash' | 'keep';
  /** Of the configuration that requests now meet. */
  generation: number;
  /** FUNCTIONS bits that this proxy performs on every request. */
  readonly functions: number;
  /** Certificates of the process. */
  readonly credentials: Credentials;
  /** Who is who in the mesh; undefined while callers prove nothing. */
  identity: IdentityPart | undefined;
  /** Told of each client that was not let in. */
  readonly onRefusal: (listener: string, reason: string, detail: string, address: string) => void;
  /** Set where own time cannot be measured exactly: see HopShape. */
  readonly ownBound?: 'upper_bound';
  /** Told of a fault of ours on the data path; counts and logs, never throws. */
  readonly onFault: (error: unknown) => void;
}

/** http.request.method values of the semantic conventions; any other is `_OTHER`. */
const METHODS: ReadonlyMap<string, string> = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY'].map(
    (method) => [method, method],
  ),
);
const OTHER_METHOD = '_OTHER';
const TLS_BIT = 1 << FUNCTIONS.indexOf('tls');
const OTHER_CONSUMER = 'other';

export class ListenerContext {
  readonly shared: ProxyShared;
  listener!: Listener;
  router!: Router<CompiledRoute>;
  peers!: Peers;
  clusters: readonly ClusterRuntime[] = [];
  /** Copies of requests in flight. */
  readonly #copies: Mirroring['live'] = new Set();
  /** The listener ends: answers end their connections. */
  draining = false;
  /** Takes requests from outside the mesh: restarts traces, rewrites x-forwarded-*. */
  readonly isEdge: boolean;
  /** Proxies in front whose `x-forwarded-*` are believed. */
  trustedHops = 0;
  readonly admission: Admission;
  /** Undefined: connections are plain HTTP. */
  gate: TlsGate | undefined;
  readonly stripRequest: number;
  readonly stripResponse: number;
  /** Some route answers preflights. */
  hasCors = false;
  readonly #filterState: FilterState;
  /** Consumers that records name. */
  readonly #consumers = new Set<string>();
  /** Requests that were no HTTP at all, and so are no hop. */
  garbage = 0;
  readonly #shapes = new Map<CompiledRoute | undefined, Map<string, RecordedShape>>();
  #shapeCount = 0;

  constructor(listener: Listener, shared: ProxyShared) {
    this.shared = shared;
    // A listener of this name has this side for ever.
    this.isEdge = listener.side === 'ingress';
    this.admission = new Admission(shared.limits, shared.load, this.isEdge);
    this.stripRequest = STRIP.always | (this.isEdge ? STRIP.edgeRequest | STRIP.traceRestart : 0);
    this.stripResponse = STRIP.always | (this.isEdge ? STRIP.edgeResponse : 0);
    this.#filterState = new FilterState(shared.log, shared.timers);
    this.apply(listener, new Set());
  }

  /**
   * Takes a configuration. Clusters that did not change keep their connections and counts.
   * `changedFiles`: paths of certificates that are others than before.
   */
  apply(listener: Listener, changedFiles: ReadonlySet<string>): void {
    const { limits, deadlines, timers, credentials, identity } = this.shared;
    const log = this.shared.log.with({ listener: listener.name });
    const before = new Map(
      this.clusters.map((runtime) => [clusterKey(runtime.cluster, runtime.mirrors), runtime]),
    );
    const clusters = new Map<string, ClusterRuntime>();
    const { workload } = listener;
    const peerLine = `${PEER_HEADER}: ${workload.role};${workload.name}\r\n`;
    const role = roleOf(listener);
    const filters = this.#filterState.renew(() =>
      listener.routes.map((route) => compileFilters(route, role, this.#filterState)),
    );
    this.hasCors = filters.some((made) => made?.hasCors === true);
    const runtimeOf = (cluster: Cluster, mirrors?: MirrorCounts): ClusterRuntime => {
      const key = clusterKey(cluster, mirrors);
      const runtime =
        clusters.get(key) ??
        before.get(key) ??
        new ClusterRuntime(cluster, limits, deadlines, timers, credentials, log, mirrors);
      clusters.set(key, runtime);
      return runtime;
    };
    const peerLineTo = ({ meshed }: Cluster): string =>
      meshed && identity?.calls !== true ? peerLine : '';
    const mirroringOf = (route: Route, mirror: MirrorPart): Mirroring => {
      const { template, segments, hosts, methods, response_timeout_ms } = route;
      const { cluster, percent, body_bytes_max: bodyBytesMax, timeout_ms: timeoutMs } = mirror;
      const runtime = runtimeOf(cluster, new MirrorCounts());
      return {
        route: {
          ...{ template, segments, hosts, methods, response_timeout_ms, cluster, runtime },
          peerLine: peerLineTo(cluster),
          filters: undefined,
          // A protocol that nobody would speak there is not asked for.
          upgrades: [],
        },
        percent,
        bodyBytesMax,
        timeoutMs,
        counts: runtime.mirrors!,
        live: this.#copies,
      };
    };
    const compiled = (route: Route, index: number): CompiledRoute => {
      const retry = route.policy?.retry;
      return {
        ...route,
        runtime: runtimeOf(route.cluster),
        peerLine: peerLineTo(route.cluster),
        filters: filters[index],
        ...(retry === undefined ? {} : { retry: new RetryRules(retry) }),
        ...(route.mirror === undefined ? {} : { mirroring: mirroringOf(route, route.mirror) }),
      };
    };
    const routes = listener.routes.map((route, index): CompiledRoute => {
      const { split } = route;
      if (split === undefined) return compiled(route, index);
      const targets = split.map(({ cluster }) => compiled({ ...route, cluster }, index));
      const share = new Share(
        targets,
        split.map(({ weight }) => weight),
      );
      return { ...targets[0]!, share };
    });
    for (const [key, runtime] of before) if (!clusters.has(key)) runtime.close();
    for (const runtime of clusters.values()) {
      const { tls } = runtime.cluster;
      if (tls && [tls.ca, tls.cert, tls.key].some((path) => changedFiles.has(path)))
        runtime.renew();
    }
    if (listener.tls === undefined) this.gate = undefined;
    else if (this.gate !== undefined) this.gate.apply(listener.tls);
    else this.gate = this.#createGate(listener.tls);
    this.listener = listener;
    this.trustedHops = this.isEdge ? (listener.trusted_hops ?? 0) : 0;
    this.clusters = [...clusters.values()];
    this.router = new Router<CompiledRoute>(routes, limits.cacheEntries);
    this.peers = new Peers(listener, limits.peersPerListener, identity);
    this.#shapes.clear();
    this.#shapeCount = 0;
  }

  /** Closes what it holds outside of connections. Safe to call twice. */
  close(): void {
    for (const copy of this.#copies) copy.cut();
    for (const cluster of this.clusters) cluster.close();
    this.#filterState.close();
  }

  /** Name of a consumer as records have it: of the first so many, else `other`. */
  consumerLabel(name: string): string {
    if (name === '' || this.#consumers.has(name)) return name;
    if (this.#consumers.size >= this.shared.limits.consumersPerListener) return OTHER_CONSUMER;
    this.#consumers.add(name);
    return name;
  }

  /**
   * Encoded shape of a hop; made at its first use. `host` is the matched host, '' for any;
   * `performed`: FUNCTIONS bits of filters; `consumer` as `consumerLabel` has it.
   */
  shape(
    route: CompiledRoute | undefined,
    peer: Peer,
    method: string,
    isHttp10: boolean,
    host: string,
    isTls = false,
    performed = 0,
    consumer = '',
    mirrored = false,
  ): RecordedShape {
    let ofRoute = this.#shapes.get(route);
    if (ofRoute === undefined)
      this.#shapes.set(route, (ofRoute = new Map<string, RecordedShape>()));
    const name = METHODS.get(method) ?? OTHER_METHOD;
    const key = `${name} ${isHttp10 ? '0' : '1'}${isTls ? 's' : ''} ${peer.role};${peer.name};${peer.known} ${host} ${performed} ${mirrored ? 'm' : ''} ${consumer}`;
    const kept = ofRoute.get(key);
    if (kept !== undefined) return kept;
    const { listener } = this;
    const inboundOf = route?.inbound_of;
    const shape: HopShape = {
      side: inboundOf === undefined ? listener.side : 'inbound',
      edgeClass: edgeClassOf(listener, peer, route),
      method: name,
      route: route?.template ?? '',
      scheme: isTls ? 'https' : 'http',
      protocolVersion: isHttp10 ? '1.0' : '1.1',
      serverAddress: host,
      peer: peer.name,
      peerRole: peer.role,
      peerKnown: peer.known,
      target: route?.cluster.name ?? '',
      functions:
        (route === undefined ? 0 : this.shared.functions | performed) | (isTls ? TLS_BIT : 0),
      ...(consumer === '' ? {} : { consumer }),
      ...(mirrored ? { mirrored } : {}),
      ...(this.shared.ownBound === undefined ? {} : { ownBound: this.shared.ownBound }),
    };
    const encoded = this.shared.recorder.encode(shape, inboundOf ?? listener.workload);
    // Routes, methods, peers and hosts are all bounded, their product might not be.
    if (++this.#shapeCount > this.shared.limits.cacheEntries) {
      this.#shapes.clear();
      this.#shapeCount = 0;
    } else ofRoute.set(key, encoded);
    return encoded;
  }

  #createGate(tls: ListenerTlsPart): TlsGate {
    const { shared, admission } = this;
    const { credentials, deadlines, limits } = shared;
    return new TlsGate(
      {
        credentials,
        admission,
        deadlines,
        handshakeTimeoutMs: limits.headTimeoutMs,
        trustDomain: () => shared.identity?.trust_domain ?? '',
        onRefusal: (...what) => shared.onRefusal(this.listener.name, ...what),
      },
      tls,
    );
  }
}

/** Clusters of copies are apart from those of requests, also where both go to the same endpoints. */
const clusterKey = (cluster: Cluster, mirrors: MirrorCounts | undefined): string =>
  (mirrors === undefined ? '' : 'copies to ') + JSON.stringify(cluster);

/** The shape of the last request on one connection: most connections repeat themselves. */
export class ShapeMemo {
  readonly #context: ListenerContext;
  readonly #isTls: boolean;
  #shape: RecordedShape | undefined;
  #route: CompiledRoute | undefined;
  #peer: Peer | undefined;
  #method = '';
  #host = '';
  #isHttp10 = false;
  #performed = 0;
  #consumer = '';
  #mirrored = false;

  constructor(context: ListenerContext, isTls: boolean) {
    this.#context = context;
    this.#isTls = isTls;
  }

  /** As ListenerContext.shape. */
  of(
    route: CompiledRoute | undefined,
    peer: Peer,
    method: string,
    isHttp10: boolean,
    host: string,
    performed: number,
    consumer: string,
    mirrored: boolean,
  ): RecordedShape {
    if (
      this.#shape === undefined ||
      route !== this.#route ||
      peer !== this.#peer ||
      method !== this.#method ||
      host !== this.#host ||
      isHttp10 !== this.#isHttp10 ||
      performed !== this.#performed ||
      consumer !== this.#consumer ||
      mirrored !== this.#mirrored
    ) {
      this.#shape = this.#context.shape(
        route,
        peer,
        method,
        isHttp10,
        host,
        this.#isTls,
        performed,
        consumer,
        mirrored,
      );
      this.#route = route;
      this.#peer = peer;
      this.#method = method;
      this.#host = host;
      this.#isHttp10 = isHttp10;
      this.#performed = performed;
      this.#consumer = consumer;
      this.#mirrored = mirrored;
    }
    return this.#shape;
  }
}
