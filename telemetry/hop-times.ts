/**
 * From a hop's monotonic readings (milliseconds with a fraction) to the integer nanoseconds that
 * stand in the record. Here, and only here, is the normative own time computed:
 *
 *     Duration = Wait + Upstream + Backoff + Own, exactly, no part negative
 *
 *     |--own--|-----attempt 1-----|--back-off--|---attempt 2---|--own--|
 *                  [wait in it]
 *     client wait comes first wherever it lies, so an attempt counts without the wait inside it
 *
 * Each reading is rounded once (ns(x) = round(x * 1e6)) and everything else is a difference of such
 * integers, so that nothing can come out a nanosecond short. The hot path calls this per hop: no
 * allocation.
 */
import { ATTEMPTS_MAX, type HopRecord } from './hop-record.ts';

/** The one rounding of a monotonic reading, in nanoseconds. */
export const ns = (ms: number): number => Math.round(ms * 1e6);

/** Times of one hop in integer nanoseconds; offsets count from the start. Reused from hop to hop. */
export interface HopTimes {
  /** ns() of the first byte received: add the clock's anchor for Unix time. */
  startNs: number;
  durationNs: number;
  /** Offsets of TIME_POINTS[1..6] at the same index; -1 = not reached; 0 and 7 are the start and the end. */
  readonly offsetNs: Float64Array;
  waitNs: number;
  /** The part of waitNs that lies within attempts. */
  waitAttemptsNs: number;
  backoffNs: number;
  /** Sum over the attempts of duration without the wait in it. */
  upstreamNs: number;
  ownNs: number;
  poolNs: number;
  /** Sum over the attempts. */
  connectNs: number;
  loopNs: number;
  attemptCount: number;
  readonly attemptStartNs: Float64Array;
  readonly attemptNs: Float64Array;
  readonly attemptWaitNs: Float64Array;
  readonly attemptConnectNs: Float64Array;
}

export function createHopTimes(): HopTimes {
  return {
    startNs: 0,
    durationNs: 0,
    offsetNs: new Float64Array(8),
    waitNs: 0,
    waitAttemptsNs: 0,
    backoffNs: 0,
    upstreamNs: 0,
    ownNs: 0,
    poolNs: 0,
    connectNs: 0,
    loopNs: 0,
    attemptCount: 0,
    attemptStartNs: new Float64Array(ATTEMPTS_MAX),
    attemptNs: new Float64Array(ATTEMPTS_MAX),
    attemptWaitNs: new Float64Array(ATTEMPTS_MAX),
    attemptConnectNs: new Float64Array(ATTEMPTS_MAX),
  };
}

/** A length of time in nanoseconds; what is not a number, or negative, is none. */
const lengthNs = (ms: number): number => (ms > 0 && ms < 9e9 ? Math.round(ms * 1e6) : 0);

/** An offset within the hop; a reading outside of it (the client went while the upstream still sent) is cut to it. */
function within(ms: number, startNs: number, durationNs: number, otherwise: number): number {
  const offset = Math.round(ms * 1e6) - startNs;
  if (offset >= 0) return offset <= durationNs ? offset : durationNs;
  return offset < 0 ? 0 : otherwise;
}

/**
 * Fills `times` from `record`. Returns false, with `times` in no defined state, when the record has
 * no finite start: nothing can be said about such a hop.
 *
 * Where readings contradict each other the parts are cut, never the sum: attempts are cut to the
 * hop, the wait within one to the attempt; if the parts then still exceed the duration, wait outside
 * attempts gives way first, then back-off, then attempt time (which only attempts that overlap can
 * need). Wait inside an attempt never gives way alone: the attempt would grow by as much.
 */
export function computeHopTimes(record: HopRecord, times: HopTimes): boolean {
  const { timesMs } = record;
  const startNs = Math.round(timesMs[0]! * 1e6);
  if (!Number.isSafeInteger(startNs)) return false;
  const lastNs = Math.round(timesMs[7]! * 1e6);
  const durationNs = lastNs > startNs && lastNs - startNs < 9e15 ? lastNs - startNs : 0;
  times.startNs = startNs;
  times.durationNs = durationNs;
  const offsets = times.offsetNs;
  offsets[0] = 0;
  offsets[7] = durationNs;
  for (let i = 1; i < 7; i++) offsets[i] = within(timesMs[i]!, startNs, durationNs, -1);

  let upstreamNs = 0;
  let waitAttemptsNs = 0;
  let connectNs = 0;
  const given = record.attemptCount > 0 ? record.attemptCount : 0;
  const count = Math.min(given, ATTEMPTS_MAX, record.attempts.length);
  for (let i = 0; i < count; i++) {
    const attempt = record.attempts[i]!;
    const begun = within(attempt.startMs, startNs, durationNs, durationNs);
    const ended = within(attempt.endMs, startNs, durationNs, durationNs);
    const attemptNs = ended > begun ? ended - begun : 0;
    const waitNs = Math.min(lengthNs(attempt.waitMs), attemptNs);
    times.attemptStartNs[i] = begun;
    times.attemptNs[i] = attemptNs;
    times.attemptWaitNs[i] = waitNs;
    upstreamNs += attemptNs - waitNs;
    waitAttemptsNs += waitNs;
    times.attemptConnectNs[i] = lengthNs(attempt.connectMs);
    connectNs += times.attemptConnectNs[i]!;
  }
  times.attemptCount = count;

  let backoffNs = lengthNs(record.backoffMs);
  let waitOutsideNs = Math.max(0, lengthNs(record.waitMs) - waitAttemptsNs);
  let over = waitAttemptsNs + waitOutsideNs + backoffNs + upstreamNs - durationNs;
  if (over > 0) {
    const fromWait = Math.min(over, waitOutsideNs);
    waitOutsideNs -= fromWait;
    over -= fromWait;
    const fromBackoff = Math.min(over, backoffNs);
    backoffNs -= fromBackoff;
    over -= fromBackoff;
    const fromUpstream = Math.min(over, upstreamNs);
    upstreamNs -= fromUpstream;
    waitAttemptsNs -= over - fromUpstream;
  }
  times.waitAttemptsNs = waitAttemptsNs;
  times.waitNs = waitAttemptsNs + waitOutsideNs;
  times.backoffNs = backoffNs;
  times.upstreamNs = upstreamNs;
  times.ownNs = durationNs - times.waitNs - backoffNs - upstreamNs;
  times.poolNs = lengthNs(record.poolMs);
  times.connectNs = connectNs;
  times.loopNs = lengthNs(record.loopDelayMs);
  return true;
}
