/**
 * Which of several routes that take one request gets it: the precedence of the Kubernetes Gateway
 * API, so that the order of the mesh file only decides between equals.
 *
 *   1. host      a name before a wildcard, a longer wildcard before a shorter one, any host last
 *   2. path      segment by segment: a literal or the end before `{name}`, `{name}` before `*`
 *   3. method    a route that names methods before one that takes any
 *   4. headers   more of them first
 *   5. query     more of them first
 *   6. the order of the mesh file
 *
 * mesh/references.ts finds by it what can never match, mesh/lint/ which routes meet on a path,
 * proxy/router.ts sorts by it. Pure.
 */
import { coversTemplate } from './route-template.ts';

/** What a route asks of a request. */
export interface RouteMatch {
  /** As parseTemplate gives them. */
  readonly segments: readonly string[];
  /** Lower case; `*.example.com` for every name below; empty: any. */
  readonly hosts: readonly string[];
  /** Empty: any. */
  readonly methods: readonly string[];
  /** All of them must be there with exactly this value. Names in lower case. */
  readonly headers?: readonly FieldMatch[];
  readonly query?: readonly FieldMatch[];
}

export interface FieldMatch {
  readonly name: string;
  readonly value: string;
}

/** Rank of an exact name: more than any wildcard, whose rank is its length. */
const EXACT = 1_000;

/**
 * How well `hosts` fit a host: -1 not at all, 0 as any host, else the more the better. `host` is a
 * name, or one of the wildcards themselves, standing for every name that only it takes.
 */
export function hostRank(hosts: readonly string[], host: string): number {
  if (hosts.length === 0) return 0;
  let best = -1;
  for (const wanted of hosts) {
    if (wanted === host) return EXACT;
    if (isWildcardHost(wanted) && host.endsWith(wanted.slice(1)) && wanted.length > best) {
      best = wanted.length;
    }
  }
  return best;
}

export const isWildcardHost = (host: string): boolean => host.startsWith('*.');

const RANK_OF_SEGMENT = (segment: string | undefined): number => {
  if (segment === '**') return 1;
  return segment === '{}' ? 2 : 3;
};

/** Negative where `a` comes before `b` for requests to `host`, 0 between equals. */
export function compareRoutes(a: RouteMatch, b: RouteMatch, host: string): number {
  const byHost = hostRank(b.hosts, host) - hostRank(a.hosts, host);
  if (byHost !== 0) return byHost;
  const segments = Math.max(a.segments.length, b.segments.length);
  for (let i = 0; i < segments; i++) {
    const byPath = RANK_OF_SEGMENT(b.segments[i]) - RANK_OF_SEGMENT(a.segments[i]);
    if (byPath !== 0) return byPath;
  }
  return (
    Number(b.methods.length > 0) - Number(a.methods.length > 0) ||
    (b.headers?.length ?? 0) - (a.headers?.length ?? 0) ||
    (b.query?.length ?? 0) - (a.query?.length ?? 0)
  );
}

/** True when `a` fits every request that `b` fits, whichever of the two comes first. */
export function coversRequests(a: RouteMatch, b: RouteMatch): boolean {
  const hosts = b.hosts.length === 0 ? [''] : b.hosts;
  const named = (all: readonly FieldMatch[] = [], one: FieldMatch): boolean =>
    all.some(({ name, value }) => name === one.name && value === one.value);
  return (
    hosts.every((host) => hostRank(a.hosts, host) >= 0) &&
    coversTemplate(a.segments, b.segments) &&
    (a.methods.length === 0 ||
      (b.methods.length > 0 && b.methods.every((method) => a.methods.includes(method)))) &&
    (a.headers ?? []).every((one) => named(b.headers, one)) &&
    (a.query ?? []).every((one) => named(b.query, one))
  );
}
