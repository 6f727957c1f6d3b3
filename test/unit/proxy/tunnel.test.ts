import assert from 'node:assert/strict';
import type { Span } from '../../../telemetry/otlp-objects.ts';
import {
  get,
  OK,
  type LabSettings,
  type ProxyLab,
  type Script,
  withLab,
} from '../../helpers/proxy-lab.ts';
import { fillUp, type RawPeer } from '../../helpers/raw-peer.ts';

const MINUTE_MS = 60_000;
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nx-a: 1\r\n\r\n';
const UPGRADE = ['Upgrade: websocket', 'Connection: keep-alive, Upgrade', 'Sec-WebSocket-Key: k'];
const asks = (...more: string[]): string => get('/chat', ...UPGRADE, ...more);

/** Answers the head by `answer`, once. */
const onHead =
  (answer: string): Script =>
  (peer) => {
    if (peer.received.endsWith('\r\n\r\n') && peer.received.startsWith('GET')) peer.send(answer);
  };

const CHAT: LabSettings = {
  script: onHead(SWITCHED),
  routes: [{ path: '/chat', upgrades: ['websocket'] }, { path: '/*' }],
};

interface Ends {
  readonly client: RawPeer;
  readonly upstream: RawPeer;
}

/** A tunnel that stands. */
async function open(lab: ProxyLab): Promise<Ends> {
  const client = await lab.connect();
  await client.send(asks()).until('\r\n\r\n');
  return { client, upstream: lab.upstream.peers[0]! };
}

const number = (span: Span, name: string): number =>
  Number(span.attributes.get(`azimuth.tunnel.${name}`));
const endOf = (span: Span): unknown => span.attributes.get('azimuth.tunnel.ended');

describe('Tunnel', () => {
  describe('begins', () => {
    it('with the protocol that the route allows, and a 101 with fields of our own framing', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        assert.equal(
          client.received,
          'HTTP/1.1 101 Switching Protocols\r\nx-a: 1\r\nupgrade: WebSocket\r\nconnection: upgrade\r\n\r\n',
        );
        const asked = upstream.received.split('\r\n');
        assert.ok(asked.includes('upgrade: websocket'));
        assert.ok(asked.includes('connection: upgrade'));
        assert.ok(asked.includes('Sec-WebSocket-Key: k'));
        assert.equal(asked.filter((line) => /^(connection|upgrade):/i.test(line)).length, 2);
      }));

    it('asks for those protocols only that the route allows', () =>
      withLab(CHAT, async (lab) => {
        const client = await lab.connect();
        client.send(get('/chat', 'Upgrade: h2c, websocket', 'Connection: upgrade'));
        await client.until('101');
        assert.match(lab.upstream.peers[0]!.received, /\r\nupgrade: websocket\r\n/);
      }));

    it('not where Upgrade is not nominated, comes with a body, from HTTP/1.0 or on another route', () =>
      withLab(
        { ...CHAT, script: (peer) => peer.received.endsWith('\r\n\r\n') && peer.send(OK) },
        async (lab) => {
          const requests = [
            get('/chat', 'Upgrade: websocket'),
            asks('Transfer-Encoding: chunked') + '0\r\n\r\n',
            asks().replace('HTTP/1.1', 'HTTP/1.0'),
            asks().replace('/chat', '/other'),
            asks().replace('websocket', 'h2c'),
          ];
          for (const request of requests) await lab.exchange(request, 'ok');
          for (const { received } of lab.upstream.peers) assert.doesNotMatch(received, /upgrade/i);
          assert.equal((await lab.hops(requests.length))[0]!.status, 200);
        },
      ));

    const refused: readonly [string, string][] = [
      ['to a protocol that was not asked for', SWITCHED.replace('WebSocket', 'h2c')],
      ['without a protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n'],
      ['whose Upgrade is not nominated', SWITCHED.replace('Connection: Upgrade\r\n', '')],
      ['with a framing', SWITCHED.replace('x-a: 1', 'Transfer-Encoding: gzip')],
    ];
    for (const [name, answer] of refused) {
      it(`not by a 101 ${name}: 502`, () =>
        withLab({ ...CHAT, script: onHead(answer) }, async (lab) => {
          const client = await lab.connect();
          await client.send(asks()).until('502 Bad Gateway');
          await lab.upstream.peers[0]!.untilClosed();
          assert.deepEqual((await lab.hop()).flags, ['UPE']);
        }));
    }

    it('not when the upstream answers otherwise, and the connection carries on', () =>
      withLab(
        { ...CHAT, script: (peer) => peer.received.endsWith('\r\n\r\n') && peer.send(OK) },
        async (lab) => {
          const client = await lab.connect();
          await client
            .send(asks() + get('/next'))
            .until((c) => c.received.split('ok').length === 3);
          assert.equal((await lab.hops(2))[0]!.hop.streamClass, 0);
        },
      ));
  });

  it('passes bytes as they are, also those that came with the request and with the 101', () =>
    withLab({ ...CHAT, script: onHead(SWITCHED + '\x00early\r\n') }, async (lab) => {
      const client = await lab.connect();
      client.send(asks() + '\x81hasty');
      await client.until('\x00early\r\n');
      const upstream = lab.upstream.peers[0]!;
      await upstream.until('\x81hasty');
      client.send('GET / HTTP/1.1\r\n\r\n');
      await upstream.until('\x81hastyGET / HTTP/1.1\r\n\r\n');
      upstream.send('\xff'.repeat(100_000));
      await client.until((c) => c.received.endsWith('early\r\n' + '\xff'.repeat(100_000)));
    }));

  it('records the handshake as one hop, however long the tunnel lives', () =>
    withLab(CHAT, async (lab) => {
      const { client } = await open(lab);
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.hop.streamClass, hop.answeredBy], [101, 2, 'upstream']);
      assert.equal(hop.hop.attempts[0]!.status, 101);
      assert.equal(lab.proxy.ledger().inFlight, 0);
      lab.elapse(10 * MINUTE_MS);
      client.socket.destroy();
      await lab.tunnelIntervals(1);
      assert.equal(lab.proxy.ledger().hopsFinished, 1);
      assert.ok(hop.durationNs < MINUTE_MS * 1e6);
    }));

  it('records its bytes each minute and at its end, below the hop and outside the ledger', () =>
    withLab(CHAT, async (lab) => {
      const { client, upstream } = await open(lab);
      const hop = await lab.hop();
      client.send('abc');
      await upstream.until('abc');
      upstream.send('12');
      await client.until('\r\n\r\n12');
      lab.elapse(MINUTE_MS);
      lab.advance(MINUTE_MS);
      await lab.tunnelIntervals(1);
      client.send('f');
      await upstream.until('abcf');
      client.socket.end();
      const [first, last] = await lab.tunnelIntervals(2);
      const figures = (span: Span): number[] =>
        ['interval', 'bytes_in', 'bytes_out', 'total_bytes_in', 'total_bytes_out'].map((name) =>
          number(span, name),
        );
      assert.deepEqual(figures(first!), [1, 3, 2, 3, 2]);
      assert.deepEqual(figures(last!), [2, 1, 0, 4, 2]);
      assert.deepEqual([endOf(first!), endOf(last!)], [undefined, 'client']);
      for (const span of [first!, last!]) {
        assert.deepEqual(span.traceId, hop.span.traceId);
        assert.deepEqual(span.parentSpanId, hop.span.spanId);
        assert.equal(span.attributes.get('http.route'), '/chat');
        assert.equal(span.attributes.get('azimuth.stream_class'), 'tunnel');
        assert.equal(span.attributes.has('azimuth.seq'), false);
      }
      assert.equal(last!.startTimeUnixNano, first!.endTimeUnixNano);
      assert.ok(
        first!.endTimeUnixNano - first!.startTimeUnixNano >= BigInt(MINUTE_MS) * 1_000_000n,
      );
      const { hopsFinished, emitted, lastSeq } = lab.proxy.ledger();
      assert.deepEqual([hopsFinished, emitted, lastSeq], [1, 1, 1]);
    }));

  describe('ends', () => {
    it('one direction at a time: what the other side still says arrives', () =>
      withLab({ ...CHAT, keepsHalfOpen: true }, async (lab) => {
        const { client, upstream } = await open(lab);
        client.socket.end('bye');
        await upstream.until((u) => u.ended && u.received.endsWith('bye'));
        upstream.send('and you');
        await client.until('and you');
        upstream.socket.end();
        await client.untilClosed();
        assert.equal(endOf((await lab.tunnelIntervals(1))[0]!), 'client');
      }));

    it('by the upstream first', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        upstream.socket.end('last words');
        await client.until((c) => c.ended);
        assert.ok(client.received.endsWith('last words'));
        assert.equal(endOf((await lab.tunnelIntervals(1))[0]!), 'upstream');
      }));

    it('by a reset of the upstream, which becomes a reset', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        upstream.socket.resetAndDestroy();
        await client.until((c) => c.closed);
        assert.deepEqual([client.ended, client.errorCode], [false, 'ECONNRESET']);
        assert.equal(endOf((await lab.tunnelIntervals(1))[0]!), 'upstream');
      }));

    it('by a reset of the client: the upstream is closed', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        client.socket.resetAndDestroy();
        await upstream.untilClosed();
        assert.equal(endOf((await lab.tunnelIntervals(1))[0]!), 'client');
      }));

    it('when neither side says anything for long', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        for (let minute = 0; minute < 4; minute++) lab.advance(MINUTE_MS);
        client.send('still here');
        await upstream.until('still here');
        for (let minute = 0; minute < 4; minute++) lab.advance(MINUTE_MS);
        client.send('and here');
        await upstream.until('and here');
        for (let minute = 0; minute < 5; minute++) lab.advance(MINUTE_MS);
        await client.untilClosed();
        await upstream.untilClosed();
        const last = (await lab.tunnelIntervals(13)).at(-1)!;
        assert.equal(endOf(last), 'idle');
      }));

    it('in order when the proxy stops, and is recorded', () =>
      withLab(CHAT, async (lab) => {
        const { client, upstream } = await open(lab);
        const stopped = lab.proxy.stop();
        await upstream.untilClosed();
        await client.until((c) => c.ended);
        await stopped;
        assert.equal(endOf((await lab.tunnelIntervals(1))[0]!), 'shutdown');
        assert.equal(lab.proxy.closingLedger!.hopsFinished, 1);
      }));
  });

  it('holds its permit until it has ended', () =>
    withLab({ ...CHAT, limits: { requestsPerCluster: 1 } }, async (lab) => {
      const { client } = await open(lab);
      await lab.exchange(get('/x'), '503 Service Unavailable');
      client.socket.end();
      await lab.tunnelIntervals(1);
      const again = await lab.connect();
      await again.send(asks()).until('101');
    }));

  it('holds a side back while the other does not read', () =>
    withLab(CHAT, async (lab) => {
      const bytes = 30_000_000;
      const { client, upstream } = await open(lab);
      client.socket.pause();
      assert.ok((await fillUp(upstream.socket, bytes)) < bytes / 2);
      upstream.socket.pause();
      assert.ok((await fillUp(client.socket, bytes)) < bytes / 2);
      client.socket.resume();
      upstream.socket.resume();
      await client.until((c) => c.receivedBytes >= bytes);
      await upstream.until((u) => u.receivedBytes >= bytes);
    }));
});
