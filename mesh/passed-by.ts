/**
 * What a BFF's routes ask for and requests from outside would never meet: where its sidecar is the
 * ingress, and where it is its gateway's sidecar too, such requests reach the application in one pass,
 * by the route of the edge alone. Whoever wrote a check or a list there relies on it, so a file that
 * would leave it out is refused. Only of a file that is valid in all else.
 */
import type { MeshConfig } from './config.ts';
import { admits } from './lint/calls.ts';
import { inForce, pairsOf, type Meeting } from './lint/edges.ts';
import { pathText, type Fault, type Source } from './source.ts';

/** Functions that a workload's own sidecar performs; each with what does the same at the edge. */
const PERFORMED = {
  jwt: ['jwt', 'api_keys'],
  api_keys: ['jwt', 'api_keys'],
  rate_limits: ['rate_limits'],
  request_size: ['request_size'],
  headers: ['headers'],
  fault: ['fault'],
} as const;

export function passedByFaults(config: MeshConfig, source: Source): Fault[] {
  const around = pairsOf(config).filter(({ passesInbound }) => !passesInbound);
  const faults = new Map<string, Fault>();
  for (const meeting of around) {
    for (const fault of faultsOf(config, meeting, source)) {
      // Once for each, with the first route that goes around it.
      if (!faults.has(fault.path)) faults.set(fault.path, fault);
    }
  }
  return [...faults.values()];
}

function faultsOf(
  config: MeshConfig,
  { edge, outer, inner, workload }: Meeting,
  source: Source,
): Fault[] {
  if (inner === undefined) return [];
  const outside = `"${outer.config.path}" at ${pathText(outer.path)}`;
  const faults = (Object.keys(PERFORMED) as (keyof typeof PERFORMED)[]).flatMap((key) => {
    if (inner.config.functions?.[key] === undefined) return [];
    if (PERFORMED[key].some((same) => inForce(edge, outer, same) !== undefined)) return [];
    return [
      source.fault(
        [...inner.path, 'functions', key],
        `would not be done for requests from outside: ${outside} takes them to ${workload.name} in ` +
          'one pass (write it there too, or there alone)',
      ),
    ];
  });
  const { gateway } = edge;
  const { allow } = inner.config;
  // An ingress is for everybody: lists are about callers in the mesh.
  if (gateway === undefined || allow === undefined) return faults;
  if (admits(config, allow, gateway) === admits(config, workload.allow, gateway)) return faults;
  return [
    ...faults,
    source.fault(
      [...inner.path, 'allow'],
      `would not count for ${gateway.name}: ${outside} takes its requests to ${workload.name} in one ` +
        `pass, by the list of the workload alone (let both take ${gateway.name} or neither)`,
    ),
  ];
}
