/**
 * Writes the certificates of a whole mesh: an authority, and for each proxy a folder with what it
 * believes and what it is (layout: identity.ts). Run again, it renews: proxies that run take the new
 * files by themselves.
 *
 *   bundles of all proxies ► (wait, when there is a new authority) ► certificates and keys
 *
 * In this order, because a certificate of a new authority must not be shown to a proxy that does not
 * know that authority yet. Every file is written beside its place and moved there, readable by its
 * owner only. An authority that exists is used again, so that renewal changes no bundle.
 */
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createAuthority, issue, type Issued } from '../runtime/certificate-authority.ts';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { identitiesOf, identityFiles, spiffeId } from './identity.ts';
import type { Mesh } from './load.ts';
import { proxyPart } from './parts.ts';

const HOUR_MS = 3_600_000;
/** An authority is replaced by hand, so it outlives what it signs by far. */
const AUTHORITY_MS = 365 * 24 * HOUR_MS;

export interface IssueSettings {
  /** Folder to write to; undefined: `identity.dir` of the mesh file. */
  readonly dir: string | undefined;
  /** Folder of ca.pem and ca.key; undefined: the same. */
  readonly authorityDir?: string | undefined;
  /** How long the certificates are valid. */
  readonly hours: number;
  /** Makes a new authority also where there is one. */
  readonly newAuthority: boolean;
  /** Believes only the current authority: what older ones signed is refused from now on. */
  readonly dropOld: boolean;
  /** Called between bundles and certificates when the authority is new to proxies that may run. */
  readonly settled: () => Promise<void>;
}

export interface IssuedMesh {
  readonly dir: string;
  readonly trustDomain: string;
  readonly notAfter: Date;
  /** The authority was made now. */
  readonly newAuthority: boolean;
  /** Authorities that the proxies believe, the current one included. */
  readonly authorities: number;
  readonly certificates: readonly { readonly proxy: string; readonly id: string }[];
}

/** What is to be issued for a mesh file, and where to. */
export interface IssuePlan {
  readonly dir: string;
  readonly trustDomain: string;
  readonly identities: readonly {
    readonly proxy: string;
    readonly name: string;
    readonly id: string;
  }[];
}

/**
 * Writes nothing. @param dir As IssueSettings.dir.
 * @throws AzimuthError AZ_CONFIG_INVALID when the mesh file has no identity.
 */
export function planIssue(mesh: Mesh, dir: string | undefined): IssuePlan {
  const { identity, gateways, sidecars } = mesh.config;
  if (identity === undefined) {
    throw new AzimuthError(
      'AZ_CONFIG_INVALID',
      `${mesh.file} has no identity (add identity: { trust_domain: "…", dir: "certs" })`,
    );
  }
  const trustDomain = identity.trust_domain;
  // Also before it is switched on, so that the certificates are there when it is.
  const config = { ...mesh.config, identity: { ...identity, mode: 'strict' as const } };
  return {
    dir: resolve(dir ?? resolve(dirname(mesh.file), identity.dir)),
    trustDomain,
    identities: [...gateways, ...sidecars].flatMap(({ name: proxy }) =>
      identitiesOf(proxyPart({ ...mesh, config }, proxy).listeners).map((workload) => ({
        proxy,
        name: workload.name,
        id: spiffeId(trustDomain, workload),
      })),
    ),
  };
}

/** @throws AzimuthError AZ_CONFIG_INVALID or AZ_USAGE where nothing can be issued, and why. */
export async function issueMesh(mesh: Mesh, settings: IssueSettings): Promise<IssuedMesh> {
  const { dir, trustDomain, identities } = planIssue(mesh, settings.dir);
  const authorityDir = resolve(settings.authorityDir ?? dir);
  const notAfter = new Date(Date.now() + settings.hours * HOUR_MS);
  const kept = settings.newAuthority
    ? undefined
    : readAuthority(authorityDir, trustDomain, notAfter);
  const authority =
    kept ??
    (await createAuthority(
      `Azimuth development CA of ${mesh.config.mesh}`,
      trustDomain,
      new Date(Math.max(Date.now() + AUTHORITY_MS, notAfter.getTime())),
    ));
  const older = settings.dropOld ? [] : believed(join(dir, 'bundle.pem'));
  const bundle = [...new Set([authority.cert.trim(), ...older])];
  try {
    if (kept === undefined) {
      write(join(authorityDir, 'ca.key'), authority.key);
      write(join(authorityDir, 'ca.pem'), authority.cert);
    }
    const text = bundle.join('\n') + '\n';
    for (const folder of ['', ...new Set(identities.map(({ proxy }) => proxy))]) {
      write(join(dir, folder, 'bundle.pem'), text);
    }
    if (kept === undefined && older.length > 0) await settings.settled();
    for (const { proxy, name, id } of identities) {
      const issued = await issue(authority, { commonName: name, uris: [id], notAfter });
      const files = identityFiles(dir, proxy, name);
      write(files.key, issued.key);
      write(files.cert, issued.cert);
    }
  } catch (error) {
    if (error instanceof AzimuthError) throw error;
    throw new AzimuthError('AZ_USAGE', `cannot issue to ${dir}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return {
    dir,
    trustDomain,
    notAfter,
    newAuthority: kept === undefined,
    authorities: bundle.length,
    certificates: identities,
  };
}

/** The authority of a folder; undefined when there is none. Throws when it cannot be used. */
function readAuthority(dir: string, trustDomain: string, notAfter: Date): Issued | undefined {
  const cert = readIfThere(join(dir, 'ca.pem'));
  const key = readIfThere(join(dir, 'ca.key'));
  if (cert === undefined && key === undefined) return undefined;
  const refuse = (why: string): never => {
    throw new AzimuthError(
      'AZ_USAGE',
      `the authority in ${dir} ${why} (give --new-ca to make another, or --dir another folder)`,
    );
  };
  if (cert === undefined || key === undefined) {
    return refuse(`has no ${cert === undefined ? 'ca.pem' : 'ca.key'}`);
  }
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    return refuse('is no certificate in PEM form');
  }
  if (certificate.subjectAltName !== `URI:spiffe://${trustDomain}`) {
    refuse(`is not for the trust domain ${trustDomain}`);
  }
  if (certificate.validToDate < notAfter) {
    refuse(`ends at ${certificate.validToDate.toISOString()}, before what it should sign`);
  }
  return { cert, key };
}

/** Certificates of a bundle that are not over, as PEM texts. */
export function believed(path: string): string[] {
  const blocks = readIfThere(path)?.match(
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g,
  );
  return (blocks ?? []).filter((block) => {
    try {
      return new X509Certificate(block).validToDate.getTime() > Date.now();
    } catch {
      return false;
    }
  });
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AzimuthError('AZ_USAGE', `${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.new`;
  writeFileSync(beside, text, { mode: 0o600 });
  renameSync(beside, path);
}
