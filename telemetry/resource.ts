/**
 * The Resource of everything that a proxy emits on behalf of one workload: constants of the process
 * and of the workload, encoded once.
 */
import type { ProxyRole } from './edge-class.ts';
import type { MessageWriter } from './message-writer.ts';
import { ATTR } from './names.ts';

/** Identity of the sender. An empty text leaves its attribute out. */
export interface ResourceSettings {
  readonly serviceName: string;
  readonly serviceNamespace: string;
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly host: string;
  readonly zone: string;
  readonly cluster: string;
  readonly mesh: string;
  readonly topology: string;
  readonly proxyName: string;
  readonly proxyRole: ProxyRole;
  /** One per start of the process: names the sequence that `seq` counts in. */
  readonly bootId: string;
  /** Clock domain: one host since its boot. */
  readonly clockId: string;
}

/** Writes the Resource as field 1 of a ResourceSpans or ResourceLogs. */
export function writeResource(writer: MessageWriter, resource: ResourceSettings): void {
  const attributes: readonly (readonly [string, string])[] = [
    [ATTR.serviceName, resource.serviceName],
    [ATTR.serviceNamespace, resource.serviceNamespace],
    [ATTR.serviceVersion, resource.serviceVersion],
    [ATTR.serviceInstanceId, resource.instanceId],
    [ATTR.hostName, resource.host],
    [ATTR.zone, resource.zone],
    [ATTR.cluster, resource.cluster],
    [ATTR.mesh, resource.mesh],
    [ATTR.topology, resource.topology],
    [ATTR.proxyName, resource.proxyName],
    [ATTR.proxyRole, resource.proxyRole],
    [ATTR.bootId, resource.bootId],
    [ATTR.clockId, resource.clockId],
  ];
  writer.begin(1);
  for (const [key, value] of attributes) {
    if (value !== '') writer.attribute(1, key, value);
  }
  writer.end();
}
