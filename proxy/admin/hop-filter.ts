/**
 * Which hops a reader of `/hops` wants: parsed once from the query, then asked per hop while somebody
 * listens. Travels to the workers as JSON.
 */
import type { HopRecord, HopShape } from '../../telemetry/hop-record.ts';

export interface HopFilter {
  /** Route templates, exactly as in the mesh file; empty = all. */
  readonly routes: readonly string[];
  /** Status or class of statuses, such as 503 or 5xx; empty = all. */
  readonly statuses: readonly string[];
  readonly slower_than_ms: number;
  /** Only hops with an error type: answers of 500 and above, and failures. */
  readonly errors: boolean;
}

/** More values of one kind are refused: each is compared for each hop. */
const VALUES_MAX = 16;
const VALUE_CHARACTERS_MAX = 1_024;
const PARAMETERS = ['route', 'status', 'slower_than', 'errors'];

/** A filter, or what is wrong with the question. `query`: name → value or values, as express reads it. */
export function parseHopFilter(
  query: Readonly<Record<string, unknown>>,
): { readonly filter: HopFilter } | { readonly fault: string } {
  const unknown = Object.keys(query).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) {
    return { fault: `there is no parameter ${unknown} (there are: ${PARAMETERS.join(', ')})` };
  }
  const routes = texts(query['route']);
  const statuses = texts(query['status']);
  const slowerThan = texts(query['slower_than']);
  const errors = texts(query['errors']);
  if (
    routes === undefined ||
    statuses === undefined ||
    slowerThan === undefined ||
    errors === undefined
  ) {
    return { fault: `a parameter takes at most ${VALUES_MAX} values of text` };
  }
  const oddStatus = statuses.find((status) => !/^[1-5]([0-9]{2}|xx)$/.test(status));
  if (oddStatus !== undefined) {
    return { fault: `status ${oddStatus} is neither a status (503) nor a class (5xx)` };
  }
  const slowerThanMs = slowerThan.length === 0 ? 0 : durationMs(slowerThan.at(-1)!);
  if (slowerThanMs === undefined) {
    return {
      fault: `slower_than ${slowerThan.at(-1)!} is no duration (write 100ms, 1.5s or 250us)`,
    };
  }
  const oddErrors = errors.find((value) => !['', 'true', 'false', '1', '0'].includes(value));
  if (oddErrors !== undefined) return { fault: `errors is ${oddErrors} (write true or false)` };
  const onlyErrors = errors.length > 0 && !['false', '0'].includes(errors.at(-1)!);
  return { filter: { routes, statuses, slower_than_ms: slowerThanMs, errors: onlyErrors } };
}

/** Milliseconds of `100ms`, `1.5s`, `250us` or `2m`; undefined when it is none of them. */
function durationMs(text: string): number | undefined {
  const match = /^([0-9]{1,9}(?:\.[0-9]{1,6})?)(us|ms|s|m)$/.exec(text);
  if (match === null) return undefined;
  const unitMs = { us: 0.001, ms: 1, s: 1_000, m: 60_000 }[match[2] as 'us' | 'ms' | 's' | 'm'];
  return Number(match[1]) * unitMs;
}

/** True when a hop is wanted. */
export function matchesHop(filter: HopFilter, shape: HopShape, record: HopRecord): boolean {
  if (filter.errors && record.errorType === '') return false;
  if (record.timesMs[7]! - record.timesMs[0]! < filter.slower_than_ms) return false;
  if (filter.routes.length > 0 && !filter.routes.includes(shape.route)) return false;
  if (filter.statuses.length === 0) return true;
  const status = String(record.status);
  return filter.statuses.some((wanted) =>
    wanted.endsWith('xx') ? status.length === 3 && status[0] === wanted[0] : status === wanted,
  );
}

function texts(value: unknown): readonly string[] | undefined {
  const list: unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value];
  const isText = (one: unknown): one is string =>
    typeof one === 'string' && one.length <= VALUE_CHARACTERS_MAX;
  return list.length <= VALUES_MAX && list.every(isText) ? list : undefined;
}
