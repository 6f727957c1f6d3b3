/**
 * Who calls whom inside the mesh, as far as a mesh file tells. Any workload may call any other, so
 * that a file holds no graph; two things in it say that a call is meant:
 *
 *   - an allow-list that names the caller (of the route, else of the workload)
 *   - `kind: bff`: calling services and externals is what a BFF is for, where no list forbids it
 *
 * Rules that follow a request through several services say "may call" for that reason.
 */
import type { MeshConfig, WorkloadConfig } from '../config.ts';
import { spiffeId } from '../identity.ts';
import type { Path } from '../source.ts';

/** What a caller's sidecar knows of one route of whom it calls. */
export type CalledRoute = Pick<
  WorkloadConfig['routes'][number],
  'timeout_ms' | 'try_timeout_ms' | 'idle_timeout_ms' | 'retry' | 'response_timeout_ms'
> & { readonly path: Path; readonly methods: readonly string[] };

/** One service that another may call, with the routes by which it may. */
export interface Call {
  readonly callee: string;
  readonly routes: readonly CalledRoute[];
}

/** True where a list names the caller, or there is none. */
export function admits(
  config: MeshConfig,
  allow: readonly string[] | undefined,
  caller: { readonly name: string; readonly namespace: string },
): boolean {
  if (allow === undefined) return true;
  const id = spiffeId(config.identity?.trust_domain ?? '', caller);
  return allow.some((one) => {
    if (!one.startsWith('spiffe:')) return one === caller.name;
    return one.endsWith('*') ? id.startsWith(one.slice(0, -1)) : id === one;
  });
}

/** Calls that a workload may make. */
export function callsOf(config: MeshConfig, caller: WorkloadConfig): Call[] {
  const services = config.workloads.flatMap((callee, index): Call[] => {
    if (callee.name === caller.name) return [];
    const may = (allow: readonly string[] | undefined): boolean =>
      allow === undefined
        ? caller.kind === 'bff' && callee.kind !== 'bff'
        : admits(config, allow, caller);
    const routes = callee.routes.flatMap((route, at): CalledRoute[] =>
      may(route.allow ?? callee.allow)
        ? [{ ...route, path: ['workloads', index, 'routes', at] }]
        : [],
    );
    return routes.length > 0 || may(callee.allow) ? [{ callee: callee.name, routes }] : [];
  });
  if (caller.kind !== 'bff') return services;
  const externals = config.externals.map((external, index): Call => ({
    callee: external.name,
    routes: [{ ...external, path: ['externals', index], methods: [] }],
  }));
  return [...services, ...externals];
}
