/** Calls between proxies over mutual TLS: who answers is judged as strictly as who calls. */
import assert from 'node:assert/strict';
import { FUNCTIONS } from '../../../telemetry/hop-record.ts';
import type { ProxyPart } from '../../../mesh/part.ts';
import { DEFAULT_LIMITS } from '../../../proxy/limits.ts';
import type { Issued } from '../../../runtime/certificate-authority.ts';
import {
  callTls,
  certificate,
  filesOf,
  idOf,
  IDENTITY,
  meshTls,
  newAuthority,
} from '../../helpers/identities.ts';
import { get, OK, ProxyLab, type LabSettings, type RecordedHop } from '../../helpers/proxy-lab.ts';

const HOUR_MS = 3_600_000;
type Files = Readonly<Record<string, string>>;

describe('Calls over mutual TLS', function () {
  this.timeout(30_000);
  let authority: Issued;
  let other: Issued;
  let edge: Issued;
  let orders: Issued;
  const labs: ProxyLab[] = [];

  before(async () => {
    authority = await newAuthority();
    other = await newAuthority();
    edge = await certificate(authority, 'edge');
    orders = await certificate(authority, 'orders');
  });

  afterEach(async () => {
    for (const lab of labs.splice(0).reverse()) await lab.stop();
  });

  /** A gateway in front of the sidecar of `orders`, each with files of its own. */
  async function chain(gatewayFiles: Files, sidecarFiles: Files, more: LabSettings = {}) {
    const sidecar = await new ProxyLab({
      side: 'inbound',
      meshed: false,
      tls: meshTls('orders'),
      identity: IDENTITY,
      files: sidecarFiles,
      ...more,
    }).start();
    labs.push(sidecar);
    const gateway = await new ProxyLab({
      clusterTls: callTls('edge', 'orders'),
      identity: IDENTITY,
      files: gatewayFiles,
      endpoints: [{ host: '127.0.0.1', port: sidecar.port }],
      ...(more.routes === undefined ? {} : { routes: more.routes }),
    }).start();
    labs.push(gateway);
    return { gateway, sidecar };
  }

  const past = { fromMs: Date.now() - 2 * HOUR_MS, toMs: Date.now() - HOUR_MS };
  const good = (): Files => filesOf(authority.cert, { edge, orders });
  const outcome = (hop: RecordedHop): readonly unknown[] => [
    hop.status,
    hop.flags,
    hop.attribute('error.type'),
  ];

  it('makes the caller known by certificate, and sends no header that says so', async () => {
    const { gateway, sidecar } = await chain(good(), good());
    for (let n = 0; n < 3; n++) await gateway.exchange(get('/x'), 'ok');
    const hops = await sidecar.hops(3);
    for (const hop of hops) {
      assert.equal(hop.attribute('azimuth.edge_class'), 'gateway_to_workload');
      assert.equal(hop.attribute('service.peer.name'), 'edge');
      assert.equal(['unknown', 'mtls'][hop.hop.peerKnown], 'mtls');
    }
    const [first, second] = await gateway.hops(3);
    // One handshake for all: it is part of the first attempt, as connecting is.
    assert.ok(first!.hop.connectNs > 0);
    assert.equal(second!.hop.connectNs, 0);
    assert.equal(first!.span.traceId, hops[0]!.span.traceId);
    assert.doesNotMatch(sidecar.upstream.peers[0]!.received, /azimuth-/i);
  });

  it('carries bodies both ways as they are', async () => {
    const body = 'x'.repeat(300_000);
    const { gateway, sidecar } = await chain(good(), good(), {
      // Not before all of it is here: after an answer the rest would be of no use.
      script: (peer) => {
        if (peer.received.endsWith(body)) peer.send(OK);
      },
    });
    const client = await gateway.connect();
    client.send(
      `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    await client.until('ok');
    assert.ok(sidecar.upstream.peers[0]!.received.endsWith(body));
  });

  it('becomes a tunnel, whose ends end in order', async () => {
    const { gateway, sidecar } = await chain(good(), good(), {
      routes: [{ path: '/*', upgrades: ['echo'] }],
      script: (peer) => {
        const { received } = peer;
        const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade';
        if (received.endsWith('\r\n\r\n')) peer.send(`${switched}\r\n\r\n`);
        else if (received.endsWith('ping')) peer.send('pong');
      },
    });
    const client = await gateway.connect();
    client.send(get('/x', 'Connection: upgrade', 'Upgrade: echo'));
    await client.until('\r\n\r\n');
    client.send('ping');
    await client.until('pong');
    client.socket.end();
    await sidecar.upstream.until(({ peers }) => peers[0]?.ended === true);
    await client.untilClosed();
    assert.equal(client.errorCode, '');
  });

  it('cuts off an answer that breaks, so that nobody takes it for whole', async () => {
    const { gateway, sidecar } = await chain(good(), good(), {
      script: (peer) => {
        if (!peer.received.endsWith('\r\n\r\n')) return;
        peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
      },
    });
    const client = await gateway.connect();
    client.send(get('/x'));
    await client.until('half');
    sidecar.upstream.peers[0]!.socket.end();
    await client.until((peer) => peer.closed);
    assert.equal(client.errorCode, 'ECONNRESET');
  });

  it('ends a connection on which no handshake comes, and counts it no longer', async () => {
    const { sidecar } = await chain(good(), good());
    const client = await sidecar.connect();
    await sidecar.until((state) => state.listener.connections === 1);
    sidecar.advance(DEFAULT_LIMITS.headTimeoutMs);
    await client.untilClosed();
    await sidecar.until((state) => state.listener.connections === 0);
  });

  const wrongUpstream: readonly [string, string, () => Promise<Files>][] = [
    [
      'is over',
      'upstream_identity_expired',
      async () =>
        filesOf(authority.cert, { edge, orders: await certificate(authority, 'orders', past) }),
    ],
    [
      'is of another authority',
      'upstream_identity_untrusted',
      async () => filesOf(authority.cert, { edge, orders: await certificate(other, 'orders') }),
    ],
    [
      'is of another workload',
      'upstream_identity_wrong',
      async () =>
        filesOf(authority.cert, { edge, orders: await certificate(authority, 'catalog') }),
    ],
    [
      'is of another trust domain',
      'upstream_identity_wrong',
      async () => {
        const uris = ['spiffe://elsewhere.test/ns/shop/sa/orders'];
        return filesOf(authority.cert, {
          edge,
          orders: await certificate(authority, 'orders', { uris }),
        });
      },
    ],
  ];
  for (const [what, reason, files] of wrongUpstream) {
    it(`sends nothing to one whose certificate ${what}: 503, ${reason}`, async () => {
      const { gateway, sidecar } = await chain(good(), await files());
      const answer = await gateway.exchange(get('/secret'), '\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 503 /);
      assert.deepEqual(outcome(await gateway.hop()), [503, ['UF'], reason]);
      assert.equal(sidecar.upstream.peers.length, 0);
    });
  }

  it('sends nothing to one that speaks no TLS: 503, upstream_tls_failed', async () => {
    const plain = await new ProxyLab({ side: 'inbound', meshed: false }).start();
    labs.push(plain);
    const gateway = await new ProxyLab({
      clusterTls: callTls('edge', 'orders'),
      identity: IDENTITY,
      files: good(),
      endpoints: [{ host: '127.0.0.1', port: plain.port }],
    }).start();
    labs.push(gateway);
    await gateway.exchange(get('/secret'), '\n\r\n');
    assert.deepEqual(outcome(await gateway.hop()), [503, ['UF'], 'upstream_tls_failed']);
    assert.equal(plain.upstream.peers.length, 0);
  });

  const wrongCaller: readonly [string, string, () => Promise<Issued>][] = [
    ['over', 'identity_expired', () => certificate(authority, 'edge', past)],
    ['of another authority', 'identity_untrusted', () => certificate(other, 'edge')],
    [
      'of another trust domain',
      'identity_foreign',
      () => certificate(authority, 'edge', { uris: ['spiffe://elsewhere.test/ns/shop/sa/edge'] }),
    ],
  ];
  for (const [what, reason, own] of wrongCaller) {
    it(`a caller whose certificate is ${what}: ${reason} at the sidecar, 503 for the client`, async () => {
      const files = filesOf(authority.cert, { edge: await own(), orders });
      const { gateway, sidecar } = await chain(files, good());
      const answer = await gateway.exchange(get('/x'), '\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 503 /);
      assert.doesNotMatch(answer, /azimuth/i);
      assert.deepEqual(outcome(await gateway.hop()), [503, ['UF'], 'upstream_identity_refused']);
      assert.deepEqual(outcome(await sidecar.hop()), [403, ['UAEX'], reason]);
      assert.equal(sidecar.upstream.peers.length, 0);
    });
  }

  describe('while certificates are renewed', () => {
    const reload = async (lab: ProxyLab, files: Files): Promise<void> => {
      const part: ProxyPart = { ...lab.part, files };
      const { kind } = await lab.proxy.reload(part);
      assert.equal(kind, 'applied');
    };

    it('uses the new ones for new handshakes, and leaves open connections alone', async () => {
      const { gateway, sidecar } = await chain(good(), good());
      await gateway.exchange(get('/x'), 'ok');
      const renewed = filesOf(authority.cert, {
        edge: await certificate(authority, 'edge'),
        orders: await certificate(authority, 'orders'),
      });
      const client = await sidecar.connectTls(edge, authority);
      client.send(get('/first'));
      await client.until('ok');
      await reload(sidecar, renewed);
      client.send(get('/second'));
      await client.until((peer) => peer.received.split('ok').length > 2);
      await reload(gateway, renewed);
      await gateway.exchange(get('/x'), 'ok');
      // The gateway's kept connection was made by what it no longer is.
      const [first, second] = await gateway.hops(2);
      for (const hop of [first!, second!]) assert.ok(hop.hop.connectNs > 0);
    });

    it('refuses what an authority signed that is no longer believed', async () => {
      const { gateway, sidecar } = await chain(good(), good());
      await gateway.exchange(get('/x'), 'ok');
      const client = await sidecar.connectTls(edge, authority);
      client.send(get('/first'));
      await client.until('ok');
      // The sidecar believes the new authority alone; the gateway knows nothing of it yet.
      const moved = filesOf(other.cert, { edge, orders: await certificate(other, 'orders') });
      await reload(sidecar, moved);
      // An open connection ends with the answer in hand, and says so.
      client.send(get('/second'));
      await client.untilClosed();
      assert.match(client.received, /connection: close\r\n/);
      const fresh = await sidecar.connectTls(edge, authority);
      fresh.send(get('/third'));
      assert.match(await fresh.until('\n\r\n'), /^HTTP\/1\.1 403 /);
      await gateway.exchange(get('/x'), '\n\r\n');
      const known = await sidecar.hopWhere((hop) => hop.status === 403);
      assert.equal(known.attribute('error.type'), 'identity_untrusted');
    });

    it('believes two authorities while one takes over from the other', async () => {
      const both = authority.cert + other.cert;
      const old = filesOf(both, { edge, orders });
      const fresh = filesOf(both, { edge: await certificate(other, 'edge'), orders });
      const { gateway, sidecar } = await chain(old, old);
      await gateway.exchange(get('/x'), 'ok');
      await reload(gateway, fresh);
      await gateway.exchange(get('/x'), 'ok');
      const hops = await sidecar.hops(2);
      assert.deepEqual(
        hops.map((hop) => hop.attribute('service.peer.name')),
        ['edge', 'edge'],
      );
    });
  });

  it('keeps routes for the callers that they allow, and records whom it turned away', async () => {
    const sidecar = await new ProxyLab({
      side: 'inbound',
      meshed: false,
      tls: meshTls('orders'),
      identity: IDENTITY,
      files: good(),
      routes: [
        { path: '/exact', allow: [idOf('web-bff')] },
        { path: '/shop', allow: ['spiffe://shop.test/ns/shop/*'] },
        { path: '/elsewhere', allow: ['spiffe://shop.test/ns/other/*'] },
        { path: '/*' },
      ],
    }).start();
    labs.push(sidecar);
    const client = await sidecar.connectTls(edge, authority);
    const statuses: string[] = [];
    for (const path of ['/exact', '/shop', '/elsewhere', '/free']) {
      const before = client.received.length;
      client.send(get(path));
      await client.until(({ received }) =>
        /\r\n\r\n[^]*\n?(ok|caller\n)$/.test(received.slice(before)),
      );
      statuses.push(client.received.slice(before + 9, before + 12));
    }
    assert.deepEqual(statuses, ['403', '200', '403', '200']);
    const [denied] = await sidecar.hops(4);
    assert.deepEqual(outcome(denied!), [403, ['UAEX'], 'identity_denied']);
    assert.equal(denied!.attribute('http.route'), '/exact');
    // A filter as any other: its bit and its time stand in the record, also where it lets pass.
    const authz = FUNCTIONS.indexOf('authz');
    const hops = await sidecar.hops(4);
    assert.deepEqual(
      hops.map(({ hop }) => [(hop.functions >> authz) & 1, hop.phaseIds.includes(authz)]),
      [[1, true], [1, true], [1, true], [0, false]], // prettier-ignore
    );
    assert.equal(denied!.attribute('service.peer.name'), 'edge');
    assert.equal((await sidecar.limits()).listener.refused['identity_denied'], 2);
  });
});
