/**
 * Reads the PEM files that a proxy's part names, and judges them before anything is changed: a
 * certificate that does not fit its key, is over, or names somebody else must be a fault of the
 * configuration, not of the first handshake. The content goes with the part, so that all processes
 * of a proxy work by the same files and take new ones together.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { spiffeId } from '../../mesh/identity.ts';
import type { ProxyPart } from '../../mesh/part.ts';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { Credentials } from './credentials.ts';
import { spiffeIdIn } from './spiffe.ts';

interface NamedFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  /** SPIFFE id that the certificate must hold; undefined where it may hold anything. */
  readonly id: string | undefined;
}

/** Paths of all PEM files that the part names, each once. */
export const filesOf = (part: ProxyPart): string[] => [
  ...new Set(
    certificatesOf(part).flatMap(({ cert, key, ca }) =>
      ca === undefined ? [cert, key] : [cert, key, ca],
    ),
  ),
];

/**
 * The part with the content of its files.
 * @throws AzimuthError AZ_CONFIG_INVALID naming every file that cannot be used, and why.
 */
export function withFiles(part: ProxyPart): ProxyPart {
  const paths = filesOf(part);
  if (paths.length === 0) return part;
  const files: Record<string, string> = {};
  const faults: string[] = [];
  for (const path of paths) {
    try {
      files[path] = readFileSync(path, 'utf8');
    } catch (error) {
      faults.push(`${path} cannot be read: ${messageOf(error)}`);
    }
  }
  if (faults.length === 0) {
    for (const named of certificatesOf(part)) faults.push(...faultsOf(named, files));
  }
  if (faults.length === 0) {
    try {
      const credentials = new Credentials(files);
      for (const { tls } of part.listeners) if (tls !== undefined) credentials.ofListener(tls);
    } catch (error) {
      faults.push(`the certificates cannot be used: ${messageOf(error)}`);
    }
  }
  if (faults.length === 0) return { ...part, files };
  const advice =
    part.identity === undefined ? '' : '\n(`azimuth ca issue MESH.yaml --dir DIR` makes new ones)';
  throw new AzimuthError(
    'AZ_CONFIG_INVALID',
    `certificates of ${part.name}:\n${[...new Set(faults)].join('\n')}${advice}`,
  );
}

function certificatesOf(part: ProxyPart): NamedFiles[] {
  return part.listeners.flatMap(({ tls, routes, workload }) => {
    const domain = part.identity?.trust_domain;
    const own = domain === undefined ? undefined : spiffeId(domain, workload);
    return [
      ...(tls?.certificates ?? []).map(({ cert, key }) => ({
        cert,
        key,
        ca: tls?.client_ca,
        id: tls?.clients === 'mesh' ? own : undefined,
      })),
      ...routes.flatMap(({ cluster }) =>
        cluster.tls === undefined ? [] : [{ ...cluster.tls, id: own }],
      ),
    ];
  });
}

function faultsOf({ cert, key, ca, id }: NamedFiles, files: Record<string, string>): string[] {
  const faults: string[] = [];
  const certificate = read(cert, files[cert]!, faults);
  if (certificate !== undefined) {
    const { validFromDate, validToDate, subjectAltName } = certificate;
    const nowMs = Date.now();
    if (validToDate.getTime() <= nowMs) {
      faults.push(`${cert} is over since ${validToDate.toISOString()}`);
    }
    if (validFromDate.getTime() > nowMs) {
      faults.push(`${cert} is not valid before ${validFromDate.toISOString()}`);
    }
    if (id !== undefined && spiffeIdIn(subjectAltName, new URL(id).host) !== id) {
      faults.push(`${cert} is not for ${id} (it names ${subjectAltName ?? 'nobody'})`);
    }
    try {
      if (!certificate.checkPrivateKey(createPrivateKey(files[key]!))) {
        faults.push(`${key} is not the key of ${cert}`);
      }
    } catch {
      // Node's message could hold parts of the file.
      faults.push(`${key} holds no private key in PEM form`);
    }
  }
  if (ca !== undefined) read(ca, files[ca]!, faults);
  return faults;
}

function read(path: string, text: string, faults: string[]): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch {
    faults.push(`${path} holds no certificate in PEM form`);
    return undefined;
  }
}
