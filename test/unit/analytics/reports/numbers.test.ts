import assert from 'node:assert/strict';
import { clockTime, percent, rate, threeDigits } from '../../../../analytics/reports/numbers.ts';

describe('numbers for people', () => {
  it('shows three significant digits and never an exponent', () => {
    assert.deepEqual(
      [0, 0.0001, 0.01234, 0.4126, 0.99949, 0.9996, 9.994, 9.996, 63.04, 99.94, 99.96, 1234.4, null, Infinity].map(
        threeDigits,
      ), // prettier-ignore
      ['0', '<0.001', '0.012', '0.413', '0.999', '1.00', '9.99', '10.0', '63.0', '99.9', '100', '1,234', '-', '-'],
    ); // prettier-ignore
  });

  it('never shows a few as none, nor none as a few', () => {
    assert.deepEqual([0, 0.00001, 0.003, 0.0994, 0.0996, 0.17, 1, null].map(percent), [
      '0 %',
      '<0.1 %',
      '0.3 %',
      '9.9 %',
      '10 %',
      '17 %',
      '100 %',
      '-',
    ]);
  });

  it('shows rates with one decimal until they are large', () => {
    assert.deepEqual([4.12, 9999.94, 12345.6].map(rate), ['4.1', '9999.9', '12,346']);
  });

  it('shows milliseconds of a time only where there are some', () => {
    const noon = Date.UTC(2026, 0, 31, 12);
    assert.deepEqual([noon, noon + 250].map(clockTime), ['12:00:00', '12:00:00.250']);
  });
});
