/**
 * Requests that wait for a filter (a token whose keys must be fetched), through a real proxy: what
 * comes meanwhile, on the same connection and on others, is neither lost nor mixed up.
 */
import assert from 'node:assert/strict';
import { functionsOf } from '../../../helpers/functions.ts';
import {
  AUDIENCE,
  ISSUER,
  issuerKey,
  KeyServer,
  token,
  type IssuerKey,
} from '../../../helpers/issuer.ts';
import { get, OK, withLab, type LabSettings, type ProxyLab } from '../../../helpers/proxy-lab.ts';

describe('Requests that wait for a filter', () => {
  let key: IssuerKey;
  let server: KeyServer;
  let bearer: string;

  before(async () => {
    key = await issuerKey('one');
    const in10Minutes = Math.floor(Date.now() / 1000) + 600;
    bearer = `Authorization: Bearer ${await token(key, { exp: in10Minutes })}`;
  });
  beforeEach(async () => {
    server = await new KeyServer(key).start();
  });
  afterEach(() => server.stop());

  const withTokens = (
    settings: LabSettings,
    body: (lab: ProxyLab) => Promise<void>,
    more: Record<string, unknown> = {},
  ): Promise<void> => {
    const jwt = {
      jwks_url: server.url,
      issuer: ISSUER,
      audiences: [AUDIENCE],
      consumer_claim: 'azp',
      ...more,
    };
    const routes = [{ path: '/t/*', functions: functionsOf({ jwt }) }, { path: '/*' }];
    return withLab({ routes, ...settings }, body);
  };

  it('are carried when their token holds, with the time of the check under authn', () =>
    withTokens({}, async (lab) => {
      await lab.exchange(get('/t/a', bearer), 'ok');
      assert.match(lab.upstream.peers[0]!.received, /^GET \/t\/a HTTP\/1.1\r\n.*mobile-app/s);
      const hop = await lab.hop();
      assert.equal(hop.attribute('azimuth.consumer'), 'mobile-app');
      const authnNs = hop.hop.phaseNs[hop.hop.phaseIds.indexOf(2)]!;
      assert.ok(authnNs > 0 && authnNs <= hop.ownNs, `${authnNs} of ${hop.ownNs}`);
    }));

  it('are answered 401 with the reason when it does not', () =>
    withTokens({}, async (lab) => {
      const answer = await lab.exchange(get('/t/a', bearer.slice(0, -4) + 'AAAA'), 'not known');
      assert.match(answer, /^HTTP\/1.1 401 .*error_description="the signature does not hold"\r\n/s);
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [401, ['UAEX'], 'proxy']);
    }));

  it('are answered 503 with Retry-After when no keys can be had', async () => {
    await server.stop();
    await withTokens({}, async (lab) => {
      const answer = await lab.exchange(get('/t/a', bearer), 'cannot be checked');
      assert.match(answer, /^HTTP\/1.1 503 .*\r\nretry-after: 1\r\n/s);
      const hop = await lab.hop();
      assert.deepEqual([hop.flags, hop.attribute('error.type')], [['UAEX'], 'authn_unavailable']);
    });
  });

  /** Lets the proxy's reading of the keys end only when the test says so. */
  const held = async (
    body: (lab: ProxyLab, release: () => void) => Promise<void>,
    settings: LabSettings = {},
  ): Promise<void> => {
    let release: () => void = () => undefined;
    server.hold = new Promise((resolve) => {
      release = resolve;
    });
    await withTokens(settings, (lab) => body(lab, release));
  };

  it('do not hold up requests of other connections, nor take their heads for their own', () =>
    held(async (lab, release) => {
      const waiting = await lab.connect();
      waiting.send(get('/t/first', bearer, 'X-Mine: 1'));
      await lab.until((state) => state.held_bytes > 0);
      await lab.exchange(get('/second', 'X-Other: 2'), 'ok');
      release();
      await waiting.until('ok');
      const [hopSecond, hopFirst] = await lab.hops(2);
      assert.equal(hopSecond!.attribute('http.route'), '/*');
      assert.equal(hopFirst!.attribute('http.route'), '/t/*');
      const heads = lab.upstream.peers.map((peer) => peer.received).join('');
      assert.equal(heads.split('X-Mine: 1').length, 2);
      assert.match(heads, /GET \/t\/first HTTP\/1.1\r\n[^]*X-Mine: 1\r\n/);
      await lab.until((state) => state.held_bytes === 0);
    }));

  it('keep the client that a proxy in front named, whoever came meanwhile', () =>
    held(
      async (lab, release) => {
        const waiting = await lab.connect();
        waiting.send(get('/t/first', bearer, 'X-Forwarded-For: 203.0.113.7'));
        await lab.until((state) => state.held_bytes > 0);
        await lab.exchange(get('/second', 'X-Forwarded-For: 198.51.100.9'), 'ok');
        release();
        await waiting.until('ok');
        const heads = lab.upstream.peers.map((peer) => peer.received).join('');
        assert.match(/GET \/t\/first [^]*?\r\n\r\n/.exec(heads)![0], /203\.0\.113\.7/);
        const [, first] = await lab.hops(2);
        assert.equal(first!.attribute('client.address'), '203.0.113.0');
      },
      { trustedHops: 1 },
    ));

  it('keep their body, and the next request behind it, for when they go on', () => {
    const script: LabSettings['script'] = (peer) => {
      // Only then the other: a head may end in a 0 of its trace.
      if (peer.received.includes('GET /last')) peer.send(OK.replace('ok', 'no'));
      else if (peer.received.endsWith('\r\n0\r\n\r\n')) peer.send(OK);
    };
    return held(
      async (lab, release) => {
        const client = await lab.connect();
        client.send(
          `POST /t/a HTTP/1.1\r\nHost: a\r\n${bearer}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
        );
        await lab.until((state) => state.held_bytes > 0);
        client.send('2\r\nde\r\n0\r\n\r\n' + get('/last'));
        release();
        await client.until('no');
        const sent = lab.upstream.peers.map((peer) => peer.received).join('');
        assert.match(sent, /abc[^]*de[^]*0\r\n\r\nGET \/last /);
        const hops = await lab.hops(2);
        assert.deepEqual(
          hops.map(({ status }) => status),
          [200, 200],
        );
        assert.equal(hops[0]!.span.name, 'POST /t/*');
      },
      { script },
    );
  });

  it('go on with a pipeline that came in the same packet', () =>
    held(async (lab, release) => {
      const client = await lab.connect();
      client.send(get('/t/a', bearer) + get('/b') + get('/t/c', bearer));
      await lab.until((state) => state.held_bytes > 0);
      release();
      await client.until((peer) => peer.received.split('ok').length === 4);
      const hops = await lab.hops(3);
      assert.deepEqual(
        hops.map((hop) => hop.attribute('http.route')),
        ['/t/*', '/*', '/t/*'],
      );
    }));

  it('are recorded as left by their client when it leaves, and hold nothing any more', () =>
    held(async (lab, release) => {
      const client = await lab.connect();
      client.send(get('/t/a', bearer));
      await lab.until((state) => state.held_bytes > 0);
      client.socket.destroy();
      const hop = await lab.hop();
      assert.deepEqual([hop.answeredBy, hop.flags, hop.status], ['client_gone', ['DC'], 0]);
      assert.ok(hop.hop.phaseNs[hop.hop.phaseIds.indexOf(2)]! > 0);
      release();
      await lab.until((state) => state.held_bytes === 0);
      await lab.exchange(get('/t/b', bearer), 'ok');
      assert.equal(lab.upstream.peers.length, 1);
    }));

  it('are refused where the process holds too much already, as everything is then', () =>
    held(
      async (lab, release) => {
        const client = await lab.connect();
        client.send(get('/t/a', bearer, `X-Long: ${'x'.repeat(2000)}`));
        await lab.until((state) => state.held_bytes > 1000);
        await lab.exchange(get('/t/b', bearer), 'too many bytes wait');
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [503, ['OM']]);
        release();
        await client.until('ok');
        await lab.until((state) => state.held_bytes === 0);
      },
      { limits: { memoryInFlightBytes: 1000 } },
    ));

  it('end with 503 where the wait is without end', () =>
    held(async (lab) => {
      const client = await lab.connect();
      client.send(get('/t/a', bearer));
      await lab.until((state) => state.held_bytes > 0);
      lab.advance(65_000);
      await client.until('cannot be checked');
      assert.equal((await lab.hop()).status, 503);
    }));

  it('are carried by a new key as soon as the issuer has one', () =>
    withTokens({}, async (lab) => {
      await lab.exchange(get('/t/a', bearer), 'ok');
      const other = await issuerKey('two');
      const in10Minutes = Math.floor(Date.now() / 1000) + 600;
      const rotated = `Authorization: Bearer ${await token(other, { exp: in10Minutes })}`;
      server.publish(other);
      lab.elapse(30_000);
      await lab.exchange(get('/t/a', rotated), 'ok');
      // The old key is gone with the set that held it.
      await lab.exchange(get('/t/a', bearer), 'not known');
    }));
});
