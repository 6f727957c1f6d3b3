import assert from 'node:assert/strict';
import { outcomeOf } from '../../../proxy/attempt-outcome.ts';
import { withAttemptEnd } from '../../../telemetry/hop-record.ts';
import { attemptOf } from '../../helpers/finished-hop.ts';

describe('outcomeOf', () => {
  const cases: readonly [number, string, string][] = [
    [200, '', 'success'],
    [404, '', 'success'],
    [429, '', 'refusal'],
    [500, '', 'refusal'],
    [502, '', 'failure'],
    [503, '', 'failure'],
    [504, '', 'failure'],
    [0, '', 'unknown'],
    [0, 'upstream_connect_failed', 'failure'],
    [0, 'try_timeout', 'failure'],
    // An answer that began and was cut off.
    [200, 'upstream_reset', 'failure'],
    [0, 'deadline_exceeded', 'unknown'],
    [200, 'client_gone', 'unknown'],
    [0, 'shutdown', 'unknown'],
  ];
  for (const [status, end, expected] of cases) {
    it(`takes ${status || 'no status'}${end && ` ended by ${end}`} for ${expected}`, () => {
      const attempt = { ...attemptOf(0, 1, status), bits: withAttemptEnd(7, end) };
      assert.equal(outcomeOf(attempt), expected);
    });
  }
});
