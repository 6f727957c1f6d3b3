/**
 * What TLS needs of one process: secure contexts, made from the PEM files that its part names and
 * kept until one of those files changes. The files were read and judged before (files.ts), so that
 * nothing here fails while the process runs. Never shows a key.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { basename } from 'node:path';
import {
  createSecureContext,
  type ConnectionOptions,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import type { ClusterTlsPart, ListenerTlsPart } from '../../mesh/part.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { spiffeIdIn } from './spiffe.ts';

/** Of TLS 1.3, the cheapest first; all three are sound. */
const CIPHERS_13 = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
/** Of TLS 1.2: forward secrecy and authenticated encryption only (Mozilla "intermediate"). */
const CIPHERS_12 =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:' +
  'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

/** Code of the error when the other side proved to be somebody else. */
export const WRONG_PEER = 'ERR_AZ_WRONG_PEER';

/** A secure context and the names for which a listener uses it; none: for all others. */
export interface NamedContext {
  readonly serverNames: readonly string[];
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
}

export class Credentials {
  #files: Readonly<Record<string, string>>;
  #notAfterS: Readonly<Record<string, number>> | undefined;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.#files = files;
  }

  /** Takes the files as they are now; returns the paths whose content is another. */
  apply(files: Readonly<Record<string, string>> = {}): ReadonlySet<string> {
    const before = this.#files;
    const paths = new Set([...Object.keys(before), ...Object.keys(files)]);
    const changed = new Set([...paths].filter((path) => before[path] !== files[path]));
    this.#files = files;
    // Handshakes under way have theirs; all later ones get new ones.
    if (changed.size > 0) this.#contexts.clear();
    this.#notAfterS = undefined;
    return changed;
  }

  /** Unix seconds at which each certificate ends that is no authority's, by its file's name. */
  notAfterS(): Readonly<Record<string, number>> {
    return (this.#notAfterS ??= Object.fromEntries(
      Object.entries(this.#files)
        .filter(([, text]) => text.includes('-----BEGIN CERTIFICATE-----'))
        .map(([path, text]) => [basename(path), new X509Certificate(text)] as const)
        .filter(([, certificate]) => !certificate.ca)
        .map(([name, { validToDate }]) => [name, validToDate.getTime() / 1000]),
    ));
  }

  /** Certificates of a listener, in the order of the mesh file. */
  ofListener(tls: ListenerTlsPart): NamedContext[] {
    const ca = tls.client_ca === undefined ? undefined : this.#text(tls.client_ca);
    return tls.certificates.map(({ server_names: serverNames, cert, key }) => {
      const options = secureOptions({
        cert: this.#text(cert),
        key: this.#text(key),
        ...(ca === undefined ? {} : { ca }),
        minVersion: tls.min_version,
      });
      return { serverNames, options, context: this.#context(options) };
    });
  }

  /** For a connection to an endpoint of the cluster called `name`. */
  ofCluster(name: string, tls: ClusterTlsPart): ConnectionOptions {
    const options = secureOptions({
      cert: this.#text(tls.cert),
      key: this.#text(tls.key),
      ca: this.#text(tls.ca),
      minVersion: 'TLSv1.3',
    });
    const trustDomain = new URL(tls.id).host;
    return {
      secureContext: this.#context(options),
      servername: name,
      rejectUnauthorized: true,
      // By its SPIFFE id, never by a host name: endpoints are addresses.
      checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
        spiffeIdIn(certificate.subjectaltname, trustDomain) === tls.id
          ? undefined
          : Object.assign(new Error(`the other side is not ${tls.id}`), { code: WRONG_PEER }),
    };
  }

  #context(options: SecureContextOptions): SecureContext {
    const key = createHash('sha256').update(JSON.stringify(options)).digest('base64');
    let context = this.#contexts.get(key);
    if (context === undefined) {
      context = createSecureContext(options);
      this.#contexts.set(key, context);
    }
    return context;
  }

  #text(path: string): string {
    const text = this.#files[path];
    if (text !== undefined) return text;
    throw new AzimuthError('AZ_CONFIG_INVALID', `the file ${path} was not read`);
  }
}

const secureOptions = (options: SecureContextOptions): SecureContextOptions => ({
  ...options,
  ciphers: options.minVersion === 'TLSv1.3' ? CIPHERS_13 : `${CIPHERS_13}:${CIPHERS_12}`,
  honorCipherOrder: true,
});
