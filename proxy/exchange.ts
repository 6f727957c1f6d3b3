/**
 * One hop: a request, its attempts, its answer and its record. One Exchange per downstream
 * connection, used again for each of its requests, so that a request costs no objects.
 *
 *   open ──► begin: route, trace context, head ──► attempt 1 ──► answer ──► flush ──► record
 *     │                    │                          │ └─(pooled connection was closing)─► attempt 2
 *     └──► refuse          └──► fail ◄────────────────┘
 *
 * Says what happens and in which order; the parts do the work: request-body.ts and
 * response-relay.ts carry the two messages, attempts.ts has the upstream, hop-meter.ts the record.
 *
 * Every request ends in `#finish` (or as a tunnel) exactly once, whatever happened to it, and is
 * recorded there. Client wait is booked from the moment when only the client can move things on.
 */
import type { Socket } from 'node:net';
import { FUNCTIONS, T } from '../telemetry/hop-record.ts';
import type { EncodedShape } from '../telemetry/span-writer.ts';
import { Attempts } from './attempts.ts';
import {
  BODY_LENGTH,
  BODY_NONE,
  isPresent,
  isRepeated,
  parsed,
  valueEnd,
  valueIs,
  valueStart,
} from './codec/fields.ts';
import { isBlocked, writeText, writtenBytes } from './codec/output.ts';
import { requestLine } from './codec/request-head.ts';
import { FIELD } from './codec/tables.ts';
import { HopMeter } from './hop-meter.ts';
import type { Downstream, Outcome } from './downstream-port.ts';
import { ShapeMemo, type CompiledRoute, type ListenerContext } from './listener-context.ts';
import type { Peer } from './peer.ts';
import { RequestBody, TOO_LARGE } from './request-body.ts';
import { hashOfPath, hasDotSegment, isSafe } from './request-rules.ts';
import {
  errorTypeOfStatus,
  FAILURES,
  optionsAnswer,
  ownAnswer,
  type Failure,
  type FailureName,
} from './rescue.ts';
import { ResponseRelay, type RelayOwner } from './response-relay.ts';
import { NO_METHOD, NO_ROUTE, type HostRoutes } from './router.ts';
import { Tunnel } from './tunnel.ts';
import type { UpstreamUser } from './upstream.ts';
import {
  asked,
  isCountedDown,
  maxForwards,
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
  readonly isEdge: boolean;
  readonly #meter = new HopMeter();
  readonly #record = this.#meter.record;
  readonly #body: RequestBody;
  readonly #relay: ResponseRelay;
  readonly #attempts: Attempts;

  /** Between `open` and the record. */
  active = false;
  isHead = false;
  isHttp10 = false;
  protocols: readonly string[] = [];
  #method = '';
  #path = '';
  #hostRoutes: HostRoutes<CompiledRoute> | undefined;
  #route: CompiledRoute | undefined;
  #peer: Peer;
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
    this.isEdge = context.isEdge;
    this.#peer = context.peers.unnamed;
    this.#body = new RequestBody(context.shared.limits.requestBodyBytes);
    this.#relay = new ResponseRelay(this);
    this.#attempts = new Attempts(this, this.#meter);
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
    this.#body.reset();
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
    this.#body.start(bodyKind, bodyBytes, undefined);
    if (this.#body.done) record.timesMs[T.requestLast] = nowMs;

    const routes = asked.host === '' ? router.hostless : router.routesOf(asked.host);
    if (routes === undefined || hasDotSegment(asked.path)) {
      return this.#refuse('request_malformed', e);
    }
    this.#hostRoutes = routes;
    this.#readPeer(b);
    // `*` asks about the server that is asked, so nobody else can answer.
    if (asked.path === '*') return this.#answerOptions([], e);
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
    const expects = !this.isHttp10 && isPresent(FIELD.expect);
    if (expects && (isRepeated(FIELD.expect) || !valueIs(b, FIELD.expect, '100-continue'))) {
      return this.#refuse('expectation_failed', e);
    }
    if (isCountedDown(asked.method)) {
      // A TRACE would show a client outside what the mesh adds to its request.
      if (context.isEdge && asked.method === 'TRACE') return this.#refuse('method_not_allowed', e);
      const left = maxForwards(b);
      if (Number.isNaN(left)) return this.#refuse('request_malformed', e);
      if (left === 0) {
        if (asked.method === 'TRACE') return this.#refuse('method_not_allowed', e);
        return this.#answerOptions(router.methodsFor(routes, asked.path), e);
      }
    }

    const restarted = readTrace(b, context.isEdge, record);
    const tracedMs = performance.now();
    record.phaseNs[TRACE_CONTEXT] = (tracedMs - routedMs) * 1e6;
    writeUpstreamHead(b, head, s, context, route, record, restarted, this.#down.forwardedLines);
    const { text, parentAt, trailers } = upstreamHead;
    this.protocols = upstreamHead.protocols;
    this.#awaitsContinue = expects;
    if (trailers !== undefined) this.#body.start(bodyKind, bodyBytes, trailers);

    if (!route.runtime.enter()) return this.#refuse('upstream_overflow', e);
    const sendMs = performance.now();
    record.phaseNs[HYGIENE] = (sendMs - tracedMs) * 1e6;
    const repeatable = bodyKind === BODY_NONE && isSafe(this.#method);
    const upstream = this.#attempts.first(route, text, parentAt, repeatable, sendMs);
    if (!upstream.connected) this.#down.setDeadline('connect', route.cluster.connect_timeout_ms);
    return this.#sendBody(b, e, n, nowMs, text);
  }

  /** Bytes of the request body: b[0, n). Returns as `begin` does. */
  requestData(b: Buffer, n: number): number {
    // Answered already, and only the client is still to take it: the rest is of no use.
    if (this.#attempts.upstream === undefined) return n;
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
    this.#attempts.drop(nowMs);
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
        : [];
    this.#answer(ownAnswer(failure, this.isHead, this.#closeAfter, allow), nowMs);
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
    this.#attempts.upstream?.socket.resume();
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
    const { upstream } = this.#attempts;
    if (upstream === undefined) return;
    if (errorCode === '' && this.#relay.endOfConnection()) return;
    if (!upstream.connected) this.fail('upstream_connect_failed');
    else if (this.#attempts.mayGoAgain) {
      this.#relay.start();
      this.#attempts.again(performance.now());
      this.#down.setDeadline('connect', this.#route!.cluster.connect_timeout_ms);
    } else this.fail(errorCode === 'ECONNRESET' ? 'upstream_reset' : 'upstream_closed');
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
    this.#attempts.upstream?.socket.pause();
    this.#meter.waitBegin(performance.now());
    this.#down.setDeadline('flush', this.#context.shared.limits.streamIdleTimeoutMs);
  }

  responseComplete(reusable: boolean): void {
    this.#attempts.complete(
      this.#record.timesMs[T.responseLast]!,
      // A paused connection may hold bytes that nobody has seen.
      reusable && this.#body.done && !this.#downstreamBlocked,
    );
    this.#flush();
  }

  protocolSwitched(head: string, b: Buffer, p: number, n: number): void {
    const nowMs = performance.now();
    const record = this.#record;
    record.status = SWITCHING_PROTOCOLS;
    record.answeredBy = 'upstream';
    record.streamClass = 'tunnel';
    record.timesMs[T.downstreamFirst] = nowMs;
    this.#meter.attempt.status = SWITCHING_PROTOCOLS;
    const { runtime } = this.#route!;
    const upstream = this.#attempts.detach(record.timesMs[T.responseLast]!);
    writeText(this.downstream, head);
    record.bytesOut += writtenBytes;
    const shape = this.#recordHop(nowMs);
    const tunnel = new Tunnel({
      downstream: this.downstream,
      upstream,
      context: this.#context,
      shape,
      hop: record,
      byteSeen: () =>
        this.#down.setDeadline('tunnel', this.#context.shared.limits.tunnelIdleTimeoutMs),
      onEnded: () => runtime.leave(),
    });
    // What came behind the 101 is of the tunnel already.
    if (n > p) tunnel.upstreamData(b.subarray(p, n), n - p);
    this.#down.tunnelBegins(tunnel);
    if (this.#context.shared.draining) tunnel.drain();
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

  /** Answers OPTIONS by ourselves. Returns as `#refuse` does. */
  #answerOptions(methods: readonly string[], e: number): number {
    this.#record.status = NO_CONTENT;
    this.#record.answeredBy = 'proxy';
    if (!this.#body.done || this.isHttp10) this.#closeAfter = true;
    this.#answer(optionsAnswer(methods, this.#closeAfter), performance.now());
    return e;
  }

  /** Sends `prefix` and what of b[p, n) belongs to the body, in one write where it can. */
  #sendBody(b: Buffer, p: number, n: number, nowMs: number, prefix: string): number {
    const body = this.#body;
    const record = this.#record;
    const { socket, connected } = this.#attempts.upstream!;
    if (body.done) writeText(socket, prefix);
    else {
      const at = body.forward(socket, b, p, n, prefix);
      if (at < 0) {
        record.bytesIn += n - p;
        this.fail(at === TOO_LARGE ? 'request_body_too_large' : 'request_malformed');
        return n;
      }
      record.bytesIn += at - p;
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

  #answer(text: string, nowMs: number): void {
    writeText(this.downstream, text);
    this.#record.timesMs[T.downstreamFirst] = nowMs;
    this.#record.bytesOut += writtenBytes;
    this.#flush();
  }

  #finish(nowMs: number, outcome: Outcome): void {
    this.#recordHop(nowMs);
    this.#down.exchangeFinished(outcome === 'keep' && !this.#body.done ? 'close' : outcome);
  }

  #recordHop(nowMs: number): EncodedShape {
    const record = this.#record;
    const { shared, lane } = this.#context;
    this.#meter.waitEnd(nowMs);
    this.active = false;
    this.#flushing = false;
    record.timesMs[T.downstreamLast] = nowMs;
    // NaN, where nothing was sent, is not longer than anything.
    if (
      nowMs - record.timesMs[T.downstreamFirst]! > shared.limits.streamAfterMs &&
      record.streamClass === ''
    ) {
      record.streamClass = 'stream';
    }
    record.loopDelayMs = shared.deadlines.lateTotalMs - this.#lateAtStartMs;
    record.clientAddress = this.#down.truncatedAddress;
    shared.recorder.inFlight--;
    // Only a host that the route names: any other is the client's invention.
    const route = this.#route;
    const host = route === undefined || route.hosts.length === 0 ? '' : this.#hostRoutes!.host;
    const shape = this.#shapes.of(route, this.#peer, this.#method, this.isHttp10, host);
    shared.recorder.record(lane, shape, record);
    return shape;
  }
}

const NOTHING = Buffer.alloc(0);
const NO_CONTENT = 204;
const SWITCHING_PROTOCOLS = 101;
