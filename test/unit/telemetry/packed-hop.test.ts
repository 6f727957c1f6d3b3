import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { PEER_KNOWN, PEER_ROLES } from '../../../telemetry/edge-class.ts';
import { ANSWERED_BY, HOP_MARKS, STREAM_CLASSES } from '../../../telemetry/hop-record.ts';
import { computeHopTimes, createHopTimes } from '../../../telemetry/hop-times.ts';
import {
  decodeHop,
  encodeHop,
  HOP_VERSION,
  PACKED_HOP_BYTES_MAX,
} from '../../../telemetry/packed-hop.ts';
import { OtlpError, WireCursor } from '../../../telemetry/protobuf.ts';
import { SAMPLE_SHAPE, workedHop } from '../../helpers/hop-samples.ts';
import { anyHopRecord, anyHopShape } from '../../helpers/otlp-arbitraries.ts';

function packed(): Buffer {
  const out = Buffer.alloc(PACKED_HOP_BYTES_MAX);
  return out.subarray(0, encodeHop(workedHop(), SAMPLE_SHAPE, out, 0));
}

const refusal =
  (reason: string) =>
  (error: unknown): boolean =>
    error instanceof OtlpError && error.reason === reason;

describe('packed hop', () => {
  it('gives back every fact that was packed', () => {
    fc.assert(
      fc.property(anyHopRecord, anyHopShape, (record, shape) => {
        const out = Buffer.alloc(PACKED_HOP_BYTES_MAX + 7);
        const end = encodeHop(record, shape, out, 7);
        const hop = decodeHop(out, 7, end);
        const times = createHopTimes();
        computeHopTimes(record, times);
        const offsets = [
          hop.requestLastNs,
          hop.upstreamFirstNs,
          hop.upstreamLastNs,
          hop.responseFirstNs,
          hop.responseLastNs,
          hop.downstreamFirstNs,
        ];
        assert.deepEqual(offsets, [...times.offsetNs.slice(1, 7)]);
        assert.equal(hop.version, HOP_VERSION);
        assert.equal(hop.seq, record.seq);
        assert.equal(hop.waitNs, times.waitNs);
        assert.equal(hop.waitAttemptsNs, times.waitAttemptsNs);
        assert.equal(hop.backoffNs, times.backoffNs);
        assert.equal(hop.poolNs, times.poolNs);
        assert.equal(hop.connectNs, Math.min(times.connectNs, 2 ** 53 - 1));
        assert.equal(hop.loopNs, times.loopNs);
        assert.equal(hop.bytesIn, record.bytesIn);
        assert.equal(hop.bytesOut, record.bytesOut);
        assert.equal(hop.flags, record.flags);
        assert.equal(ANSWERED_BY[hop.answeredBy], record.answeredBy);
        assert.equal(STREAM_CLASSES[hop.streamClass], record.streamClass);
        assert.equal(PEER_KNOWN[hop.peerKnown], shape.peerKnown);
        assert.equal(PEER_ROLES[hop.peerRole], shape.peerRole);
        assert.equal(hop.configGeneration, record.configGeneration);
        assert.equal(hop.deadlineMsPlusOne, Math.min(record.deadlineMs + 1, 2 ** 32 - 1));
        assert.equal(hop.functions, shape.functions);
        const phases = [...record.phaseNs].flatMap((ns, id) => (ns > 0 ? [[id, ns]] : []));
        assert.deepEqual(
          hop.phaseIds.map((id, i) => [id, hop.phaseNs[i]]),
          phases,
        );
        assert.deepEqual(
          hop.attempts,
          record.attempts.map((attempt, i) => ({
            startNs: times.attemptStartNs[i],
            durationNs: times.attemptNs[i],
            waitNs: times.attemptWaitNs[i],
            status: attempt.status,
            bits: attempt.bits,
          })),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('takes at most 100 bytes for a hop with two attempts', () => {
    assert.ok(packed().length <= 100, `${packed().length} bytes`);
  });

  it('ignores what a later writer appends', () => {
    const longer = Buffer.concat([packed(), Buffer.from([0, 0x80, 0x01, 9])]);
    assert.deepEqual(decodeHop(longer), decodeHop(packed()));
  });

  it('says of a copy of a request that it is one, and takes no byte for any other', () => {
    const out = new Uint8Array(PACKED_HOP_BYTES_MAX);
    const shape = { ...SAMPLE_SHAPE, mirrored: true } as const;
    const mirrored = out.subarray(0, encodeHop(workedHop(), shape, out, 0));
    assert.equal(decodeHop(mirrored).marks, HOP_MARKS.mirrored);
    assert.equal(mirrored.length, packed().length + 1);
    assert.deepEqual(decodeHop(mirrored.subarray(0, -1)), decodeHop(packed()));
    assert.equal(decodeHop(packed()).marks, 0);
  });

  it('reads numbers that an older writer did not know as 0', () => {
    const hop = decodeHop(packed().subarray(0, 3));
    assert.equal(hop.seq, 4711);
    assert.equal(hop.requestLastNs, -1);
    assert.equal(hop.bytesIn, 0);
    assert.deepEqual(hop.attempts, []);
  });

  it('refuses another version, and no bytes at all', () => {
    assert.throws(() => decodeHop(Buffer.from([2, 1])), refusal('hop_version'));
    assert.throws(() => decodeHop(Buffer.alloc(0)), refusal('hop_version'));
  });

  it('refuses a list that is cut off, at every byte', () => {
    const bytes = packed();
    const firstList = 56;
    for (let end = firstList; end < bytes.length; end++) {
      const cut = bytes.subarray(0, end);
      // Between the lists the rest may be missing: then no attempt was known.
      if (end === 62) assert.equal(decodeHop(cut).attempts.length, 0);
      else assert.throws(() => decodeHop(cut), refusal('truncated'), `cut at ${end}`);
    }
  });

  it('refuses more attempts than there can be, and numbers past 2^53', () => {
    const zeros = Buffer.alloc(21);
    const attempts = Buffer.concat([
      Buffer.from([1]),
      zeros,
      Buffer.from([0, 16]),
      Buffer.alloc(80),
    ]);
    assert.throws(() => decodeHop(attempts), refusal('range'));
    const huge = Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert.throws(() => decodeHop(huge), refusal('range'));
  });

  it('throws nothing but OtlpError on any bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((rest) => Uint8Array.of(1, ...rest)),
      fc.tuple(fc.nat(), fc.nat(255)).map(([at, value]) => {
        const mutated = packed();
        mutated[at % mutated.length] = value;
        return mutated;
      }),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        try {
          decodeHop(input);
        } catch (error) {
          assert.ok(error instanceof OtlpError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('docs/HOP-FORMAT.md', () => {
  const page = readFileSync(new URL('../../../docs/HOP-FORMAT.md', import.meta.url), 'utf8');
  const rows = (table: string): string[][] =>
    page
      .split(`<!-- table:${table} -->`)[1]!
      .split(/\n\n/)
      .find((block) => block.startsWith('|'))!
      .split('\n')
      .slice(2)
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
  const example = rows('example');
  const bytes = Buffer.from(example.map((row) => row[1]!.replaceAll(/[`\s]/g, '')).join(''), 'hex');

  it('shows in its worked example exactly the bytes that the encoder writes', () => {
    assert.equal(bytes.toString('hex'), packed().toString('hex'));
    assert.ok(page.includes(`--hop ${bytes.toString('hex')}\n`));
  });

  it('gives each number and its position rightly', () => {
    const cursor = new WireCursor().reset(bytes);
    for (const [at, , number, field] of example) {
      assert.equal(cursor.position, Number(at), field);
      assert.equal(cursor.varint(bytes.length), Number(number), field);
    }
    assert.equal(cursor.position, bytes.length);
  });

  it('names the fields of the example in the order of the byte table', () => {
    const scalars = rows('fields').map((row) => row[1]!);
    const shown = example.map((row) => row[3]!).filter((f) => !/^(phase|attempt) /.test(f));
    // The last one is written only where it is not 0, which it is not on most hops.
    assert.deepEqual(shown, scalars.slice(0, -1));
    assert.equal(scalars.at(-1), 'marks');
  });
});
