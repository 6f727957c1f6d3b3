/**
 * One message in a spool file: a header of 32 bytes, then the message as it was offered. The header
 * has a checksum of its own, so that a damaged body can be passed over by its length and counted,
 * and a damaged header is recovered from by looking for the next MAGIC.
 *
 *     0 magic | 4 version | 5 signal | 6 state | 7 0 | 8 body bytes | 12 items
 *     16 written, Unix ms (8) | 24 CRC-32 of the body | 28 CRC-32 of bytes 0..27, state taken as 0
 *
 * All numbers are little-endian. `state` alone is changed later, in place, by one byte: what was
 * delivered before a process died is not delivered again.
 */
import { crc32 } from 'node:zlib';
import type { OutboundMessage, Signal } from '../exporter.ts';

export const HEADER_BYTES = 32;
/** First bytes of every record: not valid UTF-8, and no start of an OTLP message. */
export const MAGIC = Buffer.from([0xff, 0x41, 0x5a, 0xf5]);
const VERSION = 1;
/** Offset of the state byte in a header, and the values that it takes. */
export const STATE_AT = 6;
export const SETTLED = Buffer.from([1]);

const SIGNALS: readonly Signal[] = ['traces', 'logs'];

export interface RecordHeader {
  readonly signal: Signal;
  /** Delivered or given up before: pass over. */
  readonly settled: boolean;
  readonly bodyBytes: number;
  readonly items: number;
  /** Unix milliseconds. */
  readonly writtenAtMs: number;
  readonly bodyCrc: number;
}

/** The header of a message that is written now. */
export function encodeHeader(message: OutboundMessage, nowMs: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header[4] = VERSION;
  header[5] = SIGNALS.indexOf(message.signal);
  header.writeUInt32LE(message.body.byteLength, 8);
  header.writeUInt32LE(message.items, 12);
  header.writeBigUInt64LE(BigInt(Math.max(0, Math.trunc(nowMs))), 16);
  header.writeUInt32LE(crc32(message.body), 24);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  return header;
}

/** The header at the start of `bytes`; undefined when there is none, or a damaged one. */
export function decodeHeader(bytes: Buffer): RecordHeader | undefined {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 4).equals(MAGIC)) return undefined;
  const covered = Buffer.from(bytes.subarray(0, 28));
  covered[STATE_AT] = 0;
  if (crc32(covered) !== bytes.readUInt32LE(28) || bytes[4] !== VERSION) return undefined;
  const signal = SIGNALS[bytes[5]!];
  if (signal === undefined) return undefined;
  return {
    signal,
    settled: bytes[STATE_AT] !== 0,
    bodyBytes: bytes.readUInt32LE(8),
    items: bytes.readUInt32LE(12),
    writtenAtMs: Number(bytes.readBigUInt64LE(16)),
    bodyCrc: bytes.readUInt32LE(24),
  };
}

/** True when the body is the one that the header was written for. */
export const isIntact = (header: RecordHeader, body: Uint8Array): boolean =>
  body.byteLength === header.bodyBytes && crc32(body) === header.bodyCrc;
