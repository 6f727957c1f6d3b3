/**
 * Checks of `functions:` that concern several values: what a route inherits, what its rewrite takes
 * from its path, who can be a consumer. Reads raw values, tolerantly, like references.ts.
 */
import { FUNCTION_KEYS } from './functions.ts';
import { group, list, strings, text, type Item } from './raw.ts';
import type { Fault, Source } from './source.ts';

export function functionFaults(top: Item, source: Source): Fault[] {
  const ingresses = list(top, 'sidecars')
    .flatMap((sidecar) => list(sidecar, 'serves'))
    .map((served) => group(served, 'ingress'));
  const edges = [...list(top, 'gateways'), ...ingresses];
  return [
    ...edges.flatMap((edge) =>
      list(edge, 'routes').flatMap((route) => [
        ...offFaults(edge, route, source),
        ...identityFaults(edge, route, source),
        ...rewriteFaults(route, source),
      ]),
    ),
    ...list(top, 'workloads').flatMap((workload) =>
      list(workload, 'routes').flatMap((route) => identityFaults(undefined, route, source)),
    ),
  ];
}

function offFaults(edge: Item, route: Item, source: Source): Fault[] {
  const functions = group(route, 'functions');
  const there = group(edge, 'functions').raw;
  return strings(functions.raw['off']).flatMap((key, index) => {
    if (!(FUNCTION_KEYS as readonly string[]).includes(key)) return [];
    const path = [...functions.path, 'off', index];
    if (key in functions.raw) {
      return [source.fault(path, `"${key}" is off and stands here too (remove one)`)];
    }
    return key in there
      ? []
      : [source.fault(path, `"${key}" is no function of its listener (remove it)`)];
  });
}

/** The function that counts for a route, and where it stands. */
function inForce(edge: Item | undefined, route: Item, key: string): Item | undefined {
  const own = group(route, 'functions');
  if (key in own.raw) return group(own, key);
  if (edge === undefined || strings(own.raw['off']).includes(key)) return undefined;
  const inherited = group(edge, 'functions');
  return key in inherited.raw ? group(inherited, key) : undefined;
}

/** Who sends a request is asked in one way, and can be asked for only where somebody is known. */
function identityFaults(edge: Item | undefined, route: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const jwt = inForce(edge, route, 'jwt');
  const apiKeys = inForce(edge, route, 'api_keys');
  const own = group(route, 'functions');
  if (jwt !== undefined && apiKeys !== undefined) {
    const later = 'api_keys' in own.raw ? apiKeys : jwt;
    const other = later === apiKeys ? 'jwt' : 'api_keys';
    faults.push(
      source.fault(
        later.path,
        `asks who sends a request, and ${other} asks too (write off: [${other}], or two routes)`,
      ),
    );
  }
  const names = apiKeys !== undefined || 'consumer_claim' in (jwt?.raw ?? {});
  const limits = 'rate_limits' in own.raw ? own : edge && group(edge, 'functions');
  if (names || limits === undefined || strings(own.raw['off']).includes('rate_limits')) {
    return faults;
  }
  for (const limit of list(limits, 'rate_limits')) {
    if (text(limit, 'by') !== 'consumer') continue;
    faults.push(
      source.fault(
        [...limit.path, 'by'],
        `counts consumers, and ${text(route, 'path') ?? 'a route'} knows none ` +
          '(add api_keys, or jwt with consumer_claim)',
      ),
    );
  }
  return faults;
}

/** A rewrite takes nothing from the path that the path does not have. */
function rewriteFaults(route: Item, source: Source): Fault[] {
  const path = text(route, 'path') ?? '';
  const rewrite = group(group(route, 'functions'), 'rewrite');
  const hasRest = path.endsWith('/*');
  const faults: Fault[] = [];
  if ('prefix' in rewrite.raw && !hasRest) {
    faults.push(
      source.fault(
        [...rewrite.path, 'prefix'],
        `replaces what stands before "/*", and "${path}" has none (write path instead)`,
      ),
    );
  }
  const wanted = text(rewrite, 'path');
  if (wanted === undefined) return faults;
  const place = [...rewrite.path, 'path'];
  const had = path.split('/').filter((part) => /^\{.*\}$/.test(part));
  for (const [index, part] of wanted.split('/').entries()) {
    const isLast = index === wanted.split('/').length - 1;
    if (part === '*' ? hasRest && isLast : !/[{}*]/.test(part) || had.includes(part)) continue;
    const known = [...had, ...(hasRest ? ['a trailing *'] : [])].join(', ') || 'none';
    faults.push(
      source.fault(place, `holds "${part}", which "${path}" does not give (it gives: ${known})`),
    );
  }
  return faults;
}
