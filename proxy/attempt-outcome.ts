/** What an attempt, as it stands in the record, says about the endpoint that it went to. */
import { attemptEnd, type AttemptRecord } from '../telemetry/hop-record.ts';
import type { AttemptOutcome } from './balancer.ts';

/** Ends that are the endpoint's doing; all others are ours or the client's. */
const FAILURES = new Set<string>([
  'upstream_connect_failed',
  'upstream_connect_timeout',
  'upstream_closed',
  'upstream_reset',
  'upstream_protocol_error',
  'upstream_timeout',
  'try_timeout',
  'stream_idle_timeout',
]);

export function outcomeOf({ bits, status }: AttemptRecord): AttemptOutcome {
  const end = attemptEnd(bits);
  if (end !== '') return FAILURES.has(end) ? 'failure' : 'unknown';
  if (status === 0) return 'unknown';
  if (status >= 502 && status <= 504) return 'failure';
  return status >= 500 || status === 429 ? 'refusal' : 'success';
}

/** The same in a word, of one that counted against the endpoint. */
export const failureText = ({ bits, status }: AttemptRecord): string =>
  attemptEnd(bits) || `status ${status}`;
