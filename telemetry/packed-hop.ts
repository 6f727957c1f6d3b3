/**
 * The packed attribute `azimuth.hop`: every fact of a hop that has no plain attribute, in about 60
 * bytes. docs/HOP-FORMAT.md is its byte table; a test reads the worked example there.
 *
 * A version byte, then unsigned varints, append-only: readers ignore bytes behind what they know and
 * read missing trailing numbers as 0. So a new field goes to the end; anything else is a new version.
 * The writer runs per hop and allocates nothing; the reader refuses what cannot be.
 */
import { PEER_KNOWN, PEER_ROLES } from './edge-class.ts';
import type { HopRecord, HopShape } from './hop-record.ts';
import { ANSWERED_BY, ATTEMPTS_MAX, FUNCTIONS, HOP_MARKS, STREAM_CLASSES } from './hop-record.ts';
import { computeHopTimes, createHopTimes, type HopTimes } from './hop-times.ts';
import { OtlpError, putVarint, WireCursor } from './protobuf.ts';

export const HOP_VERSION = 1;

/** Most phases that a reader takes: more functions than will ever be named. */
const PHASES_MAX = 64;
const WORD_MAX = 4294967295;

/** Bytes that a packed hop can take at most: 25 numbers, all phases, all attempts, 8 bytes each, and the version. */
export const PACKED_HOP_BYTES_MAX = 1 + 8 * (25 + 2 * FUNCTIONS.length + 5 * ATTEMPTS_MAX);

/** One attempt as read from the packed form. Nanoseconds; `bits` as ATTEMPT_BITS. */
export interface PackedAttempt {
  startNs: number;
  durationNs: number;
  waitNs: number;
  status: number;
  bits: number;
}

/** A decoded packed hop. All times in nanoseconds, offsets from the start of the span; -1 = not reached. */
export interface PackedHop {
  version: number;
  seq: number;
  requestLastNs: number;
  upstreamFirstNs: number;
  upstreamLastNs: number;
  responseFirstNs: number;
  responseLastNs: number;
  downstreamFirstNs: number;
  waitNs: number;
  waitAttemptsNs: number;
  backoffNs: number;
  poolNs: number;
  connectNs: number;
  loopNs: number;
  bytesIn: number;
  bytesOut: number;
  /** Bit n = RESPONSE_FLAGS[n]; below 2^32. */
  flags: number;
  /** Index of ANSWERED_BY. */
  answeredBy: number;
  /** Index of STREAM_CLASSES; a number that this version does not know reads as 0. */
  streamClass: number;
  /** Index of PEER_KNOWN. */
  peerKnown: number;
  /** Index of PEER_ROLES; a number that this version does not know reads as 0. */
  peerRole: number;
  configGeneration: number;
  /** Milliseconds left of the caller's deadline plus one; 0 = none. As in the column DeadlineMs. */
  deadlineMsPlusOne: number;
  /** Bit n = FUNCTIONS[n]; below 2^32. */
  functions: number;
  /** Pairs: index of FUNCTIONS and nanoseconds, at the same index. */
  phaseIds: number[];
  phaseNs: number[];
  attempts: PackedAttempt[];
  /** HOP_MARKS. */
  marks: number;
}

const indexOf = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name, i) => [name, i])) as Record<Name, number>;
const ANSWERED_BY_NUMBER = indexOf(ANSWERED_BY);
const STREAM_CLASS_NUMBER = indexOf(STREAM_CLASSES);
const PEER_KNOWN_NUMBER = indexOf(PEER_KNOWN);
const PEER_ROLE_NUMBER = indexOf(PEER_ROLES);

const scratchTimes = createHopTimes();

/**
 * Packs a hop into `out` from `at` on and returns the position after it. There must be room for
 * PACKED_HOP_BYTES_MAX. A record without a start gives a hop whose times are all zero.
 */
export function encodeHop(record: HopRecord, shape: HopShape, out: Uint8Array, at: number): number {
  if (!computeHopTimes(record, scratchTimes)) Object.assign(scratchTimes, createHopTimes());
  return encodeHopTimes(record, scratchTimes, shape, out, at);
}

/** As encodeHop, with the times already computed: the span writer needs them for itself too. */
export function encodeHopTimes(
  record: HopRecord,
  times: HopTimes,
  shape: HopShape,
  out: Uint8Array,
  at: number,
): number {
  let p = at;
  out[p++] = HOP_VERSION;
  p = putVarint(out, p, count(record.seq));
  const offsets = times.offsetNs;
  for (let i = 1; i < 7; i++) p = putVarint(out, p, offsets[i]! + 1);
  p = putVarint(out, p, times.waitNs);
  p = putVarint(out, p, times.waitAttemptsNs);
  p = putVarint(out, p, times.backoffNs);
  p = putVarint(out, p, times.poolNs);
  p = putVarint(out, p, count(times.connectNs));
  p = putVarint(out, p, times.loopNs);
  p = putVarint(out, p, count(record.bytesIn));
  p = putVarint(out, p, count(record.bytesOut));
  p = putVarint(out, p, record.flags >>> 0);
  out[p++] =
    ANSWERED_BY_NUMBER[record.answeredBy] |
    (STREAM_CLASS_NUMBER[record.streamClass] << 2) |
    (PEER_KNOWN_NUMBER[shape.peerKnown] << 4);
  out[p++] = PEER_ROLE_NUMBER[shape.peerRole];
  p = putVarint(out, p, record.configGeneration >>> 0);
  p = putVarint(
    out,
    p,
    record.deadlineMs >= 0 ? Math.min(count(record.deadlineMs), WORD_MAX - 1) + 1 : 0,
  );
  p = putVarint(out, p, shape.functions >>> 0);

  const { phaseNs } = record;
  const phaseCountAt = p++;
  let phases = 0;
  for (let i = 0; i < FUNCTIONS.length; i++) {
    const spentNs = phaseNs[i]!;
    if (spentNs > 0) {
      out[p++] = i;
      p = putVarint(out, p, count(spentNs));
      phases++;
    }
  }
  out[phaseCountAt] = phases;

  out[p++] = times.attemptCount;
  for (let i = 0; i < times.attemptCount; i++) {
    const attempt = record.attempts[i]!;
    p = putVarint(out, p, times.attemptStartNs[i]!);
    p = putVarint(out, p, times.attemptNs[i]!);
    p = putVarint(out, p, times.attemptWaitNs[i]!);
    p = putVarint(out, p, attempt.status & 0xffff);
    p = putVarint(out, p, attempt.bits & 0xff);
  }
  // Nearly no hop has any, and 0 is what a reader takes for a number that is missing at the end.
  if (shape.mirrored === true) p = putVarint(out, p, HOP_MARKS.mirrored);
  return p;
}

/** A count as it may be written: an integer from 0 to 2^53 - 1, whatever came. */
function count(value: number): number {
  if (value < 4294967296) return value >= 0 ? Math.floor(value) : 0;
  return value <= Number.MAX_SAFE_INTEGER ? Math.floor(value) : value > 0 ? 2 ** 53 - 1 : 0;
}

/** An empty PackedHop for `readHop` to fill again and again. */
export function createPackedHop(): PackedHop {
  return {
    version: 0,
    seq: 0,
    requestLastNs: -1,
    upstreamFirstNs: -1,
    upstreamLastNs: -1,
    responseFirstNs: -1,
    responseLastNs: -1,
    downstreamFirstNs: -1,
    waitNs: 0,
    waitAttemptsNs: 0,
    backoffNs: 0,
    poolNs: 0,
    connectNs: 0,
    loopNs: 0,
    bytesIn: 0,
    bytesOut: 0,
    flags: 0,
    answeredBy: 0,
    streamClass: 0,
    peerKnown: 0,
    peerRole: 0,
    configGeneration: 0,
    deadlineMsPlusOne: 0,
    functions: 0,
    phaseIds: [],
    phaseNs: [],
    attempts: [],
    marks: 0,
  };
}

/** Decodes bytes[start, end) into a new object. Throws OtlpError as readHop does. */
export function decodeHop(bytes: Uint8Array, start = 0, end: number = bytes.length): PackedHop {
  const hop = createPackedHop();
  readHop(new WireCursor().reset(bytes), start, end, hop);
  return hop;
}

/**
 * Decodes the packed hop in the cursor's bytes[start, end) into `hop`. Throws OtlpError: `hop_version`
 * for another version or no byte at all, `truncated` or `varint` on malformed bytes, `range` for a
 * number past 2^53, flags past 32 bits, more than ATTEMPTS_MAX attempts.
 */
export function readHop(cursor: WireCursor, start: number, end: number, hop: PackedHop): void {
  if (start >= end || cursor.bytes[start] !== HOP_VERSION) {
    const version = start < end ? cursor.bytes[start] : undefined;
    throw new OtlpError('hop_version', start, `packed hop of version ${version ?? 'none'}`);
  }
  cursor.position = start + 1;
  hop.version = HOP_VERSION;
  readLeading(cursor, end);
  hop.seq = leading[0]!;
  hop.requestLastNs = leading[1]! - 1;
  hop.upstreamFirstNs = leading[2]! - 1;
  hop.upstreamLastNs = leading[3]! - 1;
  hop.responseFirstNs = leading[4]! - 1;
  hop.responseLastNs = leading[5]! - 1;
  hop.downstreamFirstNs = leading[6]! - 1;
  hop.waitNs = leading[7]!;
  hop.waitAttemptsNs = leading[8]!;
  hop.backoffNs = leading[9]!;
  hop.poolNs = leading[10]!;
  hop.connectNs = leading[11]!;
  hop.loopNs = leading[12]!;
  hop.bytesIn = leading[13]!;
  hop.bytesOut = leading[14]!;
  hop.flags = word(cursor, end);
  const kinds = number(cursor, end);
  hop.answeredBy = kinds & 3;
  hop.streamClass = known((kinds >>> 2) & 3, STREAM_CLASSES.length);
  hop.peerKnown = (kinds >>> 4) & 3;
  hop.peerRole = known(number(cursor, end), PEER_ROLES.length);
  hop.configGeneration = word(cursor, end);
  hop.deadlineMsPlusOne = number(cursor, end);
  hop.functions = word(cursor, end);

  const phases = number(cursor, end);
  if (phases > PHASES_MAX) {
    cursor.fail('range', cursor.position, `a hop of ${phases} phases`);
  }
  // Setting a length costs as much as three numbers, also when it stays the same.
  if (hop.phaseIds.length !== phases) hop.phaseIds.length = hop.phaseNs.length = phases;
  for (let i = 0; i < phases; i++) {
    hop.phaseIds[i] = exact(cursor, end, 255);
    hop.phaseNs[i] = exact(cursor, end);
  }

  const attempts = number(cursor, end);
  if (attempts > ATTEMPTS_MAX) {
    cursor.fail('range', cursor.position, `a hop of ${attempts} attempts`);
  }
  for (let i = 0; i < attempts; i++) {
    const attempt = (hop.attempts[i] ??= {
      startNs: 0,
      durationNs: 0,
      waitNs: 0,
      status: 0,
      bits: 0,
    });
    attempt.startNs = exact(cursor, end);
    attempt.durationNs = exact(cursor, end);
    attempt.waitNs = exact(cursor, end);
    attempt.status = exact(cursor, end, 65535);
    attempt.bits = exact(cursor, end, 255);
  }
  if (hop.attempts.length !== attempts) hop.attempts.length = attempts;
  hop.marks = word(cursor, end);
}

/** The numbers that every hop begins with, up to its bytes; one reader at a time. */
const leading = new Float64Array(15);

/** Reads them as `number` does, in one loop: they are most of a hop, and most have up to four bytes. */
function readLeading(cursor: WireCursor, end: number): void {
  const { bytes } = cursor;
  let p = cursor.position;
  for (let i = 0; i < leading.length; i++) {
    const roomy = p + 4 <= end;
    let value = 0;
    let shift = 0;
    let byte = 128;
    let q = p;
    while (roomy && byte > 127 && shift < 28) {
      byte = bytes[q++]!;
      value |= (byte & 127) << shift;
      shift += 7;
    }
    if (byte < 128) {
      leading[i] = value;
      p = q;
      continue;
    }
    cursor.position = p;
    leading[i] = number(cursor, end);
    p = cursor.position;
  }
  cursor.position = p;
}

/** The next number, or 0 where the bytes end: an older writer did not know the field. */
function number(cursor: WireCursor, end: number): number {
  const at = cursor.position;
  if (at >= end) return 0;
  // Most of them are zero or small; this halves the time of a hop.
  const byte = cursor.bytes[at]!;
  if (byte > 127) return exact(cursor, end);
  cursor.position = at + 1;
  return byte;
}

function word(cursor: WireCursor, end: number): number {
  const value = number(cursor, end);
  if (value > WORD_MAX) cursor.fail('range', cursor.position, `a number above ${WORD_MAX}`);
  return value;
}

/** The next number, which has to be there and be at most `most`. */
function exact(cursor: WireCursor, end: number, most: number = Number.MAX_SAFE_INTEGER): number {
  const at = cursor.position;
  const value = cursor.varint(end);
  if (value > most) cursor.fail('range', at, `a number above ${most}`);
  return value;
}

const known = (value: number, names: number): number => (value < names ? value : 0);
