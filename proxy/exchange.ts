/**
 * One hop: a request, its attempts, its answer and its record. One Exchange per downstream
 * connection, used again for each of its requests, so that a request costs no objects.
 *
 *   open ──► begin: route, trace context, head ──► attempt 1 ──► answer ──► flush ──► record
 *     │                    │                          │ └─(pooled connection was closing)─► attempt 2
 *     └──► refuse          └──► fail ◄────────────────┘
 *
 * Every request ends in `#finish` exactly once, whatever happened to it, and is recorded there.
 * Client wait is booked from the moment when only the client can move things on: `waitBegin`.
 */
import type { Socket } from 'node:net';
import { ATTEMPT_BITS, FUNCTIONS, T } from '../telemetry/hop-record.ts';
import { BodyReader, MALFORMED } from './codec/body.ts';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  isPresent,
  isRepeated,
  parsed,
  valueEnd,
  valueStart,
} from './codec/fields.ts';
import { isBlocked, writeChunk, writeContent, writeText, writtenBytes } from './codec/output.ts';
import { requestLine } from './codec/request-head.ts';
import { FIELD } from './codec/tables.ts';
import { HopMeter } from './hop-meter.ts';
import type { Downstream, Outcome } from './downstream-port.ts';
import { ShapeMemo, type CompiledRoute, type ListenerContext } from './listener-context.ts';
import type { Peer } from './peer.ts';
import { hashOfPath, hasDotSegment, isIdempotent } from './request-rules.ts';
import {
  errorTypeOfStatus,
  FAILURES,
  ownAnswer,
  type Failure,
  type FailureName,
} from './rescue.ts';
import { ResponseRelay, type RelayOwner } from './response-relay.ts';
import { NO_METHOD, NO_ROUTE, type HostRoutes } from './router.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';
import {
  asked,
  attemptSpanId,
  readAsked,
  readTrace,
  upstreamHead,
  writeUpstreamHead,
} from './upstream-request.ts';

const ROUTE = FUNCTIONS.indexOf('route');
const TRACE_CONTEXT = FUNCTIONS.indexOf('trace_context');
const HYGIENE = FUNCTIONS.indexOf('hygiene');
/** FUNCTIONS bits of what `begin` does for every request. */
export const CORE_FUNCTIONS = (1 << ROUTE) | (1 << TRACE_CONTEXT) | (1 << HYGIENE);

export class Exchange implements UpstreamUser, RelayOwner {
  readonly #down: Downstream;
  readonly #context: ListenerContext;
  readonly downstream: Socket;
  readonly stripResponse: number;
  readonly #meter = new HopMeter();
  readonly #record = this.#meter.record;
  readonly #body = new BodyReader();
  readonly #relay: ResponseRelay;

  /** Between `open` and the record. */
  active = false;
  isHead = false;
  isHttp10 = false;
  #method = '';
  #path = '';
  #hostRoutes: HostRoutes<CompiledRoute> | undefined;
  #route: CompiledRoute | undefined;
  #peer: Peer;
  #upstream: UpstreamConnection | undefined;
  /** Head for upstream, and where in it the parent id stands. */
  #head = '';
  #parentAt = 0;
  #replayable = false;
  /** The client waits for a 100, so that its silence is not its own. */
  #awaitsContinue = false;
  #upstreamBlocked = false;
  #downstreamBlocked = false;
  #flushing = false;
  #closeAfter = false;
  #lateAtStartMs = 0;

  readonly #shapes: ShapeMemo;

  constructor(down: Downstream, context: ListenerContext) {
    this.#down = down;
    this.#context = context;
    this.downstream = down.socket;
    this.stripResponse = context.stripResponse;
    this.#peer = context.peers.unnamed;
    this.#relay = new ResponseRelay(this);
    this.#shapes = new ShapeMemo(context);
    this.#record.configGeneration = context.shared.generation;
  }

  /** All of the request body was read. */
  get requestDone(): boolean {
    return this.#body.done;
  }

  /** The first byte of a request is here. */
  open(nowMs: number): void {
    const { shared, peers } = this.#context;
    this.#meter.open(nowMs);
    this.active = true;
    this.isHead = false;
    this.isHttp10 = false;
    this.#route = undefined;
    this.#hostRoutes = undefined;
    this.#peer = peers.unnamed;
    this.#upstreamBlocked = false;
    this.#downstreamBlocked = false;
    this.#flushing = false;
    this.#closeAfter = false;
    this.#lateAtStartMs = shared.deadlines.lateTotalMs;
    this.#body.start(BODY_NONE, 0);
    this.#relay.start();
    shared.recorder.inFlight++;
  }

  /** The head is not complete, and only the client can complete it. */
  headIncomplete(nowMs: number): void {
    this.#meter.waitBegin(nowMs);
  }

  /** What was opened turned out not to be a request: it leaves no record. */
  forget(): void {
    this.active = false;
    this.#context.shared.recorder.inFlight--;
  }

  /**
   * The head at b[s, e) was parsed; module state of the codec still describes it. b[e, n) is what
   * came behind it. Returns the position of the first byte that is not of this request.
   */
  begin(b: Buffer, s: number, e: number, n: number, nowMs: number): number {
    const context = this.#context;
    const { shared, router } = context;
    const record = this.#record;
    this.#meter.waitEnd(nowMs);
    const startMs = performance.now();
    const head = b.toString('latin1', s, e);
    readAsked(b, head, s);
    this.#method = asked.method;
    this.#path = asked.path;
    this.isHead = asked.method === 'HEAD';
    this.isHttp10 = requestLine.isHttp10;
    record.bytesIn += e - s;
    this.#closeAfter = parsed.close || shared.draining;
    const { bodyKind, bodyBytes } = parsed;
    this.#body.start(bodyKind, bodyBytes);
    if (this.#body.done) record.timesMs[T.requestLast] = nowMs;

    const routes = asked.host === '' ? router.hostless : router.routesOf(asked.host);
    if (routes === undefined || hasDotSegment(asked.path)) {
      return this.#refuse('request_malformed', e);
    }
    this.#hostRoutes = routes;
    this.#readPeer(b);
    const route = router.match(routes, asked.path, asked.method);
    const routedMs = performance.now();
    record.phaseNs[ROUTE] = (routedMs - startMs) * 1e6;
    if (route === NO_ROUTE) return this.#refuse('no_route', e);
    if (route === NO_METHOD) return this.#refuse('method_not_allowed', e);
    this.#route = route;
    if (shared.pathMode !== 'template') {
      record.path = shared.pathMode === 'keep' ? asked.path : hashOfPath(asked.path);
    }
    if (bodyKind === BODY_LENGTH && bodyBytes > shared.limits.requestBodyBytes) {
      return this.#refuse('request_body_too_large', e);
    }

    const restarted = readTrace(b, context.isEdge, record);
    const tracedMs = performance.now();
    record.phaseNs[TRACE_CONTEXT] = (tracedMs - routedMs) * 1e6;
    writeUpstreamHead(b, head, s, context, route, record, restarted, this.#down.forwardedLines);
    this.#head = upstreamHead.text;
    this.#parentAt = upstreamHead.parentAt;
    this.#awaitsContinue = !this.isHttp10 && isPresent(FIELD.expect);
    this.#replayable = bodyKind === BODY_NONE && isIdempotent(this.#method);

    if (!route.runtime.enter()) return this.#refuse('upstream_overflow', e);
    const sendMs = performance.now();
    record.phaseNs[HYGIENE] = (sendMs - tracedMs) * 1e6;
    this.#startAttempt(route.runtime.take(), sendMs);
    return this.#sendBody(b, e, n, nowMs, this.#head);
  }

  /** Bytes of the request body: b[0, n). Returns as `begin` does. */
  requestData(b: Buffer, n: number): number {
    // Answered already, and only the client is still to take it: the rest is of no use.
    if (this.#upstream === undefined) return n;
    const nowMs = performance.now();
    this.#meter.waitEnd(nowMs);
    this.#awaitsContinue = false;
    if (this.#relay.begun) this.#streamGoesOn();
    return this.#sendBody(b, 0, n, nowMs, '');
  }

  /** Ends the hop by a failure: answers it, or cuts off an answer that had begun. */
  fail(name: FailureName): void {
    this.failBy(FAILURES[name]);
  }

  failBy(failure: Failure): void {
    if (!this.active) return;
    const nowMs = performance.now();
    const record = this.#record;
    this.#dropUpstream(nowMs);
    record.flags |= failure.flagBit;
    record.errorType = failure.name;
    if (failure.status === 0 || this.#relay.begun || this.#flushing) {
      // Nobody to answer, or an answer on its way that cannot be taken back.
      if (failure.answeredBy === 'client_gone') record.answeredBy = 'client_gone';
      this.#finish(nowMs, 'abort');
      return;
    }
    record.answeredBy = failure.answeredBy;
    record.status = failure.status;
    record.streamClass = '';
    if (!failure.keepAlive || !this.#body.done || this.isHttp10) this.#closeAfter = true;
    const allow =
      failure.status === 405 && this.#hostRoutes !== undefined
        ? this.#context.router.methodsFor(this.#hostRoutes, this.#path)
        : undefined;
    writeText(this.downstream, ownAnswer(failure, this.isHead, this.#closeAfter, allow));
    record.timesMs[T.downstreamFirst] = nowMs;
    record.bytesOut += writtenBytes;
    this.#flush();
  }

  /** Ends a hop whose head could not be read to its end; `method` is what it began with. */
  refuseHead(failure: Failure, method: string, bytes: number, nowMs: number): void {
    this.#method = method;
    this.isHead = method === 'HEAD';
    this.isHttp10 = requestLine.isHttp10;
    this.#record.bytesIn += bytes;
    this.#meter.waitEnd(nowMs);
    // Where the request ends is not known, so nothing after it can be read as one.
    this.#closeAfter = true;
    this.failBy(failure);
  }

  /** The client takes bytes again. */
  downstreamDrained(): void {
    if (!this.#downstreamBlocked || this.#flushing) return;
    this.#downstreamBlocked = false;
    this.#meter.waitEnd(performance.now());
    this.#upstream?.socket.resume();
    this.#streamGoesOn();
  }

  // ---- UpstreamUser

  upstreamConnected(): void {
    const nowMs = performance.now();
    this.#meter.connected(nowMs);
    if (this.#body.done) this.#record.timesMs[T.upstreamLast] = nowMs;
    if (this.#body.done || this.#upstreamBlocked) this.#awaitResponse();
    else this.#awaitClient(nowMs);
  }

  upstreamData(b: Buffer, n: number): void {
    this.#meter.received(performance.now());
    if (this.#relay.begun) this.#streamGoesOn();
    try {
      this.#relay.data(b, n);
    } catch (error) {
      // A fault of ours ends one request, never the process.
      this.#context.shared.onFault(error);
      this.fail('internal');
    }
  }

  upstreamDrained(): void {
    if (!this.#upstreamBlocked) return;
    this.#upstreamBlocked = false;
    this.#down.resumeRequest();
    if (!this.#body.done) this.#awaitClient(performance.now());
  }

  upstreamEnded(errorCode: string): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    if (errorCode === '' && this.#relay.endOfConnection()) return;
    const pooled = (this.#meter.attempt.bits & ATTEMPT_BITS.pooled) !== 0;
    if (!upstream.connected) this.fail('upstream_connect_failed');
    else if (pooled && this.#replayable && !this.#meter.answered) this.#replay();
    else this.fail(errorCode === 'ECONNRESET' ? 'upstream_reset' : 'upstream_closed');
  }

  // ---- RelayOwner

  responseBegins(status: number, isStream: boolean, endsByClose: boolean): boolean {
    const nowMs = performance.now();
    const record = this.#record;
    // The answer flows: from here on the hop does not wait for the rest of the request alone.
    this.#meter.waitEnd(nowMs);
    this.#awaitsContinue = false;
    record.status = status;
    record.answeredBy = 'upstream';
    record.errorType = errorTypeOfStatus(status);
    if (isStream) record.streamClass = 'stream';
    record.timesMs[T.downstreamFirst] = nowMs;
    this.#meter.attempt.status = status;
    this.#streamGoesOn();
    // An answer before the end of the request: what is still to come is not read as a request.
    if (endsByClose || !this.#body.done || this.#context.shared.draining) this.#closeAfter = true;
    return this.#closeAfter;
  }

  interimPassed(): void {
    // The final head is yet to come; the first byte of the answer is its first.
    this.#record.timesMs[T.responseFirst] = NaN;
    this.#awaitsContinue = false;
    if (!this.#body.done && !this.#upstreamBlocked) this.#awaitClient(performance.now());
  }

  sentDownstream(bytes: number, taken: boolean): void {
    this.#record.bytesOut += bytes;
    if (taken || this.#downstreamBlocked) return;
    this.#downstreamBlocked = true;
    this.#upstream?.socket.pause();
    this.#meter.waitBegin(performance.now());
    this.#down.setDeadline('flush', this.#context.shared.limits.streamIdleTimeoutMs);
  }

  responseComplete(reusable: boolean): void {
    this.#meter.endAttempt(this.#record.timesMs[T.responseLast]!);
    const upstream = this.#upstream!;
    this.#upstream = undefined;
    this.#route!.runtime.leave();
    // A paused connection may hold bytes that nobody has seen.
    upstream.release(reusable && this.#body.done && !this.#downstreamBlocked);
    this.#flush();
  }

  responseInvalid(): void {
    this.fail('upstream_protocol_error');
  }

  // ---- request side

  #readPeer(b: Buffer): void {
    const { peers } = this.#context;
    if (!peers.believes || !isPresent(FIELD.azimuthPeer) || isRepeated(FIELD.azimuthPeer)) return;
    this.#peer = peers.named(
      b.toString('latin1', valueStart(FIELD.azimuthPeer), valueEnd(FIELD.azimuthPeer)),
    );
  }

  /** Fails before anything was sent. Returns where the rest of the bytes begins: at `e`. */
  #refuse(name: FailureName, e: number): number {
    this.fail(name);
    return e;
  }

  /** Sends `prefix` and what of b[p, n) belongs to the body, in one write where it can. */
  #sendBody(b: Buffer, p: number, n: number, nowMs: number, prefix: string): number {
    const body = this.#body;
    const record = this.#record;
    const { socket, connected } = this.#upstream!;
    if (body.done) writeText(socket, prefix);
    else {
      const at = this.#forwardBody(socket, b, p, n, prefix);
      if (at < 0) return n;
      p = at;
    }
    const sentMs = performance.now();
    if (connected) record.timesMs[T.upstreamLast] = sentMs;
    if (this.requestDone) {
      record.timesMs[T.requestLast] = nowMs;
      if (connected) this.#awaitResponse();
    } else if (isBlocked(socket)) {
      this.#upstreamBlocked = true;
      this.#down.pauseRequest();
      // It is the upstream that does not read, so it is the upstream that is late.
      if (connected) this.#awaitResponse();
    } else if (connected) this.#awaitClient(sentMs);
    return p;
  }

  /** Returns the position after what was sent, or -1 when that ended the hop. */
  #forwardBody(socket: Socket, b: Buffer, p: number, n: number, prefix: string): number {
    const body = this.#body;
    // More than one turn only when thousands of tiny chunks came in one read.
    do {
      const at = body.feed(b, p, n);
      if (at === MALFORMED) {
        this.fail('request_malformed');
        return -1;
      }
      this.#record.bytesIn += at - p;
      p = at;
      if (body.totalBytes > this.#context.shared.limits.requestBodyBytes) {
        this.fail('request_body_too_large');
        return -1;
      }
      if (body.kind === BODY_CHUNKED) writeChunk(socket, prefix, b, body.done);
      else writeContent(socket, prefix, b, '');
      prefix = '';
    } while (p < n && !body.done);
    return p;
  }

  /** More of the request is wanted, and upstream would take it. */
  #awaitClient(nowMs: number): void {
    if (this.#relay.begun) return;
    if (this.#awaitsContinue) {
      // The client waits for the upstream's 100, so the upstream is who is waited for.
      this.#awaitResponse();
      return;
    }
    this.#down.setDeadline('body', this.#context.shared.limits.bodyIdleTimeoutMs);
    this.#meter.waitBegin(nowMs);
  }

  #awaitResponse(): void {
    if (!this.#relay.begun) this.#down.setDeadline('response', this.#route!.response_timeout_ms);
  }

  #streamGoesOn(): void {
    this.#down.setDeadline('stream', this.#context.shared.limits.streamIdleTimeoutMs);
  }

  // ---- attempts

  #startAttempt(upstream: UpstreamConnection, nowMs: number): void {
    const { cluster } = this.#route!;
    this.#meter.startAttempt(nowMs, cluster.meshed, upstream.connected);
    this.#upstream = upstream;
    upstream.use(this);
    if (!upstream.connected) this.#down.setDeadline('connect', cluster.connect_timeout_ms);
  }

  /**
   * A kept connection was closed under us before any byte of an answer: a request that has no body
   * and may be repeated goes once more (RFC 9112 9.3.1), to a new connection, so that a second stale
   * one is not met.
   */
  #replay(): void {
    const nowMs = performance.now();
    this.#meter.endAttempt(nowMs);
    this.#upstream!.release(false);
    this.#relay.start();
    const upstream = this.#route!.runtime.connect();
    this.#startAttempt(upstream, nowMs);
    const parentId = attemptSpanId(this.#record.spanId, this.#record.attemptCount);
    const head = this.#head;
    this.#head = head.slice(0, this.#parentAt) + parentId + head.slice(this.#parentAt + 16);
    writeText(upstream.socket, this.#head);
  }

  #dropUpstream(nowMs: number): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    this.#upstream = undefined;
    this.#meter.endAttempt(nowMs);
    this.#route!.runtime.leave();
    upstream.release(false);
  }

  // ---- the end

  /** Waits until the client took the answer, then records. */
  #flush(): void {
    const nowMs = performance.now();
    if (this.downstream.writableLength === 0) {
      this.#finish(nowMs, this.#closeAfter ? 'close' : 'keep');
      return;
    }
    // Bytes in hand that the client does not take: nobody's latency but the client's.
    this.#flushing = true;
    this.#meter.waitBegin(nowMs);
    this.#down.setDeadline('flush', this.#context.shared.limits.streamIdleTimeoutMs);
    const { seq } = this.#record;
    this.downstream.write(NOTHING, (error) => {
      // After an error 'close' follows. `seq` changes with each record: it tells a late callback
      // of a finished hop apart.
      if (error || !this.#flushing || this.#record.seq !== seq) return;
      this.#finish(performance.now(), this.#closeAfter ? 'close' : 'keep');
    });
  }

  #finish(nowMs: number, outcome: Outcome): void {
    const record = this.#record;
    const { shared, lane } = this.#context;
    this.#meter.waitEnd(nowMs);
    this.active = false;
    this.#flushing = false;
    record.timesMs[T.downstreamLast] = nowMs;
    record.loopDelayMs = shared.deadlines.lateTotalMs - this.#lateAtStartMs;
    record.clientAddress = this.#down.truncatedAddress;
    shared.recorder.inFlight--;
    // Only a host that the route names: any other is the client's invention.
    const route = this.#route;
    const host = route === undefined || route.hosts.length === 0 ? '' : this.#hostRoutes!.host;
    const shape = this.#shapes.of(route, this.#peer, this.#method, this.isHttp10, host);
    shared.recorder.record(lane, shape, record);
    this.#down.exchangeFinished(outcome === 'keep' && !this.#body.done ? 'close' : outcome);
  }
}

const NOTHING = Buffer.alloc(0);
