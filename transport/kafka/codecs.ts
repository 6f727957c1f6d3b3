/**
 * The compression codecs of kafkajs: gzip and zstd both ways (what we send), snappy and LZ4 for
 * reading, because others write to the same topics (a stock OpenTelemetry Collector by default
 * with none or whatever its operator chose).
 *
 * Inflating is bounded, and a batch that cannot be inflated must never stop its partition: kafkajs
 * would fail the whole fetch, for all partitions, at the same offset for ever. So it is handed on
 * as records that say so, which the pipeline dead-letters like any other bytes it cannot read.
 */
import kafkajs from 'kafkajs';
import { promisify } from 'node:util';
import { gunzip, zstdDecompress } from 'node:zlib';
import { uncompress } from 'snappyjs';
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import { compress } from '../compression.ts';
import { readLz4Frames } from './lz4-frame.ts';

const { CompressionCodecs, CompressionTypes } = kafkajs;

/**
 * A record batch is at most 1 MB on the wire by the broker's default, and telemetry shrinks to a
 * twentieth at best; what inflates to more than this is an attack or a mistake.
 */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024;
/** Size of the first piece to inflate into, before anything is known. */
const FIRST_PIECE_BYTES = 256 * 1024;
const PIECE_BYTES = { min: 16 * 1024, max: 8 * 1024 * 1024 } as const;

/** Most records that stand in for one batch that cannot be inflated; a batch holds 1 in practice. */
const STAND_IN_RECORDS = 65_536;

/** First byte 0: no OTLP protobuf and no JSON starts with it, so that every reader refuses it. */
const STAND_IN_VALUE = Buffer.from('\0this record batch could not be inflated; see the log');

const inflateZstd = promisify(zstdDecompress);
const inflateGzip = promisify(gunzip);

/** Header of Xerial's snappy framing, as the Java client writes it; others write raw blocks. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
/** Magic, version, compatible version. */
const XERIAL_HEADER_BYTES = 16;

/**
 * Inflates snappy in either framing.
 * @throws Error when the bytes are damaged or inflate beyond `bytesMax`.
 */
export function readSnappy(input: Buffer, bytesMax = INFLATED_BYTES_MAX): Buffer {
  if (!input.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC))
    return uncompress(input, bytesMax);
  const blocks: Buffer[] = [];
  let inflated = 0;
  for (let at = XERIAL_HEADER_BYTES; at < input.length;) {
    if (at + 4 > input.length) throw new Error('snappy: cut short in a block length');
    const bytes = input.readUInt32BE(at);
    at += 4;
    if (at + bytes > input.length) throw new Error('snappy: a block is longer than the batch');
    const block = uncompress(input.subarray(at, at + bytes), bytesMax - inflated);
    blocks.push(block);
    inflated += block.length;
    at += bytes;
  }
  return Buffer.concat(blocks);
}

/** What kafkajs asks of a codec. */
interface Codec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(input: Buffer): Promise<Buffer>;
}

/** The codecs by the number that Kafka gives them: 1 gzip, 2 snappy, 3 LZ4, 4 zstd. */
export function createCodecs(log: Log): ReadonlyMap<number, Codec> {
  const bounded =
    (name: string, inflate: (input: Buffer) => Promise<Buffer> | Buffer) =>
    async (input: Buffer): Promise<Buffer> => {
      try {
        return await inflate(input);
      } catch (error) {
        log.error('a record batch cannot be inflated; it goes to the dead letters', {
          codec: name,
          bytes: input.length,
          error: messageOf(error),
        });
        return standInRecords();
      }
    };
  const readOnly = (name: string, inflate: (input: Buffer) => Promise<Buffer> | Buffer): Codec => ({
    compress: () => Promise.reject(new Error(`${name} is read only here; send zstd`)),
    decompress: bounded(name, inflate),
  });
  const bothWays = (name: 'gzip' | 'zstd', inflate: (input: Buffer) => Promise<Buffer>): Codec => ({
    compress: async ({ buffer }) => {
      const { buffer: bytes, byteOffset, byteLength } = await compress(buffer, name);
      return Buffer.from(bytes, byteOffset, byteLength);
    },
    decompress: bounded(name, inflate),
  });
  return new Map<number, Codec>([
    [CompressionTypes.GZIP, bothWays('gzip', inOnePiece(inflateGzip))],
    [CompressionTypes.Snappy, readOnly('snappy', (input) => readSnappy(input))],
    [CompressionTypes.LZ4, readOnly('lz4', (input) => readLz4Frames(input, INFLATED_BYTES_MAX))],
    [CompressionTypes.ZSTD, bothWays('zstd', inOnePiece(inflateZstd))],
  ]);
}

type Inflate = (
  input: Buffer,
  options: { maxOutputLength: number; chunkSize: number },
) => Promise<Buffer>;

/**
 * Inflates into one buffer that is large enough, as far as the batches before tell how much this one
 * grows. Each further piece is a trip to the thread pool and back, and all of them are copied into
 * one in the end: with Node's 16 KiB a span of ours costs more than twice the CPU (measured).
 */
function inOnePiece(inflate: Inflate): (input: Buffer) => Promise<Buffer> {
  let growth = 0;
  return async (input) => {
    const guess = growth === 0 ? FIRST_PIECE_BYTES : Math.ceil(1.1 * growth * input.length);
    const chunkSize = Math.min(Math.max(guess, PIECE_BYTES.min), PIECE_BYTES.max);
    const inflated = await inflate(input, { maxOutputLength: INFLATED_BYTES_MAX, chunkSize });
    growth = Math.max(0.98 * growth, inflated.length / input.length);
    // A view would hold all of a piece that was guessed too large, for as long as a message waits.
    return 2 * inflated.length < inflated.buffer.byteLength ? Buffer.from(inflated) : inflated;
  };
}

/** Registers the codecs with kafkajs, which keeps them for the process. Safe to call twice. */
export function registerCodecs(log: Log): void {
  const table = CompressionCodecs as Record<number, () => Codec>;
  for (const [type, codec] of createCodecs(log)) table[type] = () => codec;
}

let standIns: Buffer | undefined;

/**
 * Records in Kafka's encoding, one per offset of the batch. How many the batch has stands in its
 * header, which a codec does not see; kafkajs reads as many of these as it says.
 */
function standInRecords(): Buffer {
  standIns ??= Buffer.concat(
    Array.from({ length: STAND_IN_RECORDS }, (_, offsetDelta) => {
      const fields = Buffer.concat([
        Buffer.from([0, 0]), // attributes, timestamp delta
        zigzag(offsetDelta),
        zigzag(-1), // no key
        zigzag(STAND_IN_VALUE.length),
        STAND_IN_VALUE,
        zigzag(0), // no headers
      ]);
      return Buffer.concat([zigzag(fields.length), fields]);
    }),
  );
  return standIns;
}

function zigzag(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
