import assert from 'node:assert/strict';
import {
  compareBlocks,
  shareDifference,
  type Block,
  type Pool,
} from '../../../analytics/resampling.ts';
import { seededRandom } from '../../helpers/prng.ts';

/** Blocks of requests whose level changes from block to block: requests of one moment are alike. */
function blocksOf(random: () => number, level: number): Block[] {
  return Array.from({ length: 40 }, () => {
    const counts = new Map<number, number>();
    const block = level + Math.round(random() * 8);
    let sum = 0;
    const requests = 20 + Math.floor(random() * 10);
    for (let i = 0; i < requests; i++) {
      const value = block + Math.round(random() * 4);
      counts.set(value, (counts.get(value) ?? 0) + 1);
      sum += value;
    }
    return { sums: [requests, sum], counts };
  });
}

const mean = ({ sums }: Pool): number => sums[1]! / sums[0]!;

describe('compareBlocks', () => {
  it('calls two equal sides different about as seldom as it says', () => {
    const random = seededRandom(77);
    let different = 0;
    for (let i = 0; i < 100; i++) {
      const [one] = compareBlocks(blocksOf(random, 100), blocksOf(random, 100), [mean]);
      if (one!.interval.low > 0 || one!.interval.high < 0) different++;
    }
    // 5 are due; that 14 or more come by chance has a probability below one in a thousand.
    assert.ok(different >= 1 && different < 14, `${different} of 100, seed 77`);
  });

  it('finds a shift, with the true one inside of its interval', () => {
    const random = seededRandom(78);
    const [one] = compareBlocks(blocksOf(random, 100), blocksOf(random, 105), [mean]);
    assert.ok(one!.interval.low > 0 && one!.interval.low < 5 && one!.interval.high > 5);
    assert.ok(Math.abs(one!.current - one!.base - 5) < 2);
  });

  it('gives the same interval for the same blocks, and none where nothing can be measured', () => {
    const blocks = (): Block[] => blocksOf(seededRandom(5), 10);
    assert.deepEqual(
      compareBlocks(blocks(), blocks(), [mean]),
      compareBlocks(blocks(), blocks(), [mean]),
    );
    const [none] = compareBlocks([], blocks(), [mean]);
    assert.ok(Number.isNaN(none!.base) && Number.isNaN(none!.interval.low));
  });
});

describe('shareDifference', () => {
  it('is the interval of the literature', () => {
    // Newcombe 1998, method 10: 56/70 against 48/80 is 0.2 with 0.0524 to 0.3339.
    const { low, high } = shareDifference({ part: 48, all: 80 }, { part: 56, all: 70 });
    assert.equal(low.toFixed(4), '0.0524');
    assert.equal(high.toFixed(4), '0.3339');
  });

  it('knows that no error in few requests proves little', () => {
    const { low, high } = shareDifference({ part: 0, all: 10 }, { part: 0, all: 10 });
    assert.ok(low < -0.25 && high > 0.25);
  });
});
