/** A ledger as it crosses process borders: the admin address, and the last line on stderr. */
import type { Ledger } from '../telemetry/ledger.ts';

export function ledgerJson(ledger: Ledger): Record<string, unknown> {
  return {
    last_seq: ledger.lastSeq,
    hops_finished: ledger.hopsFinished,
    emitted: ledger.emitted,
    dropped: ledger.dropped,
    spooled: ledger.spooled,
    attempts: ledger.attempts,
    cpu_ns: ledger.cpuNs,
    rss_bytes: ledger.rssBytes,
    loop_delay_ns: ledger.loopDelayNs,
    in_flight: ledger.inFlight,
    closing: ledger.closing,
  };
}
