/**
 * The filters of one route, made when a configuration is taken, and what of their changes is the same
 * for all its requests.
 */
import type { FunctionsPart } from '../../mesh/functions.ts';
import type { Route } from '../../mesh/part.ts';
import { CONSUMER_HEADER } from '../../telemetry/names.ts';
import { withheldHeader } from './api-key.ts';
import { CORS_RESPONSE_HEADERS } from './cors.ts';
import type { Filter } from './filter.ts';
import type { FilterState } from './filter-state.ts';
import { linesOf, namesTakenOut } from './headers.ts';
import { FILTER_ORDER, type FilterRole } from './order.ts';

export interface CompiledFilters {
  /** In the order of their list; at least one. */
  readonly filters: readonly Filter[];
  /** Headers, in lower case, that are taken out of the request and of the answer. */
  readonly requestTakenOut: ReadonlySet<string> | undefined;
  readonly responseTakenOut: ReadonlySet<string> | undefined;
  /** Lines of every answer. */
  readonly responseLines: string;
  /** It answers preflights. */
  readonly hasCors: boolean;
}

const NOTHING: FunctionsPart = {};

/** Undefined for a route that asks for nothing. */
export function compileFilters(
  { functions: asked, allow, template, methods }: Route,
  role: FilterRole,
  state: FilterState,
): CompiledFilters | undefined {
  if (asked === undefined && allow === undefined) return undefined;
  const functions = asked ?? NOTHING;
  const route = { functions, allow, template, methods, state };
  const places = FILTER_ORDER[role];
  const filters = places.flatMap((place) => place.make(route));
  if (filters.length === 0) return undefined;
  const { headers, api_keys: apiKeys, cors, jwt } = functions;
  const withheld = apiKeys === undefined ? undefined : withheldHeader(apiKeys);
  return {
    filters,
    requestTakenOut: setOf([
      ...(headers === undefined ? [] : namesTakenOut(headers.request)),
      ...(withheld === undefined ? [] : [withheld]),
      // Also inside the mesh: where it is asked who sends a request, nobody may say so himself.
      ...(apiKeys === undefined && jwt === undefined ? [] : [CONSUMER_HEADER]),
    ]),
    responseTakenOut: setOf([
      ...(headers === undefined ? [] : namesTakenOut(headers.response)),
      ...(cors === undefined ? [] : CORS_RESPONSE_HEADERS),
    ]),
    responseLines: headers === undefined ? '' : linesOf(headers.response),
    hasCors: cors !== undefined,
  };
}

const setOf = (names: readonly string[]): ReadonlySet<string> | undefined =>
  names.length === 0 ? undefined : new Set(names);
