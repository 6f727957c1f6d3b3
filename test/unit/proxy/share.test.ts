import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Share } from '../../../proxy/share.ts';

describe('Share', () => {
  it('spreads a target that gets more evenly over the others', () => {
    const share = new Share(['a', 'b'], [3, 1]);
    assert.equal(Array.from({ length: 8 }, () => share.next()).join(''), 'aabaaaba');
  });

  it('gives each target its exact share in every round, and nothing to a weight of 0', () => {
    const weights = fc
      .array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 6 })
      .filter((all) => all.some((weight) => weight > 0));
    fc.assert(
      fc.property(weights, (all) => {
        const share = new Share([...all.keys()], all);
        const total = all.reduce((sum, weight) => sum + weight, 0);
        for (let round = 0; round < 3; round++) {
          const got = all.map(() => 0);
          for (let i = 0; i < total; i++) got[share.next()]!++;
          assert.deepEqual(got, all);
        }
      }),
    );
  });
});
