/**
 * Routes of one listener: by host, path template, method, and what a route asks of headers and query;
 * of several the one that mesh/route-order.ts puts first. Indexed by host and by the first path
 * segment, sorted once, so that the cost of a request does not grow with the number of routes; hosts
 * are checked once per distinct value.
 */
import { isIPv6 } from 'node:net';
import type { Route } from '../mesh/part.ts';
import { compareRoutes, hostRank, isWildcardHost } from '../mesh/route-order.ts';

/** Routes that one host can reach, by first segment of the path. */
export interface HostRoutes<R extends Route> {
  /** Lower-case host without port; the wildcard for names that only it takes; '' for any other. */
  readonly host: string;
  readonly byFirstSegment: ReadonlyMap<string, readonly R[]>;
  /** Routes whose first segment is not literal, in order: for every other first segment. */
  readonly others: readonly R[];
}

/** What routes may ask of a request beside host, path and method; read only where one does. */
export interface RequestFields {
  /** Value of a header, several joined with a comma; undefined when it is not there. */
  header(name: string): string | undefined;
  /** First value of a query parameter, decoded. */
  query(name: string): string | undefined;
}

/** A request of which nothing but host, path and method is known. */
const NO_FIELDS: RequestFields = { header: () => undefined, query: () => undefined };

/** No route takes this host and path. */
export const NO_ROUTE = 'no_route';
/** A route takes host and path, but not the method. */
export const NO_METHOD = 'no_method';

/** Host (RFC 3986 3.2.2) and port of an authority; no user information. */
const AUTHORITY =
  /^((?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+|\[([0-9a-fA-F:.]+)\])(?::([0-9]{0,5}))?$/;
const PORT_MAX = 65_535;
const REST = '**';
const ONE = '{}';

export class Router<R extends Route> {
  readonly #routes: readonly R[];
  readonly #named: ReadonlyMap<string, HostRoutes<R>>;
  /** The longest, so the most special, first. */
  readonly #wildcards: readonly HostRoutes<R>[];
  readonly #anyHost: HostRoutes<R>;
  /** Valid Host values as received → routes. */
  readonly #seen = new Map<string, HostRoutes<R>>();
  readonly #seenMax: number;

  constructor(routes: readonly R[], seenMax: number) {
    this.#routes = routes;
    this.#seenMax = seenMax;
    const hosts = [...new Set(routes.flatMap((r) => r.hosts))];
    this.#named = new Map(
      hosts.filter((host) => !isWildcardHost(host)).map((host) => [host, this.#index(host)]),
    );
    this.#wildcards = hosts
      .filter(isWildcardHost)
      .sort((a, b) => b.length - a.length)
      .map((host) => this.#index(host));
    this.#anyHost = this.#index('');
  }

  /** Routes of a Host value; undefined when it is not a valid authority (400). */
  routesOf(hostValue: string): HostRoutes<R> | undefined {
    const kept = this.#seen.get(hostValue);
    if (kept !== undefined) return kept;
    const host = hostOf(hostValue);
    if (host === undefined) return undefined;
    const found =
      this.#named.get(host) ??
      this.#wildcards.find((routes) => host.endsWith(routes.host.slice(1))) ??
      this.#anyHost;
    // A client can make up hosts: the cache starts over instead of growing.
    if (this.#seen.size >= this.#seenMax) this.#seen.clear();
    this.#seen.set(hostValue, found);
    return found;
  }

  /** Routes of a request that names no host (HTTP/1.0). */
  get hostless(): HostRoutes<R> {
    return this.#anyHost;
  }

  /** The route that takes the request, or why there is none. `path` is without query. */
  match(
    routes: HostRoutes<R>,
    path: string,
    method: string,
    fields: RequestFields = NO_FIELDS,
  ): R | typeof NO_ROUTE | typeof NO_METHOD {
    const slash = path.indexOf('/', 1);
    const first = slash < 0 ? path.slice(1) : path.slice(1, slash);
    const candidates = routes.byFirstSegment.get(first) ?? routes.others;
    let found: typeof NO_ROUTE | typeof NO_METHOD = NO_ROUTE;
    for (let i = 0; i < candidates.length; i++) {
      const route = candidates[i]!;
      if (!matchesPath(route.segments, path)) continue;
      if (!meets(route, fields)) continue;
      if (route.methods.length === 0 || route.methods.includes(method)) return route;
      found = NO_METHOD;
    }
    return found;
  }

  /** Methods that routes take for a path, for `Allow`. */
  methodsFor(routes: HostRoutes<R>, path: string): readonly string[] {
    return [
      ...new Set(
        this.#routes
          .filter((r) => hostRank(r.hosts, routes.host) >= 0)
          .filter((r) => matchesPath(r.segments, path))
          .flatMap((r) => r.methods),
      ),
    ];
  }

  #index(host: string): HostRoutes<R> {
    // Stable: equals stay in the order of the mesh file.
    const reachable = this.#routes
      .filter((r) => hostRank(r.hosts, host) >= 0)
      .sort((a, b) => compareRoutes(a, b, host));
    const isOpen = (r: R): boolean => r.segments[0] === ONE || r.segments[0] === REST;
    const firsts = new Set(reachable.filter((r) => !isOpen(r)).map((r) => r.segments[0] ?? ''));
    return {
      host,
      byFirstSegment: new Map(
        [...firsts].map((first) => [
          first,
          reachable.filter((r) => isOpen(r) || (r.segments[0] ?? '') === first),
        ]),
      ),
      others: reachable.filter(isOpen),
    };
  }
}

/** Lower-case host of an authority, without port; undefined when it is no valid one. */
export function hostOf(authority: string): string | undefined {
  const [, host, address, port] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined || Number(port ?? 0) > PORT_MAX) return undefined;
  if (address !== undefined && !isIPv6(address)) return undefined;
  return host.toLowerCase();
}

/** True when headers and query are as the route asks. */
function meets(route: Route, fields: RequestFields): boolean {
  const { headers, query } = route;
  if (headers !== undefined && !headers.every((h) => fields.header(h.name) === h.value)) {
    return false;
  }
  return query === undefined || query.every((q) => fields.query(q.name) === q.value);
}

/** True when the path (beginning with `/`) fits the segments of a template. */
function matchesPath(segments: readonly string[], path: string): boolean {
  if (path.charCodeAt(0) !== 47) return false;
  if (segments.length === 0) return path === '/';
  let p = 1;
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i]!;
    if (segment === REST) return true;
    if (p > path.length) return false;
    const slash = path.indexOf('/', p);
    const end = slash < 0 ? path.length : slash;
    if (segment === ONE) {
      if (end === p) return false;
    } else if (end - p !== segment.length || !path.startsWith(segment, p)) return false;
    p = end + 1;
  }
  return p > path.length;
}
