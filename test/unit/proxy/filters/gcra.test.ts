import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Gcra } from '../../../../proxy/filters/gcra.ts';

const perSecond = (requests: number, burst = requests, keysMax = 10): Gcra =>
  new Gcra({ emissionMs: 1000 / requests, burst, keysMax });

describe('Gcra', () => {
  it('lets a whole burst in at once, and then one request an emission', () => {
    const counters = perSecond(10, 3);
    const at = (ms: number): number => counters.take('a', ms);
    assert.deepEqual([at(0), at(0), at(0)], [0, 0, 0]);
    assert.equal(at(0), 100);
    assert.equal(at(50), 50);
    assert.equal(at(100), 0);
    assert.equal(at(100), 100);
  });

  it('gives the whole burst back after a pause, and no more than that', () => {
    const counters = perSecond(10, 3);
    for (let i = 0; i < 3; i++) counters.take('a', 0);
    const after = Array.from({ length: 5 }, () => counters.take('a', 60_000));
    assert.deepEqual(after.slice(0, 3), [0, 0, 0]);
    assert.ok(after.slice(3).every((ms) => ms > 0));
  });

  it('charges nothing for what it refuses', () => {
    const counters = perSecond(1, 1);
    assert.equal(counters.take('a', 0), 0);
    for (let ms = 100; ms < 1000; ms += 100) assert.equal(counters.take('a', ms), 1000 - ms);
    assert.equal(counters.take('a', 1000), 0);
  });

  it('lets in whoever comes when it said', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.double({ min: 0, max: 2000, noNaN: true }), { maxLength: 80 }),
        (requests, burst, gaps) => {
          const counters = perSecond(requests, burst);
          let nowMs = 0;
          for (const gap of gaps) {
            nowMs += gap;
            const waitMs = counters.take('a', nowMs);
            if (waitMs === 0) continue;
            nowMs += waitMs;
            assert.equal(counters.take('a', nowMs), 0);
          }
        },
      ),
    );
  });

  it('never lets more in than burst and rate together, in any window', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 200 }),
        (requests, burst, gaps) => {
          const counters = perSecond(requests, burst);
          const letIn: number[] = [];
          let nowMs = 0;
          for (const gap of gaps) {
            nowMs += gap;
            if (counters.take('a', nowMs) === 0) letIn.push(nowMs);
          }
          for (const [i, from] of letIn.entries()) {
            for (const [j, to] of letIn.entries()) {
              if (j < i) continue;
              const most = burst + ((to - from) * requests) / 1000;
              assert.ok(j - i + 1 <= most + 1e-3, `${j - i + 1} in ${to - from} ms`);
            }
          }
        },
      ),
    );
  });

  it('counts each key by itself, and forgets the one unused for longest', () => {
    const counters = perSecond(1, 1, 2);
    assert.equal(counters.take('a', 0), 0);
    assert.equal(counters.take('b', 1), 0);
    // Used again, though refused: now `b` is the oldest.
    assert.ok(counters.take('a', 2) > 0);
    assert.equal(counters.take('c', 3), 0);
    assert.equal(counters.size, 2);
    assert.equal(counters.forgotten, 1);
    assert.ok(counters.take('a', 4) > 0);
    assert.equal(counters.take('b', 5), 0);
  });

  it('does not count as forgotten what owed nothing', () => {
    const counters = perSecond(1, 1, 1);
    counters.take('a', 0);
    counters.take('b', 5_000);
    assert.deepEqual([counters.size, counters.forgotten], [1, 0]);
  });
});
