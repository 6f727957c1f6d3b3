/**
 * Certificates as an operator has them: `azimuth ca`, a gateway, and a sidecar of two workers, all
 * real processes; a change of authority under them, and what is said about files that are wrong.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../helpers/free-ports.ts';
import { until } from '../helpers/until.ts';

const AZIMUTH = fileURLToPath(new URL('../../bin/azimuth.js', import.meta.url));
const ENVIRONMENT = { ...process.env, PW: 'x' };

describe('azimuth ca, and a mesh that lives by it', function () {
  // Processes start slowly on a machine that is busy.
  this.timeout(120_000);
  let folder = '';
  let ports: number[] = [];
  const children: ChildProcess[] = [];
  const application = http.createServer((req, res) => {
    res.end(req.headers['azimuth-peer'] === undefined ? 'ok' : 'a header says who calls');
  });

  const azimuth = (...args: string[]) =>
    spawnSync(process.execPath, [AZIMUTH, ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: ENVIRONMENT,
    });

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-identity-'));
    application.listen(0, '127.0.0.1');
    await once(application, 'listening');
    const { port } = application.address() as { port: number };
    ports = await freePorts(6);
    writeFileSync(
      join(folder, 'mesh.yaml'),
      `file_format: "1.0"
mesh: shop
store: { password: "\${env:PW}" }
identity: { trust_domain: shop.test, dir: certs }
telemetry: { otlp: { endpoint: "http://127.0.0.1:${ports[5]!}" }, state_dir: state }
gateways:
  - name: edge
    listen: { port: ${ports[0]!} }
    admin: { port: ${ports[1]!} }
    routes: [{ path: "/*", to: web }]
workloads: [{ name: web, address: "127.0.0.1:${port}", allow: [edge] }]
sidecars:
  - name: web-sidecar
    workers: 2
    admin: { port: ${ports[2]!} }
    serves: [{ workload: web, inbound: { port: ${ports[3]!} }, outbound: { port: ${ports[4]!} } }]
`,
    );
  });

  after(async () => {
    for (const child of children) {
      const gone = once(child, 'exit');
      if (child.exitCode === null && child.kill('SIGTERM')) await gone;
    }
    application.close();
    application.closeAllConnections();
    rmSync(folder, { recursive: true });
  });

  const start = async (...args: string[]): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [AZIMUTH, ...args], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: ENVIRONMENT,
    });
    children.push(child);
    let log = '';
    child.stderr.on('data', (bytes: Buffer) => (log += bytes.toString()));
    await until(() => {
      assert.equal(child.exitCode, null, log);
      return log.includes('"ready"');
    }, 60_000);
    return child;
  };

  const throughGateway = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${ports[0]!}/x`);
    return `${answer.status} ${await answer.text()}`;
  };

  /** A call straight to the sidecar with a certificate; resolves with its answer. */
  const direct = (name: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = https.get(
        {
          host: '127.0.0.1',
          port: ports[3]!,
          path: '/x',
          agent: false,
          rejectUnauthorized: false,
          cert: readFileSync(join(folder, `${name}.pem`)),
          key: readFileSync(join(folder, `${name}.key`)),
        },
        (answer) => {
          let text = '';
          answer.setEncoding('latin1').on('data', (part: string) => (text += part));
          answer.on('end', () => resolve(`${answer.statusCode ?? 0} ${text}`));
        },
      );
      request.on('error', reject);
    });

  it('does not start a proxy without certificates, and says how to make some', () => {
    const { status, stderr } = azimuth('gateway', '--mesh', 'mesh.yaml');
    assert.equal(status, 78);
    assert.match(stderr, /certs\/edge\/edge\.pem cannot be read/);
    assert.match(stderr, /azimuth ca issue/);
  });

  it('issues what every proxy needs by one command, for the owner only', () => {
    const { status, stdout, stderr } = azimuth('ca', 'issue', 'mesh.yaml', '--hours', '2');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /edge +spiffe:\/\/shop\.test\/ns\/default\/sa\/edge\n/);
    assert.match(stdout, /web-sidecar +spiffe:\/\/shop\.test\/ns\/default\/sa\/web\n/);
    assert.match(
      stdout,
      /2 certificates in .*, new authority, 1 believed|new authority, 1 believed/,
    );
    const files = readdirSync(join(folder, 'certs'), { recursive: true, encoding: 'utf8' });
    const written = files.filter((file) => /\.(pem|key)$/.test(file)).sort();
    assert.deepEqual(written, [
      'bundle.pem',
      'ca.key',
      'ca.pem',
      'edge/bundle.pem',
      'edge/edge.key',
      'edge/edge.pem',
      'web-sidecar/bundle.pem',
      'web-sidecar/web.key',
      'web-sidecar/web.pem',
    ]);
    for (const file of written)
      assert.equal(statSync(join(folder, 'certs', file)).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'certs')).mode & 0o777, 0o700);
    const shown = azimuth('ca', 'show', 'certs');
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(
      shown.stdout,
      /edge\/edge\.pem +spiffe:\/\/shop\.test\/ns\/default\/sa\/edge +until .* ok\n/,
    );
  });

  it('keeps the key of the authority in a folder of its own, where one is named', () => {
    const issue = ['ca', 'issue', 'mesh.yaml', '--dir', 'apart', '--authority', 'kept'];
    const first = azimuth(...issue);
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /new authority, 1 believed/);
    assert.deepEqual(readdirSync(join(folder, 'kept')).sort(), ['ca.key', 'ca.pem']);
    const apart = readdirSync(join(folder, 'apart')).sort();
    assert.deepEqual(apart, ['bundle.pem', 'edge', 'web-sidecar']);
    assert.match(azimuth(...issue).stdout, /authority as before, 1 believed/);
  });

  it('runs by them: no header says who calls, and strangers get 403', async () => {
    await start('sidecar', '--mesh', 'mesh.yaml');
    await start('gateway', '--mesh', 'mesh.yaml');
    assert.equal(await throughGateway(), '200 ok');
    const plain = await fetch(`http://127.0.0.1:${ports[3]!}/x`);
    assert.equal(plain.status, 403);
    for (const kind of ['pem', 'key']) {
      copyFileSync(join(folder, `certs/edge/edge.${kind}`), join(folder, `old.${kind}`));
    }
    assert.equal(await direct('old'), '200 ok');
  });

  it('takes a new authority while it runs, and refuses what the old one signed', async () => {
    const { status, stdout, stderr } = azimuth(
      'ca',
      'issue',
      'mesh.yaml',
      '--new-ca',
      '--drop-old',
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /new authority, 1 believed/);
    for (const child of children) child.kill('SIGHUP');
    await until(async () => (await direct('old')).startsWith('403 '), 60_000);
    assert.match(await direct('old'), /of no authority that is trusted/);
    await until(async () => (await throughGateway()) === '200 ok', 60_000);
    const metrics = await (await fetch(`http://127.0.0.1:${ports[2]!}/metrics`)).text();
    assert.match(
      metrics,
      /azimuth_listener_refusals_total\{azimuth_listener="web-inbound",error_type="identity_untrusted",.*\} [1-9]/,
    );
    assert.match(
      metrics,
      /azimuth_listener_refusals_total\{.*error_type="identity_required".*\} 1\n/,
    );
    assert.match(metrics, /azimuth_listener_tls_handshakes_total\{/);
    assert.match(
      metrics,
      /azimuth_identity_not_after_seconds\{azimuth_certificate="web\.pem",.*\} \d+/,
    );
  });

  it('runs on by the old ones when the new ones cannot be used, and says why, but shows no key', async () => {
    writeFileSync(join(folder, 'certs/web-sidecar/web.key'), 'not a key\n');
    const config = `http://127.0.0.1:${ports[2]!}/config`;
    const said = async (): Promise<string> => (await fetch(config)).text();
    await until(async () => (await said()).includes('web.key holds no private key'), 60_000);
    assert.equal(await throughGateway(), '200 ok');
    assert.doesNotMatch(await said(), /PRIVATE KEY|BEGIN CERTIFICATE/);
  });

  const wrong: readonly [string, string[], number, RegExp][] = [
    ['no verb', ['ca'], 64, /azimuth ca issue FILE, or azimuth ca show DIR/],
    ['no folder to show', ['ca', 'show'], 64, /needs a folder/],
    ['a folder that is not there', ['ca', 'show', 'nowhere'], 64, /nowhere cannot be read/],
    [
      'hours that are none',
      ['ca', 'issue', 'mesh.yaml', '--hours', 'x'],
      64,
      /--hours takes a number/,
    ],
    ['one word too many', ['ca', 'show', 'a', 'b'], 64, /what is "b" for/],
    ['no such mesh file', ['ca', 'issue', 'nope.yaml'], 78, /nope\.yaml cannot be read/],
    [
      'hours that outlive the authority',
      ['ca', 'issue', 'mesh.yaml', '--hours', '8760'],
      64,
      /ends at .*, before what it should sign \(give --new-ca/,
    ],
  ];
  for (const [what, args, code, message] of wrong) {
    it(`${what}: ${code}`, () => {
      const { status, stderr } = azimuth(...args);
      assert.match(stderr, message);
      assert.equal(status, code);
    });
  }

  it('show ends with 1 where something cannot be used', () => {
    writeFileSync(join(folder, 'certs/edge/edge.pem'), 'nothing\n');
    const { status, stdout } = azimuth('ca', 'show', 'certs');
    assert.equal(status, 1);
    assert.match(stdout, /edge\/edge\.pem +no certificate in PEM form/);
  });

  it('does not issue for a mesh file without identity', () => {
    const text = readFileSync(join(folder, 'mesh.yaml'), 'utf8');
    const bare = text.replace(/^identity:.*\n/m, '').replace(', allow: [edge]', '');
    writeFileSync(join(folder, 'bare.yaml'), bare);
    const { status, stderr } = azimuth('ca', 'issue', 'bare.yaml');
    assert.equal(status, 78);
    assert.match(stderr, /has no identity \(add identity/);
  });
});
