/**
 * Functions on the wrong side of the boundary between gateway and mesh: what only makes sense towards
 * clients outside, at the sidecar of a service; and calls of the mesh that leave it and come back in through its gateway.
 */
import type { Path } from '../source.ts';
import { edgesOf, pairsOf } from './edges.ts';
import { figure, type Finding, type LintInput } from './finding.ts';

/** Checks of clients, which are outside. */
const OF_CLIENTS = ['jwt', 'api_keys'] as const;

/** At a workload's sidecar the clients are proxies. */
export function clientLimitInMesh({ config }: LintInput): Finding[] {
  return config.workloads.flatMap((workload, index) =>
    workload.routes.flatMap((route, at) =>
      (route.functions?.rate_limits ?? []).flatMap((limit, which): Finding[] => {
        if (limit.by !== 'client') return [];
        const path = ['workloads', index, 'routes', at, 'functions', 'rate_limits', which];
        const edges = edgesOf(config).filter(({ routes }) =>
          routes.some(({ targets }) => targets.includes(workload.name)),
        );
        const per = limit.per_s === 1 ? 'a second' : `in ${figure(limit.per_s)} s`;
        return [
          {
            rule: 'client-limit-in-mesh',
            consequence: `clients of ${workload.name}'s sidecar are the proxies that call it: all users behind one proxy share ${figure(limit.requests)} requests ${per}`,
            mend: 'limit by client at the gateway, or here by route',
            places: [
              { path, says: 'by client' },
              ...edges.map(({ path: edge, name }) => ({
                path: edge,
                says: `${name}, one client of it`,
              })),
            ],
          },
        ];
      }),
    ),
  );
}

/** Checks of clients at a service that no route from outside leads to. */
export function gatewayFunctionInMesh({ config }: LintInput): Finding[] {
  // Also pairs that go around the sidecar's inbound listener, which the edge answers for.
  const met = new Set(pairsOf(config).map(({ inner }) => (inner?.path ?? []).join(' ')));
  const edges = edgesOf(config);
  const count = edges.reduce((sum, { routes }) => sum + routes.length, 0);
  return config.workloads.flatMap((workload, index) =>
    workload.routes.flatMap((route, at) => {
      const path: Path = ['workloads', index, 'routes', at];
      if (met.has(path.join(' '))) return [];
      return OF_CLIENTS.filter((key) => route.functions?.[key] !== undefined).map(
        (key): Finding => ({
          rule: 'gateway-function-in-mesh',
          consequence:
            `${count === 0 ? 'no route' : `0 of ${count} routes`} from outside lead to "${route.path}" of ` +
            `${workload.name}: all its callers are proxies of the mesh, and each request of theirs ` +
            "without a client's credentials gets 401",
          mend: 'name the callers by identity (allow), and check clients at the gateway',
          places: [
            { path: [...path, 'functions', key], says: `${key} in the mesh` },
            ...edges.map((edge) => ({
              path: [...edge.path, 'routes'],
              says: `where clients come in at ${edge.name}`,
            })),
          ],
        }),
      );
    }),
  );
}

const isLoopback = (host: string): boolean => /^(localhost|127\.[0-9.]+|\[?::1\]?)$/.test(host);
const isWildcard = (host: string): boolean => /^(0\.0\.0\.0|\[?::\]?)$/.test(host);

/** An external that is a gateway of this mesh. */
export function meshThroughGateway({ config }: LintInput): Finding[] {
  const edges = edgesOf(config);
  return config.externals.flatMap((external, index) => {
    const colon = external.address.lastIndexOf(':');
    const host = external.address.slice(0, colon);
    const port = Number(external.address.slice(colon + 1));
    return edges.flatMap((edge): Finding[] => {
      const { listen } = edge;
      const machine = edge.gateway?.machine;
      const isHere =
        listen.port === port &&
        (host === listen.host ||
          host === machine ||
          (isLoopback(host) &&
            machine === undefined &&
            (isLoopback(listen.host) || isWildcard(listen.host))));
      if (!isHere) return [];
      const isTls = listen.tls !== undefined;
      return [
        {
          rule: 'mesh-through-gateway',
          consequence: isTls
            ? `every call of ${external.name} gets 400: externals are called by plain HTTP, and ${edge.name} takes TLS there`
            : `each call of ${external.name} leaves the mesh and comes in again: 2 hops more, counted as a request from outside, without the caller's identity, through all functions of ${edge.name}`,
          mend: `call the workloads behind ${edge.name} by their names, and remove the external`,
          places: [
            { path: ['externals', index, 'address'], says: `${external.name}, outside the mesh` },
            { path: edge.listenPath, says: `${edge.name} listens there` },
          ],
        },
      ];
    });
  });
}
