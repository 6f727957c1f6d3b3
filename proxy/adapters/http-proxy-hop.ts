/**
 * One request through http-proxy, from its first pass to the close of its response: keeps the hop's
 * record, and ends the upstream request when the client is gone (http-proxy relies on an event that
 * Node no longer sends, so that streams ran on for ever) and the client's connection when the
 * upstream broke off (http-proxy leaves it waiting).
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ATTEMPT_BITS, ATTEMPTS_MAX, T } from '../../telemetry/hop-record.ts';
import { PEER_HEADER } from '../../telemetry/names.ts';
import { HopMeter } from '../hop-meter.ts';
import type { CompiledRoute, ListenerContext } from '../listener-context.ts';
import { truncateAddress } from '../request-rules.ts';
import { errorTypeOfStatus, FAILURES, type FailureName } from '../rescue.ts';
import { parseTraceparent, traceparentOf } from '../trace-context.ts';

/** Bytes read and written on a connection when its last hop ended. */
const counted = new WeakMap<Socket, { read: number; written: number }>();

export class HttpProxyHop {
  readonly #context: ListenerContext;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #meter = new HopMeter();
  readonly #route: CompiledRoute | undefined;
  readonly #lateAtStartMs: number;
  #upstream: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;
  #timedOut = false;
  #cutOff = false;
  #closed = false;

  constructor(context: ListenerContext, request: IncomingMessage, response: ServerResponse) {
    this.#context = context;
    this.#request = request;
    this.#response = response;
    this.#socket = request.socket;
    const nowMs = performance.now();
    const { record } = this.#meter;
    this.#meter.open(nowMs);
    record.configGeneration = context.shared.generation;
    this.#lateAtStartMs = context.shared.deadlines.lateTotalMs;
    context.shared.recorder.inFlight++;
    const path = (request.url ?? '/').split('?', 1)[0]!;
    const { router } = context;
    const found = router.match(router.hostless, path, request.method ?? '');
    this.#route = typeof found === 'string' ? undefined : found;
    this.#restartTrace();
    if (request.complete) record.timesMs[T.requestLast] = nowMs;
    else request.once('end', () => (record.timesMs[T.requestLast] = performance.now()));
    response.once('close', () => this.#finish());
  }

  /** http-proxy is about to make its request. */
  startAttempt(): void {
    if (this.#closed || this.#meter.record.attemptCount >= ATTEMPTS_MAX) return;
    const nowMs = performance.now();
    this.#meter.endAttempt(nowMs);
    this.#upstream = undefined;
    this.#answer = undefined;
    this.#meter.startAttempt(nowMs, this.#route?.cluster.meshed ?? false, false);
    this.#setTrace();
  }

  /** The request has a socket: one that still connects, or a kept one. */
  sent(upstream: ClientRequest): void {
    if (this.#closed) {
      upstream.destroy();
      return;
    }
    this.#upstream = upstream;
    const isCurrent = (): boolean => this.#upstream === upstream && !this.#closed;
    const { record } = this.#meter;
    if (upstream.reusedSocket) {
      this.#meter.attempt.bits |= ATTEMPT_BITS.pooled;
      record.timesMs[T.upstreamFirst] = performance.now();
    } else {
      upstream.socket?.once('connect', () => {
        if (isCurrent()) this.#meter.connected(performance.now());
      });
    }
    upstream.once('finish', () => {
      if (isCurrent()) record.timesMs[T.upstreamLast] = performance.now();
    });
    upstream.once('timeout', () => {
      this.#timedOut = true;
    });
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (isCurrent() && this.#answer === undefined) this.#failed(error.code ?? '');
    });
  }

  /** The upstream's head is here. */
  answered(answer: IncomingMessage): void {
    if (this.#closed) {
      answer.destroy();
      return;
    }
    const { record } = this.#meter;
    // An `Expect` header keeps http-proxy from telling of its request earlier.
    this.#upstream ??= (answer as IncomingMessage & { req?: ClientRequest }).req;
    this.#answer = answer;
    record.flags = 0;
    record.errorType = '';
    if (record.attemptCount === 0) return;
    this.#meter.received(performance.now());
    this.#meter.attempt.status = answer.statusCode ?? 0;
    if (/^text\/event-stream\b/i.test(answer.headers['content-type'] ?? '')) {
      record.streamClass = 'stream';
    }
    answer.once('end', () => this.#answerEnded(answer));
    answer.once('close', () => {
      if (answer.complete || this.#answer !== answer || this.#closed) return;
      // Broken off: a client that is not told would wait, or take the short body for the whole.
      this.#failed('ECONNRESET');
      this.#cutOff = true;
      this.#response.destroy();
    });
  }

  #answerEnded(answer: IncomingMessage): void {
    if (this.#answer !== answer || this.#closed) return;
    const nowMs = performance.now();
    this.#meter.received(nowMs);
    this.#meter.endAttempt(nowMs);
    // Bytes in hand that the client does not take: the client's time, not the proxy's.
    if (this.#response.writableLength > 0) this.#meter.waitBegin(nowMs);
  }

  #failed(code: string): void {
    const { record } = this.#meter;
    const failure = FAILURES[this.#failureName(code)];
    record.flags = failure.flagBit;
    record.errorType = failure.name;
    this.#meter.endAttempt(performance.now());
  }

  #failureName(code: string): FailureName {
    const connected = !Number.isNaN(this.#meter.record.timesMs[T.upstreamFirst]!);
    if (this.#timedOut) return connected ? 'upstream_timeout' : 'upstream_connect_timeout';
    if (!connected) return 'upstream_connect_failed';
    if (code.startsWith('HPE_')) return 'upstream_protocol_error';
    return code === 'ECONNRESET' || code === 'EPIPE' ? 'upstream_closed' : 'upstream_reset';
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    const nowMs = performance.now();
    const response = this.#response;
    const { record } = this.#meter;
    const { shared, isEdge, peers } = this.#context;
    const isWhole = response.writableFinished;
    // The fault that leaks: nobody else ends it when the client is gone.
    if (!isWhole) this.#upstream?.destroy();
    this.#meter.endAttempt(nowMs);
    this.#meter.waitEnd(nowMs);
    record.timesMs[T.downstreamLast] = nowMs;
    record.status = response.headersSent ? response.statusCode : 0;
    if (!isWhole && !this.#cutOff) {
      record.answeredBy = 'client_gone';
      record.flags |= FAILURES.client_gone.flagBit;
      record.errorType = FAILURES.client_gone.name;
    } else record.answeredBy = this.#answer === undefined ? 'proxy' : 'upstream';
    if (record.errorType === '') record.errorType = errorTypeOfStatus(record.status);
    record.loopDelayMs = shared.deadlines.lateTotalMs - this.#lateAtStartMs;
    if (isEdge) record.clientAddress = truncateAddress(this.#socket.remoteAddress ?? '');
    this.#countBytes();
    shared.recorder.inFlight--;
    const { method = '', httpVersionMinor } = this.#request;
    const shape = this.#context.shape(
      this.#route,
      peers.unnamed,
      method,
      httpVersionMinor === 0,
      '',
    );
    shared.recorder.record(shape, record);
  }

  /** Whole connections are counted, so the bytes of a hop are what came since the one before. */
  #countBytes(): void {
    const { record } = this.#meter;
    const { bytesRead: read, bytesWritten: written } = this.#socket;
    const before = counted.get(this.#socket);
    record.bytesIn = read - (before?.read ?? 0);
    record.bytesOut = written - (before?.written ?? 0);
    counted.set(this.#socket, { read, written });
  }

  /** As our gateway: whoever could continue a trace from outside could make all requests one trace. */
  #restartTrace(): void {
    const { headers } = this.#request;
    const { traceparent } = headers;
    if (typeof traceparent === 'string') {
      const bytes = Buffer.from(traceparent, 'latin1');
      if (parseTraceparent(bytes, 0, bytes.length)) {
        this.#meter.record.linkTraceparent = traceparent.slice(0, 55);
      }
    }
    delete headers['tracestate'];
    Reflect.deleteProperty(headers, PEER_HEADER);
    const { name, role } = this.#context.listener.workload;
    if (this.#route?.cluster.meshed === true) headers[PEER_HEADER] = `${role};${name}`;
  }

  /** http-proxy copies the request's headers: what stands in them goes upstream. */
  #setTrace(): void {
    const { traceId, spanId, traceFlags, attemptCount } = this.#meter.record;
    this.#request.headers['traceparent'] = traceparentOf(traceId, spanId, attemptCount, traceFlags);
  }
}
