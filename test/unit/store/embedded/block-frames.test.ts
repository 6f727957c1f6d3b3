import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { framed, Unframer } from '../../../../store/embedded/block-frames.ts';
import { cityHash128 } from '../../../../store/embedded/city-hash.ts';
import { ClickHouseFault } from '../../../../store/embedded/clickhouse-fault.ts';

/** A frame as a client makes it. */
function frameOf(
  method: number,
  data: Uint8Array,
  unpackedBytes: number,
  packedBytes = 9 + data.length,
): Buffer {
  const body = Buffer.alloc(9 + data.length);
  body.writeUInt8(method, 0);
  body.writeUInt32LE(packedBytes, 1);
  body.writeUInt32LE(unpackedBytes, 5);
  body.set(data, 9);
  const checksum = Buffer.alloc(16);
  const [low, high] = cityHash128(body);
  checksum.writeBigUInt64LE(low, 0);
  checksum.writeBigUInt64LE(high, 8);
  return Buffer.concat([checksum, body]);
}

async function contentOf(bytes: Buffer, pieceBytes = 65_536): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes)
    pieces.push(bytes.subarray(at, at + pieceBytes));
  const source = Readable.from(pieces);
  const out = new Unframer();
  source.pipe(out);
  return Buffer.concat((await out.toArray()) as Buffer[]);
}

const fails = (bytes: Buffer, code: number): Promise<void> =>
  assert.rejects(contentOf(bytes), (error) => {
    assert.ok(error instanceof ClickHouseFault, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });

describe("frames of ClickHouse's compression", () => {
  const text = Buffer.from('some rows, some rows, some rows\n'.repeat(100));
  // Literals only: valid, if not small.
  const lz4 = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0xf0, bytes.length - 15]), bytes]);

  it('come back as they were written, however they are cut', async () => {
    const large = Buffer.alloc(2_500_000, text);
    assert.deepEqual(await contentOf(framed(large)), large);
    for (const pieceBytes of [1, 24, 25, 26, 1000]) {
      assert.deepEqual(await contentOf(framed(text), pieceBytes), text);
    }
  });

  it('are none for nothing', async () => {
    assert.equal(framed(new Uint8Array(0)).length, 0);
    assert.equal((await contentOf(Buffer.alloc(0))).length, 0);
  });

  it('are read plain, as LZ4 and as ZSTD, one behind the other', async () => {
    const short = text.subarray(0, 200);
    const all = Buffer.concat([
      frameOf(0x02, text, text.length),
      frameOf(0x82, lz4(short), short.length),
      frameOf(0x90, zlib.zstdCompressSync(text), text.length),
    ]);
    assert.deepEqual(await contentOf(all, 100), Buffer.concat([text, short, text]));
  });

  it('are refused when a bit of them is wrong', async () => {
    const frame = frameOf(0x02, text, text.length);
    for (const at of [0, 8, 20, 30, frame.length - 1]) {
      const wrong = Buffer.from(frame);
      wrong[at]! ^= 1;
      // The sizes stand in bytes 17 to 24: a wrong one is found as such.
      if (at === 20) wrong.writeUInt32LE(9 + text.length - 1, 17);
      await fails(wrong, 40);
    }
    await fails(frame.subarray(0, frame.length - 1), 33);
    await fails(frame.subarray(0, 10), 33);
  });

  it('are refused when they do not hold what they say, or too much', async () => {
    await fails(frameOf(0x02, text, text.length + 1), 271);
    await fails(frameOf(0x82, text, 100), 271);
    await fails(frameOf(0x82, lz4(text.subarray(0, 200)), 1_000_000), 271);
    await fails(frameOf(0x90, text, 100), 271);
    await fails(frameOf(0x90, zlib.zstdCompressSync(Buffer.alloc(100_000)), 1000), 271);
    await fails(frameOf(0x02, text, text.length, 8), 271);
    await fails(frameOf(0x02, text, 1 << 30), 307);
    await fails(frameOf(0x02, text, text.length, 1 << 30), 307);
    await fails(frameOf(0x91, text, text.length), 432);
  });
});
