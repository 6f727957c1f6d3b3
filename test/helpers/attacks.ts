/**
 * Clients that a proxy must survive, and the upstream behind it. Each attack begins, goes on until
 * `stop`, and then has closed all of its connections. Used by tests (untimed facts) and by
 * bench/robustness.ts (what others notice of it).
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import net from 'node:net';

/** Small answers, large ones (more than two socket buffers hold), streams and silence, by path. */
export class AttackedUpstream {
  readonly server: Server;
  /** Event streams that are open. */
  streams = 0;
  /** Bytes of request bodies received. */
  bodyBytes = 0;

  constructor() {
    const large = Buffer.alloc(33_554_432, 'x');
    this.server = createServer((request, response) => {
      request.on('data', (bytes: Buffer) => (this.bodyBytes += bytes.length));
      if (request.url === '/large') response.end(large);
      else if (request.url === '/silent') return;
      else if (request.url === '/events') {
        this.streams++;
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
        response.on('close', () => this.streams--);
      } else request.on('end', () => response.end('ok'));
      request.resume();
    });
    // The proxy decides how long its connections are kept.
    this.server.keepAliveTimeout = 60_000;
    this.server.requestTimeout = 0;
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Connections of one attack. */
export class Attackers {
  readonly #port: number;
  readonly #open = new Set<net.Socket>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** How often each status line came; '' stands for closed without an answer. */
  readonly answers = new Map<string, number>();

  constructor(port: number) {
    this.#port = port;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#open.size;
  }

  /** Answers so far. */
  get answered(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Opens `count` connections, 200 at a time, and sends `first` on each. */
  async openAll(count: number, first: string, read = true): Promise<this> {
    for (let done = 0; done < count && !this.#stopped; done += 200) {
      const batch = Array.from({ length: Math.min(200, count - done) }, () =>
        this.#connect(first, read),
      );
      await Promise.all(
        batch.map((socket) => new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))), // prettier-ignore
      );
    }
    return this;
  }

  /** Sends `text` on every open connection each `everyMs`, each at a time of its own, as clients do. */
  drip(text: string, everyMs: number): this {
    const STEPS = 50;
    let step = 0;
    this.#timer = setInterval(() => {
      step = (step + 1) % STEPS;
      let index = 0;
      for (const socket of this.#open) {
        if (index++ % STEPS === step && socket.writable) socket.write(text, 'latin1');
      }
    }, everyMs / STEPS);
    this.#timer.unref();
    return this;
  }

  /** Keeps `atOnce` connections going: each sends `text`, is answered or closed, and another comes. */
  flood(atOnce: number, text: string): this {
    const again = (): void => {
      if (this.#stopped) return;
      const socket = this.#connect(text, true);
      socket.once('data', () => socket.destroy());
      socket.once('close', () => setImmediate(again));
    };
    for (let i = 0; i < atOnce; i++) again();
    return this;
  }

  /** Closes all, and resolves when they are closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.all(
      [...this.#open].map((socket) => new Promise((resolve) => socket.once('close', resolve).destroy())), // prettier-ignore
    );
  }

  #connect(first: string, read: boolean): net.Socket {
    const socket = net.connect({ port: this.#port, host: '127.0.0.1' });
    this.#open.add(socket);
    let status = '';
    const counted = (): void => {
      this.answers.set(status, (this.answers.get(status) ?? 0) + 1);
    };
    // The next event says all that matters.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#open.delete(socket);
      if (status === '') counted();
    });
    if (read) {
      socket.on('data', (bytes: Buffer) => {
        if (status !== '') return;
        status = bytes.toString('latin1', 0, 64).split('\r\n', 1)[0] ?? '';
        counted();
      });
    }
    if (first !== '') socket.write(first, 'latin1');
    return socket;
  }
}

/** A request with a Host, further lines, and the empty one. */
export const head = (path: string, method = 'GET', ...lines: string[]): string =>
  [`${method} ${path} HTTP/1.1`, 'Host: shop.example', ...lines, '', ''].join('\r\n');
