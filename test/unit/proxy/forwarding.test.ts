import assert from 'node:assert/strict';
import { answering, FakeUpstream, get, OK, type Script, withLab } from '../../helpers/proxy-lab.ts';

/** Lines of a head without those that differ from run to run. */
const lines = (text: string): string[] =>
  text
    .split('\r\n\r\n')[0]!
    .split('\r\n')
    .filter((line) => !/^(traceparent|x-request-id|x-forwarded-host):/.test(line));

/** Answers once the received text ends as given. */
const whenReceived =
  (end: string, answer: string): Script =>
  (peer) => {
    if (peer.received.endsWith(end)) peer.send(answer);
  };

const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const chunkedAnswer =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-sum: 1\r\n\r\n';

describe('Forwarding', () => {
  it('passes a request on with its fields in order and ours behind them', () =>
    withLab({}, async (lab) => {
      const answer = await lab.exchange(get('/a?b=c', 'X-One: 1', 'x-two:2 ', 'X-One: 3'), 'ok');
      assert.equal(answer, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      assert.deepEqual(lines(lab.upstream.peers[0]!.received), [
        'GET /a?b=c HTTP/1.1',
        'Host: shop.example',
        'X-One: 1',
        'x-two: 2',
        'X-One: 3',
        'azimuth-peer: gateway;edge',
        'x-forwarded-for: 127.0.0.1',
        'x-forwarded-proto: http',
      ]);
    }));

  it('uses one connection for many requests, on both sides', () =>
    withLab({}, async (lab) => {
      const client = await lab.connect();
      for (let i = 1; i <= 5; i++) {
        client.send(get(`/${i}`));
        await client.until((c) => c.received.split('ok').length === i + 1);
      }
      assert.equal(lab.upstream.peers.length, 1);
      assert.equal(lab.proxy.ledger().hopsFinished, 5);
    }));

  it('answers pipelined requests in order, one after the other', async () => {
    let answered = 0;
    let mostAtOnce = 0;
    const script: Script = (peer) => {
      const asked = [...peer.received.matchAll(/(?:GET|POST) (\S+)/g)].map((m) => m[1]!);
      mostAtOnce = Math.max(mostAtOnce, asked.length - answered);
      for (const path of asked.slice(answered)) {
        answered++;
        peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      }
    };
    await withLab({ script, routes: [{ path: '/ok/{n}' }] }, async (lab) => {
      const client = await lab.connect();
      client.send(
        get('/ok/1') +
          get('/ok/2') +
          get('/nope') +
          'POST /ok/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' +
          get('/ok/4').slice(0, 20),
      );
      await client.until('/ok/3');
      client.send(get('/ok/4').slice(20));
      await client.until('/ok/4');
      const order = client.received.match(/\/ok\/\d|404 Not Found/g);
      assert.deepEqual(order, ['/ok/1', '/ok/2', '404 Not Found', '/ok/3', '/ok/4']);
      assert.equal(mostAtOnce, 1);
    });
  });

  it('keeps what came of a request while others are read: half a head, half a body, the next one', () => {
    // An answer to each request that is whole, and none to the first of all before it is let go.
    let isLetGo = false;
    const answered = new Map<unknown, number>();
    const script: Script = (peer) => {
      const asked = [...peer.received.matchAll(/^(?:GET|POST) (\/\S*) /gm)].map((m) => m[1]!);
      if (asked.length === (answered.get(peer) ?? 0)) return;
      if (!/\r\n\r\n(\w{6})?$/.test(peer.received)) return;
      answered.set(peer, asked.length);
      if (asked.at(-1) === '/held' && !isLetGo) return;
      peer.send(OK);
    };
    return withLab({ script }, async (lab) => {
      const [head, body, pipeline, other] = await Promise.all(
        Array.from({ length: 4 }, () => lab.connect()),
      );
      const others = async (): Promise<void> => {
        const before = other!.received.length;
        other!.send(get('/other', `X-Filler: ${'z'.repeat(2_000)}`));
        await other!.until((c) => c.received.length > before);
      };
      pipeline!.send(get('/held') + get('/behind', 'X-Mine: behind'));
      await lab.until((state) => state.held_bytes > 0);
      head!.send('GET /slow HTTP/1.1\r\nHost: shop.example\r\nX-Mine: sl');
      body!.send('POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
      await lab.upstream.until(({ peers }) => peers.some((peer) => peer.received.endsWith('abc')));
      await others();
      head!.send('ow\r\n\r\n');
      body!.send('def');
      await Promise.all([head!.until('ok'), body!.until('ok'), others()]);
      isLetGo = true;
      lab.upstream.peers.find((peer) => peer.received.startsWith('GET /held'))!.send(OK);
      await pipeline!.until((c) => c.received.split('ok').length === 3);
      const got = lab.upstream.peers.map((peer) => peer.received).join('');
      assert.match(got, /GET \/slow HTTP\/1.1\r\nHost: shop.example\r\nX-Mine: slow\r\n/);
      assert.match(got, /POST \/post HTTP\/1.1\r\n[^]*?\r\n\r\nabcdef/);
      assert.match(got, /GET \/behind HTTP\/1.1\r\nHost: shop.example\r\nX-Mine: behind\r\n/);
    });
  });

  it('answers 300 pipelined requests that no route takes, in order', () =>
    withLab({ routes: [{ path: '/x' }] }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/nope').repeat(300));
      await client.until((c) => c.received.split('HTTP/1.1 404').length === 301);
      assert.equal(lab.proxy.ledger().hopsFinished, 300);
    }));

  describe('streams bodies with framing of its own', () => {
    it('Content-Length, as a canonical integer', () =>
      withLab({ script: whenReceived('0123456789', OK) }, async (lab) => {
        const client = await lab.connect();
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n01234');
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('01234') ?? false);
        client.send('56789');
        await client.until('ok');
        const sent = lab.upstream.peers[0]!.received;
        assert.equal(sent.match(/content-length/gi)?.length, 1);
        assert.ok(sent.includes('\r\ncontent-length: 10\r\n\r\n0123456789'));
      }));

    it('chunks, without their extensions and trailers that nobody announced', () =>
      withLab({ script: whenReceived('0\r\n\r\n', chunkedAnswer) }, async (lab) => {
        const answer = await lab.exchange(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n' +
            '3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-mesh: forged\r\n\r\n',
          '0\r\n\r\n',
        );
        const sent = lab.upstream.peers[0]!.received;
        assert.ok(sent.includes('\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n'));
        assert.ok(!/trailer|x-mesh|ext=1/i.test(sent), sent);
        assert.equal(
          answer,
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n',
        );
      }));

    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
      it(`a chunked body of ${method} as chunks: never a second request`, () =>
        withLab(
          { script: whenReceived('0\r\n\r\n', method === 'HEAD' ? EMPTY : OK) },
          async (lab) => {
            const smuggled = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
            const sizeHex = smuggled.length.toString(16);
            await lab.exchange(
              `${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${sizeHex}\r\n${smuggled}\r\n0\r\n\r\n`,
              '200 OK',
            );
            assert.ok(
              lab.upstream.peers[0]!.received.endsWith(
                `transfer-encoding: chunked\r\n\r\n${sizeHex}\r\n${smuggled}\r\n0\r\n\r\n`,
              ),
            );
          },
        ));
    }

    it('no body bytes at all without a framing', () =>
      withLab({ routes: [{ path: '/a' }] }, async (lab) => {
        const client = await lab.connect();
        client.send('POST /a HTTP/1.1\r\nHost: a\r\n\r\n' + get('/nope'));
        await client.until('404 Not Found');
        assert.ok(lab.upstream.peers[0]!.received.endsWith('\r\n\r\n'));
        assert.ok(!lab.upstream.peers[0]!.received.includes('nope'));
      }));

    it('one byte at a time, in both directions', () =>
      withLab(
        {
          script: (peer) => {
            if (!peer.received.endsWith('0\r\n\r\n')) return;
            void peer.drip(chunkedAnswer);
          },
        },
        async (lab) => {
          const client = await lab.connect();
          client.send('\r');
          await client.drip(
            '\nPUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n0\r\nt: 1\r\n\r\n',
          );
          await client.until('0\r\n\r\n');
          const unchunked = client.received.replace(/\r\n[0-9a-f]+\r\n(?=.)/g, '');
          assert.ok(unchunked.includes('transfer-encoding: chunked'));
          assert.equal(
            [...client.received.split('\r\n\r\n')[1]!.matchAll(/^1\r\n(.)/gm)]
              .map((m) => m[1])
              .join(''),
            'hello world',
          );
        },
      ));

    it('a body that ends with the connection as chunks, and then keeps the client connection', () =>
      withLab(
        {
          script: (peer) => {
            if (!peer.received.endsWith('\r\n\r\n') || peer.socket.writableEnded) return;
            peer.socket.end('HTTP/1.1 200 OK\r\n\r\nall of it');
          },
        },
        async (lab) => {
          const client = await lab.connect();
          await client.send(get('/1')).until('0\r\n\r\n');
          assert.equal(
            client.received,
            'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n',
          );
          await client.send(get('/2')).until((c) => c.received.split('0\r\n\r\n').length === 3);
          assert.equal(lab.upstream.peers.length, 2);
        },
      ));
  });

  describe('answers without a body', () => {
    const cases: readonly [string, string, string, string][] = [
      [
        'HEAD with a length',
        'HEAD',
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
        'content-length: 5',
      ],
      [
        'HEAD with chunks',
        'HEAD',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
        'transfer-encoding: chunked',
      ],
      [
        '304 with a length',
        'GET',
        'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
        'content-length: 5',
      ],
      ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ];
    for (const [name, method, answer, framing] of cases) {
      it(`${name}: both connections stay in use`, () =>
        withLab({ script: answering(answer) }, async (lab) => {
          const client = await lab.connect();
          const request = get('/').replace('GET', method);
          await client.send(request).until('\r\n\r\n');
          await client.send(request).until((c) => c.received.split('HTTP/1.1').length === 3);
          assert.equal(lab.upstream.peers.length, 1);
          const head = client.received.split('\r\n\r\n')[0]!;
          if (framing === '') assert.equal(head.split('\r\n').length, 1);
          else assert.ok(head.endsWith(framing), head);
        }));
    }

    it('204 with Content-Length 5: the length is left out', () =>
      withLab(
        { script: answering('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n') },
        async (lab) => {
          const answer = await lab.exchange(get('/'), '\r\n\r\n');
          assert.equal(answer, 'HTTP/1.1 204 No Content\r\n\r\n');
        },
      ));
  });

  describe('HTTP/1.0 clients', () => {
    it('get no chunks: the connection ends the body', () =>
      withLab({ script: answering(chunkedAnswer) }, async (lab) => {
        const client = await lab.connect();
        client.send('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
        await client.untilClosed();
        assert.equal(client.received, 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello world');
      }));

    it('are kept when they ask for it and the length is known', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        client.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
        await client.until('connection: keep-alive\r\n\r\nok');
        client.send('GET / HTTP/1.0\r\n\r\n');
        await client.until('connection: close\r\n\r\nok');
        await client.untilClosed();
        const upstream = lab.upstream.peers[0]!.received;
        assert.ok(upstream.startsWith('GET / HTTP/1.1\r\nhost: catalog\r\n'), upstream);
      }));

    it('get no interim answer, and their Expect is not passed on', () =>
      withLab({ script: answering('HTTP/1.1 103 Early Hints\r\n\r\n' + OK) }, async (lab) => {
        const answer = await lab.exchange('GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n', 'ok');
        assert.ok(answer.startsWith('HTTP/1.1 200 OK'));
        assert.ok(!/expect/i.test(lab.upstream.peers[0]!.received));
      }));
  });

  describe('interim answers', () => {
    it('relays Expect and the 100, and only then the body', () =>
      withLab(
        {
          script: (peer) => {
            if (peer.received.endsWith('\r\n\r\n')) peer.send('HTTP/1.1 100 Continue\r\n\r\n');
            if (peer.received.endsWith('abc')) peer.send(OK);
          },
        },
        async (lab) => {
          const client = await lab.connect();
          client.send(
            'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
          );
          await client.until('HTTP/1.1 100 Continue\r\n\r\n');
          assert.ok(lab.upstream.peers[0]!.received.includes('Expect: 100-continue'));
          await client.send('abc').until('ok');
        },
      ));

    it('relays a refusal instead of the 100, and closes, as the body may still come', () =>
      withLab(
        { script: answering('HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n') },
        async (lab) => {
          const client = await lab.connect();
          client.send(
            'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
          );
          await client.untilClosed();
          assert.match(client.received, /^HTTP\/1.1 413 .*connection: close\r\n\r\n$/s);
        },
      ));

    it('relays 103 with its fields before the answer', () =>
      withLab(
        { script: answering('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' + OK) },
        async (lab) => {
          const answer = await lab.exchange(get('/'), 'ok');
          assert.ok(
            answer.startsWith('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n'),
          );
          assert.equal((await lab.hop()).status, 200);
        },
      ));
  });

  describe('OPTIONS and TRACE', () => {
    const asking = (method: string, target: string, ...fields: string[]): string =>
      [`${method} ${target} HTTP/1.1`, 'Host: a', ...fields, '', ''].join('\r\n');

    for (const target of ['*', 'http://a']) {
      it(`answers OPTIONS ${target} by itself, and keeps the connection`, () =>
        withLab({}, async (lab) => {
          const client = await lab.connect();
          await client.send(asking('OPTIONS', target)).until('\r\n\r\n');
          assert.match(client.received, /^HTTP\/1.1 204 No Content\r\nallow: GET, HEAD, POST/);
          await client.send(get('/')).until('ok');
          assert.deepEqual(
            (await lab.hops(2)).map((hop) => hop.answeredBy),
            ['proxy', 'upstream'],
          );
        }));
    }

    it('counts Max-Forwards down, and answers at 0 with the methods of the route', () =>
      withLab({ routes: [{ path: '/a', methods: ['GET', 'OPTIONS'] }] }, async (lab) => {
        await lab.exchange(asking('OPTIONS', '/a', 'Max-Forwards: 2'), 'ok');
        assert.match(lab.upstream.peers[0]!.received, /\r\nmax-forwards: 1\r\n/);
        assert.doesNotMatch(lab.upstream.peers[0]!.received, /Max-Forwards/);
        const answer = await lab.exchange(asking('OPTIONS', '/a', 'Max-Forwards: 0'), '\r\n\r\n');
        assert.equal(answer, 'HTTP/1.1 204 No Content\r\nallow: GET, OPTIONS\r\n\r\n');
        await lab.exchange(asking('OPTIONS', '/a', 'Max-Forwards: x'), '400 Bad Request');
      }));

    it('leaves Max-Forwards of other methods alone', () =>
      withLab({}, async (lab) => {
        await lab.exchange(get('/', 'Max-Forwards: 0'), 'ok');
        assert.match(lab.upstream.peers[0]!.received, /\r\nMax-Forwards: 0\r\n/);
      }));

    it('lets no TRACE in from outside', async () => {
      for (const side of ['ingress', 'inbound'] as const) {
        await withLab({ side }, async (lab) => {
          const answer = await lab.exchange(asking('TRACE', '/'), '\r\n\r\n');
          assert.equal(/^HTTP\/1.1 405/.test(answer), side === 'ingress', answer);
        });
      }
    });
  });

  it('answers 417 to an expectation that it does not know', () =>
    withLab({}, async (lab) => {
      for (const fields of [['Expect: x'], ['Expect: 100-continue', 'Expect: 100-continue']]) {
        await lab.exchange(get('/', ...fields), '417 Expectation Failed');
      }
      assert.equal(lab.upstream.peers.length, 0);
    }));

  it('refuses an absolute target beside a Host that is no authority', () =>
    withLab({}, async (lab) => {
      for (const host of ['a@b', '', 'a:99999', '[::1']) {
        await lab.exchange(`GET http://b/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`, '400 Bad Request');
      }
    }));

  it('takes the authority of an absolute target, not that of Host', () =>
    withLab({ routes: [{ path: '/*', hosts: ['b.example'] }] }, async (lab) => {
      const answer = await lab.exchange(
        'GET http://B.example:80/x?y HTTP/1.1\r\nHost: other.example\r\nx: 1\r\n\r\n',
        'ok',
      );
      assert.match(answer, /^HTTP\/1.1 200/);
      const sent = lab.upstream.peers[0]!.received;
      assert.ok(sent.startsWith('GET /x?y HTTP/1.1\r\nx: 1\r\nhost: B.example:80\r\n'), sent);
      assert.ok(!sent.includes('other.example'));
      const refused = await lab.exchange(
        'GET http://169.254.169.254/ HTTP/1.1\r\nHost: b.example\r\n\r\n',
        '\r\n\r\n',
      );
      assert.match(refused, /^HTTP\/1.1 404/);
    }));

  it('never takes an authority from a target in origin form', () =>
    withLab({}, async (lab) => {
      await lab.exchange(get('//evil.example/x'), 'ok');
      const sent = lab.upstream.peers[0]!.received;
      assert.ok(sent.startsWith('GET //evil.example/x HTTP/1.1\r\nHost: shop.example\r\n'));
    }));

  it('keeps an early answer whole, and closes after it', () =>
    withLab({ script: answering(OK) }, async (lab) => {
      const client = await lab.connect();
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nab');
      await client.until('ok');
      client.send('c'.repeat(50_000));
      await client.untilClosed();
      assert.match(client.received, /^HTTP\/1.1 200 OK\r\n.*connection: close\r\n\r\nok$/s);
      assert.equal(client.errorCode, '');
    }));

  it('takes the endpoints of a cluster in turn where it is told so', async () => {
    const upstreams = await Promise.all(
      [1, 2, 3].map(() => new FakeUpstream(answering(OK)).start()),
    );
    const endpoints = upstreams.map(({ port }) => ({ host: '127.0.0.1', port }));
    await withLab({ balance: 'round_robin', endpoints }, async (lab) => {
      const client = await lab.connect();
      for (let i = 1; i <= 6; i++) {
        await client.send(get('/')).until((c) => c.received.split('ok').length === i + 1);
      }
      const requests = upstreams.map((u) => u.peers[0]!.received.split('GET ').length - 1);
      assert.deepEqual(requests, [2, 2, 2]);
      assert.deepEqual(
        upstreams.map((u) => u.peers.length),
        [1, 1, 1],
      );
    });
    for (const upstream of upstreams) upstream.stop();
  });
});
