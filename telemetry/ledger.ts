/**
 * The ledger: a proxy's cumulative statement since its boot. It travels as an OTLP log event
 * (LEDGER_EVENT) every 5 s and at exit; the newest one says it all, so a lost one costs nothing.
 */
export interface Ledger {
  /** Last sequence number given out; equals hopsFinished. */
  lastSeq: number;
  /** Hops whose record was made. */
  hopsFinished: number;
  /** Records that the next in the pipeline acknowledged. */
  emitted: number;
  /** Records given up, by reason. */
  dropped: Record<string, number>;
  /** Records that lie in the spool on disk: to be delivered by this process or its successor. */
  spooled: number;
  attempts: number;
  /** User and system CPU of the process, nanoseconds. */
  cpuNs: number;
  rssBytes: number;
  /** Largest event-loop delay since the last ledger, nanoseconds. */
  loopDelayNs: number;
  /** Requests in flight now. */
  inFlight: number;
  /** True for the last one of a process that ended in order. */
  closing: boolean;
  /**
   * Only in the statement of a successor about a process that ended without its closing ledger:
   * the Unix milliseconds by which it had ended. The figures are those of its counter file, as they
   * stood when the ledger is dated.
   */
  endedByMs?: number;
}

/** Why a record never left or never arrived. Bounded: these are label values. */
export const DROP_REASONS = [
  'queue_full',
  'too_large',
  'refused',
  'deadline',
  'shutdown',
  'encode_failed',
  'spool_damaged',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export const LEDGER_INTERVAL_MS = 5000;
