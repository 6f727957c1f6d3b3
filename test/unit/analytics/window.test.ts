import assert from 'node:assert/strict';
import {
  minuteOf,
  parseDurationMs,
  parseInstantMs,
  parseWindow,
} from '../../../analytics/window.ts';
import { AzimuthError } from '../../../runtime/errors.ts';

const isUsage = (error: unknown): boolean =>
  error instanceof AzimuthError && error.code === 'AZ_USAGE';
const NOW = Date.UTC(2026, 0, 31, 12, 0, 0);

describe('window', () => {
  for (const [text, ms] of [
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['0.5h', 1_800_000],
  ] as const) {
    it(`reads ${text}`, () => assert.equal(parseDurationMs(text), ms));
  }

  for (const text of ['', '5', 'm', '5 m', '5m!', '-5m', '0s', '5min', '1h 30m']) {
    it(`refuses "${text}" as a length of time`, () =>
      assert.throws(() => parseDurationMs(text), isUsage));
  }

  it('reads an instant without a zone as UTC, with one as it says', () => {
    assert.equal(parseInstantMs('2026-01-31T12:00'), NOW);
    assert.equal(parseInstantMs('2026-01-31 12:00:00'), NOW);
    assert.equal(parseInstantMs('2026-01-31T14:00:00.250+02:00'), NOW + 250);
    assert.equal(parseInstantMs('2026-01-31'), NOW - 12 * 3_600_000);
  });

  for (const text of ['yesterday', '2026-13-01T00:00', '12:00', '2026-01-31T25:00Z', '']) {
    it(`refuses "${text}" as an instant`, () => assert.throws(() => parseInstantMs(text), isUsage));
  }

  it('ends at now with --last, and without any option is the last five minutes', () => {
    assert.deepEqual(parseWindow({ last: '1h' }, NOW), { fromMs: NOW - 3_600_000, toMs: NOW });
    assert.deepEqual(parseWindow({}, NOW), { fromMs: NOW - 300_000, toMs: NOW });
  });

  it('ends with the second that is running, so that no hop of it is left out', () => {
    assert.deepEqual(parseWindow({ last: '10s' }, NOW - 999), { fromMs: NOW - 10_000, toMs: NOW });
  });

  it('takes --from without --to up to now', () => {
    assert.deepEqual(parseWindow({ from: '2026-01-31T11:00' }, NOW), {
      fromMs: NOW - 3_600_000,
      toMs: NOW,
    });
  });

  it('refuses contradictions and empty windows', () => {
    assert.throws(() => parseWindow({ last: '5m', from: '2026-01-31' }, NOW), isUsage);
    assert.throws(() => parseWindow({ to: '2026-01-31' }, NOW), isUsage);
    assert.throws(() => parseWindow({ from: '2026-01-31', to: '2026-01-31' }, NOW), isUsage);
  });

  it('finds the minute of an instant', () => {
    assert.equal(minuteOf(NOW + 59_999), NOW);
    assert.equal(minuteOf(NOW + 60_000), NOW + 60_000);
  });
});
