import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { createLog } from '../../../../runtime/log.ts';
import { createCodecs, readSnappy } from '../../../../transport/kafka/codecs.ts';
import { readLz4Frames } from '../../../../transport/kafka/lz4-frame.ts';
import { seededRandom } from '../../../helpers/prng.ts';

const MEBIBYTE = 1024 * 1024;
/** Bytes before the records of a record batch, version 2. */
const BATCH_HEADER_BYTES = 61;

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../../fixtures/kafka/${name}.bin`, import.meta.url));
/** The first batch's records, as they are in the segment (compressed). */
const records = (name: string): Buffer => {
  const segment = fixture(name);
  return segment.subarray(BATCH_HEADER_BYTES, 12 + segment.readInt32BE(8));
};

describe('Kafka codecs', () => {
  const readers: Record<string, (input: Buffer) => Buffer> = {
    gzip: (input) => gunzipSync(input),
    snappy: (input) => readSnappy(input),
    lz4: (input) => readLz4Frames(input, MEBIBYTE),
    zstd: (input) => zstdDecompressSync(input),
  };
  for (const [codec, read] of Object.entries(readers)) {
    it(`reads a stock Collector's ${codec} batch: the same size as its batch without a codec`, () => {
      const inflated = read(records(`recordbatch-${codec}`));
      // One record: its length, then attributes and deltas, no key, the value, no headers.
      assert.equal(inflated.length, records('recordbatch-none').length);
      assert.ok(inflated.includes(Buffer.from('http.request.method')));
    });
  }

  it("reads snappy in Xerial's framing, several blocks", () => {
    const block = records('recordbatch-snappy');
    const head = Buffer.alloc(4);
    head.writeUInt32BE(block.length);
    const header = Buffer.from('82534e41505059000000000100000001', 'hex');
    const plain = readSnappy(block);
    const framed = Buffer.concat([header, head, block, head, block]);
    assert.deepEqual(readSnappy(framed), Buffer.concat([plain, plain]));
    assert.throws(() => readSnappy(framed.subarray(0, -1)), /longer than the batch/);
    assert.throws(() => readSnappy(framed, plain.length + 1), /too big/);
  });

  it('holds no more than twice a batch, also after one that grew more than a thousandfold', async () => {
    const log = createLog({ write: () => undefined });
    const random = seededRandom(7);
    const small = Buffer.from(Array.from({ length: 100_000 }, () => random() * 256));
    for (const [type, pack] of [
      [1, gzipSync],
      [4, zstdCompressSync],
    ] as const) {
      const codec = createCodecs(log).get(type)!;
      const large = await codec.decompress(pack(Buffer.alloc(8 * MEBIBYTE)));
      assert.equal(large.length, 8 * MEBIBYTE);
      const inflated = await codec.decompress(pack(small));
      assert.deepEqual(inflated, small);
      assert.ok(inflated.buffer.byteLength <= 2 * small.length, `${inflated.buffer.byteLength}`);
    }
  });

  it('refuses to inflate beyond the limit', () => {
    assert.throws(() => readSnappy(records('recordbatch-snappy'), 100), /too big/);
    assert.throws(() => readLz4Frames(lz4Bomb(2 * MEBIBYTE), MEBIBYTE), /beyond/);
    assert.equal(readLz4Frames(lz4Bomb(2 * MEBIBYTE), 4 * MEBIBYTE).length, 2 * MEBIBYTE + 5);
  });

  it('ends in an error or in bytes, never elsewhere, whatever LZ4 and snappy bytes are damaged', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    for (const [name, read] of [
      ['lz4', (input: Buffer) => readLz4Frames(input, MEBIBYTE)],
      ['snappy', (input: Buffer) => readSnappy(input, MEBIBYTE)],
    ] as const) {
      const whole = records(`recordbatch-${name}`);
      let refused = 0;
      for (let run = 0; run < 500; run++) {
        const damaged = Buffer.from(whole.subarray(0, 1 + Math.floor(random() * whole.length)));
        for (let n = 0; n < 3; n++)
          damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256);
        try {
          assert.ok(read(damaged).length <= MEBIBYTE, `seed ${seed}`);
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof RangeError), `seed ${seed}`);
          refused++;
        }
      }
      assert.ok(refused > 100, `${name}: only ${refused} refused, seed ${seed}`);
    }
  });

  it('hands a batch that cannot be inflated on as records that no reader takes for OTLP', async () => {
    const lines: string[] = [];
    const zstd = createCodecs(createLog({ json: true, write: (line) => lines.push(line) })).get(4)!;
    for (const bad of [Buffer.from('garbage'), zstdCompressSync(Buffer.alloc(65 * MEBIBYTE))]) {
      const standIns = await zstd.decompress(bad);
      // length, attributes, timestamp delta, offset delta 0, key -1, value length, value
      assert.deepEqual([...standIns.subarray(1, 5)], [0, 0, 0, 1]);
      assert.equal(standIns[6], 0, 'the value starts with an impossible protobuf tag');
    }
    assert.equal(lines.filter((line) => line.includes('cannot be inflated')).length, 2);
  });
});

/** One frame, one block: a literal, a match of all that follows, and five literals at the end. */
function lz4Bomb(bytes: number): Buffer {
  const length = bytes - 1 - 19;
  const more = [...Buffer.alloc(Math.floor(length / 255), 255), length % 255];
  const block = Buffer.from([0x1f, 0x61, 1, 0, ...more, 0x50, 1, 2, 3, 4, 5]);
  const blockBytes = Buffer.alloc(4);
  blockBytes.writeUInt32LE(block.length);
  return Buffer.concat([Buffer.from('04224d18604082', 'hex'), blockBytes, block, Buffer.alloc(4)]);
}
