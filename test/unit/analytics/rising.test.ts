import assert from 'node:assert/strict';
import { RisingHistogram, RisingSums } from '../../../analytics/rising.ts';
import { seededRandom } from '../../helpers/prng.ts';

const SEED = 27;

describe('RisingSums', () => {
  it('show the sum while it rises, and stand still from a fall until it has caught up', () => {
    const sums = new RisingSums(1);
    const shown = [5, 3, -4, 2, 2, 1].map((by) => {
      sums.add(0, by);
      sums.settle();
      return sums.shown[0];
    });
    assert.deepEqual(shown, [5, 8, 8, 8, 8, 9]);
  });

  it('take no notice of the order within a batch', () => {
    const sums = new RisingSums(1);
    sums.add(0, 10);
    sums.settle();
    sums.add(0, 12);
    sums.add(0, -10);
    sums.settle();
    assert.equal(sums.shown[0], 12);
  });
});

describe('RisingHistogram', () => {
  it('never lets a cumulated bucket fall or two of them cross, whatever the corrections', () => {
    const random = seededRandom(SEED);
    const buckets = 5;
    const histogram = new RisingHistogram(buckets);
    const truth = new Array<number>(buckets).fill(0);
    let before = new Array<number>(buckets).fill(0);
    for (let round = 0; round < 500; round++) {
      for (let n = 0; n < 4; n++) {
        const bucket = Math.floor(random() * buckets);
        const by = Math.max(-truth[bucket]!, Math.floor(random() * 21) - 10);
        truth[bucket]! += by;
        histogram.add(bucket, by);
        histogram.addSum(by * bucket);
      }
      histogram.settle();
      const { counts } = histogram.shown();
      let sum = 0;
      const cumulated = counts.map((count) => (sum += count));
      let all = 0;
      const at = truth.map((count) => (all += count));
      for (let i = 0; i < buckets; i++) {
        const what = `seed ${SEED}, round ${round}, bucket ${i}`;
        assert.ok(counts[i]! >= 0, what);
        assert.ok(cumulated[i]! >= before[i]!, what);
        assert.ok(cumulated[i]! >= at[i]!, what);
      }
      before = cumulated;
    }
  });

  it('shows exactly what was added where nothing is taken away', () => {
    const histogram = new RisingHistogram(3);
    histogram.add(0, 2);
    histogram.add(2, 1);
    histogram.addSum(7);
    histogram.settle();
    assert.deepEqual(histogram.shown(), { counts: [2, 0, 1], sum: 7 });
  });
});
