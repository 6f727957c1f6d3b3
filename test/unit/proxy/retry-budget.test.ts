import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RetryBudget } from '../../../proxy/retry-budget.ts';

describe('RetryBudget', () => {
  it('gives the floor where there were no requests, and no more', () => {
    const budget = new RetryBudget(20, 1);
    const given = Array.from({ length: 15 }, () => budget.take(5_000)).filter(Boolean).length;
    assert.equal(given, 10);
    assert.deepEqual([budget.given, budget.refused], [10, 5]);
  });

  it('gives a share of the requests of the last ten seconds', () => {
    const budget = new RetryBudget(20, 0);
    for (let i = 0; i < 100; i++) budget.request(1_000);
    for (let i = 0; i < 20; i++) assert.ok(budget.take(9_000), `retry ${i}`);
    assert.ok(!budget.take(9_000));
    // The requests have left the window before the retries: nothing is saved up.
    assert.ok(!budget.take(11_000));
    assert.ok(!budget.take(1_000_000));
  });

  it('never lets retries of ten seconds pass share and floor, whatever comes when', () => {
    const events = fc.array(
      fc.record({ afterMs: fc.integer({ min: 0, max: 4_000 }), fails: fc.boolean() }),
      { maxLength: 400 },
    );
    fc.assert(
      fc.property(events, fc.integer({ min: 0, max: 100 }), (all, percent) => {
        const budget = new RetryBudget(percent, 1);
        const requests: number[] = [];
        const retries: number[] = [];
        let nowMs = 0;
        for (const { afterMs, fails } of all) {
          nowMs += afterMs;
          budget.request(nowMs);
          requests.push(nowMs);
          if (fails && budget.take(nowMs)) retries.push(nowMs);
          // Slots are whole seconds: the window holds this one and the nine before it.
          const sinceMs = (Math.floor(nowMs / 1_000) - 9) * 1_000;
          const inWindow = (times: number[]): number => times.filter((t) => t >= sinceMs).length;
          assert.ok(inWindow(retries) <= (percent / 100) * inWindow(requests) + 10 + 1e-9);
        }
      }),
    );
  });
});
