/**
 * Mesh → the part of one process, all references resolved. Pure: opens nothing, reads no file.
 * proxy/, collector/, store/ and analytics/ see only these parts, never the whole mesh.
 */
import { dirname, resolve } from 'node:path';
import { AzimuthError } from '../runtime/errors.ts';
import type { PeerRole } from '../telemetry/edge-class.ts';
import type {
  GatewayConfig,
  IngressConfig,
  MeshConfig,
  ServedConfig,
  SidecarConfig,
  WorkloadConfig,
} from './config.ts';
import { functionsPart, type FunctionsPart } from './functions.ts';
import type { Mesh } from './load.ts';
import type {
  Cluster,
  Endpoint,
  IdentityPart,
  Listener,
  ListenerTlsPart,
  ProxyPart,
  Route,
  StorePart,
  TelemetryPart,
  WeightedCluster,
  WorkloadIdentity,
} from './part.ts';
import { identityFiles, spiffeId } from './identity.ts';
import { policyOf, type clusterKeys } from './resilience.ts';
import { CATCH_ALL, parseTemplate } from './route-template.ts';

/** Where OTLP is taken, and what a sender must show. */
interface OtlpReceiverPart extends Endpoint {
  /** Paths of PEM files. */
  readonly tls?: { cert: string; key: string; client_ca?: string | undefined } | undefined;
  /** Bearer token that every request must have. */
  readonly token?: string | undefined;
}

/** What the collector takes: where it listens, where it reads and where it stores. */
export interface CollectorPart {
  readonly otlp_http: OtlpReceiverPart;
  readonly otlp_grpc: OtlpReceiverPart;
  readonly admin: Endpoint;
  readonly telemetry: TelemetryPart;
  readonly store: StorePart;
  readonly kafka: { readonly group_id: string };
}

/** What the analytics process takes. */
export interface AnalyticsPart extends Endpoint {
  readonly mesh: string;
  readonly topology: string;
  readonly store: StorePart;
}

export function storePart(mesh: Mesh): StorePart {
  return withFiles(mesh, mesh.config.store);
}

export function collectorPart(mesh: Mesh): CollectorPart {
  const { collector } = mesh.config;
  return {
    ...collector,
    otlp_http: withFiles(mesh, collector.otlp_http),
    otlp_grpc: withFiles(mesh, collector.otlp_grpc),
    telemetry: telemetryPart(mesh),
    store: storePart(mesh),
  };
}

export function analyticsPart(mesh: Mesh): AnalyticsPart {
  const { analytics, mesh: name, topology } = mesh.config;
  return { ...analytics, mesh: name, topology, store: storePart(mesh) };
}

function telemetryPart(mesh: Mesh): TelemetryPart {
  const { telemetry } = mesh.config;
  const { otlp, kafka, spool } = telemetry;
  return {
    ...telemetry,
    otlp: {
      ...withFiles(mesh, otlp),
      endpoint: otlp.endpoint.replace(/\/+$/, ''),
      compression: otlp.compression ?? (isLoopback(otlp.endpoint) ? 'none' : 'zstd'),
    },
    kafka: withFiles(mesh, kafka),
    spool: { ...spool, dir: spool.dir === undefined ? undefined : pathFrom(mesh, spool.dir) },
  };
}

/** True when the URL leads to this machine itself. */
function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.[0-9.]+$/.test(hostname);
}

/** Paths in a mesh file start at its own folder, wherever a process is started. */
const pathFrom = (mesh: Mesh, path: string): string => resolve(dirname(mesh.file), path);

/** Keys of `tls` that are paths of files. */
const TLS_FILES = ['ca', 'cert', 'key', 'client_ca'];

function withFiles<T extends { readonly tls?: object | undefined }>(mesh: Mesh, owner: T): T {
  if (owner.tls === undefined) return owner;
  const tls = Object.fromEntries(
    Object.entries(owner.tls as Record<string, string | undefined>).map(([key, value]) => [
      key,
      value === undefined || !TLS_FILES.includes(key) ? value : pathFrom(mesh, value),
    ]),
  );
  return { ...owner, tls };
}

/**
 * The part of the gateway or sidecar called `name`; with `role`, only of that kind.
 * Throws AZ_USAGE naming those that there are when there is none of that name.
 */
export function proxyPart(mesh: Mesh, name: string, role?: 'gateway' | 'sidecar'): ProxyPart {
  const { config } = mesh;
  const gateway = role === 'sidecar' ? undefined : config.gateways.find((g) => g.name === name);
  const sidecar = role === 'gateway' ? undefined : config.sidecars.find((s) => s.name === name);
  const owner = gateway ?? sidecar;
  if (owner === undefined) {
    const names = [
      ...(role === 'sidecar' ? [] : config.gateways),
      ...(role === 'gateway' ? [] : config.sidecars),
    ].map((proxy) => proxy.name);
    throw new AzimuthError(
      'AZ_USAGE',
      `${mesh.file} has no ${role ?? 'proxy'} called "${name}" (there are: ${names.join(', ') || 'none'})`,
    );
  }
  return {
    source: resolve(mesh.file),
    mesh: config.mesh,
    topology: config.topology,
    cluster: config.cluster,
    name,
    role: gateway === undefined ? 'sidecar' : 'gateway',
    // The first configuration of this process; a reload counts on from here.
    generation: 1,
    workers: owner.workers,
    listeners: identified(
      mesh,
      name,
      gateway === undefined ? sidecarListeners(mesh, sidecar!) : [gatewayListener(mesh, gateway)],
    ),
    admin: owner.admin,
    telemetry: telemetryPart(mesh),
    limits: config.limits,
    ...identityPart(config),
  };
}

/** The same for everybody in the mesh: who the others are. */
function identityPart(config: MeshConfig): { identity: IdentityPart } | undefined {
  const { identity } = config;
  if (identity === undefined || identity.mode === 'off') return undefined;
  const everybody = [
    ...config.gateways.map((gateway) => identityOf(gateway, 'gateway')),
    ...config.workloads.map((workload) => workloadIdentity(config, workload)),
  ];
  return {
    identity: {
      trust_domain: identity.trust_domain,
      peers: Object.fromEntries(
        everybody.map((one) => [
          spiffeId(identity.trust_domain, one),
          { name: one.name, role: one.role },
        ]),
      ),
      calls: identity.mode !== 'accept',
    },
  };
}

/** Adds what the proxy called `proxy` needs to be known, and to know: certificates, expected ids. */
function identified(mesh: Mesh, proxy: string, listeners: readonly Listener[]): Listener[] {
  const { identity } = mesh.config;
  if (identity === undefined || identity.mode === 'off') return [...listeners];
  const { sidecars, workloads } = mesh.config;
  const dir = pathFrom(mesh, identity.dir);
  // A gateway with a sidecar of its own calls nobody else, on the same machine: as a workload does.
  const attached = sidecars.some((s) => s.serves.some((v) => v.gateway === proxy));
  return listeners.map((listener): Listener => {
    const { bundle, cert, key } = identityFiles(dir, proxy, listener.workload.name);
    const secured = (cluster: Cluster): Cluster => {
      if (identity.mode === 'accept' || !cluster.meshed || attached) return cluster;
      const called = workloads.find((workload) => workload.name === cluster.name)!;
      const id = spiffeId(identity.trust_domain, called);
      return { ...cluster, tls: { ca: bundle, cert, key, id } };
    };
    const tls: ListenerTlsPart = {
      clients: 'mesh',
      certificates: [{ server_names: [], cert, key }],
      client_ca: bundle,
      client_certificate: identity.mode === 'strict' ? 'required' : 'optional',
      min_version: 'TLSv1.3',
      plain: identity.mode !== 'strict',
    };
    return {
      ...listener,
      ...(listener.side === 'inbound' ? { tls } : {}),
      routes: listener.routes.map(({ split, ...route }) => ({
        ...route,
        cluster: secured(route.cluster),
        ...(split === undefined
          ? {}
          : { split: split.map((one) => ({ ...one, cluster: secured(one.cluster) })) }),
      })),
    };
  });
}

/** TLS of a listener for the outside. */
function edgeTls(
  mesh: Mesh,
  tls: GatewayConfig['listen']['tls'],
): { tls: ListenerTlsPart | undefined } {
  if (tls === undefined) return { tls };
  const { certificates, client_ca: clientCa, client_certificate: wanted } = tls;
  return {
    tls: {
      clients: 'edge',
      certificates: certificates.map(({ hosts, cert, key }) => ({
        server_names: hosts,
        cert: pathFrom(mesh, cert),
        key: pathFrom(mesh, key),
      })),
      client_ca: clientCa === undefined ? undefined : pathFrom(mesh, clientCa),
      client_certificate: clientCa === undefined ? 'none' : (wanted ?? 'required'),
      min_version: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
      plain: false,
    },
  };
}

function gatewayListener(mesh: Mesh, gateway: GatewayConfig): Listener {
  const { config } = mesh;
  const sidecar = config.sidecars.find((s) => s.serves.some((v) => v.gateway === gateway.name));
  const attached = sidecar?.serves.find((v) => v.gateway === gateway.name)?.outbound;
  return {
    name: `${gateway.name}-ingress`,
    side: 'ingress',
    ...gateway.listen,
    ...edgeTls(mesh, gateway.listen.tls),
    // The outside vouches for nobody.
    mesh_only: false,
    workload: identityOf(gateway, 'gateway'),
    routes: gateway.routes.map((route) => {
      // With a sidecar of its own it calls nobody else.
      const clusters = targetsOf(route.to).map(({ service, weight }) => {
        const cluster = clusterCalled(config, service);
        const { meshed, endpoints } =
          attached === undefined
            ? cluster
            : { meshed: true, endpoints: [reached(sidecar!, attached)] };
        return { cluster: { ...cluster, meshed, endpoints }, weight };
      });
      const functions = edgeFunctions(mesh, gateway, route);
      if (attached === undefined) return edgeRoute(route, clusters, functions);
      return edgeRoute(
        // Whoever chooses the endpoint tries again: here that is the sidecar.
        { ...route, retry: undefined, try_timeout_ms: undefined },
        clusters,
        // The sidecar finds the route by the path as the client wrote it, so it rewrites.
        functions === undefined ? undefined : { ...functions, rewrite: undefined },
      );
    }),
  };
}

/** Targets of a route with their shares; one name alone gets everything. */
const targetsOf = (
  to: GatewayConfig['routes'][number]['to'],
): readonly { service: string; weight: number }[] =>
  typeof to === 'string' ? [{ service: to, weight: 1 }] : to;

type EdgeRoute = Omit<GatewayConfig['routes'][number], 'to'>;

/** Functions of a route at the edge, whoever stands there. Its counters are those of its place. */
function edgeFunctions(
  mesh: Mesh,
  edge: Pick<GatewayConfig, 'functions' | 'routes'> | IngressConfig,
  route: EdgeRoute,
): FunctionsPart | undefined {
  const routes: readonly EdgeRoute[] = edge.routes;
  const scopes = { listener: 'listener', route: `route ${routes.indexOf(route)} ${route.path}` };
  return functionsPart(edge.functions, route.functions, scopes, (path) => pathFrom(mesh, path));
}

/** `clusters`: at least one. */
function edgeRoute(
  route: EdgeRoute,
  clusters: readonly WeightedCluster[],
  functions: FunctionsPart | undefined,
  inboundOf?: WorkloadIdentity,
): Route {
  return {
    ...matchOf(route),
    hosts: route.hosts,
    cluster: clusters[0]!.cluster,
    ...(clusters.length === 1 ? {} : { split: clusters }),
    response_timeout_ms: route.response_timeout_ms,
    upgrades: route.upgrades,
    ...policy(route),
    ...(functions === undefined ? {} : { functions }),
    ...(inboundOf === undefined ? {} : { inbound_of: inboundOf }),
  };
}

function sidecarListeners(mesh: Mesh, sidecar: SidecarConfig): Listener[] {
  return sidecar.serves.flatMap((served) =>
    served.gateway === undefined
      ? workloadListeners(mesh, served)
      : [gatewayOutbound(mesh, sidecar, served)],
  );
}

/**
 * Where a gateway hands its requests to its sidecar. Its own routes say again where each goes, so
 * that no header has to be believed. A BFF at the same sidecar is reached in the same pass.
 */
function gatewayOutbound(
  mesh: Mesh,
  sidecar: SidecarConfig,
  served: ServedConfig & { gateway: string },
): Listener {
  const { config } = mesh;
  const gateway = config.gateways.find((g) => g.name === served.gateway)!;
  return {
    name: `${gateway.name}-outbound`,
    side: 'outbound',
    ...served.outbound,
    mesh_only: false,
    workload: identityOf(gateway, 'gateway'),
    routes: gateway.routes.map((route) => {
      // Several targets there are only where a gateway calls them itself (references.ts).
      const { service } = targetsOf(route.to)[0]!;
      const bff = config.workloads.find((w) => w.name === service && w.kind === 'bff');
      const isHere = bff !== undefined && sidecar.serves.some((v) => v.workload === bff.name);
      const cluster = isHere ? applicationOf(config, bff) : clusterCalled(config, service);
      const rewrite = edgeFunctions(mesh, gateway, route)?.rewrite;
      const reachedBy = edgeRoute(
        route,
        [{ cluster, weight: 1 }],
        rewrite === undefined ? undefined : { rewrite },
        isHere ? workloadIdentity(config, bff) : undefined,
      );
      return isHere ? { ...reachedBy, ...allowPart(config, bff.allow) } : reachedBy;
    }),
  };
}

function workloadListeners(mesh: Mesh, served: ServedConfig & { workload: string }): Listener[] {
  const { config } = mesh;
  const workload = config.workloads.find((w) => w.name === served.workload)!;
  const identity = workloadIdentity(config, workload);
  const application = applicationOf(config, workload);
  const { ingress } = served;
  const listeners: Listener[] = [
    {
      name: `${workload.name}-inbound`,
      side: 'inbound',
      host: served.inbound.host,
      port: served.inbound.port,
      mesh_only: served.inbound.mesh_only,
      workload: identity,
      routes: workloadRoutes(config, workload, [], application, mesh),
    },
    {
      name: `${workload.name}-outbound`,
      side: 'outbound',
      ...served.outbound,
      mesh_only: false,
      workload: identity,
      routes: [
        ...config.workloads.flatMap((called) =>
          workloadRoutes(config, called, [called.name], clusterCalled(config, called.name)),
        ),
        ...config.externals.map((external) => externalRoute(config, external)),
      ],
    },
  ];
  if (ingress === undefined) return listeners;
  return [
    {
      ...ingress,
      ...edgeTls(mesh, ingress.tls),
      name: `${workload.name}-ingress`,
      side: 'ingress',
      mesh_only: false,
      workload: identity,
      routes: ingress.routes.map((route) =>
        edgeRoute(
          route,
          [{ cluster: application, weight: 1 }],
          edgeFunctions(mesh, ingress, route),
        ),
      ),
    },
    ...listeners,
  ];
}

function externalRoute(config: MeshConfig, external: MeshConfig['externals'][number]): Route {
  return {
    ...templateOf(CATCH_ALL),
    hosts: external.hosts,
    methods: [],
    cluster: clusterCalled(config, external.name),
    response_timeout_ms: external.response_timeout_ms,
    upgrades: external.upgrades,
    ...policy(external),
  };
}

/** A workload's own application, behind its sidecar. */
function applicationOf(config: MeshConfig, workload: WorkloadConfig): Cluster {
  return {
    name: workload.name,
    endpoints: [workload.address, ...workload.replicas].map(endpointOf),
    meshed: false,
    role: roleOf(config, workload),
    ...callingKeys(workload),
  };
}

/** Names of callers as SPIFFE ids. */
function allowPart(
  config: MeshConfig,
  allow: readonly string[] | undefined,
): { allow?: readonly string[] } {
  const { identity } = config;
  if (allow === undefined || identity === undefined) return {};
  return {
    allow: allow.map((caller) => {
      if (caller.startsWith('spiffe:')) return caller;
      const known = [...config.gateways, ...config.workloads].find((one) => one.name === caller)!;
      return spiffeId(identity.trust_domain, known);
    }),
  };
}

/**
 * Templates only name: a path that matches none of them is carried as the catch-all. What they say
 * about failures is for those who call: the workload's own sidecar passes on what the application
 * says. `performing`: the mesh, at that sidecar, which alone performs the functions of its routes
 * and decides who may call.
 */
function workloadRoutes(
  config: MeshConfig,
  workload: WorkloadConfig,
  hosts: readonly string[],
  cluster: Cluster,
  performing?: Mesh,
): Route[] {
  const allowOf = (allow: readonly string[] | undefined): { allow?: readonly string[] } =>
    performing === undefined ? {} : allowPart(config, allow);
  const named = workload.routes.map((route, index): Route => {
    const scope = `route ${index} ${route.path}`;
    const functions =
      performing === undefined
        ? undefined
        : functionsPart(
            undefined,
            route.functions,
            { listener: scope, route: scope },
            (path: string) => pathFrom(performing, path),
          );
    return {
      ...matchOf(route),
      hosts,
      cluster,
      response_timeout_ms: route.response_timeout_ms,
      upgrades: route.upgrades,
      ...(hosts.length === 0 ? {} : policy(route)),
      ...(functions === undefined ? {} : { functions }),
      ...allowOf(route.allow ?? workload.allow),
    };
  });
  const catchAll: Route = {
    ...templateOf(CATCH_ALL),
    hosts,
    methods: [],
    cluster,
    // Envoy's route timeout, as the default of the mesh file.
    response_timeout_ms: 15_000,
    upgrades: [],
    ...allowOf(workload.allow),
  };
  const covered = workload.routes.some(
    (r) => r.path === CATCH_ALL && r.methods.length + r.headers.length + r.query.length === 0,
  );
  return covered ? named : [...named, catchAll];
}

/** Cluster of a workload (its sidecar's inbound listener) or of an external. */
function clusterCalled(config: MeshConfig, name: string): Cluster {
  const external = config.externals.find((e) => e.name === name);
  if (external !== undefined) {
    return {
      name,
      endpoints: [external.address, ...external.replicas].map(endpointOf),
      meshed: false,
      role: 'external',
      ...callingKeys(external),
    };
  }
  const workload = config.workloads.find((w) => w.name === name)!;
  const sidecar = config.sidecars.find((s) => s.serves.some((v) => v.workload === name))!;
  const { inbound } = sidecar.serves.find((v) => v.workload === name)!;
  return {
    name,
    endpoints: [reached(sidecar, inbound!), ...inbound!.replicas.map(endpointOf)],
    meshed: true,
    role: roleOf(config, workload),
    ...callingKeys(workload),
    // A request would be one more hop there; a connection is none.
    ...(workload.health_check === undefined
      ? {}
      : { health_check: { ...workload.health_check, path: undefined } }),
  };
}

/** What a mesh file says of the endpoints of a service; keys that it leaves out stay out. */
function callingKeys(
  service: Pick<WorkloadConfig, 'connect_timeout_ms' | keyof typeof clusterKeys>,
): Pick<Cluster, 'connect_timeout_ms' | keyof typeof clusterKeys> {
  const { connect_timeout_ms, retry_budget, balance, outliers, health_check, dns_refresh_ms } =
    service;
  const written = Object.fromEntries(
    Object.entries({ retry_budget, balance, outliers, health_check, dns_refresh_ms }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return { connect_timeout_ms, ...written };
}

/** Where others reach a listener of a sidecar: one that listens everywhere, by its machine's name. */
function reached(sidecar: SidecarConfig, { host, port }: Endpoint): Endpoint {
  const isWildcard = host === '0.0.0.0' || host === '::' || host === '[::]';
  return { host: isWildcard ? (sidecar.machine ?? '127.0.0.1') : host, port };
}

/** A BFF with an ingress does the gateway's work: its calls are the gateway's internal leg. */
function roleOf(config: MeshConfig, workload: WorkloadConfig): PeerRole {
  if (workload.kind !== 'bff') return 'workload';
  const served = config.sidecars.flatMap((s) => s.serves).find((v) => v.workload === workload.name);
  return served?.ingress === undefined ? 'bff' : 'gateway_bff';
}

const workloadIdentity = (config: MeshConfig, workload: WorkloadConfig): WorkloadIdentity =>
  identityOf(workload, roleOf(config, workload));

function identityOf(
  owner: { name: string; namespace: string; version: string; zone: string },
  role: PeerRole,
): WorkloadIdentity {
  const { name, namespace, version, zone } = owner;
  return { name, namespace, version, zone, role };
}

/** `host:port` of a checked address; brackets of IPv6 removed. */
function endpointOf(address: string): Endpoint {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  };
}

/** What a route asks of a request beside its host; lists that are empty stay out. */
function matchOf(
  route: Pick<WorkloadConfig['routes'][number], 'path' | 'methods' | 'headers' | 'query'>,
): Pick<Route, 'template' | 'segments' | 'methods' | 'headers' | 'query'> {
  const { path, methods, headers, query } = route;
  return {
    ...templateOf(path),
    methods,
    ...(headers.length === 0 ? {} : { headers }),
    ...(query.length === 0 ? {} : { query }),
  };
}

/** The key `policy` of a route, where anything of it was written. */
function policy(written: Parameters<typeof policyOf>[0]): Pick<Route, 'policy'> {
  const found = policyOf(written);
  return found === undefined ? {} : { policy: found };
}

function templateOf(template: string): Pick<Route, 'template' | 'segments'> {
  const parsed = parseTemplate(template);
  return { template, segments: parsed.ok ? parsed.segments : [] };
}
