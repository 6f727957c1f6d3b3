/**
 * TLS of a proxy's listeners and calls: certificates for the outside, as the mesh file names them,
 * and those by which the proxies of the mesh know each other (layout: mesh/identity.ts).
 */
import type { GatewayConfig, MeshConfig } from '../config.ts';
import { identityFiles, spiffeId } from '../identity.ts';
import type { Mesh } from '../load.ts';
import type { Cluster, IdentityPart, Listener, ListenerTlsPart } from '../part.ts';
import { identityOf, workloadIdentity } from './clusters.ts';
import { pathFrom } from './files.ts';

/** The same for everybody in the mesh: who the others are. */
export function identityPart(config: MeshConfig): { identity: IdentityPart } | undefined {
  const { identity } = config;
  if (identity === undefined || identity.mode === 'off') return undefined;
  const everybody = [
    ...config.gateways.map((gateway) => identityOf(gateway, 'gateway')),
    ...config.workloads.map((workload) => workloadIdentity(config, workload)),
  ];
  return {
    identity: {
      trust_domain: identity.trust_domain,
      peers: Object.fromEntries(
        everybody.map((one) => [
          spiffeId(identity.trust_domain, one),
          { name: one.name, role: one.role },
        ]),
      ),
      calls: identity.mode !== 'accept',
    },
  };
}

/** Adds what the proxy called `proxy` needs to be known, and to know: certificates, expected ids. */
export function identified(mesh: Mesh, proxy: string, listeners: readonly Listener[]): Listener[] {
  const { identity } = mesh.config;
  if (identity === undefined || identity.mode === 'off') return [...listeners];
  const { sidecars, workloads } = mesh.config;
  const dir = pathFrom(mesh, identity.dir);
  // A gateway with a sidecar of its own calls nobody else, on the same machine: as a workload does.
  const attached = sidecars.some((s) => s.serves.some((v) => v.gateway === proxy));
  return listeners.map((listener): Listener => {
    const { bundle, cert, key } = identityFiles(dir, proxy, listener.workload.name);
    const secured = (cluster: Cluster): Cluster => {
      if (identity.mode === 'accept' || !cluster.meshed || attached) return cluster;
      const called = workloads.find((workload) => workload.name === cluster.name)!;
      const id = spiffeId(identity.trust_domain, called);
      return { ...cluster, tls: { ca: bundle, cert, key, id } };
    };
    const tls: ListenerTlsPart = {
      clients: 'mesh',
      certificates: [{ server_names: [], cert, key }],
      client_ca: bundle,
      client_certificate: identity.mode === 'strict' ? 'required' : 'optional',
      min_version: 'TLSv1.3',
      plain: identity.mode !== 'strict',
    };
    return {
      ...listener,
      ...(listener.side === 'inbound' ? { tls } : {}),
      routes: listener.routes.map(({ split, mirror, ...route }) => ({
        ...route,
        cluster: secured(route.cluster),
        ...(mirror === undefined
          ? {}
          : { mirror: { ...mirror, cluster: secured(mirror.cluster) } }),
        ...(split === undefined
          ? {}
          : { split: split.map((one) => ({ ...one, cluster: secured(one.cluster) })) }),
      })),
    };
  });
}

/** TLS of a listener for the outside. */
export function edgeTls(
  mesh: Mesh,
  tls: GatewayConfig['listen']['tls'],
): { tls: ListenerTlsPart | undefined } {
  if (tls === undefined) return { tls };
  const { certificates, client_ca: clientCa, client_certificate: wanted } = tls;
  return {
    tls: {
      clients: 'edge',
      certificates: certificates.map(({ hosts, cert, key }) => ({
        server_names: hosts,
        cert: pathFrom(mesh, cert),
        key: pathFrom(mesh, key),
      })),
      client_ca: clientCa === undefined ? undefined : pathFrom(mesh, clientCa),
      client_certificate: clientCa === undefined ? 'none' : (wanted ?? 'required'),
      min_version: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
      plain: false,
    },
  };
}
