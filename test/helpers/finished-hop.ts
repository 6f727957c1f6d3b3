/** Finished hops for what reads them: a GET of 8 ms with one attempt of 5 ms, changed where asked. */
import {
  createHopRecord,
  type AttemptRecord,
  type HopRecord,
  type HopShape,
} from '../../telemetry/hop-record.ts';

export const SHAPE: HopShape = {
  side: 'ingress',
  edgeClass: 'external_to_gateway',
  method: 'GET',
  route: '/products/{id}',
  scheme: 'http',
  protocolVersion: '1.1',
  serverAddress: '',
  peer: '',
  peerRole: 'external',
  peerKnown: 'listener',
  target: 'catalog',
  functions: 0,
};

export const attemptOf = (startMs: number, endMs: number, status: number): AttemptRecord => ({
  startMs,
  endMs,
  waitMs: 0,
  connectMs: 0,
  status,
  bits: 0,
});

/** From 1,000 ms on; `attempts` default to one from 1,001 to 1,006. */
export function finishedHop(
  changes: Partial<HopRecord> & { readonly durationMs?: number } = {},
): HopRecord {
  const { durationMs = 8, ...fields } = changes;
  const record = createHopRecord();
  record.timesMs.fill(NaN);
  record.timesMs[0] = 1_000;
  record.timesMs[7] = 1_000 + durationMs;
  return Object.assign(
    record,
    { status: 200, attemptCount: 1, attempts: [attemptOf(1_001, 1_006, 200)] },
    fields.attempts === undefined ? {} : { attemptCount: fields.attempts.length },
    fields,
  );
}
