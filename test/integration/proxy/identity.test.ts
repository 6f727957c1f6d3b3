/** mTLS listeners against openssl s_client and curl, and against every certificate that is wrong. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { issue, type Issued } from '../../../runtime/certificate-authority.ts';
import {
  certificate,
  filesOf,
  idOf,
  IDENTITY,
  meshTls,
  newAuthority,
  onDisk,
} from '../../helpers/identities.ts';
import { get, ProxyLab, type LabSettings, type RecordedHop } from '../../helpers/proxy-lab.ts';

const HOUR_MS = 3_600_000;

/** Runs a program to its end with some input; the machine may be slow, so nothing is timed. */
async function run(
  program: string,
  args: readonly string[],
  input = '',
): Promise<{ code: number; out: string }> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1');
    stream.on('data', (text: string) => (out += text));
  }
  child.stdin.on('error', () => undefined);
  child.stdin.write(input);
  const code = await new Promise<number>((resolve) => child.on('close', (c) => resolve(c ?? -1)));
  return { code, out };
}

/** For a `before` hook: pending with a loud reason without the programs, a failure in CI. */
function needsPrograms(context: Mocha.Context): void {
  for (const program of ['openssl', 'curl']) {
    if (spawnSync(program, ['--help'], { stdio: 'ignore' }).error === undefined) continue;
    if (process.env['CI'] === 'true') throw new Error(`CI needs ${program}`);
    process.stderr.write(`\n*** PENDING: ${program} is not installed ***\n\n`);
    context.skip();
  }
}

describe('Mutual TLS', function () {
  // Processes are started, on a machine that may be busy.
  this.timeout(60_000);
  let authority: Issued;
  let other: Issued;
  let certificates: Record<string, Issued>;
  let disk: ReturnType<typeof onDisk> | undefined;
  let lab: ProxyLab | undefined;

  before(async function () {
    needsPrograms(this);
    authority = await newAuthority();
    other = await newAuthority();
    const nowMs = Date.now();
    certificates = {
      orders: await certificate(authority, 'orders'),
      'web-bff': await certificate(authority, 'web-bff'),
      edge: await certificate(authority, 'edge'),
      stranger: await certificate(authority, 'stranger'),
      expired: await certificate(authority, 'expired', {
        uris: [idOf('web-bff')],
        fromMs: nowMs - 2 * HOUR_MS,
        toMs: nowMs - HOUR_MS,
      }),
      unborn: await certificate(authority, 'unborn', {
        uris: [idOf('web-bff')],
        fromMs: nowMs + HOUR_MS,
        toMs: nowMs + 2 * HOUR_MS,
      }),
      foreign: await certificate(authority, 'foreign', {
        uris: ['spiffe://elsewhere.test/ns/shop/sa/web-bff'],
      }),
      nameless: await certificate(authority, 'web-bff', { uris: [] }),
      twofold: await certificate(authority, 'twofold', { uris: [idOf('edge'), idOf('orders')] }),
      forged: await certificate(other, 'web-bff'),
      self: other,
      ca: authority,
    };
    disk = onDisk(filesOf(authority.cert, certificates));
  });

  after(() => disk?.remove());

  afterEach(async () => {
    await lab?.stop();
    lab = undefined;
  });

  const start = async (settings: LabSettings = {}): Promise<ProxyLab> => {
    lab = await new ProxyLab({
      side: 'inbound',
      meshed: false,
      tls: meshTls('orders'),
      identity: IDENTITY,
      files: filesOf(authority.cert, certificates),
      ...settings,
    }).start();
    return lab;
  };

  const at = (name: string): string => join(disk!.folder, name);

  const curl = (port: number, name: string | undefined, ...more: string[]) =>
    run('curl', [
      ...['--silent', '--show-error', '--include', '--insecure', '--http1.1'],
      ...(name === undefined ? [] : ['--cert', at(`${name}.pem`), '--key', at(`${name}.key`)]),
      ...more,
      `https://127.0.0.1:${port}/x`,
    ]);

  const peerOf = (hop: RecordedHop): readonly unknown[] => [
    hop.attribute('azimuth.edge_class'),
    hop.attribute('service.peer.name') ?? '',
    ['unknown', 'mtls', 'listener', 'configuration'][hop.hop.peerKnown],
    hop.attribute('url.scheme'),
  ];

  it('knows a caller by its certificate, and believes no header beside it', async () => {
    const { port, hops } = await running();
    const { out } = await curl(port, 'web-bff', '--header', 'azimuth-peer: gateway;edge');
    assert.match(out, /^HTTP\/1\.1 200 OK/);
    assert.deepEqual(peerOf((await hops(1))[0]!), ['bff_to_workload', 'web-bff', 'mtls', 'https']);
    assert.doesNotMatch(lab!.upstream.peers[0]!.received, /azimuth-peer/i);
  });

  it('knows one that the mesh file does not name by name only', async () => {
    const { port, hops } = await running();
    await curl(port, 'stranger');
    assert.deepEqual(peerOf((await hops(1))[0]!), ['unknown', 'stranger', 'mtls', 'https']);
  });

  it('speaks to openssl s_client by TLS 1.3 only, as who it is', async () => {
    const { port } = await running();
    const files = ['web-bff.pem', 'web-bff.key', 'ca.pem'].map(at);
    const client = [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-ign_eof',
      '-servername',
      'orders',
    ];
    const own = [
      '-cert',
      files[0]!,
      '-key',
      files[1]!,
      '-CAfile',
      files[2]!,
      '-verify_return_error',
    ];
    const request = get('/x', 'Connection: close');
    const good = await run('openssl', [...client, ...own], request);
    assert.match(good.out, /TLSv1\.3/);
    assert.match(good.out, /Verify return code: 0 \(ok\)/);
    assert.match(good.out, /HTTP\/1\.1 200 OK/);
    const old = await run('openssl', [...client, ...own, '-tls1_2'], request);
    assert.doesNotMatch(old.out, /HTTP\/1\.1/);
    assert.match(old.out, /alert protocol version/);
    const { listener } = await lab!.limits();
    assert.equal(listener.refused['tls_handshake_failed'], 1);
  });

  const wrong: readonly [string, string | undefined, string][] = [
    ['no certificate', undefined, 'identity_required'],
    ['one that is over', 'expired', 'identity_expired'],
    ['one that is not valid yet', 'unborn', 'identity_expired'],
    ['one of another authority, with a good id', 'forged', 'identity_untrusted'],
    ['one that it signed itself', 'self', 'identity_untrusted'],
    ['the authority itself', 'ca', 'identity_untrusted'],
    ['one of another trust domain', 'foreign', 'identity_foreign'],
    ['one without an id', 'nameless', 'identity_foreign'],
    ['one with two ids', 'twofold', 'identity_foreign'],
  ];
  for (const [what, name, reason] of wrong) {
    it(`refuses ${what}, and records it as ${reason}`, async () => {
      const { port, hops } = await running();
      const { out } = await curl(port, name);
      assert.match(out, /^HTTP\/1\.1 403 Forbidden/);
      const [hop] = await hops(1);
      assert.equal(hop!.status, 403);
      assert.deepEqual(hop!.flags, ['UAEX']);
      assert.equal(hop!.attribute('error.type'), reason);
      assert.deepEqual(peerOf(hop!), ['unknown', '', 'unknown', 'https']);
      assert.equal(lab!.upstream.peers.length, 0);
      assert.equal((await lab!.limits()).listener.refused[reason], 1);
    });
  }

  it('refuses plain HTTP, and says why', async () => {
    const { hops } = await running();
    const answer = await lab!.exchange(get('/x'), '\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.equal((await hops(1))[0]!.attribute('error.type'), 'identity_required');
    assert.equal(lab!.upstream.peers.length, 0);
  });

  it('takes plain HTTP too where it is permissive, and knows its callers as before', async () => {
    const { port, hops } = await running({
      meshOnly: true,
      tls: meshTls('orders', { plain: true, client_certificate: 'optional' }),
    });
    await lab!.exchange(get('/x', 'azimuth-peer: gateway;edge'), 'ok');
    await curl(port, 'edge');
    const [plain, tls] = await hops(2);
    assert.deepEqual(peerOf(plain!), ['gateway_to_workload', 'edge', 'configuration', 'http']);
    assert.deepEqual(peerOf(tls!), ['gateway_to_workload', 'edge', 'mtls', 'https']);
  });

  it('shows each name its certificate, and asks nobody outside for one', async () => {
    const server = (name: string) =>
      issue(authority, {
        commonName: name,
        dnsNames: [name],
        notAfter: new Date(Date.now() + HOUR_MS),
      });
    const [shop, any] = [await server('shop.example'), await server('*.example.net')];
    const names: readonly [string, readonly string[]][] = [
      ['shop', ['shop.example']],
      ['any', ['*.example.net']],
    ];
    const { port, hops } = await running({
      side: 'ingress',
      tls: {
        clients: 'edge',
        certificates: names.map(([file, server_names]) => ({
          server_names,
          cert: `${file}.pem`,
          key: `${file}.key`,
        })),
        client_certificate: 'none',
        min_version: 'TLSv1.2',
        plain: false,
      },
      files: filesOf(authority.cert, { shop, any }),
    });
    const asked = async (host: string): Promise<string> => {
      const args = ['--cacert', at('ca.pem'), '--connect-to', `::127.0.0.1:${port}`];
      return (await run('curl', ['-sS', '-i', '--http1.1', ...args, `https://${host}/x`])).out;
    };
    assert.match(await asked('shop.example'), /^HTTP\/1\.1 200 OK/);
    assert.match(await asked('eu.example.net'), /^HTTP\/1\.1 200 OK/);
    // An unknown name gets the first certificate, which is not its own.
    assert.match(await asked('evil.example'), /certificate subject|SSL/);
    const plain = await lab!.exchange(get('/x'), '\n\r\n');
    assert.match(plain, /^HTTP\/1\.1 400 /);
    assert.doesNotMatch(plain, /azimuth/i);
    const recorded = await hops(3);
    assert.deepEqual(peerOf(recorded[0]!), ['external_to_gateway', '', 'listener', 'https']);
    assert.equal(recorded[2]!.attribute('error.type'), 'tls_required');
    assert.match(lab!.upstream.peers[0]!.received, /\r\nx-forwarded-proto: https\r\n/);
  });

  it('an outside client with a certificate is outside, whatever id it holds', async () => {
    const { port, hops } = await running({
      side: 'ingress',
      tls: { ...meshTls('orders'), clients: 'edge', client_certificate: 'optional' },
    });
    await curl(port, 'edge');
    await curl(port, undefined);
    await curl(port, 'expired');
    const [good, none, bad] = await hops(3);
    for (const hop of [good!, none!]) {
      assert.deepEqual(peerOf(hop), ['external_to_gateway', '', 'listener', 'https']);
      assert.equal(hop.status, 200);
    }
    assert.deepEqual([bad!.status, bad!.attribute('error.type')], [403, 'identity_expired']);
  });

  it('resumes no session, which nobody would verify again', async () => {
    const { port } = await running();
    const client = ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof'];
    const own = ['-cert', at('web-bff.pem'), '-key', at('web-bff.key')];
    const request = get('/x', 'Connection: close');
    const first = await run('openssl', [...client, ...own, '-sess_out', at('session')], request);
    assert.match(first.out, /New, TLSv1\.3/);
    // With the session alone: a resumption needs no certificate.
    const again = await run('openssl', [...client, '-sess_in', at('session')], request);
    assert.doesNotMatch(again.out, /Reused/);
    assert.match(again.out, /HTTP\/1\.1 403 /);
  });

  it('does not renegotiate, which costs a client nothing and a proxy a handshake', async () => {
    const { port } = await running({
      side: 'ingress',
      tls: {
        ...meshTls('orders'),
        clients: 'edge',
        client_certificate: 'none',
        min_version: 'TLSv1.2',
      },
    });
    const client = ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2'];
    const { code, out } = await run('openssl', client, 'R\n');
    assert.match(out, /RENEGOTIATING[^]*no renegotiation/);
    assert.equal(code, 1);
  });

  async function running(settings: LabSettings = {}): Promise<{
    port: number;
    hops: (count: number) => Promise<readonly RecordedHop[]>;
  }> {
    const started = await start(settings);
    return { port: started.port, hops: (count) => started.hops(count) };
  }
});
