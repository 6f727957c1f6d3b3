/**
 * Copies of requests that are not what they were meant for: those that go where the requests go, and
 * those that would count as load since nobody there can know that they are copies. Whether two services
 * share a database, so that a copy does everything twice, no mesh file says.
 */
import type { MeshConfig } from '../config.ts';
import type { Path } from '../source.ts';
import type { Finding, LintInput } from './finding.ts';

interface Copying {
  readonly route: string;
  readonly path: Path;
  readonly to: string;
  readonly percent: number;
  /** Those that get the requests. */
  readonly targets: readonly { readonly name: string; readonly path: Path }[];
}

/** Every route that makes copies. */
function copyingRoutes(config: MeshConfig): Copying[] {
  const found: Copying[] = [];
  const add = (
    { path: route, mirror }: { path: string; mirror?: MeshConfig['externals'][number]['mirror'] },
    path: Path,
    targets: Copying['targets'],
  ): void => {
    if (mirror === undefined) return;
    found.push({
      route,
      path: [...path, 'mirror'],
      to: mirror.to,
      percent: mirror.percent,
      targets,
    });
  };
  config.gateways.forEach(({ routes }, index) => {
    routes.forEach((route, at) => {
      const path = ['gateways', index, 'routes', at];
      const { to } = route;
      const targets =
        typeof to === 'string'
          ? [{ name: to, path: [...path, 'to'] }]
          : to.map(({ service }, which) => ({
              name: service,
              path: [...path, 'to', which, 'service'],
            }));
      add(route, path, targets);
    });
  });
  config.sidecars.forEach(({ serves }, index) => {
    serves.forEach((served, which) => {
      served.ingress?.routes.forEach((route, at) => {
        const path = ['sidecars', index, 'serves', which];
        const target = { name: served.workload, path: [...path, 'workload'] };
        add(route, [...path, 'ingress', 'routes', at], [target]);
      });
    });
  });
  config.workloads.forEach(({ name, routes }, index) => {
    const target = { name, path: ['workloads', index, 'name'] };
    routes.forEach((route, at) => add(route, ['workloads', index, 'routes', at], [target]));
  });
  config.externals.forEach(({ name, mirror }, index) => {
    const target = { name, path: ['externals', index, 'name'] };
    add({ path: name, mirror }, ['externals', index], [target]);
  });
  return found;
}

/** Copies to the very service, or to another name of the very application, that gets the requests. */
export function mirrorToItself({ config }: LintInput): Finding[] {
  const addressOf = (name: string): string | undefined =>
    [...config.workloads, ...config.externals].find((one) => one.name === name)?.address;
  return copyingRoutes(config).flatMap(({ route, path, to, percent, targets }) => {
    const same = targets.find(
      ({ name }) => name === to || (addressOf(name) === addressOf(to) && addressOf(to)),
    );
    if (same === undefined) return [];
    return [
      {
        rule: 'mirror-to-itself',
        consequence: `${same.name} gets ${percent} % of the requests of "${route}" twice, and does twice what is not safe to do twice`,
        mend: 'copy to another instance than the one that answers, or remove mirror',
        places: [
          { path: same.path, says: `${same.name} gets the requests` },
          { path: [...path, 'to'], says: 'and the copies' },
        ],
      },
    ];
  });
}

/** A sidecar that cannot know its callers does not believe that a request is a copy. */
export function mirrorCountsAsLoad({ config }: LintInput): Finding[] {
  const mode = config.identity?.mode ?? 'off';
  if (mode === 'permissive' || mode === 'strict') return [];
  return copyingRoutes(config).flatMap(({ route, path, to }) =>
    config.sidecars.flatMap((sidecar, index) =>
      sidecar.serves.flatMap((served, at): Finding[] => {
        if (served.workload !== to || served.inbound.mesh_only) return [];
        return [
          {
            rule: 'mirror-counts-as-load',
            consequence: `copies of "${route}" count as load of ${to}: its sidecar knows 0 of its callers, and believes no mark of theirs`,
            mend: 'use certificates (identity), or vouch for callers (mesh_only)',
            places: [
              { path: [...path, 'to'], says: `copies go to ${to}` },
              {
                path: ['sidecars', index, 'serves', at],
                says: 'anybody could call here',
              },
            ],
          },
        ];
      }),
    ),
  );
}
