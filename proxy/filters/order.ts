/**
 * Which filters there are and in which order they run: one list for each role of a listener, with the
 * reason for each place. Only those that a route asks for are made; a route without any has none.
 *
 * Consumer comes from `authn`, so a limit by consumer must stand behind it, and one by address before:
 * it protects the checks of tokens themselves.
 */
import type { Listener } from '../../mesh/part.ts';
import type { FunctionsPart, RateLimitPart } from '../../mesh/functions.ts';
import { AllowFilter } from './allow.ts';
import { ApiKeyFilter } from './api-key.ts';
import { CorsFilter } from './cors.ts';
import { FaultFilter } from './fault.ts';
import type { Filter } from './filter.ts';
import type { FilterState } from './filter-state.ts';
import { HeadersFilter } from './headers.ts';
import { JwtFilter } from './jwt.ts';
import { RateLimitFilter } from './rate-limit.ts';
import { RequestSizeFilter } from './request-size.ts';
import { RewriteFilter } from './rewrite.ts';

/** What a filter is made from. */
export interface RouteOfFilters {
  /** SPIFFE ids of callers that it takes; absent: every caller. */
  readonly allow: readonly string[] | undefined;
  readonly template: string;
  readonly methods: readonly string[];
  readonly functions: FunctionsPart;
  readonly state: FilterState;
}

interface Place {
  readonly name: string;
  /** Why it stands here. */
  readonly why: string;
  /** Those that the route asks for, in its order. */
  readonly make: (route: RouteOfFilters) => readonly Filter[];
}

const none: readonly Filter[] = [];

const limits = (
  { functions, state }: RouteOfFilters,
  is: (by: RateLimitPart['by']) => boolean,
): readonly Filter[] =>
  (functions.rate_limits ?? [])
    .filter(({ by }) => is(by))
    .map((limit) => new RateLimitFilter(limit, state.counters(limit)));

const ALLOW: Place = {
  name: 'allow',
  why: 'First: who may not call takes up no counter, and nothing of it is checked.',
  make: ({ allow }) => (allow === undefined ? none : [new AllowFilter(allow)]),
};

const CORS: Place = {
  name: 'cors',
  why: 'First: a preflight has no credentials and must be answered all the same, and a page can only read a later refusal that carries the headers of this one.',
  make: ({ functions: { cors }, methods }) =>
    cors === undefined ? none : [new CorsFilter(cors, methods)],
};

const REQUEST_SIZE: Place = {
  name: 'request_size',
  why: 'One comparison: what is too long anyway costs no counter and no check of a token.',
  make: ({ functions: { request_size: size } }) =>
    size === undefined ? none : [new RequestSizeFilter(size)],
};

const RATE_LIMIT_UNKNOWN: Place = {
  name: 'rate_limit (by route, by client)',
  why: 'Before authn: whoever tries tokens or keys by the thousand is stopped before they are checked.',
  make: (route) => limits(route, (by) => by !== 'consumer'),
};

const AUTHN: Place = {
  name: 'authn',
  why: 'Before everything that asks who it is.',
  make: ({ functions: { jwt, api_keys: apiKeys }, state }) => {
    if (jwt !== undefined) return [new JwtFilter(jwt, state.keySet(jwt))];
    return apiKeys === undefined ? none : [new ApiKeyFilter(apiKeys)];
  },
};

const RATE_LIMIT_CONSUMER: Place = {
  name: 'rate_limit (by consumer)',
  why: 'Behind authn, which names the consumer.',
  make: (route) => limits(route, (by) => by === 'consumer'),
};

const FAULT: Place = {
  name: 'fault',
  why: 'Behind everything that refuses: what is held back or aborted is what would have been carried.',
  make: ({ functions: { fault }, state }) =>
    fault === undefined ? none : [new FaultFilter(fault, state.timers)],
};

const HEADERS: Place = {
  name: 'headers',
  why: 'Behind every filter that reads headers, so that each judges what the client sent.',
  make: ({ functions: { headers } }) =>
    headers === undefined ? none : [new HeadersFilter(headers.request)],
};

const REWRITE: Place = {
  name: 'rewrite',
  why: 'Last: all before it judge, count and answer by the path that the client asked for.',
  make: ({ functions: { rewrite }, template }) =>
    rewrite === undefined ? none : [new RewriteFilter(rewrite, template)],
};

const EDGE = [
  CORS,
  REQUEST_SIZE,
  RATE_LIMIT_UNKNOWN,
  AUTHN,
  RATE_LIMIT_CONSUMER,
  FAULT,
  HEADERS,
  REWRITE,
] as const;

export type FilterRole = 'gateway' | 'merged_ingress' | 'sidecar';

/** The lists. `rewrite` at a sidecar: that of an attached gateway, which its sidecar performs. */
export const FILTER_ORDER: Readonly<Record<FilterRole, readonly Place[]>> = {
  gateway: EDGE,
  // The same list, not an equal one: merging moves the functions, and must change nothing else.
  merged_ingress: EDGE,
  // No cors: no browser talks to a sidecar's inbound side. And only there callers have an identity.
  sidecar: [
    ALLOW,
    REQUEST_SIZE,
    RATE_LIMIT_UNKNOWN,
    AUTHN,
    RATE_LIMIT_CONSUMER,
    FAULT,
    HEADERS,
    REWRITE,
  ],
};

export function roleOf({ side, workload }: Listener): FilterRole {
  if (side !== 'ingress') return 'sidecar';
  return workload.role === 'gateway' ? 'gateway' : 'merged_ingress';
}
