/**
 * One connection from a client: reads heads, feeds bodies to its exchange, keeps pipelined requests
 * waiting until it is their turn, and ends in the right way.
 *
 *            ┌────────── keep-alive, next request ──────────┐
 *            ▼                                              │
 *   Head ──head read──► Body ──body read──► Answer ──record─┤
 *     │                   │                  │              └─close─► Linger ──► closed
 *     │                   │                  └─── 101 ──► Tunnel ──────────────────►
 *     └── refused ────────┴── failed before its end ────────────────►
 *
 * Half-close: a client that ends its side before it has its answer counts as gone, as with Envoy
 * and nginx, and the upstream is closed at once. TCP cannot tell it from one that left, and a
 * stream to nobody costs more than the rare client that half-closes (docs/adr/010). In a tunnel each
 * direction ends by itself.
 */
import type { Socket } from 'node:net';
import { linesOfSocket } from './forwarded.ts';
import type { Arrival } from './identity/arrival.ts';
import { monotonicMs } from '../runtime/clock.ts';
import { noteRead } from '../runtime/young-generation.ts';
import { RESET, type Admitted } from './admission.ts';
import { Backlog } from './backlog.ts';
import { parseRequestHead, requestLine } from './codec/request-head.ts';
import { MORE, parsed } from './codec/fields.ts';
import { CR, LF } from './codec/tables.ts';
import { NEVER, type Deadlined } from './deadlines.ts';
import type { DeadlineFor, Downstream, DownstreamUser, Outcome } from './downstream-port.ts';
import { Exchange } from './exchange.ts';
import type { ListenerContext } from './listener-context.ts';
import { CODEC_LIMITS } from './limits.ts';
import { truncateAddress } from './request-rules.ts';
import { FAILURES, failureOfStatus, type Failure } from './rescue.ts';
import { Reading } from './shared-reads.ts';

type Phase = 'head' | 'body' | 'answer' | 'tunnel' | 'linger' | 'closed';

export class DownstreamConnection implements Downstream, Deadlined {
  readonly socket: Socket;
  readonly address: string;
  readonly truncatedAddress: string;
  readonly forwardedLines: string;
  readonly isTls: boolean;
  readonly id: string;
  retiring = false;
  readonly #reading: Reading;
  /** The TCP socket, which TLS cannot reset. */
  readonly #raw: Socket;
  /** Who came is not let in: the answer to its first request. */
  readonly #refusal: Failure | undefined;
  readonly #context: ListenerContext;
  readonly #exchange: Exchange;
  readonly #admitted: Admitted;
  readonly #backlog: Backlog;
  readonly #onClosed: (connection: DownstreamConnection) => void;
  deadline = NEVER;
  deadlineIndex = -1;
  #deadlineFor: DeadlineFor = 'idle';
  #phase: Phase = 'head';
  /** Bytes of a head that is not complete. */
  #partial: Buffer | undefined;
  /** Bytes behind the request in hand: the next requests of a pipeline. */
  #rest: Buffer | undefined;
  #lingeredBytes = 0;
  #headTimeoutMs: number;
  #tunnel: DownstreamUser | undefined;

  constructor(
    arrival: Arrival,
    context: ListenerContext,
    onClosed: (connection: DownstreamConnection) => void,
  ) {
    const { isTls, id, refusal } = arrival;
    this.#reading = new Reading(arrival.socket, isTls, (b, n) => this.#take(b, n));
    const { socket } = this.#reading;
    this.socket = socket;
    this.#raw = isTls ? arrival.raw : socket;
    this.isTls = isTls;
    this.id = id;
    this.#refusal = refusal;
    this.#context = context;
    this.#onClosed = onClosed;
    this.address = socket.remoteAddress ?? '';
    this.truncatedAddress = context.isEdge ? truncateAddress(this.address) : '';
    this.forwardedLines = context.isEdge ? linesOfSocket(this.address, isTls) : '';
    this.#exchange = new Exchange(this, context);
    const { deadlines, limits, load } = context.shared;
    this.#backlog = new Backlog(load);
    this.#admitted = context.admission.enter(this.address);
    deadlines.add(this);
    // A client that connects and says nothing is as slow as one that sends half a head.
    this.#headTimeoutMs =
      (this.#admitted ?? refusal) === undefined ? limits.headTimeoutMs : limits.lingerTimeoutMs;
    this.setDeadline('head', this.#headTimeoutMs);
    socket.on('drain', () => {
      if (this.#tunnel === undefined) this.#exchange.downstreamDrained();
      else this.#tunnel.downstreamDrained();
    });
    socket.on('end', () => this.#ended());
    // 'close' follows every error and does the work.
    socket.on('error', ignore);
    socket.on('close', () => this.#closed());
    if (this.#admitted === RESET) this.reset();
  }

  setDeadline(kind: DeadlineFor, ms: number): void {
    this.#deadlineFor = kind;
    this.deadline = this.#context.shared.deadlines.in(ms);
  }

  clearDeadline(): void {
    this.deadline = NEVER;
  }

  answerWaits(): void {
    this.#backlog.watch(this.socket);
  }

  pauseRequest(): void {
    this.socket.pause();
  }

  resumeRequest(): void {
    if (this.#phase === 'body') this.socket.resume();
  }

  requestRead(b: Buffer, next: number): void {
    this.#afterRequest(b, next, b.length);
  }

  /**
   * The listener ends: a busy connection ends with its answer, a tunnel in order, an idle one soon.
   * Not at once: the client may be sending, and a request that comes in time is answered, with
   * `Connection: close`.
   */
  drain(): void {
    this.#tunnel?.drain();
    if (this.#phase === 'head' && !this.#exchange.active) this.#idle();
  }

  /** The certificates by which it was let in no longer count. */
  retire(): void {
    if (!this.isTls) return;
    this.retiring = true;
    if (this.#phase === 'head' && !this.#exchange.active) this.#idle();
  }

  /** The process does not wait any longer. */
  cutOff(): void {
    this.#exchange.fail('shutdown');
    this.#tunnel?.cut('shutdown');
    this.socket.destroy();
  }

  tunnelBegins(tunnel: DownstreamUser): void {
    this.#phase = 'tunnel';
    this.#tunnel = tunnel;
    // What the client sent behind its request, before it knew that it would be heard.
    const early = this.#rest;
    this.#setRest(undefined);
    if (early === undefined) return;
    this.socket.resume();
    tunnel.downstreamData(early, early.length);
  }

  exchangeFinished(outcome: Outcome): void {
    if (this.#phase === 'closed') return;
    if (outcome === 'keep') {
      this.#phase = 'head';
      this.#idle();
      this.#next();
    } else if (outcome === 'close') this.#linger();
    else {
      this.#phase = 'linger';
      // A reset: with a plain end, a body without length would look complete.
      this.reset();
    }
  }

  reset(): void {
    this.#raw.resetAndDestroy();
  }

  #idle(): void {
    const { shared, draining, admission } = this.#context;
    const { clientIdleTimeoutMs, crowdedIdleTimeoutMs, drainIdleTimeoutMs } = shared.limits;
    let idleMs = clientIdleTimeoutMs;
    if (admission.isCrowded) idleMs = Math.min(idleMs, crowdedIdleTimeoutMs);
    this.setDeadline('idle', draining || this.retiring ? drainIdleTimeoutMs : idleMs);
  }

  /** Goes on with a pipelined request, if one waits. */
  #next(): void {
    if (this.#rest === undefined) return;
    // In a turn of its own: a pipeline of requests that we answer ourselves must not nest, nor
    // keep other connections from their turn.
    setImmediate(() => {
      const bytes = this.#rest;
      if (bytes === undefined || this.#phase !== 'head') return;
      this.#setRest(undefined);
      this.socket.resume();
      this.#take(bytes, bytes.length);
    });
  }

  onDeadline(): void {
    switch (this.#deadlineFor) {
      case 'head':
        if (this.#partial === undefined) this.socket.destroy();
        else this.#refusePartial(FAILURES.request_timeout);
        return;
      case 'filter':
        this.#exchange.fail('authn_unavailable');
        return;
      case 'body':
        this.#exchange.fail('request_timeout');
        return;
      case 'connect':
        this.#exchange.attemptFails('upstream_connect_timeout');
        return;
      case 'response':
        this.#exchange.attemptFails('upstream_timeout');
        return;
      case 'stream':
        this.#exchange.fail('stream_idle_timeout');
        return;
      case 'flush':
        this.#exchange.fail('client_stalled');
        return;
      case 'tunnel':
        this.#tunnel?.cut('idle');
        return;
      case 'idle':
      case 'linger':
        this.socket.destroy();
    }
  }

  #data(b: Buffer, n: number): void {
    switch (this.#phase) {
      case 'head':
        this.#head(b, n);
        return;
      case 'body': {
        const end = this.#exchange.requestData(b, n);
        this.#afterRequest(b, end, n);
        return;
      }
      case 'answer':
        this.#keepRest(b, 0, n);
        return;
      case 'tunnel':
        this.#tunnel!.downstreamData(b, n);
        return;
      case 'linger':
        this.#lingeredBytes += n;
        if (this.#lingeredBytes > this.#context.shared.limits.lingerBytes) this.socket.destroy();
        return;
      case 'closed':
    }
  }

  #head(b: Buffer, n: number): void {
    const nowMs = monotonicMs();
    if (this.#partial === undefined) {
      this.#exchange.open(nowMs);
    } else {
      const searchFrom = this.#partial.length;
      b = Buffer.concat([this.#partial, b.subarray(0, n)]);
      n = b.length;
      // Parsing again for each byte that drips in would be quadratic: first look for a line that
      // can end a head, or break it.
      if (n <= CODEC_LIMITS.headBytes && !mayEndHead(b, searchFrom)) {
        this.#keepPartial(b);
        return;
      }
    }
    const start = startOfHead(b, n);
    if (start === n) {
      this.#exchange.forget();
      this.#setPartial(undefined);
      return;
    }
    // A carriage return alone may be half of that empty line.
    const end = n === 1 && start === 0 && b[0] === CR ? MORE : parseRequestHead(b, start, n);
    if (end === MORE) {
      if (this.#partial === undefined) {
        this.setDeadline('head', this.#headTimeoutMs);
        this.#exchange.headIncomplete(nowMs);
        b = copyOf(b, 0, n);
      }
      this.#keepPartial(b);
      return;
    }
    this.#setPartial(undefined);
    if (end < 0) {
      this.#refuse(failureOfStatus(-end), b, start, n, nowMs);
      return;
    }
    // Envoy's rule for the edge: CGI-like servers read `_` as `-`, so such a name could forge ours.
    if (this.#context.isEdge && parsed.underscore) {
      this.#refuse(FAILURES.request_malformed, b, start, n, nowMs);
      return;
    }
    if (this.#admitted !== undefined) {
      if (this.#admitted !== RESET) this.#refuse(this.#admitted, b, start, n, nowMs);
      return;
    }
    if (this.#refusal !== undefined) {
      this.#refuse(this.#refusal, b, start, n, nowMs);
      return;
    }
    this.#phase = 'body';
    const next = this.#exchange.begin(b, start, end, n, nowMs);
    this.#afterRequest(b, next, n);
  }

  /** The exchange took what came in b[0, n) up to `next`. */
  #afterRequest(b: Buffer, next: number, n: number): void {
    if (this.#phase === 'body' && this.#exchange.requestDone) this.#phase = 'answer';
    if (next >= n || (this.#phase !== 'head' && this.#phase !== 'answer')) return;
    this.#keepRest(b, next, n);
    if (this.#phase === 'head') this.#next();
  }

  /**
   * Holds b[from, n), of the next requests, and stops reading: a pipeline is at most one read long.
   * Where the process holds too much already, the connection ends after the request in hand.
   */
  #keepRest(b: Buffer, from: number, n: number): void {
    this.socket.pause();
    if (!this.#context.shared.load.isFull) {
      const bytes = copyOf(b, from, n);
      this.#setRest(this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]));
      return;
    }
    this.#context.admission.count(FAILURES.overloaded.name);
    this.#setRest(undefined);
    if (this.#phase === 'head') this.#linger();
    else this.#exchange.endAfter();
  }

  /** Holds a head that is not complete, where the process can. */
  #keepPartial(bytes: Buffer): void {
    this.#setPartial(bytes);
    if (this.#context.shared.load.isFull) this.#refusePartial(FAILURES.overloaded);
  }

  #setPartial(bytes: Buffer | undefined): void {
    if (bytes === this.#partial) return;
    this.#context.shared.load.hold((bytes?.length ?? 0) - (this.#partial?.length ?? 0));
    this.#partial = bytes;
  }

  /** A slice of a read keeps all of it in memory, so that is what counts. */
  #setRest(bytes: Buffer | undefined): void {
    if (bytes === this.#rest) return;
    const before = this.#rest?.buffer.byteLength ?? 0;
    this.#context.shared.load.hold((bytes?.buffer.byteLength ?? 0) - before);
    this.#rest = bytes;
  }

  /** Refuses what came in b[0, n): a head that begins at `start`, or no request. */
  #refuse(failure: Failure, b: Buffer, start: number, n: number, nowMs: number): void {
    if (!requestLine.known) {
      // Not a request at all: answered, counted, but no hop.
      this.#context.garbage++;
      this.#exchange.forget();
      this.socket.write(
        `HTTP/1.1 ${failure.status} ${failure.reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      );
      this.#linger();
      return;
    }
    this.#phase = 'answer';
    const method = b.toString('latin1', start, requestLine.methodEnd);
    this.#exchange.refuseHead(failure, method, n, nowMs);
  }

  /** Ends a head that is not complete. */
  #refusePartial(failure: Failure): void {
    const b = this.#partial!;
    this.#setPartial(undefined);
    const start = startOfHead(b, b.length);
    // Once more, for the method; what was missing before is missing still.
    parseRequestHead(b, start, b.length);
    this.#refuse(failure, b, start, b.length, monotonicMs());
  }

  /**
   * Our side ends; what the client still sends is read and thrown away for a while. Closing with
   * unread bytes makes the kernel send a reset, which can take the answer away from the client.
   */
  #linger(): void {
    this.#phase = 'linger';
    this.#setRest(undefined);
    this.setDeadline('linger', this.#context.shared.limits.lingerTimeoutMs);
    this.socket.end();
    this.socket.resume();
  }

  #ended(): void {
    if (this.#phase === 'tunnel') {
      this.#tunnel!.downstreamEnded();
      return;
    }
    if (this.#phase === 'linger' || this.#phase === 'closed') {
      this.socket.destroy();
      return;
    }
    this.#gone();
    this.socket.destroy();
  }

  #closed(): void {
    this.#context.shared.deadlines.remove(this);
    this.#gone();
    this.#tunnel?.downstreamClosed();
    this.#phase = 'closed';
    this.#setPartial(undefined);
    this.#setRest(undefined);
    this.#backlog.release();
    this.#context.admission.leave(this.address, this.#admitted);
    this.#onClosed(this);
    this.#reading.end();
  }

  /** The client left: a hop in hand is recorded as such. */
  #gone(): void {
    if (!this.#exchange.active) return;
    if (this.#phase !== 'head') {
      this.#exchange.fail('client_gone');
      return;
    }
    const b = this.#partial;
    this.#setPartial(undefined);
    if (b === undefined) this.#exchange.forget();
    else {
      const start = startOfHead(b, b.length);
      parseRequestHead(b, start, b.length);
      if (requestLine.known) {
        const method = b.toString('latin1', start, requestLine.methodEnd);
        this.#exchange.refuseHead(FAILURES.client_gone, method, b.length, monotonicMs());
      } else this.#exchange.forget();
    }
  }

  /** Takes bytes. A fault of ours ends one request, never the process. */
  #take(b: Buffer, n: number): void {
    noteRead(n);
    try {
      this.#data(b, n);
    } catch (error) {
      this.#context.shared.onFault(error);
      if (this.#exchange.active) this.#exchange.fail('internal');
      else if (this.#tunnel !== undefined) this.#tunnel.cut('client');
      else this.socket.destroy();
    }
  }
}

const ignore = (): void => undefined;

/** One empty line before a request is ignored (RFC 9112 2.2). */
const startOfHead = (b: Buffer, n: number): number => (n > 1 && b[0] === CR && b[1] === LF ? 2 : 0);

/** b[from, n) for keeps, in memory of its own size. */
function copyOf(b: Buffer, from: number, n: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(n - from);
  b.copy(copy, 0, from, n);
  return copy;
}

/** True when b[from, …) holds an empty line's end, or a line feed without its carriage return. */
function mayEndHead(b: Buffer, from: number): boolean {
  for (let i = b.indexOf(LF, from); i >= 0; i = b.indexOf(LF, i + 1)) {
    if (b[i - 1] !== CR || (i >= 3 && b[i - 2] === LF && b[i - 3] === CR)) return true;
  }
  return false;
}
