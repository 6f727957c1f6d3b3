import assert from 'node:assert/strict';
import { answering, get, withLab } from '../../helpers/proxy-lab.ts';

describe('Failures', () => {
  describe('of requests', () => {
    it('answers 404 with flag NR where no route matches, and keeps the connection', () =>
      withLab({ routes: [{ path: '/a' }] }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/b')).until('no route matches');
        await client.send(get('/a')).until('ok');
        const [refused, carried] = await lab.hops(2);
        assert.deepEqual([refused!.status, refused!.flags], [404, ['NR']]);
        assert.equal(refused!.attribute('error.type'), 'no_route');
        assert.equal(refused!.answeredBy, 'proxy');
        assert.equal(refused!.hop.attempts.length, 0);
        assert.equal(refused!.span.name, 'GET');
        assert.equal(carried!.span.name, 'GET /a');
      }));

    it('answers 405 with the methods that the route takes', () =>
      withLab({ routes: [{ path: '/a', methods: ['GET', 'PUT'] }] }, async (lab) => {
        const answer = await lab.exchange(get('/a').replace('GET', 'POST'), 'does not take');
        assert.match(answer, /^HTTP\/1.1 405 Method Not Allowed\r\n.*\r\nallow: GET, PUT\r\n/s);
        assert.equal((await lab.hop()).attribute('http.request.method'), 'POST');
      }));

    it('answers 405 to CONNECT and closes', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        client.send('CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.untilClosed();
        assert.match(client.received, /^HTTP\/1.1 405 .*connection: close/s);
        assert.equal((await lab.hop()).status, 405);
      }));

    const ambiguous: readonly [string, number, string][] = [
      [
        'two framings',
        400,
        'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n',
      ],
      ['two Hosts', 400, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
      ['a Host that is no authority', 400, 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n'],
      ['an empty Host', 400, 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
      ['a dot segment', 400, 'GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n'],
      ['an encoded dot segment', 400, 'GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n'],
      [
        'a broken chunk',
        400,
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
      ],
      ['an underscore in a name', 400, 'GET / HTTP/1.1\r\nHost: a\r\nX_Mesh_Direction: x\r\n\r\n'],
      ['Transfer_Encoding', 400, 'GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n'],
      ['another version', 505, 'GET / HTTP/1.3\r\nHost: a\r\n\r\n'],
      ['a lower-case method', 501, 'get / HTTP/1.1\r\nHost: a\r\n\r\n'],
      ['a target above 8 KiB', 414, `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
      ['101 fields', 431, `GET / HTTP/1.1\r\nHost: a\r\n${'a:\r\n'.repeat(100)}\r\n`],
      ['a head above 16 KiB', 431, `GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(17_000)}\r\n\r\n`],
    ];
    for (const [name, status, request] of ambiguous) {
      it(`answers ${status} to ${name}, closes, and records it`, () =>
        withLab({}, async (lab) => {
          const client = await lab.connect();
          // What follows must not be read as a request.
          client.send(request + get('/smuggled'));
          await client.untilClosed();
          assert.match(client.received, new RegExp(`^HTTP/1.1 ${status} .*connection: close`, 's'));
          assert.equal(client.received.match(/HTTP\/1.1 \d/g)?.length, 1, client.received);
          const hop = await lab.hop();
          assert.equal(hop.status, status);
          assert.equal(hop.answeredBy, 'proxy');
          assert.ok(!lab.upstream.peers.some((p) => p.received.includes('smuggled')));
        }));
    }

    it('answers 400 to garbage, counts no hop, and goes on serving others', () =>
      withLab({}, async (lab) => {
        for (const garbage of [
          '\x16\x03\x01\x02\x00\x01',
          '\x00'.repeat(5000),
          'HELO x\r\n',
          '\r\n\r\n\r\nx\r\n',
        ]) {
          const client = await lab.connect();
          client.send(garbage);
          await client.untilClosed();
          assert.match(client.received, /^HTTP\/1.1 400 /);
        }
        await lab.exchange(get('/'), 'ok');
        assert.equal(lab.proxy.ledger().hopsFinished, 1);
        assert.equal(lab.proxy.ledger().inFlight, 0);
      }));

    it('answers 413 to a length above the limit, before anything went upstream', () =>
      withLab({ limits: { requestBodyBytes: 10 } }, async (lab) => {
        const client = await lab.connect();
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n');
        await client.untilClosed();
        assert.match(client.received, /^HTTP\/1.1 413 /);
        assert.deepEqual((await lab.hop()).flags, ['RH']);
        assert.equal(lab.upstream.peers.length, 0);
      }));

    it('answers 413 to chunks above the limit, and cuts the upstream off', () =>
      withLab({ script: () => undefined, limits: { requestBodyBytes: 10 } }, async (lab) => {
        const client = await lab.connect();
        client.send(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n',
        );
        await lab.upstream.until((u) => u.peers[0]?.received.includes('abcde') ?? false);
        client.send('6\r\nfghijk\r\n');
        await client.untilClosed();
        assert.match(client.received, /^HTTP\/1.1 413 /);
        await lab.upstream.peers[0]!.untilClosed();
        assert.ok(!lab.upstream.peers[0]!.received.includes('0\r\n\r\n'));
      }));

    it('answers 408 when a head does not come to its end in time', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        await client.drip('GET / HTTP/1.1\r\nHos');
        lab.advance(10_000);
        await client.until('408 Request Timeout');
        await client.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [408, ['DT']]);
      }));

    it('answers 408 when a body pauses too long', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab');
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('ab') ?? false);
        lab.advance(30_000);
        await client.until('408 Request Timeout');
        await lab.upstream.peers[0]!.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags, hop.hop.attempts.length], [408, ['DT'], 1]);
      }));

    it('closes idle connections in silence', () =>
      withLab({}, async (lab) => {
        const fresh = await lab.connect();
        const used = await lab.connect();
        await used.send(get('/')).until('ok');
        lab.advance(60_000);
        await fresh.untilClosed();
        await used.untilClosed();
        assert.equal(fresh.received, '');
        assert.equal(lab.proxy.ledger().hopsFinished, 1);
      }));
  });

  describe('of clients', () => {
    it('closes the upstream when the client leaves before an answer', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        client.send(get('/'));
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
        client.socket.destroy();
        await lab.upstream.peers[0]!.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [0, ['DC'], 'client_gone']);
        assert.equal(lab.proxy.ledger().inFlight, 0);
      }));

    it('takes a half-close before the answer for leaving', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        client.send(get('/'));
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
        client.socket.end();
        await lab.upstream.peers[0]!.untilClosed();
        assert.deepEqual((await lab.hop()).flags, ['DC']);
      }));

    it('closes the upstream when the client leaves within its body', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab');
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('ab') ?? false);
        client.socket.destroy();
        await lab.upstream.peers[0]!.untilClosed();
        assert.equal((await lab.hop()).answeredBy, 'client_gone');
      }));

    it('closes 20 event streams upstream when their clients leave', () =>
      withLab(
        {
          script: answering(
            'HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: 1\n\n',
          ),
        },
        async (lab) => {
          const clients = await Promise.all(Array.from({ length: 20 }, () => lab.connect()));
          for (const client of clients) client.send(get('/events'));
          for (const client of clients) await client.until('data: 1');
          for (const client of clients) client.socket.destroy();
          await lab.upstream.until((u) => u.peers.filter((p) => p.closed || p.ended).length === 20);
          const hops = await lab.hops(20);
          for (const hop of hops) {
            assert.deepEqual([hop.status, hop.flags, hop.hop.streamClass], [200, ['DC'], 1]);
          }
        },
      ));

    it('records a client that leaves within its head, once there was a request line', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        await client.drip('GET /a HTTP/1.1\r\nHost');
        client.socket.destroy();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [0, ['DC']]);
        const other = await lab.connect();
        await other.drip('GE');
        other.socket.destroy();
        while (lab.proxy.ledger().inFlight > 0)
          await new Promise((resolve) => setImmediate(resolve));
        assert.equal(lab.proxy.ledger().hopsFinished, 1);
      }));
  });
});
