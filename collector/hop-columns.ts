/**
 * The packed attribute `azimuth.hop` into columns. Offsets of late time points are stored as small
 * distances, and a single attempt that follows from the other columns is not stored again: both are
 * what brings a hop to some 60 bytes on disk (see the comments in store/schema/001_spans.sql).
 */
import { HOP_MARKS } from '../telemetry/hop-record.ts';
import { HOP_VERSION, createPackedHop, readHop, type PackedHop } from '../telemetry/packed-hop.ts';
import type { WireCursor } from '../telemetry/protobuf.ts';
import type { SpanColumns } from './columns/spans-table.ts';

/** A time point that was not reached, in a distance column. */
const NOT_REACHED = -1;

export class HopColumns {
  readonly #columns: SpanColumns;
  readonly #hop = createPackedHop();

  constructor(columns: SpanColumns) {
    this.#columns = columns;
  }

  /**
   * Stores the packed hop bytes[start, end) into `row`, whose plain attributes are set already.
   * False when it is of a version that this reader does not know; then nothing but HopVersion is
   * stored. Throws OtlpError.
   */
  set(row: number, cursor: WireCursor, start: number, end: number): boolean {
    const c = this.#columns;
    const version = start < end ? cursor.bytes[start]! : 0;
    c.hopVersion.set(row, version);
    if (version !== HOP_VERSION) return false;
    const hop = this.#hop;
    readHop(cursor, start, end, hop);
    if ((hop.marks & HOP_MARKS.mirrored) !== 0) {
      // The one place that takes copies of requests out of every figure: store/schema/040.
      c.hopVersion.set(row, 0);
      c.mirrorVersion.set(row, version);
    }
    c.seq.set(row, hop.seq);
    this.#setTimes(row, hop);
    c.waitNs.set(row, hop.waitNs);
    c.waitAttemptsNs.set(row, hop.waitAttemptsNs);
    c.backoffNs.set(row, hop.backoffNs);
    c.poolNs.set(row, hop.poolNs);
    c.connectNs.set(row, hop.connectNs);
    c.loopNs.set(row, hop.loopNs);
    c.bytesIn.set(row, hop.bytesIn);
    c.bytesOut.set(row, hop.bytesOut);
    c.flags.set(row, hop.flags);
    c.answeredBy.set(row, hop.answeredBy);
    c.streamClass.set(row, hop.streamClass);
    c.peerKnown.set(row, hop.peerKnown);
    c.peerRole.set(row, hop.peerRole);
    c.configGeneration.set(row, hop.configGeneration);
    c.deadlineMs.set(row, hop.deadlineMsPlusOne);
    c.functions.set(row, hop.functions);
    for (let i = 0; i < hop.phaseIds.length; i++) {
      c.phaseFunction.values.set(c.phaseFunction.append(row), hop.phaseIds[i]!);
      c.phaseNs.values.set(c.phaseNs.append(row), hop.phaseNs[i]!);
    }
    this.#setAttempts(row, hop);
    return true;
  }

  #setTimes(row: number, hop: PackedHop): void {
    const c = this.#columns;
    const durationNs = c.durationNs.at(row);
    c.requestLastNs.set(row, Math.max(hop.requestLastNs, 0));
    c.upstreamFirstNs.set(row, Math.max(hop.upstreamFirstNs, 0));
    c.upstreamLastNs.set(row, distance(hop.upstreamFirstNs, hop.upstreamLastNs));
    c.responseFirstNs.set(row, Math.max(hop.responseFirstNs, 0));
    c.responseLastNs.set(row, distance(hop.responseLastNs, durationNs));
    c.downstreamFirstNs.set(row, distance(hop.downstreamFirstNs, durationNs));
  }

  #setAttempts(row: number, hop: PackedHop): void {
    const c = this.#columns;
    const { attempts } = hop;
    c.attempts.set(row, attempts.length);
    if (attempts.length === 0) return;
    const last = attempts[attempts.length - 1]!;
    c.attemptBits.set(row, last.bits);
    const followsFromColumns =
      attempts.length === 1 &&
      hop.responseLastNs >= 0 &&
      hop.responseLastNs <= c.durationNs.at(row) &&
      last.startNs + last.durationNs === hop.responseLastNs &&
      last.durationNs === c.upstreamNs.at(row) + hop.waitAttemptsNs &&
      last.waitNs === hop.waitAttemptsNs &&
      last.status === c.httpStatus.at(row);
    if (followsFromColumns) return;
    for (const attempt of attempts) {
      c.attemptStartNs.values.set(c.attemptStartNs.append(row), attempt.startNs);
      c.attemptNs.values.set(c.attemptNs.append(row), attempt.durationNs);
      c.attemptWaitNs.values.set(c.attemptWaitNs.append(row), attempt.waitNs);
      c.attemptStatus.values.set(c.attemptStatus.append(row), attempt.status);
      c.attemptBitsEach.values.set(c.attemptBitsEach.append(row), attempt.bits);
    }
  }
}

/** From one offset to a later one; -1 when either was not reached, 0 when they are out of order. */
function distance(fromNs: number, toNs: number): number {
  return fromNs < 0 || toNs < 0 ? NOT_REACHED : Math.max(0, toNs - fromNs);
}
