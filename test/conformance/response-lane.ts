/**
 * One lane of the response suite: a real proxy, behind it an upstream that answers with the bytes
 * of a case and ends the connection as the case says. Behind the request of the case the client
 * sends a sentinel: bytes of one answer must never be taken for another.
 */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { RawPeer } from '../helpers/raw-peer.ts';
import { ProxyLab, type LabSettings } from '../helpers/proxy-lab.ts';
import type { ResponseCase } from './corpus/responses.ts';

const SENTINEL = 'GET /sentinel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const SENTINEL_ANSWER = 'HTTP/1.1 200 OK\r\nx-sentinel: yes\r\nContent-Length: 9\r\n\r\nsentinel\n';
const BARRIER = 'GET /barrier HTTP/1.1\r\nHost: a\r\n\r\n';
const BARRIER_ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbarrier\n';
/** Requests that must pass without anything moving before a case counts as standing still. */
const QUIET_BARRIERS = 4;

export interface ObservedResponse {
  readonly received: string;
  /** The proxy ended its side in order; false after a reset, or when it still waits. */
  readonly endedInOrder: boolean;
  readonly reset: boolean;
}

export class ResponseLane {
  readonly #server: net.Server;
  readonly #sockets = new Set<Socket>();
  #lab!: ProxyLab;
  /** Behind a proxy of its own: bytes that come late may spoil whatever is next on a connection. */
  #barrierLab!: ProxyLab;
  #barrier!: RawPeer;
  #case!: ResponseCase;
  /** The connection that answered the case, until it was ended. */
  #answering: Socket | undefined;

  constructor() {
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const { port } = this.#server.address() as AddressInfo;
    const settings: LabSettings = {
      side: 'inbound',
      endpoints: [{ host: '127.0.0.1', port }],
      exporter: {
        name: 'none',
        concurrency: 1,
        send: () => Promise.resolve(),
        close: () => Promise.resolve(),
      },
    };
    this.#lab = await new ProxyLab(settings).start();
    this.#barrierLab = await new ProxyLab(settings).start();
    this.#barrier = await this.#barrierLab.connect();
    return this;
  }

  async stop(): Promise<void> {
    await this.#lab.stop();
    await this.#barrierLab.stop();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  async run(given: ResponseCase): Promise<ObservedResponse> {
    this.#case = given;
    this.#answering = undefined;
    const client = await this.#lab.connect();
    const length = given.method === 'POST' ? 'Content-Length: 0\r\n' : '';
    client.send(
      `${given.method} /case ${given.clientVersion}\r\nHost: a\r\n${length}\r\n` + SENTINEL,
    );
    await this.#settle(client);
    if (given.ending === 'late_end') {
      this.#end('end');
      await this.#settle(client);
    }
    const observed = {
      received: client.received,
      endedInOrder: client.ended,
      reset: client.closed && !client.ended,
    };
    client.socket.destroy();
    this.#end('end');
    await this.#passBarrier();
    return observed;
  }

  async #settle(client: RawPeer): Promise<void> {
    let quiet = 0;
    let moved = -1;
    while (!client.ended && !client.closed && quiet < QUIET_BARRIERS) {
      await this.#passBarrier();
      quiet = client.receivedBytes === moved ? quiet + 1 : 0;
      moved = client.receivedBytes;
    }
  }

  async #passBarrier(): Promise<void> {
    this.#barrier.received = '';
    await this.#barrier.send(BARRIER).until('barrier\n');
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#sockets.delete(socket));
    let heads = '';
    socket.on('data', (bytes) => {
      heads += bytes.toString('latin1');
      for (let end = heads.indexOf('\r\n\r\n'); end >= 0; end = heads.indexOf('\r\n\r\n')) {
        const target = heads.split(' ', 2)[1];
        heads = heads.slice(end + 4);
        if (target === '/case') void this.#answer(socket);
        else socket.write(target === '/sentinel' ? SENTINEL_ANSWER : BARRIER_ANSWER);
      }
    });
  }

  async #answer(socket: Socket): Promise<void> {
    const { bytes, cuts, ending } = this.#case;
    // The first connection only: should the request come again, its answer is not hostile.
    if (this.#answering !== undefined) {
      socket.end(SENTINEL_ANSWER);
      return;
    }
    this.#answering = socket;
    let from = 0;
    for (const cut of [...cuts, bytes.length]) {
      socket.write(Buffer.from(bytes.slice(from, cut), 'latin1'));
      from = cut;
      if (cut < bytes.length) await new Promise((resolve) => setImmediate(resolve));
    }
    if (ending !== 'late_end') this.#end(ending);
  }

  #end(ending: 'end' | 'reset'): void {
    const socket = this.#answering;
    if (socket === undefined) return;
    if (ending === 'end') socket.end();
    // Not at once: a reset takes away what was not read yet.
    else setImmediate(() => setImmediate(() => socket.resetAndDestroy()));
  }
}
