/**
 * Attribution finds a delay that was put somewhere on purpose. Here only that it ranks first, in one
 * topology; how exactly it is measured, in all four, is test/full/positive-control.full.ts.
 */
import assert from 'node:assert/strict';
import { DELAY_PLACES } from '../../helpers/injected-delay.ts';
import { injectedSegment, medians, runControlled } from '../../helpers/positive-control.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

describe('A delay injected into', function () {
  this.timeout(60_000);
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  for (const place of DELAY_PLACES) {
    it(`the ${place} is the largest part of the requests that it met`, async () => {
      // Long against what a busy machine does to most of ten requests; a median bears the others.
      const run = await runControlled(store.client, 'separate', { place, ms: 200, requests: 10 });
      assert.equal(run.waitedMs.length, 5);
      assert.equal(medians(run.delayed)[0]?.[0], injectedSegment('separate', place));
    });
  }
});
