import assert from 'node:assert/strict';
import { Pace } from '../../../proxy/pace.ts';

describe('Pace of a peer', () => {
  it('forgives one pause as long as its patience, and no longer', () => {
    const pace = new Pace(30_000, 240);
    pace.start();
    pace.moved(29_999, 0);
    assert.equal(pace.leftMs, 1);
    pace.moved(5_000, 0);
    assert.equal(pace.leftMs, 0);
  });

  it('runs out for who sends a byte now and then', () => {
    const pace = new Pace(30_000, 240);
    pace.start();
    let bytes = 0;
    while (pace.leftMs > 0 && bytes < 1_000) {
      pace.moved(1_000, 1);
      bytes++;
    }
    assert.equal(bytes, 31);
  });

  it('never runs out for who keeps the rate', () => {
    const pace = new Pace(30_000, 240);
    pace.start();
    for (let second = 0; second < 1_000; second++) pace.moved(1_000, 240);
    assert.equal(pace.leftMs, 30_000);
  });

  it('saves nothing from a burst', () => {
    const pace = new Pace(30_000, 240);
    pace.start();
    pace.moved(0, 1_000_000_000);
    assert.equal(pace.leftMs, 30_000);
  });

  it('gives waiting bytes the time that they need at the rate', () => {
    assert.equal(new Pace(30_000, 240).allowanceMs(480), 32_000);
  });
});
