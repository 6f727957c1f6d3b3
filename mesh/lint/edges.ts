/**
 * Where requests from outside come in, and what meets them on their way: each route of a gateway or
 * an ingress, and each route of a workload whose sidecar is next. Two routes meet when one request can
 * pass both, by the precedence that the proxies have (mesh/route-order.ts).
 *
 *     client ─► route of the edge ─► route of the workload, at its inbound sidecar ─► application
 *
 * What an ingress takes goes to its application straight away, and so does what a gateway sends to a
 * BFF at its own sidecar: there is no second route.
 */
import type { GatewayConfig, IngressConfig, MeshConfig, WorkloadConfig } from '../config.ts';
import type { Path } from '../source.ts';
import { compareRoutes, coversRequests, type RouteMatch } from '../route-order.ts';
import { intersectTemplates, parseTemplate } from '../route-template.ts';

export interface Edge {
  readonly name: string;
  readonly path: Path;
  /** Processes that count for themselves. */
  readonly workers: number;
  readonly functions: GatewayConfig['functions'];
  readonly listen: Pick<IngressConfig, 'host' | 'port' | 'tls' | 'trusted_hops'>;
  readonly listenPath: Path;
  readonly routes: readonly EdgeRoute[];
  /** Set where a gateway's requests are carried by a sidecar of its own. */
  readonly gateway: GatewayConfig | undefined;
}

export interface EdgeRoute {
  readonly edge: string;
  readonly path: Path;
  readonly config: IngressConfig['routes'][number];
  readonly match: RouteMatch;
  /** Names of those that get requests. */
  readonly targets: readonly string[];
}

/** A route of an edge, and a route of its workload that fits some of the same requests. */
export interface Meeting {
  readonly edge: Edge;
  readonly outer: EdgeRoute;
  readonly workload: WorkloadConfig;
  readonly workloadPath: Path;
  /** Undefined: the rest, which no route of the workload names. */
  readonly inner:
    { readonly config: WorkloadConfig['routes'][number]; readonly path: Path } | undefined;
  /** Processes of the workload's sidecar. */
  readonly innerWorkers: number;
  /** False: such requests reach the application in one pass, and `inner` is for calls of the mesh. */
  readonly passesInbound: boolean;
}

type Matching = Pick<WorkloadConfig['routes'][number], 'path' | 'methods' | 'headers' | 'query'>;

function matchOf(route: Matching, hosts: readonly string[]): RouteMatch {
  const parsed = parseTemplate(route.path);
  const { methods, headers, query } = route;
  return { segments: parsed.ok ? parsed.segments : [], hosts, methods, headers, query };
}

/** Gateways, and the ingresses of merged BFFs. */
export function edgesOf(config: MeshConfig): Edge[] {
  const gateways = config.gateways.map((gateway, index): Edge => {
    const path = ['gateways', index];
    const { name, workers, functions, listen } = gateway;
    const targetsOf = (to: GatewayConfig['routes'][number]['to']): string[] =>
      typeof to === 'string'
        ? [to]
        : to.filter(({ weight }) => weight > 0).map(({ service }) => service);
    const routes = gateway.routes.map((route, at) => ({
      edge: name,
      path: [...path, 'routes', at],
      config: route,
      match: matchOf(route, route.hosts),
      targets: targetsOf(route.to),
    }));
    return { name, path, workers, functions, listen, listenPath: [...path, 'listen'], routes, gateway }; // prettier-ignore
  });
  const ingresses = config.sidecars.flatMap((sidecar, index) =>
    sidecar.serves.flatMap((served, which): Edge[] => {
      const { ingress } = served;
      if (ingress === undefined) return [];
      const path = ['sidecars', index, 'serves', which, 'ingress'];
      const name = served.workload;
      const routes = ingress.routes.map((route, at) => ({
        edge: name,
        path: [...path, 'routes', at],
        config: route,
        match: matchOf(route, route.hosts),
        targets: [name],
      }));
      const { workers } = sidecar;
      const { functions } = ingress;
      return [
        { name, path, workers, functions, listen: ingress, listenPath: path, routes, gateway: undefined }, // prettier-ignore
      ];
    }),
  );
  return [...gateways, ...ingresses];
}

/** False where the edge's requests reach the application in one pass, without its inbound listener. */
function passesInbound(config: MeshConfig, edge: Edge, workload: WorkloadConfig): boolean {
  if (edge.gateway === undefined) return false;
  const sidecar = config.sidecars.find((s) => s.serves.some((v) => v.gateway === edge.name));
  return (
    workload.kind !== 'bff' ||
    sidecar === undefined ||
    !sidecar.serves.some((served) => served.workload === workload.name)
  );
}

/** Every pair of routes that one request passes. */
export const meetingsOf = (config: MeshConfig): Meeting[] =>
  pairsOf(config).filter((pair) => pair.passesInbound);

/** Every pair of routes that one request fits, also where it goes around the second. */
export function pairsOf(config: MeshConfig): Meeting[] {
  return edgesOf(config).flatMap((edge) =>
    edge.routes.flatMap((outer, index) =>
      config.workloads.flatMap((workload, at): Meeting[] => {
        if (!outer.targets.includes(workload.name)) return [];
        const sidecar = config.sidecars.find((s) =>
          s.serves.some((served) => served.workload === workload.name),
        );
        const base = {
          edge,
          outer,
          workload,
          workloadPath: ['workloads', at],
          innerWorkers: sidecar?.workers ?? 1,
          passesInbound: passesInbound(config, edge, workload),
        };
        return innerRoutes(edge, outer, index, workload).map((inner) => ({
          ...base,
          inner:
            inner === undefined
              ? undefined
              : {
                  config: workload.routes[inner]!,
                  path: ['workloads', at, 'routes', inner],
                },
        }));
      }),
    ),
  );
}

/** Indexes of the workload's routes that get requests of `outer`; undefined for its catch-all. */
function innerRoutes(
  edge: Edge,
  outer: EdgeRoute,
  index: number,
  workload: WorkloadConfig,
): (number | undefined)[] {
  const sent = { ...outer.match, segments: rewritten(outer), hosts: [] };
  const isRewritten = outer.config.functions?.rewrite !== undefined;
  const rivals = edge.routes.map(({ match }) => match);
  const inners = workload.routes.map((route) => matchOf(route, []));
  const reached = inners.flatMap((inner, at): number[] => {
    const both = intersection(sent, inner);
    if (both === undefined || takenBefore(inners, at, both)) return [];
    // Of a rewritten path it is not known what the client asked for.
    const asked = { ...both, hosts: outer.match.hosts };
    return !isRewritten && takenBefore(rivals, index, asked) ? [] : [at];
  });
  return inners.some((inner) => coversRequests(inner, sent)) ? reached : [...reached, undefined];
}

/** Segments of the path that goes upstream. */
function rewritten({ config, match }: EdgeRoute): readonly string[] {
  const rewrite = config.functions?.rewrite;
  if (rewrite === undefined) return match.segments;
  const template = rewrite.path ?? `${rewrite.prefix!.replace(/\/+$/, '')}/*`;
  const parsed = parseTemplate(template);
  // A path that is no template, as one with a slash at its end, could be any.
  return parsed.ok ? parsed.segments : ['**'];
}

/** True when all of `requests`, which the route at `index` fits, go to another one of `routes`. */
function takenBefore(routes: readonly RouteMatch[], index: number, requests: RouteMatch): boolean {
  const own = routes[index]!;
  const hosts = requests.hosts.length === 0 ? [''] : requests.hosts;
  return routes.some(
    (other, at) =>
      at !== index &&
      coversRequests(other, requests) &&
      hosts.every((host) => {
        const order = compareRoutes(other, own, host);
        return order < 0 || (order === 0 && at < index);
      }),
  );
}

function intersection(a: RouteMatch, b: RouteMatch): RouteMatch | undefined {
  const segments = intersectTemplates(a.segments, b.segments);
  const methods =
    a.methods.length === 0
      ? b.methods
      : a.methods.filter((method) => b.methods.length === 0 || b.methods.includes(method));
  if (segments === undefined || (methods.length === 0 && a.methods.length > 0)) return undefined;
  const headers = [...(a.headers ?? []), ...(b.headers ?? [])];
  const query = [...(a.query ?? []), ...(b.query ?? [])];
  for (const fields of [headers, query]) {
    const values = new Map<string, string>();
    for (const { name, value } of fields) {
      if ((values.get(name) ?? value) !== value) return undefined;
      values.set(name, value);
    }
  }
  return { segments, hosts: a.hosts, methods, headers, query };
}

type EdgeFunctions = NonNullable<EdgeRoute['config']['functions']>;

/** A function that counts for a route of an edge, and where it stands; undefined when none does. */
export function inForce<K extends Exclude<keyof EdgeFunctions, 'off' | 'rewrite'>>(
  edge: Edge,
  { config, path }: EdgeRoute,
  key: K,
): { readonly value: NonNullable<EdgeFunctions[K]>; readonly path: Path } | undefined {
  const own = config.functions?.[key];
  if (own !== undefined) return { value: own, path: [...path, 'functions', key] };
  const inherited = edge.functions?.[key] as EdgeFunctions[K];
  if (inherited === undefined || config.functions?.off.includes(key) === true) return undefined;
  return { value: inherited, path: [...edge.path, 'functions', key] };
}
