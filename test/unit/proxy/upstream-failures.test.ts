import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { withAttemptEnd } from '../../../telemetry/hop-record.ts';
import { answering, get, OK, type Script, withLab } from '../../helpers/proxy-lab.ts';

/** Sends an answer and ends the connection behind it. */
const thenEnds =
  (answer: string): Script =>
  (peer) => {
    if (peer.received.endsWith('\r\n\r\n') && !peer.socket.writableEnded) {
      peer.socket.end(Buffer.from(answer, 'latin1'));
    }
  };

async function refusedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('Failures of upstreams', () => {
  it('answers 503 UF where nothing listens', async () => {
    const port = await refusedPort();
    await withLab({ endpoints: [{ host: '127.0.0.1', port }] }, async (lab) => {
      const client = await lab.connect();
      await client.send(get('/')).until('cannot be reached');
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags], [503, ['UF']]);
      assert.equal(hop.attribute('error.type'), 'upstream_connect_failed');
      assert.deepEqual([hop.hop.attempts.length, hop.hop.attempts[0]!.status], [1, 0]);
      assert.equal(hop.hop.upstreamFirstNs, -1);
      // The connection to the client is as good as before.
      await client.send(get('/')).until((c) => c.received.split('503 ').length === 3);
    });
  });

  it('answers 503 UF when a connection does not stand in time', () =>
    // TEST-NET-1 goes nowhere: the connect stays open until its deadline or fails at once.
    withLab({ endpoints: [{ host: '192.0.2.1', port: 9 }] }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      while (lab.proxy.ledger().inFlight === 0 && lab.proxy.ledger().hopsFinished === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      lab.advance(1_000);
      await client.until('503 Service Unavailable');
      assert.deepEqual((await lab.hop()).flags, ['UF']);
    }));

  it('answers 504 UT when no answer comes in time', () =>
    withLab({ script: () => undefined, responseTimeoutMs: 2_000 }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
      lab.advance(2_000);
      await client.until('504 Gateway Timeout');
      await lab.upstream.peers[0]!.untilClosed();
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags], [504, ['UT']]);
      assert.equal(hop.hop.attempts[0]!.bits & 2, 0);
    }));

  const nonsense: readonly [string, string][] = [
    ['status 000', 'HTTP/1.1 000 OK\r\n\r\n'],
    ['status 099', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['status 1000', 'HTTP/1.1 1000 OK\r\n\r\n'],
    ['a control byte in the reason', 'HTTP/1.1 200 \x01\r\n\r\n'],
    ['no HTTP', 'hello\r\n'],
    ['differing lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    [
      'two framings',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok',
    ],
    [
      'a broken chunk behind the head',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ],
    ['a 101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['a 101 after a 100', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['seventeen interim answers', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(17) + OK],
    ['a head without end', 'HTTP/1.1 200 OK\r\nx: ' + 'y'.repeat(20_000)],
    ['more bytes than its length', OK + 'more'],
    ['a second answer behind the first', OK + OK],
    [
      'bytes behind the last chunk',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore',
    ],
    ['content behind a 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nmore'],
    ['content behind a 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nmore'],
    [
      'a length among its trailers',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n',
    ],
  ];
  for (const [name, answer] of nonsense) {
    it(`answers 502 UPE to ${name}, and goes on`, () =>
      withLab({ script: answering(answer) }, async (lab) => {
        const answered = await lab.exchange(get('/'), '502 Bad Gateway');
        assert.match(answered, /HTTP\/1.1 502 Bad Gateway/);
        await lab.upstream.peers[0]!.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [502, ['UPE']]);
        assert.equal(hop.attribute('error.type'), 'upstream_protocol_error');
      }));
  }

  it('answers 502 UC when the upstream ends without an answer', () =>
    withLab({ script: thenEnds('') }, async (lab) => {
      await lab.exchange(get('/'), '502 Bad Gateway');
      assert.deepEqual((await lab.hop()).flags, ['UC']);
    }));

  it('answers 502 UC when the upstream ends within its head', () =>
    withLab({ script: thenEnds('HTTP/1.1 200 OK\r\nContent-Le') }, async (lab) => {
      await lab.exchange(get('/'), '502 Bad Gateway');
      assert.deepEqual((await lab.hop()).flags, ['UC']);
    }));

  it('answers 502 UR when the upstream resets', () =>
    withLab(
      { script: (peer) => peer.received !== '' && peer.socket.resetAndDestroy() },
      async (lab) => {
        await lab.exchange(get('/'), '502 Bad Gateway');
        assert.deepEqual((await lab.hop()).flags, ['UR']);
      },
    ));

  describe('never gives an end that looks clean to a body that was cut off', () => {
    const cut: readonly [string, string, string][] = [
      ['short of its length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'abc'],
      ['within a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc', 'abc'],
      [
        'without its last chunk',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
        'abc',
      ],
    ];
    for (const [name, answer, part] of cut) {
      for (const version of ['1.1', '1.0']) {
        it(`${name}, to an HTTP/${version} client`, () =>
          withLab(
            { script: (peer) => peer.received.endsWith('\r\n\r\n') && peer.send(answer) },
            async (lab) => {
              const client = await lab.connect();
              client.send(get('/').replace('HTTP/1.1', `HTTP/${version}`));
              await client.until(part);
              lab.upstream.peers[0]!.socket.end();
              await client.until((c) => c.closed);
              assert.equal(client.ended, false, 'a reset, not an end');
              assert.equal(client.errorCode, 'ECONNRESET');
              assert.ok(!client.received.includes('\r\n0\r\n\r\n'));
              const hop = await lab.hop();
              assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [200, ['UC'], 'upstream']);
              assert.equal(hop.attribute('error.type'), 'upstream_closed');
            },
          ));
      }
    }

    it('that ends with the connection, when that is reset', () =>
      withLab(
        {
          script: (peer) =>
            peer.received.endsWith('\r\n\r\n') && peer.send('HTTP/1.1 200 OK\r\n\r\nabc'),
        },
        async (lab) => {
          const client = await lab.connect();
          client.send(get('/').replace('HTTP/1.1', 'HTTP/1.0'));
          await client.until('abc');
          lab.upstream.peers[0]!.socket.resetAndDestroy();
          await client.until((c) => c.closed);
          assert.equal(client.ended, false);
        },
      ));

    it('when more bytes than its length come in the read that would end it', () =>
      withLab(
        {
          script: (peer) =>
            peer.received.endsWith('\r\n\r\n') &&
            peer.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc'),
        },
        async (lab) => {
          const client = await lab.connect();
          await client.send(get('/')).until('abc');
          lab.upstream.peers[0]!.send('def');
          await client.until((c) => c.closed);
          assert.deepEqual([client.ended, (await lab.hop()).flags], [false, ['UPE']]);
        },
      ));

    it('when a chunk is broken after the answer has begun', () =>
      withLab(
        {
          script: (peer) =>
            peer.received.endsWith('\r\n\r\n') &&
            peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
        },
        async (lab) => {
          const client = await lab.connect();
          await client.send(get('/')).until('abc');
          lab.upstream.peers[0]!.send('oops\r\n');
          await client.until((c) => c.closed);
          assert.deepEqual([client.ended, (await lab.hop()).flags], [false, ['UPE']]);
        },
      ));

    it('when the answer pauses too long', () =>
      withLab(
        {
          script: (peer) =>
            peer.received.endsWith('\r\n\r\n') &&
            peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'),
        },
        async (lab) => {
          const client = await lab.connect();
          await client.send(get('/')).until('abc');
          lab.advance(300_000);
          await client.until((c) => c.closed);
          assert.deepEqual([client.ended, (await lab.hop()).flags], [false, ['SI']]);
        },
      ));
  });

  it('does not use a connection again that spoke while idle', () =>
    withLab({ script: answering(OK) }, async (lab) => {
      const client = await lab.connect();
      await client.send(get('/1')).until('ok');
      lab.upstream.peers[0]!.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged');
      await lab.upstream.peers[0]!.untilClosed();
      await client.send(get('/2')).until((c) => c.received.split('ok').length === 3);
      assert.ok(!client.received.includes('forged'));
    }));

  it('answers 503 UO when the cluster has as many requests as it may', () =>
    withLab({ script: () => undefined, limits: { requestsPerCluster: 1 } }, async (lab) => {
      const first = await lab.connect();
      first.send(get('/'));
      await lab.upstream.until((u) => u.peers.length === 1);
      await lab.exchange(get('/'), '503 Service Unavailable');
      assert.deepEqual((await lab.hop()).flags, ['UO']);
    }));
});

describe('Failures of kept connections that close under a request', () => {
  /** Answers the first request of each connection, closes without an answer on the second. */
  const once: Script = (peer) => {
    const requests = peer.received.split('\r\n\r\n').length - 1;
    if (requests === 1) peer.send(OK);
    if (requests >= 2) peer.socket.destroy();
  };

  it('sends a bodiless idempotent request once more, to a new connection', () =>
    withLab({ script: once }, async (lab) => {
      const client = await lab.connect();
      await client.send(get('/1')).until('ok');
      await client.send(get('/2')).until((c) => c.received.split('ok').length === 3);
      const [, hop] = await lab.hops(2);
      assert.deepEqual(
        hop!.hop.attempts.map((a) => a.status),
        [0, 200],
      );
      assert.deepEqual(
        hop!.hop.attempts.map((a) => a.bits),
        [withAttemptEnd(5, 'upstream_closed'), 3],
      );
      assert.equal(hop!.attribute('azimuth.attempts'), 2n);
      assert.equal(lab.proxy.ledger().attempts, 3);
      const [first, second] = lab.upstream.peers.map((p) => p.received);
      const parent = (text: string): string[] =>
        [...text.matchAll(/traceparent: 00-[0-9a-f]{32}-([0-9a-f]{16})/g)].map((m) => m[1]!);
      const id = BigInt(`0x${hop!.span.spanId}`);
      assert.equal(BigInt(`0x${parent(first!)[1]!}`), id ^ 1n);
      assert.equal(BigInt(`0x${parent(second!)[0]!}`), id ^ 2n);
      const without = (text: string): string => text.replace(/[0-9a-f]{16}-03\r/g, '');
      assert.ok(without(first!).endsWith(without(second!)));
    }));

  it('does not send it a third time', () =>
    withLab(
      {
        script: (peer, index) => {
          const requests = peer.received.split('\r\n\r\n').length - 1;
          if (requests === 1 && index === 0) peer.send(OK);
          else if (requests >= 1) peer.socket.destroy();
        },
      },
      async (lab) => {
        const client = await lab.connect();
        await client.send(get('/1')).until('ok');
        await client.send(get('/2')).until('502 Bad Gateway');
        const [, hop] = await lab.hops(2);
        assert.equal(hop!.hop.attempts.length, 2);
      },
    ));

  for (const request of [
    get('/2').replace('GET', 'POST'),
    'PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
    'GET /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ]) {
    it(`does not repeat ${JSON.stringify(request.slice(0, 60))}`, () =>
      withLab({ script: once }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/1')).until('ok');
        await client.send(request).until('502 Bad Gateway');
        assert.equal(lab.upstream.peers.length, 1);
      }));
  }

  it('does not repeat once a byte of an answer came', () =>
    withLab(
      {
        script: (peer) => {
          const requests = peer.received.split('\r\n\r\n').length - 1;
          if (requests === 1) peer.send(OK);
          if (requests === 2 && !peer.socket.writableEnded) peer.socket.end('H');
        },
      },
      async (lab) => {
        const client = await lab.connect();
        await client.send(get('/1')).until('ok');
        await client.send(get('/2')).until('502 Bad Gateway');
        assert.equal(lab.upstream.peers.length, 1);
      },
    ));

  it('gives idle connections up before the other side does', () =>
    withLab({}, async (lab) => {
      const client = await lab.connect();
      await client.send(get('/1')).until('ok');
      lab.advance(4_000);
      await lab.upstream.peers[0]!.untilClosed();
      await client.send(get('/2')).until((c) => c.received.split('ok').length === 3);
      assert.equal((await lab.hops(2))[1]!.hop.attempts.length, 1);
    }));
});
