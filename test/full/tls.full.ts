/**
 * TLS as a stranger with a scanner sees it: testssl.sh (https://testssl.sh) against the two kinds of TLS listener,
 * one for clients outside and one for proxies of the mesh. Loopback only: nothing is looked up, and
 * nobody is asked about revocation.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from '../helpers/certificates.ts';
import {
  certificate,
  filesOf,
  IDENTITY,
  meshTls,
  newAuthority,
  onDisk,
} from '../helpers/identities.ts';
import { ProxyLab } from '../helpers/proxy-lab.ts';

/** As testssl.sh writes one to its JSON file. */
interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** Debian's package calls it `testssl`. */
const PROGRAM = ['testssl', 'testssl.sh'].find(
  (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
);

/** Severities that are a fault of ours; FATAL and WARN mean that a check could not be made. */
const GRAVE = ['HIGH', 'CRITICAL', 'FATAL', 'WARN'];

/**
 * About the certificates, which are made for the test: they live for hours and have no revocation,
 * and a proxy's names no host, since its id is what callers check.
 */
const OF_CERTIFICATES = ['cert_expirationStatus', 'cert_notAfter', 'cert_revocation'];
const OF_IDS = [...OF_CERTIFICATES, 'cert_trust'];

describe('A TLS listener before testssl.sh', function () {
  // Some hundred handshakes, each by a process of its own.
  this.timeout(900_000);

  before(function () {
    if (PROGRAM !== undefined) return;
    const why = 'testssl.sh is not installed (Debian: apt-get install testssl.sh)';
    if (process.env['CI'] === 'true') assert.fail(why);
    process.stderr.write(`\n*** PENDING: ${why} ***\n\n`);
    this.skip();
  });

  /** All findings about a port of loopback. */
  async function scan(port: number, ca: string, folder: string): Promise<Finding[]> {
    const json = join(folder, 'findings.json');
    const child = spawn(
      PROGRAM!,
      [
        ...['--quiet', '--color', '0', '--warnings', 'batch', '--nodns', 'none'],
        ...['--ip', '127.0.0.1', '--add-ca', ca, '--jsonfile', json, `localhost:${port}`],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    await new Promise((resolve) => child.once('close', resolve));
    const findings = JSON.parse(readFileSync(json, 'utf8')) as Finding[];
    assert.ok(findings.length > 50, `too few checks were made:\n${output}`);
    return findings;
  }

  const graveOf = (findings: readonly Finding[], but: readonly string[]): string[] =>
    findings
      .filter(({ id, severity }) => GRAVE.includes(severity) && !but.includes(id))
      .map(({ id, severity, finding }) => `${severity} ${id}: ${finding}`);

  const offered = (findings: readonly Finding[]): string[] =>
    ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1', 'TLS1_2', 'TLS1_3'].filter((id) =>
      findings.some((one) => one.id === id && one.finding.startsWith('offered')),
    );

  it('for clients outside offers TLS 1.2 and 1.3 and gives no finding of severity HIGH', async function () {
    const made = makeCertificates(this);
    const files = Object.fromEntries(
      [made.server.cert, made.server.key].map((path) => [path, readFileSync(path, 'utf8')]),
    );
    const disk = onDisk({});
    const lab = await new ProxyLab({
      side: 'ingress',
      files,
      tls: {
        clients: 'edge',
        certificates: [{ server_names: [], ...made.server }],
        client_certificate: 'none',
        min_version: 'TLSv1.2',
        plain: false,
      },
    }).start();
    try {
      const findings = await scan(lab.port, made.ca, disk.folder);
      assert.deepEqual(graveOf(findings, OF_CERTIFICATES), []);
      assert.deepEqual(offered(findings), ['TLS1_2', 'TLS1_3']);
    } finally {
      await lab.stop();
      disk.remove();
      made.remove();
    }
  });

  it('for proxies offers TLS 1.3 alone and gives no finding of severity HIGH', async () => {
    const authority = await newAuthority();
    const files = filesOf(authority.cert, { orders: await certificate(authority, 'orders') });
    const disk = onDisk(files);
    const lab = await new ProxyLab({
      side: 'inbound',
      meshed: false,
      tls: meshTls('orders'),
      identity: IDENTITY,
      files,
    }).start();
    try {
      const findings = await scan(lab.port, join(disk.folder, 'ca.pem'), disk.folder);
      assert.deepEqual(graveOf(findings, OF_IDS), []);
      assert.deepEqual(offered(findings), ['TLS1_3']);
    } finally {
      await lab.stop();
      disk.remove();
    }
  });
});
