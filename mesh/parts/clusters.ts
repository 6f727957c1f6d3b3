/**
 * Whom a proxy can call: workloads through their sidecars, applications behind their own, externals,
 * and who each of them is on a record.
 */
import type { PeerRole } from '../../telemetry/edge-class.ts';
import type { MeshConfig, SidecarConfig, WorkloadConfig } from '../config.ts';
import type { Cluster, Endpoint, WorkloadIdentity } from '../part.ts';
import type { clusterKeys } from '../resilience.ts';

/** A workload's own application, behind its sidecar. */
export function applicationOf(config: MeshConfig, workload: WorkloadConfig): Cluster {
  return {
    name: workload.name,
    endpoints: [workload.address, ...workload.replicas].map(endpointOf),
    meshed: false,
    role: roleOf(config, workload),
    ...callingKeys(workload),
  };
}

/** Cluster of a workload (its sidecar's inbound listener) or of an external. */
export function clusterCalled(config: MeshConfig, name: string): Cluster {
  const external = config.externals.find((e) => e.name === name);
  if (external !== undefined) {
    return {
      name,
      endpoints: [external.address, ...external.replicas].map(endpointOf),
      meshed: false,
      role: 'external',
      ...callingKeys(external),
    };
  }
  const workload = config.workloads.find((w) => w.name === name)!;
  const sidecar = config.sidecars.find((s) => s.serves.some((v) => v.workload === name))!;
  const { inbound } = sidecar.serves.find((v) => v.workload === name)!;
  return {
    name,
    endpoints: [reached(sidecar, inbound!), ...inbound!.replicas.map(endpointOf)],
    meshed: true,
    role: roleOf(config, workload),
    ...callingKeys(workload),
    // A request would be one more hop there; a connection is none.
    ...(workload.health_check === undefined
      ? {}
      : { health_check: { ...workload.health_check, path: undefined } }),
  };
}

/** What a mesh file says of the endpoints of a service; keys that it leaves out stay out. */
function callingKeys(
  service: Pick<WorkloadConfig, 'connect_timeout_ms' | keyof typeof clusterKeys>,
): Pick<Cluster, 'connect_timeout_ms' | keyof typeof clusterKeys> {
  const { connect_timeout_ms, retry_budget, balance, outliers, health_check, dns_refresh_ms } =
    service;
  const written = Object.fromEntries(
    Object.entries({ retry_budget, balance, outliers, health_check, dns_refresh_ms }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return { connect_timeout_ms, ...written };
}

/** Where others reach a listener of a sidecar: one that listens everywhere, by its machine's name. */
export function reached(sidecar: SidecarConfig, { host, port }: Endpoint): Endpoint {
  const isWildcard = host === '0.0.0.0' || host === '::' || host === '[::]';
  return { host: isWildcard ? (sidecar.machine ?? '127.0.0.1') : host, port };
}

/** A BFF with an ingress does the gateway's work: its calls are the gateway's internal leg. */
function roleOf(config: MeshConfig, workload: WorkloadConfig): PeerRole {
  if (workload.kind !== 'bff') return 'workload';
  const served = config.sidecars.flatMap((s) => s.serves).find((v) => v.workload === workload.name);
  return served?.ingress === undefined ? 'bff' : 'gateway_bff';
}

export const workloadIdentity = (config: MeshConfig, workload: WorkloadConfig): WorkloadIdentity =>
  identityOf(workload, roleOf(config, workload));

export function identityOf(
  owner: { name: string; namespace: string; version: string; zone: string },
  role: PeerRole,
): WorkloadIdentity {
  const { name, namespace, version, zone } = owner;
  return { name, namespace, version, zone, role };
}

/** `host:port` of a checked address; brackets of IPv6 removed. */
function endpointOf(address: string): Endpoint {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  };
}
