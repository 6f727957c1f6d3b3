import assert from 'node:assert/strict';
import {
  BUCKETS,
  addPairs,
  boundsOf,
  bucketOf,
  countOf,
  quantileOf,
  type Histogram,
} from '../../../analytics/histogram.ts';
import { seededRandom } from '../../helpers/prng.ts';

const SEED = 20261;

/** The same bucket by logarithms: which octave above 1,024 ns, which eighth of it. */
function bucketByLogarithm(ns: number): number {
  if (ns < 1024) return 0;
  const octave = Math.floor(Math.log2(ns) + 1e-12);
  const eighth = Math.floor((ns / 2 ** octave - 1) * 8);
  return Math.min(BUCKETS - 1, (octave - 10) * 8 + eighth);
}

function histogramOf(values: readonly number[]): Histogram {
  return addPairs(
    new Map(),
    values.map((ns): [number, number] => [bucketOf(ns), 1]),
  );
}

describe('histogram', () => {
  it('puts a duration where its logarithm says', () => {
    const random = seededRandom(SEED);
    for (let i = 0; i < 20_000; i += 1) {
      const ns = Math.floor(2 ** (random() * 38));
      assert.equal(bucketOf(ns), bucketByLogarithm(ns), `${ns} ns, seed ${SEED}`);
    }
  });

  it('holds every duration between the bounds of its bucket', () => {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      const { lowNs, highNs } = boundsOf(bucket);
      assert.equal(bucketOf(lowNs), bucket);
      if (bucket > 0) assert.equal(bucketOf(lowNs - 1), bucket - 1);
      if (bucket < BUCKETS - 1) {
        assert.equal(bucketOf(highNs), bucket + 1);
        assert.equal(bucketOf(highNs - 1), bucket);
        assert.equal(boundsOf(bucket + 1).lowNs, highNs);
      }
    }
  });

  it('takes what is too small in the first bucket and what is too large in the last', () => {
    assert.equal(bucketOf(0), 0);
    assert.equal(bucketOf(1151), 0);
    assert.equal(bucketOf(1152), 1);
    assert.deepEqual(boundsOf(0), { lowNs: 0, highNs: 1152 });
    assert.equal(bucketOf(3_600_000_000_000), BUCKETS - 1);
    assert.equal(boundsOf(BUCKETS - 1).highNs, Infinity);
  });

  it('has buckets at most an eighth of their lower bound wide', () => {
    for (let bucket = 1; bucket < BUCKETS - 1; bucket += 1) {
      const { lowNs, highNs } = boundsOf(bucket);
      assert.ok((highNs - lowNs) / lowNs <= 1 / 8 + 1e-9, `bucket ${bucket}`);
    }
  });

  it('finds quantiles within 3 % of the exact ones on a lognormal sample', () => {
    const random = seededRandom(SEED);
    const normal = (): number =>
      Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const values = Array.from({ length: 50_000 }, () => Math.round(3e6 * Math.exp(0.8 * normal())));
    const histogram = histogramOf(values);
    values.sort((a, b) => a - b);
    for (const p of [0.5, 0.9, 0.99, 0.999]) {
      const exact = values[Math.ceil(p * values.length) - 1]!;
      const { ns, lowNs, highNs } = quantileOf(histogram, p)!;
      assert.ok(
        Math.abs(ns - exact) / exact < 0.03,
        `p ${p}: ${ns} against ${exact}, seed ${SEED}`,
      );
      assert.ok(lowNs <= exact && exact < highNs, `p ${p}: ${exact} in [${lowNs}, ${highNs})`);
    }
  });

  it('gives the bounds of the bucket that holds the rank', () => {
    const histogram = histogramOf([2_000_000, 2_000_000, 2_000_000, 80_000_000]);
    assert.deepEqual(
      [quantileOf(histogram, 0.75)?.lowNs, quantileOf(histogram, 0.76)?.lowNs],
      [boundsOf(bucketOf(2_000_000)).lowNs, boundsOf(bucketOf(80_000_000)).lowNs],
    );
  });

  it('answers a quantile in the endless bucket with its lower bound', () => {
    const histogram = histogramOf([500e9]);
    assert.equal(quantileOf(histogram, 0.99)?.ns, boundsOf(BUCKETS - 1).lowNs);
    assert.equal(quantileOf(histogram, 0.99)?.highNs, Infinity);
  });

  it('has no quantile without a hop', () => {
    assert.equal(quantileOf(new Map(), 0.5), undefined);
    assert.equal(quantileOf(new Map([[3, 0]]), 0.5), undefined);
  });

  it('adds histograms bucket by bucket', () => {
    const sum = addPairs(new Map([[1, 2]]), new Map([[1, 3], [2, 4]])); // prettier-ignore
    assert.deepEqual([...sum], [[1, 5], [2, 4]]); // prettier-ignore
    assert.equal(countOf(sum), 9);
  });
});
