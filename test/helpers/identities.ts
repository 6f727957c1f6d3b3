/**
 * Certificates of a small mesh in memory, made by the development CA: what a listener or a cluster
 * of the proxy lab is given, and files of it for openssl and curl.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spiffeId } from '../../mesh/identity.ts';
import type { ClusterTlsPart, IdentityPart, ListenerTlsPart } from '../../mesh/part.ts';
import { createAuthority, issue, type Issued } from '../../runtime/certificate-authority.ts';
import type { PeerRole } from '../../telemetry/edge-class.ts';

export const TRUST_DOMAIN = 'shop.test';
const HOUR_MS = 3_600_000;

export const idOf = (name: string): string => spiffeId(TRUST_DOMAIN, { namespace: 'shop', name });

/** Roles of the workloads that the lab's mesh knows. */
const ROLES: Readonly<Record<string, PeerRole>> = {
  edge: 'gateway',
  'web-bff': 'bff',
  catalog: 'workload',
  orders: 'workload',
};

export const IDENTITY: IdentityPart = {
  trust_domain: TRUST_DOMAIN,
  peers: Object.fromEntries(
    Object.entries(ROLES).map(([name, role]) => [idOf(name), { name, role }]),
  ),
  calls: true,
};

export const newAuthority = (): Promise<Issued> =>
  createAuthority('test', TRUST_DOMAIN, new Date(Date.now() + HOUR_MS));

/** A certificate for a workload, or for `uris`, valid from `fromMs` to `toMs` of the wall clock. */
export const certificate = (
  authority: Issued,
  name: string,
  { uris = [idOf(name)], fromMs = Date.now() - HOUR_MS, toMs = Date.now() + HOUR_MS } = {},
): Promise<Issued> =>
  issue(authority, {
    commonName: name,
    uris,
    notBefore: new Date(fromMs),
    notAfter: new Date(toMs),
  });

/** Content of the files named `ca.pem`, `NAME.pem` and `NAME.key`. */
export function filesOf(
  bundle: string,
  named: Readonly<Record<string, Issued>>,
): Record<string, string> {
  return Object.fromEntries([
    ['ca.pem', bundle],
    ...Object.entries(named).flatMap(([name, { cert, key }]) => [
      [`${name}.pem`, cert],
      [`${name}.key`, key],
    ]),
  ]) as Record<string, string>;
}

/** The inbound listener of `name`. */
export const meshTls = (name: string, more: Partial<ListenerTlsPart> = {}): ListenerTlsPart => ({
  clients: 'mesh',
  certificates: [{ server_names: [], cert: `${name}.pem`, key: `${name}.key` }],
  client_ca: 'ca.pem',
  client_certificate: 'required',
  min_version: 'TLSv1.3',
  plain: false,
  ...more,
});

/** Calls of `name` to `called`. */
export const callTls = (name: string, called: string): ClusterTlsPart => ({
  ca: 'ca.pem',
  cert: `${name}.pem`,
  key: `${name}.key`,
  id: idOf(called),
});

/** The same on disk, for programs. */
export function onDisk(files: Readonly<Record<string, string>>): {
  readonly folder: string;
  remove(): void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-identities-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
