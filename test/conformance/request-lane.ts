/**
 * One lane of the request suite: a real proxy with a recording upstream, through which cases go one
 * after the other. What the upstream gets is kept as bytes and, at the same time, read by Node.
 *
 * No clock decides when a case is over: it is when the connection has ended, or when nothing moved
 * while several other requests went all the way through the proxy.
 */
import { once } from 'node:events';
import type http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ProxyLab, type LabSettings } from '../helpers/proxy-lab.ts';
import type { RawPeer } from '../helpers/raw-peer.ts';
import type { RequestCase } from './corpus/requests.ts';
import type { ReadRequest } from './oracles/messages.ts';
import { strictServer } from './oracles/node-oracle.ts';

/** Follows every case, and ends the connection: whoever reads too much or too little shows by it. */
export const SENTINEL =
  'GET /sentinel HTTP/1.1\r\nHost: sentinel.example\r\nConnection: close\r\n\r\n';
export const BARRIER_TARGET = '/barrier';
const BARRIER = `GET ${BARRIER_TARGET} HTTP/1.1\r\nHost: barrier.example\r\n\r\n`;
const BARRIER_HEAD = /GET \/barrier HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n/g;
/** Requests that must pass without anything moving in a case before it counts as standing still. */
const QUIET_BARRIERS = 4;

interface UpstreamConnection {
  /** Bytes of the case at hand. */
  received: string;
  /** Tokens of the answers to what Node read in them. */
  tokens: string[];
  closed: boolean;
}

/** A request as Node read it upstream. */
export interface Arrived {
  readonly token: string;
  readonly request: ReadRequest;
}

export interface ObservedRequests {
  /** All that the client got. */
  readonly answers: string;
  /** The proxy ended the connection; else it still waits for bytes. */
  readonly ended: boolean;
  /** Per upstream connection: bytes of this case, and whether the connection is closed. */
  readonly connections: readonly Readonly<UpstreamConnection>[];
  readonly arrived: readonly Arrived[];
  /** Node's verdict on bytes that it refused upstream. */
  readonly upstreamRefused: readonly string[];
}

export class RequestLane {
  readonly side: 'ingress' | 'inbound';
  readonly #upstream: http.Server;
  readonly #connections = new Map<Socket, UpstreamConnection>();
  #lab!: ProxyLab;
  #barrier!: RawPeer;
  #arrived: Arrived[] = [];
  #refused: string[] = [];
  #tokens = 0;

  constructor(side: 'ingress' | 'inbound') {
    this.side = side;
    this.#upstream = strictServer((request, message, reply) =>
      this.#answer(request, message.socket, reply),
    );
    this.#upstream.on('connection', (socket) => {
      const connection: UpstreamConnection = { received: '', tokens: [], closed: false };
      this.#connections.set(socket, connection);
      socket.on('data', (bytes: Buffer) => (connection.received += bytes.toString('latin1')));
      socket.on('close', () => (connection.closed = true));
    });
    this.#upstream.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // What was cut off is judged by its bytes; all else is a refusal.
      const why = error.code ?? error.message;
      if (why !== 'HPE_INVALID_EOF_STATE' && why !== 'ECONNRESET') this.#refused.push(why);
      socket.destroy();
    });
  }

  async start(settings: LabSettings = {}): Promise<this> {
    this.#upstream.listen(0, '127.0.0.1');
    await once(this.#upstream, 'listening');
    const { port } = this.#upstream.address() as AddressInfo;
    this.#lab = await new ProxyLab({
      side: this.side,
      endpoints: [{ host: '127.0.0.1', port }],
      exporter: {
        name: 'none',
        concurrency: 1,
        send: () => Promise.resolve(),
        close: () => Promise.resolve(),
      },
      ...settings,
    }).start();
    this.#barrier = await this.#lab.connect();
    return this;
  }

  async stop(): Promise<void> {
    await this.#lab.stop();
    this.#upstream.closeAllConnections();
    this.#upstream.close();
  }

  /** Sends a case and waits until it is over. */
  async run({ bytes, cuts, drip }: RequestCase): Promise<ObservedRequests> {
    this.#arrived = [];
    this.#refused = [];
    for (const [socket, connection] of this.#connections) {
      if (connection.closed) this.#connections.delete(socket);
      connection.received = '';
      connection.tokens = [];
    }
    const client = await this.#lab.connect();
    const all = bytes + SENTINEL;
    if (drip) await client.drip(all);
    else {
      let from = 0;
      for (const cut of [...cuts, all.length]) {
        client.send(all.slice(from, cut));
        from = cut;
        if (cut < all.length) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const ended = await this.#settled(client);
    client.socket.destroy();
    // What was cut off upstream arrives there after the client knows.
    await this.#passBarrier();
    return {
      answers: client.received,
      ended,
      connections: [...this.#connections.values()].filter(({ received }) => received !== ''),
      arrived: this.#arrived,
      upstreamRefused: this.#refused,
    };
  }

  /** True when the proxy ended the connection, false when nothing moves any more. */
  async #settled(client: RawPeer): Promise<boolean> {
    const over = (): boolean => client.ended || client.closed;
    let quiet = 0;
    let moved = -1;
    while (!over() && quiet < QUIET_BARRIERS) {
      await this.#passBarrier();
      const now = client.receivedBytes + this.#arrivedBytes();
      quiet = now === moved ? quiet + 1 : 0;
      moved = now;
    }
    return over();
  }

  /** Bytes of the case at hand that arrived upstream: barriers go the same way. */
  #arrivedBytes(): number {
    let bytes = 0;
    for (const { received } of this.#connections.values()) {
      bytes += received.replace(BARRIER_HEAD, '').length;
    }
    return bytes;
  }

  async #passBarrier(): Promise<void> {
    this.#barrier.received = '';
    await this.#barrier.send(BARRIER).until('barrier\n');
  }

  #answer(request: ReadRequest, socket: Socket, reply: http.ServerResponse): void {
    if (request.target === BARRIER_TARGET) {
      reply.end('barrier\n');
      return;
    }
    const token = String(++this.#tokens);
    this.#arrived.push({ token, request });
    this.#connections.get(socket)!.tokens.push(token);
    const body = `answer ${token}\n`;
    const chunked = this.#tokens % 3 === 0;
    reply.writeHead(200, {
      'x-answer': token,
      ...(chunked ? {} : { 'content-length': body.length }),
    });
    reply.end(body);
  }
}
