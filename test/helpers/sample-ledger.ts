/** A ledger of a process that finished `hops` and handed all of them on. */
import type { Ledger } from '../../telemetry/ledger.ts';

export const sampleLedger = (hops: number): Ledger => ({
  lastSeq: hops,
  hopsFinished: hops,
  emitted: hops,
  dropped: { queue_full: 0 },
  spooled: 0,
  attempts: hops,
  cpuNs: 1,
  rssBytes: 1,
  loopDelayNs: 0,
  inFlight: 0,
  closing: false,
});
