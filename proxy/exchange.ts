/**
 * One hop: a request, its attempts, its answer and its record. One Exchange per downstream
 * connection, used again for each of its requests, so that a request costs no objects.
 *
 *   open ──► begin: route, trace context, head ──► attempt 1 ──► answer ──► flush ──► record
 *     │                    │                          │ └─(pooled connection was closing)─► attempt 2
 *     └──► refuse          └──► fail ◄────────────────┘
 *
 * Says what happens and in which order; the parts do the work: routed-request.ts judges the request,
 * request-body.ts and response-relay.ts carry the two messages, attempts.ts has the upstream, waits.ts
 * the deadlines, hop-meter.ts the record.
 *
 * Every request ends in `#finish` (or as a tunnel) exactly once, whatever happened to it, and is
 * recorded there. Client wait is booked from the moment when only the client can move things on.
 */
import type { Socket } from 'node:net';
import { monotonicMs } from '../runtime/clock.ts';
import { FUNCTIONS, T } from '../telemetry/hop-record.ts';
import type { RecordedShape } from './recorder.ts';
import { Attempts } from './attempts.ts';
import { BODY_NONE, parsed } from './codec/fields.ts';
import { waitingBytes, writeText, writtenBytes } from './codec/output.ts';
import { parseRequestHead } from './codec/request-head.ts';
import { HopMeter } from './hop-meter.ts';
import type { Downstream, Outcome } from './downstream-port.ts';
import { FilterRun, type FilterOwner, type HeldHead } from './filters/filter-run.ts';
import type { ListenerContext } from './listener-context.ts';
import { RequestBody, TOO_LARGE } from './request-body.ts';
import { forwarded, readForwarded } from './forwarded.ts';
import { isSafe, truncateAddress } from './request-rules.ts';
import {
  allowLine,
  emptyAnswer,
  errorTypeOfStatus,
  FAILURES,
  failureOfConnect,
  isOfLimit,
  ownAnswer,
  refusalLine,
  type Failure,
  type FailureName,
} from './rescue.ts';
import { ResponseRelay, type RelayOwner } from './response-relay.ts';
import { RoutedRequest } from './routed-request.ts';
import { Tunnel } from './tunnel.ts';
import type { UpstreamUser } from './upstream.ts';
import {
  asked,
  readAsked,
  readTrace,
  upstreamHead,
  writeUpstreamHead,
  type HeadChanges,
} from './upstream-request.ts';
import { Waits } from './waits.ts';

const ROUTE = FUNCTIONS.indexOf('route');
const TRACE_CONTEXT = FUNCTIONS.indexOf('trace_context');
const HYGIENE = FUNCTIONS.indexOf('hygiene');
/** FUNCTIONS bits of what `begin` does for every request. */
export const CORE_FUNCTIONS = (1 << ROUTE) | (1 << TRACE_CONTEXT) | (1 << HYGIENE);

export class Exchange implements UpstreamUser, RelayOwner, FilterOwner {
  readonly #down: Downstream;
  readonly #context: ListenerContext;
  readonly downstream: Socket;
  readonly stripResponse: number;
  readonly isEdge: boolean;
  readonly request: RoutedRequest;
  readonly #meter = new HopMeter();
  readonly #record = this.#meter.record;
  readonly #body: RequestBody;
  readonly #relay: ResponseRelay;
  readonly #attempts: Attempts;
  readonly #waits: Waits;
  /** Filters of the request in hand; undefined for one without. */
  filters: FilterRun | undefined;
  /** Kept for the next request that has some. */
  #filterRun: FilterRun | undefined;

  /** Between `open` and the record. */
  active = false;
  #downstreamBlocked = false;
  #flushing = false;
  #closeAfter = false;
  #lateAtStartMs = 0;
  /** Address of the client: of the socket, or as trusted proxies in front of it say. */
  clientAddress = '';
  /** The same as it may be recorded. */
  #client = '';

  constructor(down: Downstream, context: ListenerContext) {
    this.#down = down;
    this.#context = context;
    this.downstream = down.socket;
    this.stripResponse = context.stripResponse;
    this.isEdge = context.isEdge;
    this.request = new RoutedRequest(context, down.isTls, down.id);
    this.#relay = new ResponseRelay(this);
    this.#attempts = new Attempts(this, this.#meter, context.shared.load);
    const { limits } = context.shared;
    this.#waits = new Waits(down, this.#meter, limits);
    this.#body = new RequestBody(down, this.#meter, this.#waits, limits.requestBodyBytes);
  }

  /** All of the request body was read. */
  get requestDone(): boolean {
    return this.#body.done;
  }

  /** The first byte of a request is here. */
  open(nowMs: number): void {
    const { shared } = this.#context;
    this.#meter.open(nowMs);
    this.#record.configGeneration = shared.generation;
    this.active = true;
    this.request.reset();
    this.#downstreamBlocked = false;
    this.#flushing = false;
    this.#closeAfter = false;
    this.clientAddress = this.#down.address;
    this.#client = this.#down.truncatedAddress;
    this.filters = undefined;
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
    const { request } = this;
    const record = this.#record;
    this.#meter.waitEnd(nowMs);
    const head = b.toString('latin1', s, e);
    record.bytesIn += e - s;
    this.#closeAfter = parsed.close || context.draining || this.#down.retiring;
    const { bodyKind, bodyBytes } = parsed;
    this.#body.start(bodyKind, bodyBytes, undefined);
    if (this.#body.done) record.timesMs[T.requestLast] = nowMs;
    const verdict = request.judge(b, head, s, record);
    if (context.trustedHops > 0) this.#readClient(b);
    if (verdict === 'answer_options') {
      return this.#answerEmpty(allowLine(request.allowedMethods()), e);
    }
    if (verdict !== 'carry') return this.#refuse(verdict, e);

    const route = request.route!;
    const restarted = readTrace(b, context.isEdge, record);
    const tracedMs = monotonicMs();
    record.phaseNs[TRACE_CONTEXT] = (tracedMs - request.routedMs) * 1e6;
    const { filters } = route;
    if (filters === undefined) return this.#carry(b, head, s, e, n, nowMs, restarted, tracedMs);
    this.#filterRun ??= new FilterRun(this, this.#down, context.shared.load, record);
    this.filters = this.#filterRun;
    const hasBody = !this.#body.done;
    const held = { b, s, e, n, text: head, atMs: nowMs, restarted, hasBody };
    return this.filters.begin(filters, held);
  }

  /** Bytes of the request body: b[0, n). Returns as `begin` does. */
  requestData(b: Buffer, n: number): number {
    // Answered already, and only the client is still to take it: the rest is of no use.
    if (this.#attempts.upstream === undefined) return n;
    const nowMs = monotonicMs();
    this.#waits.came(n, nowMs);
    return this.#send(b, 0, n, nowMs, '');
  }

  /** Ends the hop by a failure: answers it, or cuts off an answer that had begun. */
  fail(name: FailureName): void {
    this.failBy(FAILURES[name]);
  }

  failBy(failure: Failure): void {
    if (!this.active) return;
    const nowMs = monotonicMs();
    const record = this.#record;
    if (isOfLimit(failure)) this.#context.admission.count(failure.name);
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
    if (!failure.keepAlive || !this.#body.done || this.request.isHttp10) {
      this.#closeAfter = true;
    }
    const allow = failure.status === 405 ? this.request.allowedMethods() : [];
    const { isHead } = this.request;
    // What leaves the mesh says nothing of identities in it.
    const marks = this.isEdge ? '' : refusalLine(failure);
    const lines = marks + (this.filters?.ownLines ?? '');
    this.#answer(ownAnswer(failure, isHead, this.#closeAfter, allow, lines), nowMs);
  }

  /** Ends a hop whose head could not be read to its end; `method` is what it began with. */
  refuseHead(failure: Failure, method: string, bytes: number, nowMs: number): void {
    this.request.noteBroken(method);
    this.#record.bytesIn += bytes;
    this.#meter.waitEnd(nowMs);
    // Where the request ends is not known, so nothing after it can be read as one.
    this.#closeAfter = true;
    this.failBy(failure);
  }

  /** The connection takes no further request. */
  endAfter(): void {
    this.#closeAfter = true;
  }

  /** The client takes bytes again. */
  downstreamDrained(): void {
    if (!this.#downstreamBlocked || this.#flushing) return;
    this.#downstreamBlocked = false;
    const nowMs = monotonicMs();
    this.#meter.waitEnd(nowMs);
    this.#attempts.upstream?.socket.resume();
    if (this.#relay.begun) this.#waits.stream();
    else this.#body.goOn(nowMs);
  }

  // ---- UpstreamUser

  upstreamConnected(): void {
    const nowMs = monotonicMs();
    this.#attempts.connected();
    this.#meter.connected(nowMs);
    if (this.#body.done) this.#record.timesMs[T.upstreamLast] = nowMs;
    this.#body.goOn(nowMs);
  }

  upstreamData(b: Buffer, n: number): void {
    this.#meter.received(monotonicMs());
    if (this.#relay.begun) this.#waits.stream();
    try {
      this.#relay.data(b, n);
    } catch (error) {
      // A fault of ours ends one request, never the process.
      this.#context.shared.onFault(error);
      this.fail('internal');
    }
  }

  upstreamDrained(): void {
    this.#body.upstreamDrained();
  }

  upstreamEnded(errorCode: string): void {
    const { upstream } = this.#attempts;
    if (upstream === undefined) return;
    if (errorCode === '' && this.#relay.endOfConnection()) return;
    if (!upstream.connected) this.fail(failureOfConnect(errorCode));
    else if (this.#attempts.mayGoAgain) {
      this.#relay.start();
      this.#attempts.again(monotonicMs());
      this.#waits.connect();
    } else this.fail(errorCode === 'ECONNRESET' ? 'upstream_reset' : 'upstream_closed');
  }

  // ---- RelayOwner

  responseBegins(status: number, isStream: boolean, endsByClose: boolean): boolean {
    const nowMs = monotonicMs();
    // The answer flows: from here on the hop does not wait for the rest of the request alone.
    this.#meter.waitEnd(nowMs);
    this.#meter.answerBegins(status, isStream ? 'stream' : '', nowMs);
    this.#record.errorType = errorTypeOfStatus(status);
    this.#waits.stream();
    // An answer before the end of the request: what is still to come is not read as a request.
    if (endsByClose || !this.#body.done || this.#context.draining) this.#closeAfter = true;
    return this.#closeAfter;
  }

  interimPassed(): void {
    // The final head is yet to come; the first byte of the answer is its first.
    this.#record.timesMs[T.responseFirst] = NaN;
    this.#waits.forContinue = false;
    if (!this.#body.done) this.#body.goOn(monotonicMs());
  }

  sentDownstream(bytes: number, taken: boolean): void {
    this.#record.bytesOut += bytes;
    if (waitingBytes(this.downstream) > 0) this.#down.answerWaits();
    if (taken || this.#downstreamBlocked) return;
    this.#downstreamBlocked = true;
    this.#attempts.upstream?.socket.pause();
    this.#waits.taken(monotonicMs());
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
    const nowMs = monotonicMs();
    const record = this.#record;
    this.#meter.answerBegins(SWITCHING_PROTOCOLS, 'tunnel', nowMs);
    const upstream = this.#attempts.detach(record.timesMs[T.responseLast]!);
    writeText(this.downstream, head);
    record.bytesOut += writtenBytes;
    const { runtime } = this.request.route!;
    const tunnel = new Tunnel({
      down: this.#down,
      upstream,
      context: this.#context,
      shape: this.#recordHop(nowMs),
      hop: record,
      onEnded: () => runtime.leave(),
    });
    // What came behind the 101 is of the tunnel already.
    if (n > p) tunnel.upstreamData(b.subarray(p, n), n - p);
    this.#down.tunnelBegins(tunnel);
    if (this.#context.draining) tunnel.drain();
  }

  refusedBySidecar(): boolean {
    if (this.request.route?.cluster.tls === undefined) return false;
    // Between two proxies, so it is no answer to the client, who may be welcome.
    this.fail('upstream_identity_refused');
    return true;
  }

  responseInvalid(): void {
    this.fail('upstream_protocol_error');
  }

  // ---- FilterOwner

  readAgain({ b, s, n, text }: HeldHead): void {
    // The same bytes, so the same outcome.
    parseRequestHead(b, s, n);
    readAsked(b, text, s);
    if (this.#context.trustedHops > 0) this.#readClient(b);
  }

  filtersPassed({ b, text, s, e, n, atMs, restarted }: HeldHead): number {
    const run = this.filters!;
    this.#body.limitTo(run.changes.bodyBytesMax);
    const changes = run.headChanges(this.request.route!.cluster.role);
    return this.#carry(b, text, s, e, n, atMs, restarted, monotonicMs(), changes);
  }

  filtersRefused({ e }: HeldHead, failure: FailureName): number {
    return this.#refuse(failure, e);
  }

  filtersAnswered({ e }: HeldHead): number {
    return this.#answerEmpty(this.filters!.ownLines, e);
  }

  filterBroke(error: unknown): void {
    this.#context.shared.onFault(error);
    this.fail('internal');
  }

  // ---- request side

  /** Who the client is where proxies of ours stand between it and the socket. */
  #readClient(b: Buffer): void {
    const { address, isTls } = this.#down;
    readForwarded(b, address, isTls, asked.host, this.#context.trustedHops);
    this.clientAddress = forwarded.chain[0]!;
    this.#client = truncateAddress(this.clientAddress);
  }

  /** Sends the request just parsed on its way. Returns as `begin` does. */
  #carry(
    b: Buffer,
    head: string,
    s: number,
    e: number,
    n: number,
    nowMs: number,
    restarted: boolean,
    sinceMs: number,
    changes?: HeadChanges,
  ): number {
    const context = this.#context;
    const { request } = this;
    const record = this.#record;
    const route = request.route!;
    const { bodyKind, bodyBytes } = parsed;
    writeUpstreamHead(b, head, s, context, route, record, restarted, this.#down, changes);
    const { text, parentAt, trailers } = upstreamHead;
    request.protocols = upstreamHead.protocols;
    if (trailers !== undefined) this.#body.start(bodyKind, bodyBytes, trailers);

    if (context.shared.load.isFull) return this.#refuse('overloaded', e);
    if (!route.runtime.enter()) return this.#refuse('upstream_overflow', e);
    const sendMs = monotonicMs();
    record.phaseNs[HYGIENE] = (sendMs - sinceMs) * 1e6;
    const repeatable = bodyKind === BODY_NONE && isSafe(request.method);
    const upstream = this.#attempts.first(route, text, parentAt, repeatable, sendMs);
    if (upstream === undefined) return this.#refuse('upstream_pending_overflow', e);
    this.#waits.start(route, request.expectsContinue);
    if (!upstream.connected) this.#waits.connect();
    return this.#send(b, e, n, nowMs, text);
  }

  /** Fails before anything was sent. Returns where the rest of the bytes begins: at `e`. */
  #refuse(name: FailureName, e: number): number {
    this.fail(name);
    return e;
  }

  /** Answers without content, by ourselves. Returns as `#refuse` does. */
  #answerEmpty(lines: string, e: number): number {
    this.#record.status = NO_CONTENT;
    this.#record.answeredBy = 'proxy';
    if (!this.#body.done || this.request.isHttp10) this.#closeAfter = true;
    this.#answer(emptyAnswer(lines, this.#closeAfter), monotonicMs());
    return e;
  }

  /** As RequestBody.send, with its refusals acted on: then everything counts as read. */
  #send(b: Buffer, p: number, n: number, nowMs: number, prefix: string): number {
    const at = this.#body.send(this.#attempts.upstream!, b, p, n, nowMs, prefix);
    if (at >= 0) {
      this.#attempts.sent();
      return at;
    }
    this.fail(at === TOO_LARGE ? 'request_body_too_large' : 'request_malformed');
    return n;
  }

  // ---- the end

  /** Waits until the client took the answer, then records. */
  #flush(): void {
    const nowMs = monotonicMs();
    if (waitingBytes(this.downstream) === 0) {
      this.#finish(nowMs, this.#closeAfter ? 'close' : 'keep');
      return;
    }
    // Bytes in hand that the client does not take: nobody's latency but the client's.
    this.#flushing = true;
    this.#waits.taken(nowMs);
    const { seq } = this.#record;
    this.downstream.write(NOTHING, (error) => {
      // After an error 'close' follows. `seq` changes with each record: it tells a late callback
      // of a finished hop apart.
      if (error || !this.#flushing || this.#record.seq !== seq) return;
      this.#finish(monotonicMs(), this.#closeAfter ? 'close' : 'keep');
    });
  }

  #answer(text: string, nowMs: number): void {
    writeText(this.downstream, text);
    if (waitingBytes(this.downstream) > 0) this.#down.answerWaits();
    this.#record.timesMs[T.downstreamFirst] = nowMs;
    this.#record.bytesOut += writtenBytes;
    this.#flush();
  }

  #finish(nowMs: number, outcome: Outcome): void {
    this.#recordHop(nowMs);
    this.#down.exchangeFinished(outcome === 'keep' && !this.#body.done ? 'close' : outcome);
  }

  #recordHop(nowMs: number): RecordedShape {
    const record = this.#record;
    const { shared } = this.#context;
    this.#meter.waitEnd(nowMs);
    this.filters?.end(nowMs);
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
    record.clientAddress = this.#client;
    shared.recorder.inFlight--;
    const shape = this.request.shape(this.filters);
    shared.recorder.record(shape, record);
    return shape;
  }
}

const NOTHING = Buffer.alloc(0);
const NO_CONTENT = 204;
const SWITCHING_PROTOCOLS = 101;
