import assert from 'node:assert/strict';
import type { RetryPart } from '../../../mesh/part.ts';
import { attemptEnd } from '../../../telemetry/hop-record.ts';
import {
  FakeUpstream,
  get,
  OK,
  withLab,
  type LabSettings,
  type Script,
} from '../../helpers/proxy-lab.ts';
import type { RawPeer } from '../../helpers/raw-peer.ts';
import { until } from '../../helpers/until.ts';

const RETRY: RetryPart = {
  attempts_max: 3,
  on: ['connect_failure', 'reset', 'gateway_error'],
  statuses: [],
  methods: ['GET', 'PUT'],
  body_bytes_max: 100,
  backoff_ms: 40,
  backoff_max_ms: 1_000,
};
const retrying = (changes: Partial<RetryPart> = {}, more: object = {}): LabSettings => ({
  routes: [{ path: '/*', policy: { retry: { ...RETRY, ...changes }, ...more } }],
});

const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy';
/** True when the last message of a request without trailers is here whole. */
const isWhole = (peer: RawPeer): boolean => {
  const [head = '', body = ''] = (peer.received.split(/(?=(?:GET|PUT|POST) \/)/).at(-1) ?? '').split('\r\n\r\n', 2); // prettier-ignore
  const length = /content-length: ([0-9]+)/i.exec(head)?.[1];
  if (/transfer-encoding/i.test(head)) return peer.received.endsWith('0\r\n\r\n');
  return peer.received.includes('\r\n\r\n') && body.length === Number(length ?? 0);
};

/** Does one thing for each whole request, in this order; the last one for all that follow. */
function inTurn(...steps: ((peer: RawPeer) => void)[]): { script: Script; requests: string[] } {
  const requests: string[] = [];
  const seen = new WeakMap<RawPeer, number>();
  return {
    requests,
    script: (peer) => {
      const from = seen.get(peer) ?? 0;
      if (peer.closed || peer.received.length === from || !isWhole(peer)) return;
      seen.set(peer, peer.received.length);
      requests.push(peer.received.slice(from));
      steps[Math.min(requests.length, steps.length) - 1]!(peer);
    },
  };
}
const says =
  (answer: string) =>
  (peer: RawPeer): void =>
    void peer.send(answer);
const resets = (peer: RawPeer): void => void peer.socket.resetAndDestroy();
const traceparents = (requests: readonly string[]): string[] =>
  requests.map((r) => /traceparent: 00-[0-9a-f]{32}-([0-9a-f]{16})/.exec(r)![1]!);

describe('Retries', () => {
  it('go again after a 503 and record both attempts, with the pause apart', () => {
    const upstream = inTurn(says(UNAVAILABLE), says(OK));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(1);
      assert.equal(client.received, '');
      // Of 40 ms half are certain.
      lab.timers.advance(19);
      assert.equal(lab.timers.waiting, 1);
      lab.elapse(30);
      lab.timers.advance(21);
      await client.until('200 OK');
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [200, [], 'upstream']);
      assert.deepEqual(
        hop.hop.attempts.map(({ status }) => status),
        [503, 200],
      );
      assert.ok(hop.hop.backoffNs >= 30e6, String(hop.hop.backoffNs));
      const { waitNs, backoffNs } = hop.hop;
      assert.equal(hop.durationNs, waitNs + backoffNs + hop.upstreamNs + hop.ownNs);
      assert.equal(hop.attribute('error.type'), undefined);
      // Each attempt has its own span id, and the answer that was dropped left its connection usable.
      assert.equal(new Set(traceparents(upstream.requests)).size, 2);
      assert.equal(lab.upstream.peers.length, 1);
    });
  });

  it('end with the last answer when all attempts failed, and say that they are spent', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      for (let retry = 1; retry <= 2; retry++) {
        await lab.untilTimers(1);
        lab.timers.advance(1_000);
      }
      await client.until('busy');
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [503, ['URX'], 'upstream']);
      assert.equal(hop.hop.attempts.length, 3);
      assert.equal(upstream.requests.length, 3);
    });
  });

  it('go again after a reset before any byte of an answer, and name how the attempt ended', () => {
    const upstream = inTurn(resets, says(OK));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(1);
      lab.timers.advance(1_000);
      await client.until('200 OK');
      const { hop } = await lab.hop();
      assert.deepEqual(
        hop.attempts.map(({ bits }) => attemptEnd(bits)),
        ['upstream_reset', ''],
      );
    });
  });

  it('do not happen once a byte of an answer was passed on', () => {
    const upstream = inTurn((peer) => {
      peer.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf');
      peer.socket.end();
    });
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await client.untilClosed();
      assert.equal((await lab.hop()).hop.attempts.length, 1);
    });
  });

  it('leave a method alone that may not reach the service twice', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      await lab.exchange(get('/').replace('GET', 'POST'), 'busy');
      assert.equal(upstream.requests.length, 1);
      assert.deepEqual((await lab.hop()).flags, []);
    });
  });

  it('send a body once more, framed as before', async () => {
    const bodies: [string, string][] = [
      ['Content-Length: 6\r\n\r\nabcdef', 'abcdef'],
      ['Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n', '6\r\nabcdef\r\n0'],
    ];
    for (const [body, sentAgain] of bodies) {
      const upstream = inTurn(resets, says(OK));
      await withLab({ ...retrying(), script: upstream.script }, async (lab) => {
        const client = await lab.connect();
        // In two packets: what came before the failure and after it is one body again.
        client.send(`PUT / HTTP/1.1\r\nHost: a\r\n${body.slice(0, -4)}`);
        await lab.upstream.until((u) => u.peers[0]?.received.includes('ab') ?? false);
        client.send(body.slice(-4));
        await lab.untilTimers(1);
        lab.timers.advance(1_000);
        await client.until('200 OK');
        assert.equal(upstream.requests.length, 2);
        assert.equal(upstream.requests[1]!.split('\r\n\r\n')[1], sentAgain);
        const hop = await lab.hop();
        assert.equal(hop.status, 200);
        assert.equal((await lab.limits()).held_bytes, 0);
      });
    }
  });

  it('go on with a body of which a part came before the failure', () => {
    let failed = false;
    const script: Script = (peer, index) => {
      if (index === 0 && peer.received.includes('abc') && !failed) {
        failed = true;
        resets(peer);
      } else if (peer.received.endsWith('abcdef')) peer.send(OK);
    };
    return withLab({ ...retrying(), script }, async (lab) => {
      const client = await lab.connect();
      client.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
      await lab.untilTimers(1);
      client.send('def');
      lab.timers.advance(1_000);
      await client.until('200 OK');
      assert.equal((await lab.hop()).hop.attempts.length, 2);
    });
  });

  it('leave a request alone whose body is longer than what is kept', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const body = 'x'.repeat(101);
      const request = `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      await lab.exchange(request, 'busy');
      assert.equal(upstream.requests.length, 1);
    });
  });

  it('try any method again where no connection came about', () =>
    withLab({ ...retrying(), endpoints: [{ host: '127.0.0.1', port: 1 }] }, async (lab) => {
      const client = await lab.connect();
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc');
      for (let retry = 1; retry <= 2; retry++) {
        await lab.untilTimers(1);
        lab.timers.advance(1_000);
      }
      await client.until('503 Service Unavailable');
      const hop = await lab.hop();
      assert.deepEqual(hop.flags.toSorted(), ['UF', 'URX']);
      assert.equal(hop.attribute('error.type'), 'upstream_connect_failed');
      assert.deepEqual(
        hop.hop.attempts.map(({ bits }) => attemptEnd(bits)),
        Array(3).fill('upstream_connect_failed'),
      );
      const { requests_in_flight: inFlight } = await lab.limits();
      assert.equal(inFlight, 0);
    }));

  it('wait no longer than the whole may take, and give the permit back', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    const settings = retrying({ backoff_ms: 60_000 }, { timeout_ms: 100 });
    return withLab({ ...settings, script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(2);
      lab.timers.advance(100);
      await client.until('504 Gateway Timeout');
      const hop = await lab.hop();
      assert.equal(hop.attribute('error.type'), 'route_timeout');
      assert.equal(hop.hop.attempts.length, 1);
      assert.ok(hop.hop.backoffNs > 0);
      assert.equal(lab.timers.waiting, 0);
      assert.equal((await lab.limits()).requests_in_flight, 0);
    });
  });

  it('end when the client leaves in a pause', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(1);
      client.socket.destroy();
      const hop = await lab.hop();
      assert.deepEqual([hop.answeredBy, hop.flags], ['client_gone', ['DC']]);
      assert.equal(lab.timers.waiting, 0);
      assert.equal(upstream.requests.length, 1);
    });
  });

  it('tell the callee less time with each attempt', () => {
    const upstream = inTurn(says(UNAVAILABLE), says(OK));
    const settings = retrying({}, { timeout_ms: 60_000 });
    return withLab({ ...settings, script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(2);
      lab.elapse(1_000);
      lab.timers.advance(1_000);
      await client.until('200 OK');
      const left = upstream.requests.map((r) => Number(/deadline-ms: ([0-9]+)/.exec(r)![1]));
      assert.ok(left[0]! <= 60_000, String(left[0]));
      assert.ok(left[1]! <= left[0]! - 1_000, String(left));
    });
  });

  it('put no more than the budget on a service that always fails', () => {
    const upstream = inTurn(says(UNAVAILABLE));
    return withLab({ ...retrying(), script: upstream.script }, async (lab) => {
      const client = await lab.connect();
      const requests = 40;
      const startMs = performance.now();
      for (let done = 1; done <= requests; done++) {
        client.send(get('/'));
        await until(() => {
          lab.timers.advance(1_000);
          return client.received.split('busy').length > done;
        });
      }
      const hops = await lab.hops(requests);
      // The floor is that of one window: what takes longer has more of them.
      const windows = Math.ceil((performance.now() - startMs) / 10_000) + 1;
      const attempts = hops.reduce((sum, { hop }) => sum + hop.attempts.length, 0);
      assert.equal(attempts, upstream.requests.length);
      assert.ok(attempts <= requests * 1.2 + 10 * windows, String(attempts));
      assert.equal(hops.filter(({ flags }) => flags.includes('URX')).length > 0, true);
    });
  });

  it('go to a WebSocket handshake too', () => {
    const upgraded =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n';
    const upstream = inTurn(says(UNAVAILABLE), says(upgraded));
    const [route] = retrying().routes!;
    const settings = { routes: [{ ...route!, upgrades: ['websocket'] }], script: upstream.script };
    return withLab(settings, async (lab) => {
      const client = await lab.connect();
      client.send(get('/', 'Connection: upgrade', 'Upgrade: websocket'));
      await lab.untilTimers(1);
      lab.timers.advance(1_000);
      await client.until('101 Switching');
      const hop = await lab.hop();
      assert.deepEqual(
        hop.hop.attempts.map(({ status }) => status),
        [503, 101],
      );
    });
  });

  it('go from one target that fails to the next one', async () => {
    const dead = await new FakeUpstream(inTurn(resets).script).start();
    const alive = await new FakeUpstream(inTurn(says(OK)).script).start();
    const endpoints = [dead, alive].map(({ port }) => ({ host: '127.0.0.1', port }));
    await withLab({ ...retrying(), endpoints }, async (lab) => {
      const client = await lab.connect();
      for (let done = 1; done <= 4; done++) {
        client.send(get('/'));
        await until(() => {
          lab.timers.advance(1_000);
          return client.received.split('200 OK').length > done;
        });
      }
      for (const hop of await lab.hops(4)) assert.equal(hop.status, 200);
    });
    dead.stop();
    alive.stop();
  });
});
