import assert from 'node:assert/strict';
import { unpackLz4 } from '../../../../store/embedded/lz4-block.ts';
import { seededRandom } from '../../../helpers/prng.ts';

const SEED = Number(process.env['SEED'] ?? 7);

const unpacked = (bytes: readonly number[], length: number): string =>
  unpackLz4(Uint8Array.from(bytes), length).toString('latin1');
const text = (value: string): number[] => [...Buffer.from(value, 'latin1')];

describe('unpackLz4', () => {
  it('takes literals', () => {
    assert.equal(unpacked([0x30, ...text('abc')], 3), 'abc');
    assert.equal(unpacked([], 0), '');
    const long = 'x'.repeat(15 + 255 + 4);
    assert.equal(unpacked([0xf0, 255, 4, ...text(long)], long.length), long);
  });

  it('takes matches, those too that overlap what they make', () => {
    // "abcd", then 4 from 4 back, then "!".
    assert.equal(unpacked([0x40, ...text('abcd'), 4, 0, 0x10, ...text('!')], 9), 'abcdabcd!');
    // "ab", then 6 from 2 back.
    assert.equal(unpacked([0x22, ...text('ab'), 2, 0, 0x10, ...text('!')], 9), 'abababab!');
    // "a", then 15 + 4 + 255 + 1 from 1 back.
    const repeated = 'a'.repeat(276);
    assert.equal(
      unpacked([0x1f, ...text('a'), 1, 0, 255, 1, 0x10, ...text('!')], 277),
      `${repeated}!`,
    );
  });

  for (const [what, bytes, length] of [
    ['literals that are not there', [0x40, ...text('abc')], 4],
    ['more than it says', [0x40, ...text('abcd')], 3],
    ['less than it says', [0x40, ...text('abcd')], 5],
    ['a match before the beginning', [0x10, ...text('a'), 2, 0, 0x10, ...text('!')], 6],
    ['a match from nowhere', [0x10, ...text('a'), 0, 0, 0x10, ...text('!')], 6],
    ['half an offset', [0x10, ...text('a'), 1], 5],
    ['a length without an end', [0xf0, 255, 255], 600],
  ] as const) {
    it(`refuses a block with ${what}`, () => {
      assert.throws(() => unpacked(bytes, length), RangeError);
    });
  }

  it('ends with an answer or a refusal for any bytes', () => {
    const random = seededRandom(SEED);
    for (let n = 0; n < 5000; n++) {
      const bytes = Uint8Array.from({ length: Math.floor(random() * 40) }, () => random() * 256);
      const length = Math.floor(random() * 200);
      try {
        assert.equal(unpackLz4(bytes, length).length, length);
      } catch (error) {
        assert.ok(error instanceof RangeError, `seed ${SEED}: ${String(error)}`);
      }
    }
  });
});
