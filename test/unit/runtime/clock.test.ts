import assert from 'node:assert/strict';
import { Clock, clockId, monotonicMs } from '../../../runtime/clock.ts';

describe('Clock', () => {
  it('gives Unix nanoseconds of a monotonic reading by its anchor', () => {
    const clock = new Clock(
      () => 1_790_000_000_000,
      () => 250.5,
    );
    assert.equal(clock.anchorNs, 1_790_000_000_000_000_000n - 250_500_000n);
    assert.equal(clock.unixNs(250.5), 1_790_000_000_000_000_000n);
    assert.equal(clock.unixNs(251.75), 1_790_000_000_001_250_000n);
  });

  it('keeps a duration when the wall clock is set back between two readings', () => {
    let wallMs = 1_790_000_000_000;
    const clock = new Clock(
      () => wallMs,
      () => 0,
    );
    const start = clock.unixNs(10);
    wallMs -= 3_600_000;
    assert.equal(clock.unixNs(12.5) - start, 2_500_000n);
  });

  it('follows the wall clock once the anchor is taken anew', () => {
    let wallMs = 1_790_000_000_000;
    let monoMs = 0;
    const clock = new Clock(
      () => wallMs,
      () => monoMs,
    );
    wallMs += 5000;
    monoMs = 1000;
    assert.equal(clock.nowMs(), 1_790_000_001_000, 'the old anchor still counts');
    clock.anchor();
    assert.equal(clock.nowMs(), 1_790_000_005_000);
  });

  it('is exact to the nanosecond where a double of Unix time would not be', () => {
    const clock = new Clock(
      () => 1_790_000_000_000,
      () => 0,
    );
    assert.equal(clock.unixNs(0.000001) - clock.unixNs(0), 1n);
  });
});

describe('monotonicMs', () => {
  it('never runs backwards', () => {
    let last = monotonicMs();
    for (let i = 0; i < 1000; i++) {
      const now = monotonicMs();
      assert.ok(now >= last);
      last = now;
    }
  });
});

describe('clockId', () => {
  it('names one clock domain: the same in every call, and no host path', () => {
    assert.equal(clockId(), clockId());
    assert.match(clockId(), /^[\w.-]{1,80}$/);
  });
});
