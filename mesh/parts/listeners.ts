/**
 * Listeners of a gateway or sidecar, by what it serves: the one place that knows how gateways and
 * sidecars stand to each other (docs/TOPOLOGIES.md).
 */
import type { GatewayConfig, ServedConfig, SidecarConfig } from '../config.ts';
import type { Mesh } from '../load.ts';
import type { Listener } from '../part.ts';
import { applicationOf, clusterCalled, identityOf, reached, workloadIdentity } from './clusters.ts';
import { allowPart, edgeFunctions, edgeRoute, externalRoute, workloadRoutes } from './routes.ts';
import { edgeTls } from './tls.ts';

export function gatewayListener(mesh: Mesh, gateway: GatewayConfig): Listener {
  const { config } = mesh;
  const sidecar = config.sidecars.find((s) => s.serves.some((v) => v.gateway === gateway.name));
  const attached = sidecar?.serves.find((v) => v.gateway === gateway.name)?.outbound;
  return {
    name: `${gateway.name}-ingress`,
    side: 'ingress',
    ...gateway.listen,
    ...edgeTls(mesh, gateway.listen.tls),
    // The outside vouches for nobody.
    mesh_only: false,
    workload: identityOf(gateway, 'gateway'),
    routes: gateway.routes.map((route) => {
      // With a sidecar of its own it calls nobody else.
      const clusters = targetsOf(route.to).map(({ service, weight }) => {
        const cluster = clusterCalled(config, service);
        const { meshed, endpoints } =
          attached === undefined
            ? cluster
            : { meshed: true, endpoints: [reached(sidecar!, attached)] };
        return { cluster: { ...cluster, meshed, endpoints }, weight };
      });
      const functions = edgeFunctions(mesh, gateway, route);
      if (attached === undefined) return edgeRoute(config, route, clusters, functions);
      return edgeRoute(
        config,
        // Whoever chooses the endpoint tries again, and copies: here that is the sidecar.
        { ...route, retry: undefined, try_timeout_ms: undefined, mirror: undefined },
        clusters,
        // The sidecar finds the route by the path as the client wrote it, so it rewrites.
        functions === undefined ? undefined : { ...functions, rewrite: undefined },
      );
    }),
  };
}

export function sidecarListeners(mesh: Mesh, sidecar: SidecarConfig): Listener[] {
  return sidecar.serves.flatMap((served) =>
    served.gateway === undefined
      ? workloadListeners(mesh, served)
      : [gatewayOutbound(mesh, sidecar, served)],
  );
}

/**
 * Where a gateway hands its requests to its sidecar. Its own routes say again where each goes, so
 * that no header has to be believed. A BFF at the same sidecar is reached in the same pass.
 */
function gatewayOutbound(
  mesh: Mesh,
  sidecar: SidecarConfig,
  served: ServedConfig & { gateway: string },
): Listener {
  const { config } = mesh;
  const gateway = config.gateways.find((g) => g.name === served.gateway)!;
  return {
    name: `${gateway.name}-outbound`,
    side: 'outbound',
    ...served.outbound,
    mesh_only: false,
    workload: identityOf(gateway, 'gateway'),
    routes: gateway.routes.map((route) => {
      // Several targets there are only where a gateway calls them itself (references.ts).
      const { service } = targetsOf(route.to)[0]!;
      const bff = config.workloads.find((w) => w.name === service && w.kind === 'bff');
      const isHere = bff !== undefined && sidecar.serves.some((v) => v.workload === bff.name);
      const cluster = isHere ? applicationOf(config, bff) : clusterCalled(config, service);
      const rewrite = edgeFunctions(mesh, gateway, route)?.rewrite;
      const reachedBy = edgeRoute(
        config,
        route,
        [{ cluster, weight: 1 }],
        rewrite === undefined ? undefined : { rewrite },
        isHere ? workloadIdentity(config, bff) : undefined,
      );
      return isHere ? { ...reachedBy, ...allowPart(config, bff.allow) } : reachedBy;
    }),
  };
}

function workloadListeners(mesh: Mesh, served: ServedConfig & { workload: string }): Listener[] {
  const { config } = mesh;
  const workload = config.workloads.find((w) => w.name === served.workload)!;
  const identity = workloadIdentity(config, workload);
  const application = applicationOf(config, workload);
  const { ingress } = served;
  const listeners: Listener[] = [
    {
      name: `${workload.name}-inbound`,
      side: 'inbound',
      host: served.inbound.host,
      port: served.inbound.port,
      mesh_only: served.inbound.mesh_only,
      workload: identity,
      routes: workloadRoutes(config, workload, [], application, mesh),
    },
    {
      name: `${workload.name}-outbound`,
      side: 'outbound',
      ...served.outbound,
      mesh_only: false,
      workload: identity,
      routes: [
        ...config.workloads.flatMap((called) =>
          workloadRoutes(config, called, [called.name], clusterCalled(config, called.name)),
        ),
        ...config.externals.map((external) => externalRoute(config, external)),
      ],
    },
  ];
  if (ingress === undefined) return listeners;
  return [
    {
      ...ingress,
      ...edgeTls(mesh, ingress.tls),
      name: `${workload.name}-ingress`,
      side: 'ingress',
      mesh_only: false,
      workload: identity,
      routes: ingress.routes.map((route) =>
        edgeRoute(
          config,
          route,
          [{ cluster: application, weight: 1 }],
          edgeFunctions(mesh, ingress, route),
        ),
      ),
    },
    ...listeners,
  ];
}

/** Targets of a route with their shares; one name alone gets everything. */
const targetsOf = (
  to: GatewayConfig['routes'][number]['to'],
): readonly { service: string; weight: number }[] =>
  typeof to === 'string' ? [{ service: to, weight: 1 }] : to;
