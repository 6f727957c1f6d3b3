/**
 * W3C Trace Context level 2: reads `traceparent`, makes ids. Works on bytes and 32-bit words, so
 * that continuing a trace makes no strings but the one that is sent on.
 */
import { randomFillSync } from 'node:crypto';
import { MIRRORED_TRACE } from '../telemetry/names.ts';
import { HEX } from './codec/tables.ts';

export const FLAG_SAMPLED = 1;
/** The trace id was made at random (level 2). */
export const FLAG_RANDOM = 2;

/** `00-` trace id `-` parent id `-` flags. */
const TRACEPARENT_BYTES = 55;
const DASH = 45;

/** The last valid traceparent; overwritten by the next. */
export const incoming = {
  traceId: new Uint32Array(4),
  parentId: new Uint32Array(2),
  /** Only the flags that level 2 defines. */
  flags: 0,
};

/** Reads b[start, end) into `incoming`. False when it is not a valid traceparent. */
export function parseTraceparent(b: Uint8Array, start: number, end: number): boolean {
  const bytes = end - start;
  if (bytes < TRACEPARENT_BYTES) return false;
  const version = hexByte(b, start);
  // Version 255 is forbidden; later versions may append fields after another dash.
  if (version < 0 || version === 255) return false;
  if (version === 0 && bytes !== TRACEPARENT_BYTES) return false;
  if (bytes > TRACEPARENT_BYTES && b[start + TRACEPARENT_BYTES] !== DASH) return false;
  if (b[start + 2] !== DASH || b[start + 35] !== DASH || b[start + 52] !== DASH) return false;
  const { traceId, parentId } = incoming;
  let traceBits = 0;
  for (let i = 0; i < 4; i++) {
    const word = hexWord(b, start + 3 + i * 8);
    if (word < 0) return false;
    traceId[i] = word;
    traceBits |= word;
  }
  let parentBits = 0;
  for (let i = 0; i < 2; i++) {
    const word = hexWord(b, start + 36 + i * 8);
    if (word < 0) return false;
    parentId[i] = word;
    parentBits |= word;
  }
  const flags = hexByte(b, start + 53);
  if (flags < 0 || traceBits === 0 || parentBits === 0) return false;
  incoming.flags = flags & (FLAG_SAMPLED | FLAG_RANDOM);
  return true;
}

/** Lower-case hexadecimal only, as the specification asks. -1 otherwise. */
function hexDigit(byte: number): number {
  return byte > 64 && byte < 71 ? -1 : HEX[byte]!;
}

function hexByte(b: Uint8Array, at: number): number {
  const high = hexDigit(b[at]!);
  const low = hexDigit(b[at + 1]!);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexWord(b: Uint8Array, at: number): number {
  let word = 0;
  for (let i = 0; i < 8; i++) {
    const digit = hexDigit(b[at + i]!);
    if (digit < 0) return -1;
    word = word * 16 + digit;
  }
  return word;
}

/** Where in a `traceparent` the trace id and the parent id begin; they have 32 and 16 digits. */
export const TRACE_AT = 3;
export const PARENT_AT = 36;

const DIGITS = Buffer.from('0123456789abcdef');
const written = Buffer.from(`00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`);

/**
 * The `traceparent` that names attempt n of a hop as parent, or with 0 the hop: the span id of an attempt
 * is the hop's XOR n. Written as bytes: as text each digit would be a string of its own on the way.
 */
export function traceparentOf(
  traceId: Uint32Array,
  spanId: Uint32Array,
  attempt: number,
  flags: number,
): string {
  for (let i = 0; i < 4; i++) putWord(TRACE_AT + 8 * i, traceId[i]!);
  putWord(PARENT_AT, spanId[0]!);
  putWord(PARENT_AT + 8, spanId[1]! ^ attempt);
  written[53] = DIGITS[(flags >>> 4) & 15]!;
  written[54] = DIGITS[flags & 15]!;
  return written.toString('latin1');
}

function putWord(at: number, word: number): void {
  for (let i = 7; i >= 0; i--) {
    written[at + i] = DIGITS[word & 15]!;
    word >>>= 4;
  }
}

// xoshiro128**, seeded by the system: ids must be spread evenly, not secret, and a system call per
// request would cost more than parsing it.
const state = randomFillSync(new Uint32Array(4));
if (state.every((word) => word === 0)) state[0] = 1;

function randomWord(): number {
  const s1 = state[1]!;
  const r = Math.imul(s1, 5);
  const result = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
  const t = s1 << 9;
  state[2]! ^= state[0]!;
  state[3]! ^= s1;
  state[1]! ^= state[2]!;
  state[0]! ^= state[3]!;
  state[2]! ^= t;
  const s3 = state[3]!;
  state[3] = (s3 << 11) | (s3 >>> 21);
  return result;
}

/** Fills in a new random trace id. */
export function newTraceId(into: Uint32Array): void {
  for (let i = 0; i < 4; i++) into[i] = randomWord();
  // All zero is no id; once in 2^96 is often enough to say so.
  if (into[0] === 0 && into[1] === 0 && into[2] === 0) into[0] = 1;
}

/** Fills in a new trace id of a copy of a request. */
export function newMirroredTraceId(into: Uint32Array): void {
  newTraceId(into);
  into[0] = MIRRORED_TRACE[0];
  into[1] = MIRRORED_TRACE[1];
}

/** True for a trace of a copy of a request; for one made at random once in 2^64. */
export const isMirroredTrace = (traceId: Uint32Array): boolean =>
  traceId[0] === MIRRORED_TRACE[0] && traceId[1] === MIRRORED_TRACE[1];

/** Fills in a new span id whose low 4 bits are 0: attempt n is this id XOR n. */
export function newSpanId(into: Uint32Array): void {
  into[0] = randomWord() | 1;
  into[1] = randomWord() & ~15;
}
