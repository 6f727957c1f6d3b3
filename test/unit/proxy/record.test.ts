import assert from 'node:assert/strict';
import { FUNCTIONS } from '../../../telemetry/hop-record.ts';
import {
  answering,
  get,
  OK,
  type ProxyLab,
  type RecordedHop,
  withLab,
} from '../../helpers/proxy-lab.ts';
import { fillUp, type RawPeer } from '../../helpers/raw-peer.ts';

const SECOND_NS = 1_000_000_000;
/** Steps of the clock are this long, so that what the machine itself takes is small beside them. */
const LONG_MS = 100_000;
const LONG_NS = LONG_MS * 1e6;
/** A step of the clock, and little beside it. */
const isOneStep = (ns: number): boolean => ns >= LONG_NS && ns < 1.5 * LONG_NS;
const isShort = (ns: number): boolean => ns >= 0 && ns < LONG_NS / 2;

function assertAddsUp({ hop, durationNs, ownNs, upstreamNs }: RecordedHop): void {
  assert.equal(durationNs, hop.waitNs + upstreamNs + hop.backoffNs + ownNs);
  const inOrder = (...offsets: number[]): void =>
    assert.deepEqual(
      offsets,
      [...offsets].sort((a, b) => a - b),
    );
  inOrder(0, hop.requestLastNs, hop.upstreamLastNs, durationNs);
  inOrder(0, hop.upstreamFirstNs, hop.upstreamLastNs, durationNs);
  inOrder(hop.upstreamFirstNs, hop.responseFirstNs, hop.responseLastNs, durationNs);
  assert.ok(hop.downstreamFirstNs >= hop.responseFirstNs && hop.downstreamFirstNs <= durationNs);
}

describe('Record of a hop', () => {
  it('has all time points, one attempt, bytes, and parts that add up to the nanosecond', () =>
    withLab({ routes: [{ path: '/products/{id}' }] }, async (lab) => {
      const request = get('/products/1');
      const client = await lab.connect();
      await client.send(request).until('ok');
      await client.send(request).until((c) => c.received.split('ok').length === 3);
      const [first, second] = await lab.hops(2);
      for (const hop of [first!, second!]) {
        assertAddsUp(hop);
        assert.equal(hop.span.name, 'GET /products/{id}');
        assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [200, [], 'upstream']);
        assert.equal(hop.hop.bytesIn, request.length);
        assert.equal(hop.hop.bytesOut, client.received.length / 2);
        assert.equal(hop.hop.configGeneration, 7);
        assert.equal(hop.hop.attempts.length, 1);
        assert.equal(hop.hop.attempts[0]!.status, 200);
        assert.deepEqual(
          hop.hop.phaseIds.map((id) => FUNCTIONS[id]),
          ['route', 'trace_context', 'hygiene'],
        );
        assert.equal(hop.attribute('azimuth.target'), 'catalog');
        assert.equal(hop.attribute('client.address'), '127.0.0.0');
        assert.equal(hop.attribute('url.path'), undefined);
      }
      // 1 = meshed, 2 = answered, 4 = pooled.
      assert.deepEqual([first!.hop.attempts[0]!.bits, second!.hop.attempts[0]!.bits], [3, 7]);
      assert.ok(first!.hop.connectNs > 0);
      assert.equal(second!.hop.connectNs, 0);
    }));

  it('numbers hops gaplessly from 1, over connections and kinds of answer', () =>
    withLab({ routes: [{ path: '/a' }] }, async (lab) => {
      for (const path of ['/a', '/nope', '/a', '/nope']) {
        await lab.exchange(get(path, 'Connection: close'), 'content-length');
      }
      await lab.exchange('GET /a HTTP/1.1\r\nbroken\r\n\r\n', '400');
      const hops = await lab.hops(5);
      assert.deepEqual(
        hops.map((h) => h.hop.seq),
        [1, 2, 3, 4, 5],
      );
      for (const { ownNs, durationNs, hop, upstreamNs } of hops) {
        assert.equal(durationNs, ownNs + upstreamNs + hop.waitNs + hop.backoffNs);
      }
    }));

  it('keeps the raw path only where it is asked for', async () => {
    for (const [pathMode, expected] of [
      ['keep', '/a/b'],
      ['hash', /^[0-9a-f]{16}$/],
    ] as const) {
      await withLab({ pathMode }, async (lab) => {
        await lab.exchange(get('/a/b?secret=1'), 'ok');
        const path = String((await lab.hop()).attribute('url.path'));
        if (typeof expected === 'string') assert.equal(path, expected);
        else assert.match(path, expected);
      });
    }
  });

  it('writes an unknown method as _OTHER and a host only where the route names it', () =>
    withLab({ routes: [{ path: '/*', hosts: ['shop.example'] }, { path: '/*' }] }, async (lab) => {
      await lab.exchange(get('/').replace('GET', 'BREW'), 'ok');
      await lab.exchange(get('/').replace('shop.example', 'made-up.example'), 'ok');
      const [brewed, madeUp] = await lab.hops(2);
      assert.equal(brewed!.attribute('http.request.method'), '_OTHER');
      assert.equal(brewed!.attribute('server.address'), 'shop.example');
      assert.equal(madeUp!.attribute('server.address'), undefined);
    }));

  it('calls a 5xx of the upstream by its class', () =>
    withLab(
      { script: answering('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n') },
      async (lab) => {
        await lab.exchange(get('/'), '503');
        const hop = await lab.hop();
        assert.deepEqual(
          [hop.attribute('error.type'), hop.answeredBy, hop.flags],
          ['5xx', 'upstream', []],
        );
        assert.equal(hop.span.status.code, 2);
      },
    ));

  describe('books time to who caused it:', () => {
    it('a slow upstream', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        client.send(get('/'));
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
        lab.elapse(LONG_MS);
        lab.upstream.peers[0]!.send(OK);
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(isOneStep(hop.upstreamNs));
        assert.ok(isShort(hop.ownNs + hop.hop.waitNs));
      }));

    it('a slow upload is client wait, within the attempt', () =>
      withLab({ script: (peer) => peer.received.endsWith('xyz') && peer.send(OK) }, async (lab) => {
        const client = await lab.connect();
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('abc') ?? false);
        lab.elapse(LONG_MS);
        await client.send('xyz').until('ok');
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(isOneStep(hop.hop.waitNs));
        assert.ok(isOneStep(hop.hop.waitAttemptsNs));
        assert.ok(isOneStep(hop.hop.attempts[0]!.waitNs));
        assert.ok(isOneStep(hop.hop.attempts[0]!.durationNs));
        assert.ok(isShort(hop.upstreamNs));
        assert.ok(isShort(hop.ownNs));
        assert.equal(
          hop.hop.bytesIn,
          'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcxyz'.length,
        );
      }));

    it('a slow head is client wait, before any attempt', () =>
      withLab({}, async (lab) => {
        const client = await lab.connect();
        await client.drip('GET / HTTP/1.1\r\nHo');
        // The last byte may still be on its way: the proxy has seen the first by now.
        while (lab.proxy.ledger().inFlight === 0) await new Promise((r) => setImmediate(r));
        lab.elapse(LONG_MS);
        await client.send('st: a\r\n\r\n').until('ok');
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(isOneStep(hop.hop.waitNs));
        assert.equal(hop.hop.waitAttemptsNs, 0);
        assert.ok(isShort(hop.ownNs));
      }));

    it('waiting for a 100 is the upstream, not the client', () =>
      withLab({ script: (peer) => peer.received.endsWith('abc') && peer.send(OK) }, async (lab) => {
        const client = await lab.connect();
        client.send(
          'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
        );
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
        lab.elapse(LONG_MS);
        lab.upstream.peers[0]!.send('HTTP/1.1 100 Continue\r\n\r\n');
        await client.until('100 Continue');
        await client.send('abc').until('ok');
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(isOneStep(hop.upstreamNs));
        assert.ok(isShort(hop.hop.waitNs));
      }));

    it('a slow reader is client wait, and the upstream is held back meanwhile', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const bytes = 30_000_000;
        const client = await lab.connect();
        client.send(get('/'));
        await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
        client.socket.pause();
        const { socket } = lab.upstream.peers[0]!;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
        const taken = await fillUp(socket, bytes);
        assert.ok(taken < bytes / 2, 'the body is not in the proxy');
        lab.elapse(LONG_MS);
        client.socket.resume();
        await client.until((c) => c.receivedBytes > bytes);
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(hop.hop.waitNs >= LONG_NS);
        assert.ok(isShort(hop.upstreamNs));
        assert.ok(isShort(hop.ownNs));
        assert.equal(hop.hop.bytesOut, client.receivedBytes);
      }));

    describe('a client that does not take the end of its answer', () => {
      const count = 1000;
      const body = 'x'.repeat(50_000);
      const script = answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      /** Answers pile up towards a client that reads nothing, until one does not fit any more. */
      const stuck = async (lab: ProxyLab): Promise<RawPeer> => {
        const client = await lab.connect();
        client.socket.pause();
        client.send(get('/').repeat(count));
        for (let turns = 0, finished = 0; turns < 500; turns++) {
          const { hopsFinished } = lab.proxy.ledger();
          if (hopsFinished !== finished) turns = 0;
          finished = hopsFinished;
          await new Promise((r) => setImmediate(r));
        }
        const { hopsFinished, inFlight } = lab.proxy.ledger();
        assert.ok(hopsFinished > 0 && hopsFinished < count && inFlight === 1);
        return client;
      };

      it('that is slow: client wait behind the attempt', () =>
        withLab({ script }, async (lab) => {
          const client = await stuck(lab);
          const { hopsFinished } = lab.proxy.ledger();
          lab.elapse(LONG_MS);
          client.socket.resume();
          await client.until((c) => c.receivedBytes >= count * body.length);
          const hops = await lab.hops(count);
          const slow = hops[hopsFinished]!;
          assertAddsUp(slow);
          assert.ok(isOneStep(slow.hop.waitNs));
          assert.ok(isShort(slow.hop.waitAttemptsNs + slow.ownNs + slow.upstreamNs));
          assert.deepEqual(slow.flags, []);
        }));

      it('that leaves: DC', () =>
        withLab({ script }, async (lab) => {
          const client = await stuck(lab);
          const { hopsFinished } = lab.proxy.ledger();
          client.socket.resetAndDestroy();
          const left = (await lab.hops(hopsFinished + 1)).at(-1)!;
          assert.deepEqual(
            [left.status, left.flags, left.answeredBy],
            [200, ['DC'], 'client_gone'],
          );
        }));

      it('that never takes it: DT', () =>
        withLab({ script }, async (lab) => {
          await stuck(lab);
          const { hopsFinished } = lab.proxy.ledger();
          lab.advance(300_000);
          const stalled = (await lab.hops(hopsFinished + 1)).at(-1)!;
          assert.deepEqual([stalled.status, stalled.flags], [200, ['DT']]);
          assert.equal(stalled.attribute('error.type'), 'client_stalled');
        }));
    });

    it('an upstream that does not read an upload is the upstream, and holds the client back', () =>
      withLab({ script: () => undefined }, async (lab) => {
        const bytes = 30_000_000;
        const client = await lab.connect();
        lab.upstream.server.on('connection', (socket) => socket.pause());
        client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
        await lab.upstream.until((u) => u.peers.length === 1);
        const taken = await fillUp(client.socket, bytes);
        assert.ok(taken < bytes / 2, 'the body is not in the proxy');
        lab.elapse(LONG_MS);
        const upstream = lab.upstream.peers[0]!;
        upstream.socket.resume();
        await upstream.until((u) => u.receivedBytes > bytes);
        upstream.send(OK);
        await client.until('ok');
        const hop = await lab.hop();
        assertAddsUp(hop);
        assert.ok(isOneStep(hop.upstreamNs));
        assert.ok(isShort(hop.hop.waitNs));
      }));
  });

  it('calls an event stream a stream, but not what only looks like one', () =>
    withLab(
      {
        script: answering(
          'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nok',
        ),
      },
      async (lab) => {
        await lab.exchange(get('/'), 'ok');
        await lab.exchange(get('/').replace('GET', 'HEAD'), '\r\n\r\n');
        const hops = await lab.hops(2);
        assert.deepEqual(
          hops.map((h) => h.hop.streamClass),
          [1, 0],
        );
        assert.ok(hops[0]!.durationNs < 60 * SECOND_NS);
      },
    ));
});
