/**
 * A listener made ready for requests: routes compiled, peers, everything that is the same for all
 * its connections worked out once. Lives as long as the listener, and stays the same object when its
 * configuration changes (`apply`), so that the next request on every open connection meets the new
 * routes, and a request in hand ends by the old.
 */
import type { IdentityPart, Listener, ListenerTlsPart, Route } from '../mesh/part.ts';
import { FUNCTIONS, type HopShape } from '../telemetry/hop-record.ts';
import { PEER_HEADER } from '../telemetry/names.ts';
import { Admission, type ProcessLoad } from './admission.ts';
import { ClusterRuntime } from './cluster.ts';
import { STRIP } from './codec/tables.ts';
import type { Deadlines } from './deadlines.ts';
import type { Limits } from './limits.ts';
import type { Credentials } from './identity/credentials.ts';
import { TlsGate } from './identity/tls-gate.ts';
import { edgeClassOf, Peers, type Peer } from './peer.ts';
import type { RecordedShape, Recorder } from './recorder.ts';
import { Router } from './router.ts';

/** A route with its cluster at run time. */
export interface CompiledRoute extends Route {
  readonly runtime: ClusterRuntime;
  /** `azimuth-peer` line for this target; '' outside the mesh. */
  readonly peerLine: string;
}

/** What all listeners of a process share. */
export interface ProxyShared {
  readonly limits: Limits;
  readonly deadlines: Deadlines;
  readonly load: ProcessLoad;
  readonly recorder: Recorder;
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

export class ListenerContext {
  readonly shared: ProxyShared;
  listener!: Listener;
  router!: Router<CompiledRoute>;
  peers!: Peers;
  clusters: readonly ClusterRuntime[] = [];
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
    this.apply(listener, new Set());
  }

  /**
   * Takes a configuration. Clusters that did not change keep their connections and counts.
   * `changedFiles`: paths of certificates that are others than before.
   */
  apply(listener: Listener, changedFiles: ReadonlySet<string>): void {
    const { limits, deadlines, credentials, identity } = this.shared;
    const before = new Map(
      this.clusters.map((runtime) => [JSON.stringify(runtime.cluster), runtime]),
    );
    const clusters = new Map<string, ClusterRuntime>();
    const { workload } = listener;
    const peerLine = `${PEER_HEADER}: ${workload.role};${workload.name}\r\n`;
    const routes = listener.routes.map((route) => {
      const key = JSON.stringify(route.cluster);
      const runtime =
        clusters.get(key) ??
        before.get(key) ??
        new ClusterRuntime(route.cluster, limits, deadlines, credentials);
      clusters.set(key, runtime);
      return {
        ...route,
        runtime,
        peerLine: route.cluster.meshed && identity?.calls !== true ? peerLine : '',
      };
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

  /** Encoded shape of a hop; made at its first use. `host` is the matched host, '' for any. */
  shape(
    route: CompiledRoute | undefined,
    peer: Peer,
    method: string,
    isHttp10: boolean,
    host: string,
    isTls = false,
  ): RecordedShape {
    let ofRoute = this.#shapes.get(route);
    if (ofRoute === undefined)
      this.#shapes.set(route, (ofRoute = new Map<string, RecordedShape>()));
    const name = METHODS.get(method) ?? OTHER_METHOD;
    const key = `${name} ${isHttp10 ? '0' : '1'}${isTls ? 's' : ''} ${peer.role};${peer.name};${peer.known} ${host}`;
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
      functions: (route === undefined ? 0 : this.shared.functions) | (isTls ? TLS_BIT : 0),
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
  ): RecordedShape {
    if (
      this.#shape === undefined ||
      route !== this.#route ||
      peer !== this.#peer ||
      method !== this.#method ||
      host !== this.#host ||
      isHttp10 !== this.#isHttp10
    ) {
      this.#shape = this.#context.shape(route, peer, method, isHttp10, host, this.#isTls);
      this.#route = route;
      this.#peer = peer;
      this.#method = method;
      this.#host = host;
      this.#isHttp10 = isHttp10;
    }
    return this.#shape;
  }
}
