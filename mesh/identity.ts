/**
 * Names of identities: the SPIFFE id of a workload or gateway, and the files in which a proxy finds
 * its certificates. Pure; proxy/identity/ reads the files, `azimuth ca` writes them.
 *
 *     DIR/ca.pem, ca.key              the authority; its key stays with whoever issues
 *     DIR/PROXY/bundle.pem            authorities that the proxy believes
 *     DIR/PROXY/NAME.pem, NAME.key    one for each workload or gateway that it speaks for
 */
import { join } from 'node:path';
import type { Listener, WorkloadIdentity } from './part.ts';

/** Stands in an id where the mesh file gives no namespace, as in Kubernetes. */
const NO_NAMESPACE = 'default';

/** `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`. */
export const spiffeId = (
  trustDomain: string,
  { namespace, name }: Pick<WorkloadIdentity, 'namespace' | 'name'>,
): string => `spiffe://${trustDomain}/ns/${namespace === '' ? NO_NAMESPACE : namespace}/sa/${name}`;

/** What a namespace may be so that it can stand in an id (SPIFFE-ID 2.2). */
export const NAMESPACE_IN_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]*$/;

/** Paths of what one proxy holds for one name. */
export interface IdentityFiles {
  readonly bundle: string;
  readonly cert: string;
  readonly key: string;
}

/** @param dir Folder of the mesh's certificates. @param proxy Name of the gateway or sidecar. */
export function identityFiles(dir: string, proxy: string, name: string): IdentityFiles {
  const folder = join(dir, proxy);
  return {
    bundle: join(folder, 'bundle.pem'),
    cert: join(folder, `${name}.pem`),
    key: join(folder, `${name}.key`),
  };
}

/** Workloads and gateways for which the listeners of a proxy speak, each once. */
export function identitiesOf(listeners: readonly Listener[]): WorkloadIdentity[] {
  const found = new Map<string, WorkloadIdentity>();
  for (const { workload, routes, tls } of listeners) {
    const speaks = tls?.clients === 'mesh' || routes.some(({ cluster }) => cluster.tls);
    if (speaks) found.set(workload.name, workload);
  }
  return [...found.values()];
}
