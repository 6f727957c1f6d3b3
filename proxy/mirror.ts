/**
 * Copies of requests (mirroring). A copy goes to another cluster once the request itself was sent and
 * is whole; its answer is thrown away; it is tried once. It is a hop of its own, in a trace of its own
 * that links to the request's, and marked, so that neither it nor anything called on its behalf
 * counts as load (docs/adr/025-mirrored-hops-are-no-load.md).
 *
 *   begin ──► (the body is kept) ──► send ──► answer read and thrown away ──► record
 *     │              └──► skip: too long, or the request ended before it was whole
 *     └──► undefined: not this one, or as many copies are in flight as may
 *
 * Shares nothing with requests: connections, permits and what is known of endpoints are those of copies
 * alone. It never holds anything up: it reads and writes beside the exchange, waits for nobody's
 * body, and whatever becomes of it the exchange is not told.
 */
import { monotonicMs } from '../runtime/clock.ts';
import { T, type HopRecord } from '../telemetry/hop-record.ts';
import { Attempts } from './attempts.ts';
import { writtenBytes } from './codec/output.ts';
import { NEVER, type Deadlined, type Deadlines } from './deadlines.ts';
import { DiscardedAnswer } from './discarded-answer.ts';
import { HopMeter } from './hop-meter.ts';
import type { Mirroring, ProxyShared } from './listener-context.ts';
import type { MirrorSkip } from './mirror-counts.ts';
import type { RecordedShape } from './recorder.ts';
import { Replay } from './replay.ts';
import type { RequestBody } from './request-body.ts';
import { errorTypeOfStatus, FAILURES, failureOfConnect, type FailureName } from './rescue.ts';
import { newMirroredTraceId, traceparentOf } from './trace-context.ts';
import type { UpstreamUser } from './upstream.ts';

export class Mirror implements UpstreamUser, Deadlined {
  readonly #mirroring: Mirroring;
  readonly #shared: ProxyShared;
  readonly #meter = new HopMeter();
  readonly #attempts: Attempts;
  readonly #answer: DiscardedAnswer;
  readonly #deadlines: Deadlines;
  #shape: RecordedShape | undefined;
  #ended = false;
  /** What of the body came so far. */
  readonly body: Replay;
  deadline = NEVER;
  deadlineIndex = -1;

  /** `isHead`: the request is a HEAD. The caller took the permit (`route.runtime.enter`). */
  constructor(mirroring: Mirroring, shared: ProxyShared, isHead: boolean) {
    const { load } = shared;
    this.#mirroring = mirroring;
    this.#shared = shared;
    this.#deadlines = shared.deadlines;
    this.#attempts = new Attempts(this, this.#meter, load);
    this.#answer = new DiscardedAnswer(isHead);
    this.body = new Replay(load);
    this.body.start(mirroring.bodyBytesMax);
  }

  /** The record of the copy: a root of its own trace, linked to the request's hop. */
  open(of: HopRecord, clientAddress: string, nowMs: number): HopRecord {
    this.#meter.open(nowMs);
    const { record } = this.#meter;
    newMirroredTraceId(record.traceId);
    record.linkTraceparent = traceparentOf(of.traceId, of.spanId, 0, of.traceFlags);
    record.traceFlags = of.traceFlags;
    record.configGeneration = of.configGeneration;
    record.deadlineMs = of.deadlineMs;
    record.path = of.path;
    record.clientAddress = clientAddress;
    return record;
  }

  /** Takes the head in `upstreamHead`, which was written for the record of `open`. */
  headWritten(shape: RecordedShape): void {
    this.#shape = shape;
    this.#attempts.prepare(this.#mirroring.route, false);
  }

  /** It is not sent. Only before `send`. */
  skip(reason: MirrorSkip): void {
    this.#ended = true;
    this.#mirroring.counts.skip(reason);
    this.body.clear();
    this.#attempts.drop(monotonicMs());
  }

  /** Sends it: the request, whose body reader is `read`, was read whole. Never throws. */
  send(read: RequestBody): void {
    try {
      this.#send(read, monotonicMs());
    } catch (error) {
      this.#shared.onFault(error);
      this.#fail('internal');
    }
  }

  /** Ends it now, if it has not ended: the process stops, or the listener is gone. */
  cut(): void {
    this.#fail('shutdown');
  }

  onDeadline(): void {
    this.#fail('route_timeout');
  }

  // ---- UpstreamUser

  upstreamConnected(): void {
    const nowMs = monotonicMs();
    this.#attempts.connected();
    this.#meter.connected(nowMs);
    this.#meter.record.timesMs[T.upstreamLast] = nowMs;
  }

  upstreamData(b: Buffer, n: number): void {
    if (this.#ended) return;
    this.#meter.received(monotonicMs());
    try {
      if (!this.#answer.data(b, n)) this.#fail('upstream_protocol_error');
      else if (this.#answer.done) this.#complete(this.#answer.reusable);
    } catch (error) {
      this.#shared.onFault(error);
      this.#fail('internal');
    }
  }

  upstreamDrained(): void {
    // All of it was written at once: there is nothing to go on with.
  }

  upstreamEnded(errorCode: string): void {
    const { upstream } = this.#attempts;
    if (upstream === undefined) return;
    if (errorCode === '' && this.#answer.endOfConnection()) this.#complete(false);
    else if (!upstream.connected) this.#fail(failureOfConnect(errorCode));
    else this.#fail(errorCode === 'ECONNRESET' ? 'upstream_reset' : 'upstream_closed');
  }

  #send(read: RequestBody, nowMs: number): void {
    const upstream = this.#attempts.next(nowMs, -1);
    if (upstream === undefined) {
      this.skip('in_flight');
      return;
    }
    const { counts, live, timeoutMs } = this.#mirroring;
    const { record } = this.#meter;
    counts.sent++;
    live.add(this);
    this.deadline = this.#deadlines.in(timeoutMs);
    this.#deadlines.add(this);
    record.timesMs[T.requestFirst] = nowMs;
    record.timesMs[T.requestLast] = nowMs;
    read.writeWhole(upstream.socket, this.#attempts.head, this.body);
    record.bytesIn = writtenBytes;
    this.body.clear();
    this.#attempts.sent();
    if (upstream.connected) record.timesMs[T.upstreamLast] = monotonicMs();
  }

  // ---- the end

  #complete(reusable: boolean): void {
    const { record } = this.#meter;
    const { status } = this.#answer;
    this.#meter.attempt.status = status;
    record.errorType = errorTypeOfStatus(status);
    this.#attempts.complete(record.timesMs[T.responseLast]!, reusable);
    this.#end(status);
  }

  #fail(name: FailureName): void {
    if (this.#ended) return;
    const { record } = this.#meter;
    const failure = FAILURES[name];
    const { status } = this.#answer;
    this.#mirroring.counts.fail(name);
    if (record.attemptCount > 0) this.#meter.attempt.status = status;
    this.#meter.endsBy(name);
    record.flags |= failure.flagBit;
    record.errorType = name;
    this.#attempts.drop(monotonicMs());
    this.#end(status, failure.status);
  }

  /** `status`: of the answer, 0 when none came; then that of the failure stands in the record. */
  #end(status: number, failed = 0): void {
    this.#ended = true;
    this.#deadlines.remove(this);
    this.#mirroring.live.delete(this);
    const { record } = this.#meter;
    record.status = status === 0 ? failed : status;
    record.answeredBy = status === 0 ? 'proxy' : 'upstream';
    record.timesMs[T.downstreamLast] = monotonicMs();
    this.#shared.recorder.record(this.#shape!, record);
  }
}
