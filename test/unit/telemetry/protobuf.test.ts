/** The checked wire primitives, against protobufjs and against hostile bytes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { OtlpError, putVarint, varintLength, WireCursor } from '../../../telemetry/protobuf.ts';

const refusal =
  (reason: string, byteOffset?: number) =>
  (error: unknown): boolean =>
    error instanceof OtlpError &&
    error.reason === reason &&
    (byteOffset === undefined || error.byteOffset === byteOffset);

describe('varint', () => {
  it('is written as protobufjs writes it, in as many bytes as announced', () => {
    fc.assert(
      fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (value) => {
        const out = Buffer.alloc(16);
        const end = putVarint(out, 3, value);
        assert.equal(end - 3, varintLength(value));
        const theirs = protobuf.Writer.create().uint64(value).finish();
        assert.deepEqual(out.subarray(3, end), Buffer.from(theirs));
      }),
    );
  });

  it('is read back to 64 bits, as two words', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const bytes: number[] = [];
        for (let rest = value; ; rest >>= 7n) {
          bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
          if (rest <= 127n) break;
        }
        const cursor = new WireCursor().reset(Buffer.from(bytes));
        cursor.varint(bytes.length);
        assert.equal((BigInt(cursor.high) << 32n) | BigInt(cursor.low), value);
        assert.equal(cursor.position, bytes.length);
      }),
    );
  });

  it('is refused when it has more than ten bytes or runs past the end', () => {
    const long = new WireCursor().reset(Buffer.alloc(12, 0xff));
    assert.throws(() => long.varint(12), refusal('varint'));
    const cut = new WireCursor().reset(Buffer.from([0x80, 0x80]));
    assert.throws(() => cut.varint(2), refusal('truncated'));
  });
});

describe('WireCursor', () => {
  it('refuses a length that reaches past its parent, and names the byte', () => {
    const cursor = new WireCursor().reset(Buffer.from([0x05, 1, 2, 3, 4, 5, 6]));
    assert.throws(() => cursor.lengthDelimited(4), refusal('length'));
  });

  it('refuses groups, which OTLP never used', () => {
    for (const wireType of [3, 4, 6, 7]) {
      const cursor = new WireCursor().reset(Buffer.from([(1 << 3) | wireType, 0]));
      assert.throws(() => cursor.skip(cursor.tag(2), 2), refusal('wire_type'));
    }
  });

  it('refuses field number 0', () => {
    const cursor = new WireCursor().reset(Buffer.from([0x02, 0]));
    assert.throws(() => cursor.tag(2), refusal('tag'));
  });
});
