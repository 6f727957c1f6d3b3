/**
 * The gateway's functions through a real proxy: what each does to a request, and that what a filter
 * answers is recorded as any other, with its flag, its function's bit and its time.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Route } from '../../../../mesh/part.ts';
import { FUNCTIONS } from '../../../../telemetry/hop-record.ts';
import { functionsOf } from '../../../helpers/functions.ts';
import { answering, get, OK, withLab, type RecordedHop } from '../../../helpers/proxy-lab.ts';

const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const KEYS = { keys: [{ consumer: 'mobile-app', sha256: sha256('secret-1') }] };

/** Functions whose bit is set, and those whose time was booked, beyond what every request has. */
const CORE = ['route', 'trace_context', 'hygiene'];
const performed = ({ hop }: RecordedHop): string[] =>
  FUNCTIONS.filter((name, bit) => (hop.functions >> bit) & 1 && !CORE.includes(name));
const timed = ({ hop }: RecordedHop): string[] =>
  hop.phaseIds.map((id) => FUNCTIONS[id]!).filter((name) => !CORE.includes(name));

describe('Functions of a route', () => {
  it('are none where none is written: no bit, no time', () =>
    withLab({}, async (lab) => {
      await lab.exchange(get('/'), 'ok');
      const hop = await lab.hop();
      assert.deepEqual([performed(hop), timed(hop)], [[], []]);
    }));

  describe('api_keys', () => {
    const functions = functionsOf({ api_keys: KEYS });

    it('carries a request with a known key, names the consumer, and keeps the key to itself', () =>
      withLab({ functions }, async (lab) => {
        await lab.exchange(get('/', 'X-API-Key: secret-1'), 'ok');
        const head = lab.upstream.peers[0]!.received;
        assert.match(head, /\r\nazimuth-consumer: mobile-app\r\n/);
        assert.doesNotMatch(head, /secret/);
        const hop = await lab.hop();
        assert.equal(hop.attribute('azimuth.consumer'), 'mobile-app');
        assert.deepEqual([performed(hop), timed(hop)], [['authn'], ['authn']]);
      }));

    for (const [what, line] of [
      ['without a key', 'A: b'],
      ['with another key', 'X-API-Key: secret-2'],
      ['with an empty key', 'X-API-Key:'],
      ['with two keys', 'X-API-Key: secret-1\r\nX-API-Key: secret-1'],
      ['with the hash of a key', `X-API-Key: ${sha256('secret-1')}`],
      ['with a key longer than any', `X-API-Key: ${'s'.repeat(600)}`],
    ] as const) {
      it(`answers 401 to a request ${what}, records it with UAEX, and keeps the connection`, () =>
        withLab({ functions }, async (lab) => {
          const client = await lab.connect();
          await client.send(get('/', line)).until('is not known');
          assert.match(client.received, /^HTTP\/1.1 401 Unauthorized\r\n/);
          assert.match(client.received, /\r\nwww-authenticate: ApiKey realm="x-api-key"\r\n/);
          await client.send(get('/', 'x-api-key: secret-1')).until('ok');
          const [refused] = await lab.hops(2);
          assert.deepEqual([refused!.status, refused!.flags], [401, ['UAEX']]);
          assert.equal(refused!.answeredBy, 'proxy');
          assert.equal(refused!.attribute('error.type'), 'unauthenticated');
          assert.equal(refused!.attribute('http.route'), '/*');
          assert.equal(refused!.attribute('azimuth.consumer'), undefined);
          assert.deepEqual([performed(refused!), timed(refused!)], [['authn'], ['authn']]);
          assert.equal(refused!.hop.attempts.length, 0);
          assert.equal(lab.upstream.peers.length, 1);
        }));
    }

    it('reads the key from the query where that is written, and takes it out', () =>
      withLab({ functions: functionsOf({ api_keys: { ...KEYS, query: 'key' } }) }, async (lab) => {
        await lab.exchange(get('/a?b=1&key=secret%2D1&c=2'), 'ok');
        assert.match(lab.upstream.peers[0]!.received, /^GET \/a\?b=1&c=2 HTTP/);
        assert.match(await lab.exchange(get('/a?key=secret-1'), 'ok'), /200 OK/);
        for (const query of ['?key=secret-1&key=secret-1', '?key=%ff', '?kez=secret-1', '']) {
          const answer = await lab.exchange(get(`/a${query}`), 'is not known');
          assert.match(answer, /^HTTP\/1.1 401 /, query);
        }
        const hops = await lab.hops(6);
        assert.deepEqual(
          hops.map(({ status }) => status),
          [200, 200, 401, 401, 401, 401],
        );
      }));

    it('lets nobody name himself a consumer, inside the mesh neither', async () => {
      for (const side of ['ingress', 'inbound'] as const) {
        await withLab({ functions, side }, async (lab) => {
          await lab.exchange(get('/', 'x-api-key: secret-1', 'Azimuth-Consumer: root'), 'ok');
          const head = lab.upstream.peers[0]!.received;
          assert.deepEqual(head.match(/^azimuth-consumer.*/gim), ['azimuth-consumer: mobile-app']);
        });
      }
    });

    it('hands the key on where that is written', () => {
      const forwarding = functionsOf({ api_keys: { ...KEYS, header: 'x-key', forward: true } });
      return withLab({ functions: forwarding }, async (lab) => {
        await lab.exchange(get('/', 'x-key: secret-1'), 'ok');
        assert.match(lab.upstream.peers[0]!.received, /\r\nx-key: secret-1\r\n/);
      });
    });

    it('names so many consumers in records and no more', () => {
      const keys = Array.from({ length: 5 }, (_, i) => ({
        consumer: `c${i}`,
        sha256: sha256(`k${i}`),
      }));
      const many = functionsOf({ api_keys: { keys } });
      return withLab({ functions: many, limits: { consumersPerListener: 3 } }, async (lab) => {
        const client = await lab.connect();
        for (let i = 0; i < 5; i++) {
          await client
            .send(get('/', `x-api-key: k${i}`))
            .until((peer) => peer.received.split('ok').length === i + 2);
        }
        const hops = await lab.hops(5);
        assert.deepEqual(
          hops.map((hop) => hop.attribute('azimuth.consumer')),
          ['c0', 'c1', 'c2', 'other', 'other'],
        );
        // The application is told the truth.
        assert.match(lab.upstream.peers[0]!.received, /azimuth-consumer: c4\r\n/);
      });
    });
  });

  describe('rate_limits', () => {
    const once = (by: string): unknown => ({ by, requests: 1, per_s: 3600 });

    it('answers 429 with Retry-After to what is above the rate, and records it with RL', () =>
      withLab({ functions: functionsOf({ rate_limits: [once('route')] }) }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/')).until('ok');
        await client.send(get('/')).until('than are allowed');
        assert.match(client.received, /HTTP\/1.1 429 Too Many Requests\r\n/);
        const seconds = Number(/\r\nretry-after: ([0-9]+)\r\n/.exec(client.received)?.[1]);
        assert.ok(seconds > 0 && seconds <= 3600, String(seconds));
        const [carried, refused] = await lab.hops(2);
        assert.deepEqual([carried!.status, refused!.status], [200, 429]);
        assert.deepEqual(refused!.flags, ['RL']);
        assert.deepEqual([performed(refused!), timed(refused!)], [['rate_limit'], ['rate_limit']]);
        assert.equal((await lab.limits()).listener.refused['rate_limited'], 1);
      }));

    it('keeps its counters when the mesh file is read again, and begins anew when it changes', () => {
      const functions = functionsOf({ rate_limits: [once('client')] });
      return withLab({ functions }, async (lab) => {
        await lab.exchange(get('/'), 'ok');
        const { part } = lab;
        const [listener] = part.listeners;
        const [route] = listener!.routes;
        const reload = (...routes: Route[]): Promise<unknown> =>
          lab.proxy.reload({ ...part, listeners: [{ ...listener!, routes }] });
        await reload(route!, { ...route!, template: '/other', segments: ['other'] });
        await lab.exchange(get('/'), 'than are allowed');
        const changed = functionsOf({ rate_limits: [{ by: 'client', requests: 2, per_s: 3600 }] });
        await reload({ ...route!, functions: changed });
        await lab.exchange(get('/'), 'ok');
      });
    });

    it('counts each consumer by itself, behind the check of its key', () => {
      const keys = ['a', 'b'].map((consumer) => ({ consumer, sha256: sha256(consumer) }));
      const functions = functionsOf({ api_keys: { keys }, rate_limits: [once('consumer')] });
      return withLab({ functions }, async (lab) => {
        const statuses: string[] = [];
        for (const key of ['a', 'x', 'b', 'x', 'a', 'b']) {
          const answer = await lab.exchange(get('/', `x-api-key: ${key}`), '\r\n\r\n');
          statuses.push(answer.slice(9, 12));
        }
        assert.deepEqual(statuses, ['200', '401', '200', '401', '429', '429']);
        const hops = await lab.hops(6);
        assert.deepEqual(performed(hops[4]!), ['authn', 'rate_limit']);
        assert.deepEqual(performed(hops[1]!), ['authn']);
        assert.equal(hops[4]!.attribute('azimuth.consumer'), 'a');
      });
    });

    it('counts the client that a trusted proxy in front names', () =>
      withLab(
        { functions: functionsOf({ rate_limits: [once('client')] }), trustedHops: 1 },
        async (lab) => {
          await lab.exchange(get('/', 'X-Forwarded-For: 203.0.113.7'), 'ok');
          await lab.exchange(get('/', 'X-Forwarded-For: 203.0.113.8'), 'ok');
          await lab.exchange(get('/', 'X-Forwarded-For: 203.0.113.7'), 'than are allowed');
        },
      ));

    it('stops a client before its tokens are checked', () => {
      const functions = functionsOf({ api_keys: KEYS, rate_limits: [once('client')] });
      return withLab({ functions }, async (lab) => {
        await lab.exchange(get('/'), 'is not known');
        await lab.exchange(get('/', 'x-api-key: secret-1'), 'than are allowed');
        const hops = await lab.hops(2);
        assert.deepEqual(performed(hops[1]!), ['rate_limit']);
      });
    });
  });

  describe('request_size', () => {
    const functions = functionsOf({ request_size: { bytes_max: 10 } });
    const post = (framing: string, body: string): string =>
      `POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${body}`;

    it('carries a body up to the limit, by either framing', () =>
      withLab(
        {
          functions,
          script: (peer) => {
            if (/\r\n\r\n(0123456789|a\r\n0123456789\r\n0\r\n\r\n)$/.test(peer.received))
              peer.send(OK);
          },
        },
        async (lab) => {
          await lab.exchange(post('Content-Length: 10', '0123456789'), 'ok');
          const chunked = post('Transfer-Encoding: chunked', 'a\r\n0123456789\r\n0\r\n\r\n');
          await lab.exchange(chunked, 'ok');
          const [hop] = await lab.hops(2);
          assert.deepEqual([performed(hop!), timed(hop!)], [['request_size'], ['request_size']]);
        },
      ));

    it('answers 413 by Content-Length before anything is sent', () =>
      withLab({ functions }, async (lab) => {
        const client = await lab.connect();
        await client.send(post('Content-Length: 11', '')).until('too large');
        await client.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags, hop.hop.attempts.length], [413, ['RH'], 0]);
        assert.equal(lab.upstream.peers.length, 0);
      }));

    it('answers 413 by the bytes counted where there is no length', () =>
      withLab({ functions, script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        client.send(post('Transfer-Encoding: chunked', '6\r\n012345\r\n'));
        await lab.upstream.until(({ peers }) => peers[0]?.received.includes('012345') === true);
        await client.send('5\r\n01234\r\n').until('too large');
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [413, ['RH']]);
        // The upstream never sees an end of the body.
        await lab.upstream.until(({ peers }) => peers[0]!.closed || peers[0]!.ended);
        assert.doesNotMatch(lab.upstream.peers[0]!.received, /0\r\n\r\n$/);
      }));

    it('does not outlive its request on the connection', () => {
      const routes = [{ path: '/small', functions }, { path: '/*' }];
      return withLab({ routes, script: answering(OK) }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/small')).until('ok');
        client.send(
          'POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n' + 'x'.repeat(20),
        );
        await client.until((peer) => peer.received.split('ok').length === 3);
      });
    });
  });

  describe('headers', () => {
    const functions = functionsOf({
      headers: {
        request: { set: { 'x-env': 'prod' }, add: { 'x-tag': 'two' }, remove: ['x-debug'] },
        response: {
          set: { 'strict-transport-security': 'max-age=63072000' },
          remove: ['x-powered-by'],
        },
      },
    });
    const script = answering(
      'HTTP/1.1 200 OK\r\nX-Powered-By: Foo\r\nStrict-Transport-Security: max-age=0\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok',
    );

    it('are set, added and removed on the way there and back, whatever their case', () =>
      withLab({ functions, script }, async (lab) => {
        const answer = await lab.exchange(
          get('/', 'X-ENV: dev', 'x-env: test', 'X-Tag: one', 'X-Debug: 1', 'X-Other: kept'),
          'ok',
        );
        const head = lab.upstream.peers[0]!.received;
        assert.deepEqual(head.match(/^x-(env|tag|debug|other): .*/gim), [
          'X-Tag: one',
          'X-Other: kept',
          'x-env: prod',
          'x-tag: two',
        ]);
        assert.deepEqual(answer.match(/^(x-|strict).*/gim), [
          'X-Kept: 1',
          'strict-transport-security: max-age=63072000',
        ]);
        const hop = await lab.hop();
        assert.deepEqual([performed(hop), timed(hop)], [['headers'], ['headers']]);
      }));

    it('of responses stand on our own answers too', () =>
      withLab(
        {
          functions,
          script: (peer) => {
            peer.send('nonsense\r\n\r\n');
          },
        },
        async (lab) => {
          const answer = await lab.exchange(get('/'), 'valid HTTP');
          assert.match(
            answer,
            /^HTTP\/1.1 502 .*\r\nstrict-transport-security: max-age=63072000\r\n/s,
          );
        },
      ));

    it('do not outlive their request on the connection', () => {
      const routes = [{ path: '/a', functions }, { path: '/*' }];
      return withLab({ routes }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/a')).until('ok');
        await client.send(get('/b')).until((peer) => peer.received.split('ok').length === 3);
        assert.equal(client.received.split('strict-transport-security').length, 2);
        assert.equal(lab.upstream.peers[0]!.received.split('x-env: prod').length, 2);
      });
    });
  });

  describe('rewrite', () => {
    for (const [template, rewrite, path, sent] of [
      ['/api/*', { prefix: '/' }, '/api/a/b?c=%2F', '/a/b?c=%2F'],
      ['/api/*', { prefix: '/v2' }, '/api/a%20b', '/v2/a%20b'],
      ['/api/*', { prefix: '/v2/' }, '/api', '/v2'],
      ['/api/*', { prefix: '/' }, '/api?q', '/?q'],
      ['/*', { prefix: '/all' }, '/a', '/all/a'],
      // Two slashes in front would name a host to some servers.
      ['/api/*', { prefix: '/' }, '/api//evil.example/x', '/evil.example/x'],
      ['/shop/{id}/of/{user}', { path: '/u/{user}/{id}' }, '/shop/7/of/ann', '/u/ann/7'],
      ['/shop/{id}/*', { path: '/items/{id}/*' }, '/shop/7/a/b', '/items/7/a/b'],
      ['/shop/{id}', { path: '/' }, '/shop/7', '/'],
    ] as const) {
      it(`sends ${path} of ${template} as ${sent}, and records what was asked for`, () =>
        withLab(
          { routes: [{ path: template, functions: functionsOf({ rewrite }) }], pathMode: 'keep' },
          async (lab) => {
            await lab.exchange(get(path), 'ok');
            assert.equal(/^GET (\S*) /.exec(lab.upstream.peers[0]!.received)?.[1], sent);
            const hop = await lab.hop();
            assert.equal(hop.attribute('http.route'), template);
            assert.equal(hop.attribute('url.path'), path.split('?')[0]);
            assert.deepEqual([performed(hop), timed(hop)], [['rewrite'], ['rewrite']]);
          },
        ));
    }

    it('rewrites a target in absolute form', () =>
      withLab(
        { routes: [{ path: '/api/*', functions: functionsOf({ rewrite: { prefix: '/' } }) }] },
        async (lab) => {
          await lab.exchange('GET http://shop.example/api/a?b HTTP/1.1\r\nHost: x\r\n\r\n', 'ok');
          assert.match(lab.upstream.peers[0]!.received, /^GET \/a\?b HTTP\/1.1\r\n/);
        },
      ));
  });

  it('are the same at a gateway, at the ingress of a merged BFF: same bits, same phases', async () => {
    const functions = functionsOf({
      cors: { origins: ['https://shop.example'] },
      request_size: { bytes_max: 1000 },
      rate_limits: [
        { by: 'client', requests: 1000 },
        { by: 'consumer', requests: 1, per_s: 3600 },
      ],
      api_keys: KEYS,
      headers: { request: { set: { 'x-env': 'prod' } } },
      rewrite: { prefix: '/v2' },
    });
    const of = async (merged: boolean): Promise<unknown[]> => {
      const seen: unknown[] = [];
      await withLab({ functions, merged }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/a', 'x-api-key: secret-1')).until('ok');
        await client.send(get('/a', 'x-api-key: secret-1')).until('than are allowed');
        await client.send(get('/a')).until('is not known');
        for (const hop of await lab.hops(3)) {
          seen.push([hop.status, hop.flags, hop.hop.functions, hop.hop.phaseIds]);
        }
        const { hop, ownNs } = (await lab.hops(1))[0]!;
        const inPhases = hop.phaseNs.reduce((sum, ns) => sum + ns, 0);
        assert.ok(inPhases <= ownNs, `${inPhases} ns of phases in ${ownNs} ns of own time`);
      });
      return seen;
    };
    const gateway = await of(false);
    assert.deepEqual(gateway, await of(true));
    const bits = (names: string[]): number =>
      names.reduce((sum, name) => sum | (1 << FUNCTIONS.indexOf(name as 'cors')), 0);
    assert.equal(
      (gateway[0] as [unknown, unknown, number])[2],
      bits([...CORE, 'cors', 'request_size', 'rate_limit', 'authn', 'headers', 'rewrite']),
    );
  });
});
