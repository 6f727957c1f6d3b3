/**
 * One hop: a request, its attempts, its answer and its record. One Exchange per downstream
 * connection, used again for each of its requests, so that a request costs no objects.
 *
 *   open ──► begin: route, trace context, head ──► attempt 1 ──► answer ──► flush ──► record
 *     │                    │                          │ └─(pooled connection was closing)─► attempt 2
 *     └──► refuse          └──► fail ◄────────────────┤
 *                                                     └─(the route retries)─► pause ─► attempt n
 *
 * Says what happens and in which order; the parts do the work: routed-request.ts judges the request,
 * carrier.ts takes it upstream and tries again, response-relay.ts reads the answer, delivery.ts hands
 * it to the client, waits.ts has the deadlines, hop-meter.ts the record.
 *
 * Every request ends in `#finish` (or as a tunnel) exactly once, whatever happened to it, and is
 * recorded there. Client wait is booked from the moment when only the client can move things on.
 */
import type { Socket } from 'node:net';
import { monotonicMs } from '../runtime/clock.ts';
import { FUNCTIONS, T } from '../telemetry/hop-record.ts';
import { Carrier } from './carrier.ts';
import { parsed } from './codec/fields.ts';
import { writeText, writtenBytes } from './codec/output.ts';
import { parseRequestHead } from './codec/request-head.ts';
import { Delivery } from './delivery.ts';
import type { Downstream, Outcome } from './downstream-port.ts';
import { FilterRun, type FilterOwner, type HeldHead } from './filters/filter-run.ts';
import { forwarded, readForwarded } from './forwarded.ts';
import { HopMeter } from './hop-meter.ts';
import type { ListenerContext } from './listener-context.ts';
import { allowLine, emptyAnswer, ownAnswer, refusalLine } from './own-answer.ts';
import type { RecordedShape } from './recorder.ts';
import { RequestBody } from './request-body.ts';
import { truncateAddress } from './request-rules.ts';
import {
  errorTypeOfStatus,
  FAILURES,
  isOfLimit,
  type Failure,
  type FailureName,
} from './rescue.ts';
import { ResponseRelay, type RelayOwner } from './response-relay.ts';
import { RoutedRequest } from './routed-request.ts';
import { isMirroredTrace } from './trace-context.ts';
import { Tunnel } from './tunnel.ts';
import { asked, readAsked, readTrace } from './upstream-request.ts';
import { Waits } from './waits.ts';

const ROUTE = FUNCTIONS.indexOf('route');
const TRACE_CONTEXT = FUNCTIONS.indexOf('trace_context');
const HYGIENE = FUNCTIONS.indexOf('hygiene');
/** FUNCTIONS bits of what `begin` does for every request. */
export const CORE_FUNCTIONS = (1 << ROUTE) | (1 << TRACE_CONTEXT) | (1 << HYGIENE);

export class Exchange implements RelayOwner, FilterOwner {
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
  readonly #waits: Waits;
  readonly #carrier: Carrier;
  readonly #delivery: Delivery;
  /** Filters of the request in hand; undefined for one without. */
  filters: FilterRun | undefined;
  /** Kept for the next request that has some. */
  #filterRun: FilterRun | undefined;

  /** Between `open` and the record. */
  active = false;
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
    const meter = this.#meter;
    const { limits } = context.shared;
    const waits = new Waits(down, meter, limits);
    const body = new RequestBody(down, meter, waits, limits.requestBodyBytes);
    const parts = { owner: this, down, context, meter, waits, body, relay: this.#relay };
    this.#waits = waits;
    this.#body = body;
    this.#carrier = new Carrier(parts);
    this.#delivery = new Delivery(down, meter, waits, this.#carrier, (nowMs) => {
      this.#finish(nowMs, this.#closeAfter ? 'close' : 'keep');
    });
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
    this.#closeAfter = false;
    this.clientAddress = this.#down.address;
    this.#client = this.#down.truncatedAddress;
    this.filters = undefined;
    this.#lateAtStartMs = shared.deadlines.lateTotalMs;
    this.#body.reset();
    this.#relay.start();
    this.#delivery.reset();
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
    const leftMs = this.#carrier.limit(b, route, nowMs);
    if (leftMs === 0) return this.#refuse('deadline_exceeded', e);
    const restarted = readTrace(b, context.isEdge, request.mayMark, record);
    if (isMirroredTrace(record.traceId)) request.mirrored = true;
    const tracedMs = monotonicMs();
    record.phaseNs[TRACE_CONTEXT] = (tracedMs - request.routedMs) * 1e6;
    const { filters } = route;
    if (filters === undefined) {
      return this.#carrier.carry(b, head, s, e, n, nowMs, restarted, tracedMs);
    }
    this.#filterRun ??= new FilterRun(this, this.#down, context.shared.load, record);
    this.filters = this.#filterRun;
    const hasBody = !this.#body.done;
    const held = { b, s, e, n, text: head, atMs: nowMs, restarted, hasBody };
    return this.filters.begin(filters, held);
  }

  /** Bytes of the request body: b[0, n). Returns as `begin` does. */
  requestData(b: Buffer, n: number): number {
    return this.#carrier.data(b, n);
  }

  /** The client takes bytes again. */
  downstreamDrained(): void {
    this.#delivery.drained();
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
    this.#meter.endsBy(failure.name);
    this.#carrier.drop(nowMs);
    record.flags |= failure.flagBit;
    record.errorType = failure.name;
    if (failure.status === 0 || this.#relay.begun || this.#delivery.flushing) {
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
    this.#delivery.own(ownAnswer(failure, isHead, this.#closeAfter, allow, lines), nowMs);
  }

  /** The open attempt failed: the request goes once more, or the hop ends by that failure. */
  attemptFails(name: FailureName): void {
    this.#carrier.attemptFails(name);
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

  // ---- RelayOwner

  triesAgain(status: number, reusable: boolean): boolean {
    return this.#carrier.triesAgain(status, reusable);
  }

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
    this.#delivery.sent(bytes, taken);
  }

  responseComplete(reusable: boolean): void {
    this.#delivery.complete(reusable);
  }

  protocolSwitched(head: string, b: Buffer, p: number, n: number): void {
    const nowMs = monotonicMs();
    const record = this.#record;
    this.#meter.answerBegins(SWITCHING_PROTOCOLS, 'tunnel', nowMs);
    const upstream = this.#carrier.handOver();
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

  get peerId(): string {
    return this.request.peerId;
  }

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
    return this.#carrier.carry(b, text, s, e, n, atMs, restarted, monotonicMs(), changes);
  }

  filtersRefused({ e }: HeldHead, failure: Failure): number {
    this.failBy(failure);
    return e;
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
    this.#delivery.own(emptyAnswer(lines, this.#closeAfter), monotonicMs());
    return e;
  }

  // ---- the end

  #finish(nowMs: number, outcome: Outcome): void {
    this.#recordHop(nowMs);
    this.#down.exchangeFinished(outcome === 'keep' && !this.#body.done ? 'close' : outcome);
  }

  #recordHop(nowMs: number): RecordedShape {
    const record = this.#record;
    const { shared } = this.#context;
    this.#meter.waitEnd(nowMs);
    this.#meter.backoffEnd(nowMs);
    this.#carrier.clear();
    this.#delivery.reset();
    this.filters?.end(nowMs);
    this.active = false;
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

const NO_CONTENT = 204;
const SWITCHING_PROTOCOLS = 101;
