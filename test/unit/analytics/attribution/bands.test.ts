import assert from 'node:assert/strict';
import {
  bandBucketFloor,
  bandBucketOf,
  bandMean,
  bandRanges,
  PERCENTILES,
} from '../../../../analytics/attribution/bands.ts';
import { KIND, SEGMENT_KINDS } from '../../../../analytics/attribution/segments.ts';
import { seededRandom } from '../../../helpers/prng.ts';

describe('bandRanges', () => {
  it('takes the ranks around each percentile, in whole buckets', () => {
    const random = seededRandom(5);
    const durations = Array.from({ length: 20_000 }, () => Math.exp(random() * 6) * 1e6);
    const buckets = new Map<number, number>();
    for (const ns of durations) {
      buckets.set(bandBucketOf(ns), (buckets.get(bandBucketOf(ns)) ?? 0) + 1);
    }
    const sorted = durations.toSorted((a, b) => a - b);
    for (const { percentile, low, high } of bandRanges(buckets)) {
      const half = Math.min(0.05, (1 - percentile) / 2);
      const first = sorted[Math.floor((percentile - half) * sorted.length)]!;
      const last = sorted[Math.ceil((percentile + half) * sorted.length) - 1]!;
      assert.equal(low, bandBucketOf(first));
      assert.equal(high, bandBucketOf(last));
    }
  });

  it('has every band hold something, however few requests there are', () => {
    const buckets = new Map([[bandBucketOf(7e6), 1]]);
    const ranges = bandRanges(buckets);
    assert.deepEqual(
      ranges.map((r) => r.percentile),
      [...PERCENTILES],
    );
    for (const { low, high } of ranges)
      assert.deepEqual([low, high], [bandBucketOf(7e6), bandBucketOf(7e6)]);
    assert.deepEqual(bandRanges(new Map()), []);
  });

  it('cuts octaves into buckets below one percent wide', () => {
    for (const ns of [1000, 55_555, 1e6, 123_456_789, 9e12]) {
      const bucket = bandBucketOf(ns);
      const low = bandBucketFloor(bucket);
      const high = bandBucketFloor(bucket + 1);
      assert.ok(low <= ns && ns < high);
      assert.ok(high / low < 1.01);
    }
    assert.equal(bandBucketOf(-5), bandBucketOf(0));
  });
});

describe('bandMean', () => {
  const totals = (gateway: number, application: number, surplus = 0): number[] =>
    SEGMENT_KINDS.map((kind) =>
      kind === 'gateway'
        ? gateway
        : kind === 'application'
          ? application
          : kind === 'parallel_surplus'
            ? surplus
            : kind === 'client_wait'
              ? 99
              : 0,
    );

  it('has parts that add up to the total, client wait apart', () => {
    const sample = [totals(1, 10), totals(3, 20, -5)];
    const mean = bandMean({
      traces: 2,
      sums: SEGMENT_KINDS.map((_, k) => sample[0]![k]! + sample[1]![k]!),
      sample,
    });
    assert.equal(mean.meanNs[KIND.gateway], 2);
    assert.equal(mean.meanNs[KIND.client_wait], 99);
    assert.equal(mean.effectiveNs, 2 + 15 - 2.5);
    assert.ok(mean.few);
  });

  it('has an interval around its mean that is empty for equal requests and narrows with more', () => {
    const random = seededRandom(9);
    const band = (n: number) => {
      const sample = Array.from({ length: n }, () => totals(random() * 10, 100 + random() * 50));
      const sums = SEGMENT_KINDS.map((_, k) => sample.reduce((sum, t) => sum + t[k]!, 0));
      return bandMean({ traces: n, sums, sample });
    };
    const width = ([low, high]: readonly [number, number]): number => high - low;
    const few = band(40);
    const many = band(800);
    for (const mean of [few, many]) {
      assert.ok(mean.effectiveInterval[0] < mean.effectiveNs);
      assert.ok(mean.effectiveInterval[1] > mean.effectiveNs);
    }
    assert.ok(width(many.effectiveInterval) < width(few.effectiveInterval));
    const equal = Array.from({ length: 50 }, () => totals(1, 2));
    const same = bandMean({ traces: 50, sums: totals(50, 100), sample: equal });
    assert.deepEqual(same.effectiveInterval, [3, 3]);
  });
});
