import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createHopRecord } from '../../../telemetry/hop-record.ts';
import { computeHopTimes, createHopTimes, ns } from '../../../telemetry/hop-times.ts';
import { workedHop } from '../../helpers/hop-samples.ts';
import { anyHopRecord } from '../../helpers/otlp-arbitraries.ts';

describe('own time of a hop', () => {
  it('is what client wait, attempts and back-off leave over', () => {
    const times = createHopTimes();
    assert.equal(computeHopTimes(workedHop(), times), true);
    assert.equal(times.durationNs, 8_000_000);
    assert.equal(times.waitNs, 130_000);
    assert.equal(times.waitAttemptsNs, 100_000);
    assert.equal(times.upstreamNs, 2_020_000 + 2_900_000 - 100_000);
    assert.equal(times.backoffNs, 2_900_000);
    assert.equal(times.ownNs, 150_000);
  });

  it('is the whole duration of a hop without an attempt', () => {
    const record = createHopRecord();
    record.timesMs.fill(NaN);
    record.timesMs[0] = 5;
    record.timesMs[7] = 5.25;
    const times = createHopTimes();
    computeHopTimes(record, times);
    assert.equal(times.ownNs, 250_000);
    assert.deepEqual([...times.offsetNs], [0, -1, -1, -1, -1, -1, -1, 250_000]);
  });

  it('adds up to the duration exactly, with no negative part, whatever the record says', () => {
    const times = createHopTimes();
    fc.assert(
      fc.property(anyHopRecord, (record) => {
        assert.equal(computeHopTimes(record, times), true);
        const { waitNs, upstreamNs, backoffNs, ownNs, durationNs, waitAttemptsNs } = times;
        assert.equal(waitNs + upstreamNs + backoffNs + ownNs, durationNs);
        for (const part of [waitNs, upstreamNs, backoffNs, ownNs, durationNs, waitAttemptsNs]) {
          assert.ok(Number.isSafeInteger(part) && part >= 0, `part ${part}`);
        }
        assert.ok(waitAttemptsNs <= waitNs);
        for (let i = 0; i < times.attemptCount; i++) {
          assert.ok(times.attemptWaitNs[i]! <= times.attemptNs[i]!);
          assert.ok(times.attemptStartNs[i]! + times.attemptNs[i]! <= durationNs);
        }
        for (const offset of times.offsetNs) assert.ok(offset >= -1 && offset <= durationNs);
      }),
      { numRuns: 2000 },
    );
  });

  it('counts exactly the attempts without their wait as upstream time when they follow each other', () => {
    const attempts = fc.array(
      fc.record({ gapNs: fc.nat(5000), ns: fc.nat(1e7), waitNs: fc.nat(1e7) }),
      { maxLength: 15 },
    );
    fc.assert(
      fc.property(attempts, fc.double({ min: 0, max: 1e8, noNaN: true }), (given, startMs) => {
        const record = createHopRecord();
        let endMs = startMs;
        record.attempts.length = 0;
        for (const one of given) {
          const begun = endMs + one.gapNs / 1e6;
          endMs = begun + one.ns / 1e6;
          const waitMs = Math.min(one.waitNs, one.ns) / 1e6;
          record.attempts.push({
            startMs: begun,
            endMs,
            waitMs,
            connectMs: 0,
            status: 200,
            bits: 0,
          });
        }
        record.attemptCount = given.length;
        record.timesMs.fill(NaN);
        record.timesMs[0] = startMs;
        record.timesMs[7] = endMs + 0.001;
        const times = createHopTimes();
        computeHopTimes(record, times);
        const expected = record.attempts.reduce((sum, a) => {
          const attemptNs = ns(a.endMs) - ns(a.startMs);
          return sum + attemptNs - Math.min(ns(a.waitMs), attemptNs);
        }, 0);
        assert.equal(times.upstreamNs, expected);
      }),
    );
  });

  it('lets wait outside attempts give way first, then back-off, then attempt time', () => {
    const record = createHopRecord();
    record.timesMs.fill(NaN);
    record.timesMs[0] = 0;
    record.timesMs[7] = 10;
    record.attemptCount = 1;
    record.attempts[0] = { startMs: 1, endMs: 9, waitMs: 0, connectMs: 0, status: 200, bits: 0 };
    const parts = (waitMs: number, backoffMs: number): number[] => {
      record.waitMs = waitMs;
      record.backoffMs = backoffMs;
      const times = createHopTimes();
      computeHopTimes(record, times);
      return [times.waitNs, times.backoffNs, times.upstreamNs, times.ownNs].map((n) => n / 1e6);
    };
    assert.deepEqual(parts(1, 0), [1, 0, 8, 1]);
    assert.deepEqual(parts(5, 1), [1, 1, 8, 0]);
    assert.deepEqual(parts(5, 7), [0, 2, 8, 0]);
  });

  it('says nothing about a record without a start', () => {
    const record = createHopRecord();
    record.timesMs[0] = NaN;
    assert.equal(computeHopTimes(record, createHopTimes()), false);
  });
});
