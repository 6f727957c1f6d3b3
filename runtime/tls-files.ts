/**
 * The files that TLS needs, read once at the start: what a mesh file names as paths becomes what
 * Node's clients and servers take. A file that cannot be read is a fault of the configuration and
 * says which one; the content of a key is never in a message.
 */
import { readFileSync } from 'node:fs';
import { AzimuthError, messageOf } from './errors.ts';

/** Paths of PEM files. */
export interface TlsPaths {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name that the other side's certificate must hold, where it is not the host. */
  readonly server_name?: string | undefined;
}

/** As Node's `tls.connect`, `https.request` and `https.createServer` take them; absent = Node's own. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
}

/** Reads what `paths` names. @throws AzimuthError AZ_CONFIG_INVALID naming the file. */
export function readTlsFiles(paths: TlsPaths): TlsFiles {
  const { ca, cert, key, server_name: servername } = paths;
  return {
    ...(ca === undefined ? {} : { ca: read(ca, 'ca') }),
    ...(cert === undefined ? {} : { cert: read(cert, 'cert') }),
    ...(key === undefined ? {} : { key: read(key, 'key') }),
    ...(servername === undefined ? {} : { servername }),
  };
}

function read(path: string, what: string): Buffer {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new AzimuthError(
      'AZ_CONFIG_INVALID',
      `tls.${what}: the file ${path} cannot be read: ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (!content.includes('-----BEGIN '))
    throw new AzimuthError('AZ_CONFIG_INVALID', `tls.${what}: ${path} is not a PEM file`);
  return content;
}
