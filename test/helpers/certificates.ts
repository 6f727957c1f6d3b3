/**
 * Certificates for tests, made by openssl when they are needed and gone with their folder: an
 * authority, a server for 127.0.0.1 and `localhost`, a client, and an authority that nobody trusts.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** Paths of PEM files. */
  readonly ca: string;
  readonly otherCa: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
  /** Key and certificate of the server in one file. */
  readonly serverBundle: string;
  remove(): void;
}

/** For a `before` hook: the certificates, or the suite pending with a loud reason. */
export function makeCertificates(context: Mocha.Context): Certificates {
  if (spawnSync('openssl', ['version'], { stdio: 'ignore' }).status !== 0) {
    if (process.env['CI'] === 'true') throw new Error('CI needs openssl');
    process.stderr.write('\n*** PENDING: openssl is not installed ***\n\n');
    context.skip();
  }
  const dir = mkdtempSync(join(tmpdir(), 'azimuth-certificates-'));
  const at = (name: string): string => join(dir, name);
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = (name: string): string => {
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    openssl('req', '-x509', ...newKey, ...files, '-days', '2', '-subj', `/CN=${name}`);
    return at(`${name}.pem`);
  };
  const ca = authority('ca');
  const signed = (name: string, extensions: string): { cert: string; key: string } => {
    const files = { cert: at(`${name}.pem`), key: at(`${name}.key`) };
    writeFileSync(at(`${name}.ext`), extensions);
    openssl(
      ...['req', ...newKey, '-keyout', files.key, '-out', at(`${name}.csr`)],
      ...['-subj', `/CN=${name}`],
    );
    openssl(
      ...['x509', '-req', '-in', at(`${name}.csr`), '-CA', ca, '-CAkey', at('ca.key')],
      ...['-CAcreateserial', '-days', '2', '-out', files.cert, '-extfile', at(`${name}.ext`)],
    );
    return files;
  };
  const server = signed('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:collector.test\n');
  const client = signed('client', 'extendedKeyUsage=clientAuth\n');
  const serverBundle = at('server-bundle.pem');
  writeFileSync(serverBundle, readFileSync(server.key, 'utf8') + readFileSync(server.cert, 'utf8'));
  return {
    ca,
    otherCa: authority('other'),
    server,
    client,
    serverBundle,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
