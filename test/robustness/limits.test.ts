/**
 * Past each limit: the status, the counter, the hop with its flag, and that others are served all
 * the same. Small limits over loopback; time passes by hand.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import {
  answering,
  get,
  OK,
  type LabSettings,
  type ProxyLab,
  type RecordedHop,
  type Script,
  withLab,
} from '../helpers/proxy-lab.ts';
import type { RawPeer } from '../helpers/raw-peer.ts';

const silent: Script = () => undefined;
const post = (...lines: string[]): string => get('/', ...lines).replace('GET', 'POST');

interface Refusal {
  readonly name: string;
  readonly settings?: LabSettings;
  readonly status: number;
  readonly flag: string;
  readonly error: string;
  /** Goes past the limit; resolves when the answer of the one that did is there. */
  readonly attack: (lab: ProxyLab) => Promise<RawPeer>;
}

const answered = async (client: RawPeer): Promise<RawPeer> => {
  await client.until('\r\n\r\n');
  return client;
};

/** Sends `request`, lets `ms` pass for the deadlines and the record, and waits for the answer. */
const andWaits = (request: string, ms: number) => async (lab: ProxyLab) => {
  const client = (await lab.connect()).send(request);
  await lab.until((state) => state.requests_in_flight === 1);
  lab.elapse(ms);
  lab.advance(ms);
  return answered(client);
};

const REFUSALS: readonly Refusal[] = [
  {
    name: '100,000 header bytes',
    status: 431,
    flag: 'RH',
    error: 'request_head_too_large',
    attack: async (lab) =>
      answered((await lab.connect()).send(get('/', `x: ${'y'.repeat(100_000)}`))),
  },
  {
    name: '100,000 header bytes in small fields',
    status: 431,
    flag: 'RH',
    error: 'request_head_too_large',
    attack: async (lab) => answered((await lab.connect()).send(get('/', 'a:\r\n'.repeat(25_000)))),
  },
  {
    name: 'a target of 9,000 bytes',
    status: 414,
    flag: 'RH',
    error: 'request_target_too_long',
    attack: async (lab) => answered((await lab.connect()).send(get(`/${'a'.repeat(9_000)}`))),
  },
  {
    name: 'a body whose length is beyond the limit',
    settings: { limits: { requestBodyBytes: 10 } },
    status: 413,
    flag: 'RH',
    error: 'request_body_too_large',
    attack: async (lab) => answered((await lab.connect()).send(post('Content-Length: 11'))),
  },
  {
    name: 'chunks that grow beyond the limit',
    settings: { limits: { requestBodyBytes: 10 }, script: silent },
    status: 413,
    flag: 'RH',
    error: 'request_body_too_large',
    attack: async (lab) => {
      const client = (await lab.connect()).send(post('Transfer-Encoding: chunked'));
      for (let i = 0; i < 3; i++) client.send('5\r\nabcde\r\n');
      return answered(client);
    },
  },
  {
    name: 'a head that does not end',
    status: 408,
    flag: 'DT',
    error: 'request_timeout',
    attack: andWaits('GET / HTTP/1.1\r\nHost: a\r\n', 10_000),
  },
  {
    name: 'a body that pauses',
    settings: { script: silent },
    status: 408,
    flag: 'DT',
    error: 'request_timeout',
    attack: async (lab) => {
      const client = (await lab.connect()).send(post('Content-Length: 2') + 'a');
      await lab.upstream.until(({ peers }) => peers[0]?.received.endsWith('a') === true);
      lab.elapse(30_000);
      lab.advance(30_000);
      return answered(client);
    },
  },
  {
    name: 'a body that drips a byte every ten seconds',
    settings: { script: silent },
    status: 408,
    flag: 'DT',
    error: 'request_timeout',
    attack: async (lab) => {
      const client = (await lab.connect()).send(post('Content-Length: 100') + 'x');
      let sent = 1;
      // No pause is longer than allowed; all of them together are.
      while (!client.received.includes('\r\n\r\n') && sent < 10) {
        const expected = 'x'.repeat(sent);
        await lab.upstream.until(({ peers }) => peers[0]?.received.endsWith(expected) === true);
        lab.elapse(10_000);
        lab.advance(9_000);
        if (sent === 4) return answered(client);
        client.send('x');
        sent++;
      }
      return client;
    },
  },
  {
    name: 'more requests in flight than the cluster takes',
    settings: { limits: { requestsPerCluster: 1 }, script: silent },
    status: 503,
    flag: 'UO',
    error: 'upstream_overflow',
    attack: async (lab) => {
      (await lab.connect()).send(get('/held'));
      await lab.upstream.until(({ peers }) => peers[0]?.received.endsWith('\r\n\r\n') === true);
      return answered((await lab.connect()).send(get('/')));
    },
  },
  {
    name: 'more connections than the listener takes',
    settings: { limits: { connectionsPerListener: 1 } },
    status: 503,
    flag: 'OM',
    error: 'too_many_connections',
    attack: async (lab) => {
      await lab.connect();
      await lab.until((state) => state.connections === 1);
      return answered((await lab.connect()).send(get('/')));
    },
  },
  {
    name: 'more connections than one client may have',
    settings: { limits: { connectionsPerClient: 1 } },
    status: 503,
    flag: 'RL',
    error: 'too_many_client_connections',
    attack: async (lab) => {
      await lab.connect();
      await lab.until((state) => state.connections === 1);
      return answered((await lab.connect()).send(get('/')));
    },
  },
  {
    name: 'a request while too many bytes are held',
    settings: { limits: { memoryInFlightBytes: 20 } },
    status: 503,
    flag: 'OM',
    error: 'overloaded',
    // The head that does not end is itself what is too much.
    attack: async (lab) => answered((await lab.connect()).send('GET / HTTP/1.1\r\nHost: abc')),
  },
];

describe('Past a limit', () => {
  for (const { name, settings = {}, status, flag, error, attack } of REFUSALS) {
    it(`answers ${status} to ${name}, counts it and records it with flag ${flag}`, () =>
      withLab(settings, async (lab) => {
        const refused = await attack(lab);
        const head = new RegExp(`^HTTP/1.1 ${status} `);
        assert.match(refused.received, head);
        assert.equal(/\r\nretry-after: 1\r\n/.test(refused.received), status === 503);
        const hop = await hopOf(lab, error);
        assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [status, [flag], 'proxy']);
        const { listener } = await lab.limits();
        assert.equal(listener.refused[error], 1);
      }));
  }

  it('takes new connections again when others have closed', () =>
    withLab({ limits: { connectionsPerListener: 1 } }, async (lab) => {
      const first = await lab.connect();
      await first.send(get('/')).until('ok');
      assert.match(await lab.exchange(get('/'), 'too many'), /^HTTP\/1.1 503 /);
      first.socket.destroy();
      await lab.until((state) => state.connections === 0);
      assert.match(await lab.exchange(get('/'), 'ok'), /^HTTP\/1.1 200 /);
    }));

  it('resets connections past the margin of those that are told why', () =>
    withLab({ limits: { connectionsPerListener: 1, turnedAwayPerListener: 1 } }, async (lab) => {
      const served = await lab.connect();
      await lab.until((state) => state.connections === 1);
      await lab.connect();
      await lab.until(({ listener }) => listener.refused['too_many_connections'] === 1);
      // The reset may come before the client has seen its connection stand.
      const third = await lab.connect().catch(() => undefined);
      await third?.untilClosed();
      assert.equal(third?.received ?? '', '');
      await lab.until(({ listener }) => listener.refused['connection_reset'] === 1);
      await served.send(get('/')).until('ok');
    }));

  it('answers 503 to a request that would wait for a connection when too many do', () =>
    withLab(
      // An address that never answers; packets to it go nowhere (RFC 5737).
      { limits: { pendingPerCluster: 1 }, endpoints: [{ host: '192.0.2.1', port: 9 }] },
      async (lab) => {
        (await lab.connect()).send(get('/pending'));
        await lab.until((state) => state.requests_in_flight === 1);
        const answer = await lab.exchange(get('/'), '\r\n\r\n');
        // Where there is no route to anywhere, both are refused at once: nothing was pending.
        if (answer.includes('cannot be reached')) return;
        assert.match(answer, /^HTTP\/1.1 503 .*\r\nretry-after: 1\r\n.*wait for a connection/s);
        const hop = await hopOf(lab, 'upstream_pending_overflow');
        assert.deepEqual([hop.status, hop.flags, hop.hop.attempts.length], [503, ['UO'], 0]);
      },
    ));

  it('drops pipelined requests, not the one in hand, while too many bytes are held', () =>
    withLab({ limits: { memoryInFlightBytes: 1 }, script: answering(OK) }, async (lab) => {
      const holder = (await lab.connect()).send(get('/a') + get('/b') + get('/c'));
      await holder.untilClosed();
      const answers = holder.received.split('HTTP/1.1 200 ').length - 1;
      assert.ok(answers >= 1 && answers <= 3, holder.received);
      await lab.until((state) => state.held_bytes === 0);
    }));

  it('gives back every byte it held when the peers have gone', () =>
    withLab({}, async (lab) => {
      const partial = (await lab.connect()).send('GET / HTTP/1.1\r\nHost: a\r\nx: ');
      await lab.until((state) => state.held_bytes > 0);
      partial.socket.destroy();
      await lab.until((state) => state.held_bytes === 0 && state.connections === 0);
    }));

  // A closed handle of Node outlives collections of the young generation, with all that hangs on it.
  it('leaves nothing that hangs on the socket of a client that has gone', () =>
    withLab({ script: answering(OK) }, async (lab) => {
      // Whoever answers a client writes to its socket.
      const written = new Set<net.Socket>();
      const { prototype } = net.Socket;
      const write = Reflect.get(prototype, 'write');
      prototype.write = function (this: net.Socket, ...args: unknown[]): boolean {
        written.add(this);
        return Reflect.apply(write, this, args) as boolean;
      };
      try {
        await (await lab.connect()).send(get('/')).until('ok');
      } finally {
        prototype.write = write;
      }
      const served = [...written].filter(({ localPort }) => localPort === lab.port);
      assert.equal(served.length, 1);
      assert.ok(served[0]!.eventNames().includes('drain'));
      await lab.stopProxy();
      assert.deepEqual(served[0]!.eventNames(), ['error']);
    }));

  it('shortens the keep-alive of idle connections while the listener is crowded', () =>
    withLab({ limits: { connectionsPerListener: 4 } }, async (lab) => {
      const clients = await Promise.all([1, 2, 3, 4].map(() => lab.connect()));
      await lab.until((state) => state.connections === 4);
      for (const client of clients) await client.send(get('/')).until('ok');
      lab.advance(5_000);
      for (const client of clients) await client.untilClosed();
    }));
});

/** The recorded hop with this error type. */
async function hopOf(lab: ProxyLab, error: string): Promise<RecordedHop> {
  return lab.hopWhere((hop) => hop.attribute('error.type') === error);
}
