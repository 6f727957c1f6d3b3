/**
 * The measuring half of an exchange: keeps the hop's record while the request is on its way - time
 * points, attempts, client wait - so that exchange.ts only says what happens. Holds no sockets and
 * decides nothing.
 *
 * Client wait is booked from the moment when only the client can move things on (`waitBegin`) to
 * the next event of any kind (`waitEnd`). What of it lies within an attempt is booked there too:
 *
 *     wait      [-----------]        [-----]
 *     attempt        |---------------------------|
 *                    [waitMs]        [waitMs]
 */
import {
  ATTEMPT_BITS,
  createHopRecord,
  T,
  withAttemptEnd,
  type AttemptRecord,
  type HopRecord,
  type StreamClass,
} from '../telemetry/hop-record.ts';
import { FLAG_RANDOM, FLAG_SAMPLED, newSpanId, newTraceId } from './trace-context.ts';

export class HopMeter {
  readonly record: HopRecord = createHopRecord();
  /** Start of the client wait that lasts now; 0 = none. */
  #waitSinceMs = 0;
  /** Start of the pause before a retry that lasts now; 0 = none. */
  #backoffSinceMs = 0;
  #attemptOpen = false;

  /** The current attempt; there is one once `startAttempt` was called. */
  get attempt(): AttemptRecord {
    return this.record.attempts[this.record.attemptCount - 1]!;
  }

  /** True when bytes of a response to the current attempt came back. */
  get answered(): boolean {
    return (this.attempt.bits & ATTEMPT_BITS.answered) !== 0;
  }

  /** Begins a record, with a trace of its own until the request names another. */
  open(nowMs: number): void {
    const { record } = this;
    // Loops, since a call of `fill` costs more than so few stores.
    const { timesMs, phaseNs } = record;
    for (let i = 1; i < timesMs.length; i++) timesMs[i] = NaN;
    for (let i = 0; i < phaseNs.length; i++) phaseNs[i] = 0;
    timesMs[T.requestFirst] = nowMs;
    record.waitMs = 0;
    record.backoffMs = 0;
    record.deadlineMs = -1;
    record.bytesIn = 0;
    record.bytesOut = 0;
    record.status = 0;
    record.flags = 0;
    record.answeredBy = '';
    record.streamClass = '';
    record.attemptCount = 0;
    record.errorType = '';
    record.path = '';
    record.traceState = '';
    record.linkTraceparent = '';
    record.parentId[0] = 0;
    record.parentId[1] = 0;
    newTraceId(record.traceId);
    newSpanId(record.spanId);
    record.traceFlags = FLAG_SAMPLED | FLAG_RANDOM;
    this.#waitSinceMs = 0;
    this.#backoffSinceMs = 0;
    this.#attemptOpen = false;
  }

  /** From now on only the client can move the hop on. */
  waitBegin(nowMs: number): void {
    if (this.#waitSinceMs === 0) this.#waitSinceMs = nowMs;
  }

  waitEnd(nowMs: number): void {
    if (this.#waitSinceMs === 0) return;
    const waitedMs = nowMs - this.#waitSinceMs;
    this.#waitSinceMs = 0;
    this.record.waitMs += waitedMs;
    if (this.#attemptOpen) this.attempt.waitMs += waitedMs;
  }

  /** Begins attempt `attemptCount` + 1. */
  startAttempt(nowMs: number, isMeshed: boolean, isPooled: boolean): void {
    const { record } = this;
    if (record.attemptCount > 0) {
      // These three are of the last attempt.
      record.timesMs[T.upstreamLast] = NaN;
      record.timesMs[T.responseFirst] = NaN;
      record.timesMs[T.responseLast] = NaN;
    }
    const attempt = (record.attempts[record.attemptCount++] ??= {
      startMs: 0,
      endMs: 0,
      waitMs: 0,
      connectMs: 0,
      status: 0,
      bits: 0,
    });
    attempt.startMs = nowMs;
    attempt.endMs = nowMs;
    attempt.waitMs = 0;
    attempt.connectMs = 0;
    attempt.status = 0;
    attempt.bits = (isMeshed ? ATTEMPT_BITS.meshed : 0) | (isPooled ? ATTEMPT_BITS.pooled : 0);
    this.#attemptOpen = true;
    if (isPooled) this.#sentFirst(nowMs);
  }

  /** The attempt's connection stands; what was written before leaves now. */
  connected(nowMs: number): void {
    this.attempt.connectMs = nowMs - this.attempt.startMs;
    this.#sentFirst(nowMs);
  }

  /** Bytes of a response came. */
  received(nowMs: number): void {
    const { timesMs } = this.record;
    if (Number.isNaN(timesMs[T.responseFirst])) {
      timesMs[T.responseFirst] = nowMs;
      this.attempt.bits |= ATTEMPT_BITS.answered;
    }
    timesMs[T.responseLast] = nowMs;
  }

  /** A head of the upstream's that ends the waiting for one is about to be passed on. */
  answerBegins(status: number, streamClass: StreamClass, nowMs: number): void {
    const { record } = this;
    record.status = status;
    record.answeredBy = 'upstream';
    record.streamClass = streamClass;
    record.timesMs[T.downstreamFirst] = nowMs;
    this.attempt.status = status;
  }

  /** The open attempt ends by the failure of this name, unless it had another end already. */
  endsBy(name: string): void {
    if (this.#attemptOpen) this.attempt.bits = withAttemptEnd(this.attempt.bits, name);
  }

  /** From now on the hop pauses before it goes again. */
  backoffBegin(nowMs: number): void {
    // Whoever is waited for, it is not the client.
    this.waitEnd(nowMs);
    this.#backoffSinceMs = nowMs;
  }

  /** The pause is over. Safe to call twice. */
  backoffEnd(nowMs: number): void {
    if (this.#backoffSinceMs === 0) return;
    this.record.backoffMs += nowMs - this.#backoffSinceMs;
    this.#backoffSinceMs = 0;
  }

  /** Ends the attempt, if one is open. Safe to call twice. */
  endAttempt(nowMs: number): void {
    if (!this.#attemptOpen) return;
    const waiting = this.#waitSinceMs !== 0;
    this.waitEnd(nowMs);
    this.attempt.endMs = nowMs;
    this.#attemptOpen = false;
    // A wait that goes on is split here: the rest of it lies behind the attempt.
    if (waiting) this.waitBegin(nowMs);
  }

  #sentFirst(nowMs: number): void {
    const { timesMs } = this.record;
    if (Number.isNaN(timesMs[T.upstreamFirst])) timesMs[T.upstreamFirst] = nowMs;
  }
}
