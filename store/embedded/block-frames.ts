/**
 * ClickHouse's own compression over HTTP (`compress=1`, `decompress=1`), as clickhouse-go and with it
 * Grafana's plugin speak it: the bytes are cut into frames, each with a checksum.
 *
 *     checksum 16 │ method 1 │ size of method, sizes and data 4 │ size when unpacked 4 │ data
 *
 * Read: LZ4, ZSTD and plain. Written: plain only, which every reader of frames takes; the other side
 * is near, so packing would cost more than it saves.
 */
import { Transform, type TransformCallback } from 'node:stream';
import zlib from 'node:zlib';
import { cityHash128 } from './city-hash.ts';
import { ClickHouseFault } from './clickhouse-fault.ts';
import { unpackLz4 } from './lz4-block.ts';

const CHECKSUM_BYTES = 16;
/** Method and both sizes. */
const HEAD_BYTES = 9;
const METHODS = { plain: 0x02, lz4: 0x82, zstd: 0x90 } as const;

/** ClickHouse's min_compress_block_size is 64 KiB, its greatest block 1 MiB. */
const WRITE_BYTES = 1024 * 1024;

/** A writer puts a whole block of rows into one frame: tens of megabytes. Bounds what one request holds. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;

/** LZ4 cannot pack better than this: a header that claims more lies. */
const LZ4_RATIO_MAX = 255;

/** Frames that hold `bytes`; none for no bytes. */
export function framed(bytes: Uint8Array): Buffer {
  const frames: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += WRITE_BYTES) {
    const data = bytes.subarray(from, from + WRITE_BYTES);
    const frame = Buffer.allocUnsafe(CHECKSUM_BYTES + HEAD_BYTES + data.length);
    frame.writeUInt8(METHODS.plain, CHECKSUM_BYTES);
    frame.writeUInt32LE(HEAD_BYTES + data.length, CHECKSUM_BYTES + 1);
    frame.writeUInt32LE(data.length, CHECKSUM_BYTES + 5);
    frame.set(data, CHECKSUM_BYTES + HEAD_BYTES);
    const [low, high] = cityHash128(frame.subarray(CHECKSUM_BYTES));
    frame.writeBigUInt64LE(low, 0);
    frame.writeBigUInt64LE(high, 8);
    frames.push(frame);
  }
  return Buffer.concat(frames);
}

/**
 * Takes the frames of a request's body and gives their content. Fails with code 40 for a wrong
 * checksum, 271 for a frame that cannot be unpacked, 432 for a method it does not know, 307 for one
 * that is too large, and 33 for an end inside of a frame.
 */
export class Unframer extends Transform {
  #pieces: Buffer[] = [];
  #bytes = 0;

  override _transform(piece: Buffer, _: string, done: TransformCallback): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    try {
      this.#takeFrames();
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    const left = this.#bytes;
    done(
      left === 0
        ? null
        : new ClickHouseFault(33, `the body ends inside of a frame, ${left} bytes in`),
    );
  }

  #takeFrames(): void {
    for (;;) {
      const sizes = this.#sizes();
      if (sizes === undefined) return;
      const frameBytes = CHECKSUM_BYTES + sizes.packed;
      if (this.#bytes < frameBytes) return;
      const all = this.#gathered();
      this.#pieces = all.length > frameBytes ? [all.subarray(frameBytes)] : [];
      this.#bytes = all.length - frameBytes;
      this.push(contentOf(all.subarray(0, frameBytes), sizes.unpacked));
    }
  }

  /** Of the next frame, checked; undefined until its head is there. */
  #sizes(): { packed: number; unpacked: number } | undefined {
    if (this.#bytes < CHECKSUM_BYTES + HEAD_BYTES) return undefined;
    if (this.#pieces[0]!.length < CHECKSUM_BYTES + HEAD_BYTES) this.#gathered();
    const head = this.#pieces[0]!;
    const packed = head.readUInt32LE(CHECKSUM_BYTES + 1);
    const unpacked = head.readUInt32LE(CHECKSUM_BYTES + 5);
    if (packed < HEAD_BYTES) throw new ClickHouseFault(271, `a frame of ${packed} bytes is none`);
    if (packed > FRAME_BYTES_MAX || unpacked > FRAME_BYTES_MAX) {
      throw new ClickHouseFault(
        307,
        `a frame of ${Math.max(packed, unpacked)} bytes is over ${FRAME_BYTES_MAX}: insert fewer rows at once`,
      );
    }
    return { packed, unpacked };
  }

  /** All that is at hand as one piece. Each byte is moved at most once a frame. */
  #gathered(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0]!;
  }
}

function contentOf(frame: Buffer, size: number): Buffer {
  const [low, high] = cityHash128(frame.subarray(CHECKSUM_BYTES));
  if (frame.readBigUInt64LE(0) !== low || frame.readBigUInt64LE(8) !== high) {
    throw new ClickHouseFault(
      40,
      'Checksum of a compressed frame does not match: its bytes are broken',
    );
  }
  const data = frame.subarray(CHECKSUM_BYTES + HEAD_BYTES);
  const method = frame[CHECKSUM_BYTES]!;
  switch (method) {
    case METHODS.plain:
      if (data.length !== size) break;
      return data;
    case METHODS.lz4:
      if (size > LZ4_RATIO_MAX * data.length) break;
      try {
        return unpackLz4(data, size);
      } catch {
        break;
      }
    case METHODS.zstd:
      try {
        const content = zlib.zstdDecompressSync(data, { maxOutputLength: Math.max(1, size) });
        if (content.length === size) return content;
      } catch {
        break;
      }
      break;
    default:
      throw new ClickHouseFault(
        432,
        `compression method 0x${method.toString(16)} is not supported by the embedded store: use LZ4, ZSTD or none`,
      );
  }
  throw new ClickHouseFault(271, 'Cannot decompress: a frame does not hold what its head says');
}
