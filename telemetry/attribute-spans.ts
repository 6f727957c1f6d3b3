/**
 * `hop_format: attributes`: all facts of a hop as plain attributes, and a CLIENT span per attempt,
 * for backends that do not unpack `azimuth.hop`. Convenience before speed: this format is for other
 * people's tools; the packed one is for ours.
 */
import type { HopRecord, HopShape } from './hop-record.ts';
import { ATTEMPT_BITS, attemptEnd, FUNCTIONS, RESPONSE_FLAGS, TIME_POINTS } from './hop-record.ts';
import type { HopTimes } from './hop-times.ts';
import { MessageWriter } from './message-writer.ts';
import { ATTR, PLAIN_HOP } from './names.ts';

/** Names of the bits that are set, lowest first. */
export const bitNames = (bits: number, names: readonly string[]): string[] =>
  names.filter((_, i) => ((bits >>> i) & 1) === 1);

/** Attributes of the SERVER span, as field 9 of a Span each. */
export function plainHopAttributes(record: HopRecord, times: HopTimes, shape: HopShape): Buffer {
  const writer = new MessageWriter();
  const int = (key: string, value: number): void => {
    writer.attribute(
      9,
      key,
      BigInt(Math.trunc(value > 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0)),
    );
  };
  const text = (key: string, value: string): void => {
    if (value !== '') writer.attribute(9, key, value);
  };
  int(PLAIN_HOP.seq, record.seq);
  for (let i = 1; i < 7; i++) {
    const offset = times.offsetNs[i]!;
    if (offset >= 0) int(`${PLAIN_HOP.timePrefix}${TIME_POINTS[i]!}_ns`, offset);
  }
  int(PLAIN_HOP.waitNs, times.waitNs);
  int(PLAIN_HOP.waitAttemptsNs, times.waitAttemptsNs);
  int(PLAIN_HOP.backoffNs, times.backoffNs);
  int(PLAIN_HOP.poolNs, times.poolNs);
  int(PLAIN_HOP.connectNs, times.connectNs);
  int(PLAIN_HOP.loopNs, times.loopNs);
  int(PLAIN_HOP.bytesIn, record.bytesIn);
  int(PLAIN_HOP.bytesOut, record.bytesOut);
  text(PLAIN_HOP.flags, bitNames(record.flags, RESPONSE_FLAGS).join(','));
  text(PLAIN_HOP.answeredBy, record.answeredBy);
  text(PLAIN_HOP.streamClass, record.streamClass);
  text(PLAIN_HOP.peerKnown, shape.peerKnown);
  text(PLAIN_HOP.peerRole, shape.peerRole);
  int(PLAIN_HOP.configGeneration, record.configGeneration);
  if (record.deadlineMs >= 0) int(PLAIN_HOP.deadlineMs, record.deadlineMs);
  text(PLAIN_HOP.functions, bitNames(shape.functions, FUNCTIONS).join(','));
  FUNCTIONS.forEach((name, i) => {
    const spentNs = record.phaseNs[i]!;
    if (spentNs > 0) int(`${PLAIN_HOP.phasePrefix}${name}_ns`, spentNs);
  });
  return writer.finish();
}

/** CLIENT spans of all attempts, as field 2 of a ScopeSpans each; span id = the hop's XOR n, n from 1. */
export function attemptSpans(
  record: HopRecord,
  times: HopTimes,
  shape: HopShape,
  anchorNs: bigint,
): Buffer {
  const writer = new MessageWriter();
  const traceId = idBytes(record.traceId);
  const hopId = idBytes(record.spanId);
  for (let i = 0; i < times.attemptCount; i++) {
    const attempt = record.attempts[i]!;
    const spanId = Buffer.from(hopId);
    spanId[7] = spanId[7]! ^ (i + 1);
    const startNs = anchorNs + BigInt(times.startNs + times.attemptStartNs[i]!);
    writer.begin(2).bytes(1, traceId).bytes(2, spanId).bytes(4, hopId);
    writer.string(5, shape.method).varint(6, 3);
    writer.fixed64(7, startNs).fixed64(8, startNs + BigInt(times.attemptNs[i]!));
    writer.attribute(9, ATTR.method, shape.method);
    if (shape.serverAddress !== '') writer.attribute(9, ATTR.serverAddress, shape.serverAddress);
    if (shape.target !== '') writer.attribute(9, ATTR.target, shape.target);
    if (shape.mirrored === true) writer.attribute(9, ATTR.mirrored, true);
    if (attempt.status > 0) writer.attribute(9, ATTR.status, BigInt(attempt.status));
    writer.attribute(9, ATTR.attempt, BigInt(i + 1));
    if (i > 0) writer.attribute(9, ATTR.resendCount, BigInt(i));
    writer.attribute(9, ATTR.attemptWaitNs, BigInt(times.attemptWaitNs[i]!));
    writer.attribute(9, ATTR.attemptConnectNs, BigInt(times.attemptConnectNs[i]!));
    writer.attribute(9, ATTR.attemptMeshed, (attempt.bits & ATTEMPT_BITS.meshed) !== 0);
    writer.attribute(9, ATTR.attemptAnswered, (attempt.bits & ATTEMPT_BITS.answered) !== 0);
    writer.attribute(9, ATTR.attemptPooled, (attempt.bits & ATTEMPT_BITS.pooled) !== 0);
    const end = attemptEnd(attempt.bits);
    if (end !== '') writer.attribute(9, ATTR.attemptEnd, end);
    // Semantic conventions: to a client 4xx is an error too.
    if (attempt.status === 0 || attempt.status >= 400) {
      const errorType = attempt.status === 0 ? end || record.errorType : String(attempt.status);
      if (errorType !== '') writer.attribute(9, ATTR.errorType, errorType);
      writer.begin(15).varint(3, 2).end();
    }
    // The parent is the hop's own span, in this process.
    writer.fixed32(16, (record.traceFlags & 0xff) | 0x100).end();
  }
  return writer.finish();
}

/** An id as its bytes, from big-endian words. */
export function idBytes(words: Uint32Array): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => bytes.writeUInt32BE(word, i * 4));
  return bytes;
}
