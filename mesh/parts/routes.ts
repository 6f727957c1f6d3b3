/**
 * Routes of a listener, each with its clusters and functions: at the edge, in front of a workload or
 * on its way out. Which of them gets a request says route-order.ts.
 */
import type { GatewayConfig, IngressConfig, MeshConfig, WorkloadConfig } from '../config.ts';
import { functionsPart, type FunctionsPart } from '../functions.ts';
import { spiffeId } from '../identity.ts';
import type { Mesh } from '../load.ts';
import type { Cluster, Route, WeightedCluster, WorkloadIdentity } from '../part.ts';
import { policyOf } from '../resilience.ts';
import { CATCH_ALL, parseTemplate } from '../route-template.ts';
import { clusterCalled } from './clusters.ts';
import { pathFrom } from './files.ts';

type EdgeRoute = Omit<GatewayConfig['routes'][number], 'to'>;

/** Functions of a route at the edge, whoever stands there. Its counters are those of its place. */
export function edgeFunctions(
  mesh: Mesh,
  edge: Pick<GatewayConfig, 'functions' | 'routes'> | IngressConfig,
  route: EdgeRoute,
): FunctionsPart | undefined {
  const routes: readonly EdgeRoute[] = edge.routes;
  const scopes = { listener: 'listener', route: `route ${routes.indexOf(route)} ${route.path}` };
  return functionsPart(edge.functions, route.functions, scopes, (path) => pathFrom(mesh, path));
}

/** `clusters`: at least one. */
export function edgeRoute(
  config: MeshConfig,
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
    ...mirrorOf(config, route),
    ...(functions === undefined ? {} : { functions }),
    ...(inboundOf === undefined ? {} : { inbound_of: inboundOf }),
  };
}

/**
 * Templates only name: a path that matches none of them is carried as the catch-all. What they say
 * about failures is for those who call: the workload's own sidecar passes on what the application
 * says. `performing`: the mesh, at that sidecar, which alone performs the functions of its routes
 * and decides who may call.
 */
export function workloadRoutes(
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
      ...(hosts.length === 0 ? {} : { ...policy(route), ...mirrorOf(config, route) }),
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

export function externalRoute(
  config: MeshConfig,
  external: MeshConfig['externals'][number],
): Route {
  return {
    ...templateOf(CATCH_ALL),
    hosts: external.hosts,
    methods: [],
    cluster: clusterCalled(config, external.name),
    response_timeout_ms: external.response_timeout_ms,
    upgrades: external.upgrades,
    ...policy(external),
    ...mirrorOf(config, external),
  };
}

/** Names of callers as SPIFFE ids. */
export function allowPart(
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

/** The key `mirror` of a route, where it was written. */
function mirrorOf(
  config: MeshConfig,
  { mirror }: Pick<EdgeRoute, 'mirror'>,
): Pick<Route, 'mirror'> {
  if (mirror === undefined) return {};
  const { to, percent, body_bytes_max, timeout_ms } = mirror;
  return {
    mirror: { cluster: clusterCalled(config, to), percent, body_bytes_max, timeout_ms },
  };
}

function templateOf(template: string): Pick<Route, 'template' | 'segments'> {
  const parsed = parseTemplate(template);
  return { template, segments: parsed.ok ? parsed.segments : [] };
}
