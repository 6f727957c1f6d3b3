/**
 * One connection to an endpoint. Knows nothing of messages: it hands bytes to the exchange that
 * uses it and tells it of connect, drain and end. Reads go through ONE buffer shared by all
 * upstream connections (`onread`: a fifth less CPU than 'data' events), so whoever keeps bytes
 * beyond the callback copies them.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Endpoint } from '../mesh/part.ts';
import { noteRead } from '../runtime/young-generation.ts';
import { NEVER, type Deadlined, type Deadlines } from './deadlines.ts';

const READ_BYTES = 65_536;
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** The exchange at the other end of an upstream connection. */
export interface UpstreamUser {
  upstreamConnected(): void;
  /** b[0, n) was read; valid during the call only. */
  upstreamData(b: Buffer, n: number): void;
  /** The socket takes bytes again after it asked for a pause. */
  upstreamDrained(): void;
  /**
   * Nothing more will come. `errorCode` is '' when the other side ended in order, else an errno
   * name such as ECONNREFUSED. Called when the other side ends and again when the socket is closed.
   */
  upstreamEnded(errorCode: string): void;
}

/** Where idle connections go; one per endpoint. */
export interface Pool {
  readonly endpoint: Endpoint;
  readonly idle: UpstreamConnection[];
  readonly idleMax: number;
  readonly idleTimeoutMs: number;
  readonly deadlines: Deadlines;
  /** TLS of a new connection, by the certificates of this moment; undefined: plain. */
  readonly tls: (() => ConnectionOptions) | undefined;
  /** Goes up when connections that are open must not be used again. */
  epoch: number;
  readonly counters: EndpointCounters;
}

/** Connections to one endpoint: how many there are now, and what was done since the start. */
export interface EndpointCounters {
  /** Connecting, in use or idle. */
  open: number;
  connecting: number;
  /** Since the start. */
  connects: number;
  connectFailures: number;
  /** Attempts that were given a connection. */
  attempts: number;
}

export class UpstreamConnection implements Deadlined {
  readonly socket: Socket;
  readonly pool: Pool;
  readonly #epoch: number;
  #user: UpstreamUser | undefined;
  #errorCode = '';
  connected = false;
  dead = false;
  deadline = NEVER;
  deadlineIndex = -1;

  constructor(pool: Pool) {
    this.pool = pool;
    this.#epoch = pool.epoch;
    const { counters } = pool;
    counters.open++;
    counters.connecting++;
    counters.connects++;
    const options = {
      host: pool.endpoint.host,
      port: pool.endpoint.port,
      noDelay: true,
      // A tunnel ends one direction at a time; whoever uses the connection decides, see `end` below.
      allowHalfOpen: true,
      onread: {
        buffer: shared,
        callback: (bytes: number): boolean => {
          this.#data(bytes);
          return true;
        },
      },
    };
    const { tls } = pool;
    this.socket = tls === undefined ? connect(options) : connectTls({ ...options, ...tls() });
    // Until the handshake is over nobody knows who is at the other end.
    this.socket.on(tls === undefined ? 'connect' : 'secureConnect', () => {
      this.connected = true;
      counters.connecting--;
      this.#user?.upstreamConnected();
    });
    this.socket.on('drain', () => this.#user?.upstreamDrained());
    this.socket.on('end', () => {
      this.dead = true;
      this.#user?.upstreamEnded('');
      // Idle, or nobody wants the rest: our side ends too.
      if (this.#user === undefined) this.socket.destroy();
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code ?? 'EUNKNOWN';
    });
    this.socket.on('close', () => {
      this.dead = true;
      counters.open--;
      if (!this.connected) {
        counters.connecting--;
        counters.connectFailures++;
      }
      pool.deadlines.remove(this);
      this.#user?.upstreamEnded(this.#errorCode);
    });
    pool.deadlines.add(this);
  }

  /** Gives the connection to an exchange. */
  use(user: UpstreamUser): void {
    this.#user = user;
    this.pool.counters.attempts++;
    this.deadline = NEVER;
  }

  /** Takes it back. Only a connection on which both messages ended exactly may be used again. */
  release(reusable: boolean): void {
    this.#user = undefined;
    const { idle, idleMax, idleTimeoutMs, deadlines } = this.pool;
    const isStale = this.#epoch !== this.pool.epoch;
    if (
      !reusable ||
      isStale ||
      this.dead ||
      idle.length >= idleMax ||
      this.socket.writableLength > 0
    ) {
      this.dead = true;
      this.socket.destroy();
      return;
    }
    this.deadline = deadlines.in(idleTimeoutMs);
    idle.push(this);
  }

  /**
   * Takes it back from a tunnel that ended in order: what was written still leaves, for at most
   * `lingerMs`.
   */
  releaseAfterFlush(lingerMs: number): void {
    this.#user = undefined;
    this.dead = true;
    this.socket.destroySoon();
    this.deadline = this.pool.deadlines.in(lingerMs);
  }

  onDeadline(): void {
    this.dead = true;
    this.socket.destroy();
  }

  #data(bytes: number): void {
    noteRead(bytes);
    if (this.#user === undefined) {
      // Bytes that nobody asked for: an answer to no request must never meet the next one.
      this.dead = true;
      this.socket.destroy();
      return;
    }
    this.#user.upstreamData(shared, bytes);
  }
}
