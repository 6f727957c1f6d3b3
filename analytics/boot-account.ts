/**
 * The account of one process boot: puts every hop that it finished under exactly one heading. Pure:
 * analytics/reconcile.ts reads what is needed, this decides what it means.
 */
import { LEDGER_INTERVAL_MS } from '../telemetry/ledger.ts';

/**
 * A boot whose newest ledger is older than this, and not closing, has ended: three were missed. So
 * long it also takes until what a boot handed on last must be stored.
 */
const ENDED_AFTER_MS = 3 * LEDGER_INTERVAL_MS;
type BootState = 'running' | 'closed' | 'ended_without_closing_ledger' | 'no_ledger';

/** The account of one process from start to end. Counts are hops. */
export interface BootAccount {
  readonly proxy: string;
  readonly role: string;
  readonly boot_id: string;
  readonly state: BootState;
  /** Hops up to this sequence number are not looked at: an earlier window's. 0 = from the start. */
  readonly base_seq: number;
  readonly last_seq: number;
  /** ISO 8601; absent when no ledger arrived. */
  readonly last_ledger?: string;
  /**
   * When it ended, ISO 8601: after its last counters, before it was seen to be gone. Only of a boot
   * without closing ledger whose successor found its counters.
   */
  readonly ended?: { readonly after: string; readonly before: string };
  readonly finished: number;
  /** Identities stored, however many rows. */
  readonly stored: number;
  /** Rows more than identities: replays, which no figure counts. */
  readonly rows_doubled: number;
  /** As reported, by reason: from ledgers and, as `dead_letter_<why>`, from dead letters. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Dropped and not stored: the sum of `dropped` less `dropped_but_stored`. */
  readonly dropped_total: number;
  /** Reported dropped, and stored all the same (the answer of the next was lost). */
  readonly dropped_but_stored: number;
  readonly in_flight: number;
  /** On a disk of the proxy: its process, or the next of its name, still delivers them. */
  readonly spooled: number;
  /** Finished by a boot that ended without closing ledger, and not arrived; more may be unknown. */
  readonly lost_at_end: number;
  readonly unexplained: number;
  /** Sequence numbers that stand for two different hops: must be 0. */
  readonly twins: number;
  /**
   * Where hops are unexplained or lost at the end: ranges of sequence numbers that are not stored,
   * the first 100; dropped ones are among them.
   */
  readonly gaps: readonly { readonly from_seq: number; readonly to_seq: number }[];
}

/** A row of reconcile_ledgers.sql. */
export interface LedgerRow {
  boot_id: string;
  proxy: string;
  role: string;
  at_ms: number;
  /** Of the boot's newest ledger. */
  newest_ms: number;
  is_last: number;
  is_settled: number;
  is_base: number;
  is_oldest: number;
  is_first: number;
  /** Stated by a successor: the counters that a killed process left. */
  is_ended: number;
  /** When it had ended, Unix milliseconds; 0 where `is_ended` is. */
  ended_by_ms: number;
  last_seq: number;
  finished: number;
  emitted: number;
  dropped: [string, number][];
  spooled: number;
  closing: number;
}

/** A row of reconcile_stored.sql, or of reconcile_identities.sql. */
export interface StoredRow {
  boot_id: string;
  proxy: string;
  role: string;
  stored: number;
  rows: number;
  seqs: number;
  settled_seqs: number;
  stored_after: number;
  seqs_after: number;
  seq_max: number;
  newest_ms: number;
}

/** What of a boot is to be looked at: past `base`, up to `last`. */
export interface BootQuestion {
  readonly bootId: string;
  readonly last: LedgerRow | undefined;
  /** What a successor stated about its end. */
  readonly ended: LedgerRow | undefined;
  readonly settledSeq: number;
  readonly base: LedgerRow | undefined;
  /** No hop of it started earlier, but for very long ones. */
  readonly sinceMs: number;
}

const NOTHING_STORED: Omit<StoredRow, 'boot_id' | 'proxy' | 'role'> = {
  stored: 0,
  rows: 0,
  seqs: 0,
  settled_seqs: 0,
  stored_after: 0,
  seqs_after: 0,
  seq_max: 0,
  newest_ms: 0,
};

const sumOf = (dropped: readonly (readonly [string, number])[]): number =>
  dropped.reduce((sum, [, hops]) => sum + hops, 0);

/** Hops dropped between two ledgers of one boot. */
export const droppedBetween = (earlier: LedgerRow, later: LedgerRow): number =>
  sumOf(later.dropped) - sumOf(earlier.dropped);

/**
 * A successor's statement that the boot has ended, unless its own later ledger shows that it had
 * only been silent, or the window ends before.
 */
export function endOf(
  ledgers: readonly LedgerRow[],
  last: LedgerRow | undefined,
): LedgerRow | undefined {
  const ended = ledgers.find((row) => row.is_ended === 1);
  if (ended === undefined || last === undefined || last.closing === 1) return undefined;
  return last.at_ms >= ended.at_ms && last.last_seq <= ended.last_seq ? ended : undefined;
}

/**
 * The last statement about a boot. Who delivers its spool goes on from its last ledger, which is
 * older than the counters that it left: each knows something that the other does not.
 */
export function lastStatement(
  last: LedgerRow | undefined,
  ended: LedgerRow | undefined,
): LedgerRow | undefined {
  if (last === undefined || ended === undefined || last === ended) return last;
  const dropped = new Map(last.dropped);
  for (const [reason, hops] of ended.dropped) {
    dropped.set(reason, Math.max(hops, dropped.get(reason) ?? 0));
  }
  return { ...last, last_seq: ended.last_seq, finished: ended.finished, dropped: [...dropped] };
}

/** Hops that were neither acknowledged, nor dropped, nor on disk. */
const queuedOf = ({ finished, emitted, dropped, spooled }: LedgerRow): number =>
  Math.max(0, finished - emitted - sumOf(dropped) - spooled);

/** Sequence numbers up to the last ledger that are not stored. */
function missingOf(question: BootQuestion, row: StoredRow | undefined): number {
  const { last, base } = question;
  if (last === undefined) return (row?.seq_max ?? 0) - (row?.seqs_after ?? 0);
  return last.finished - (base?.finished ?? 0) - (row?.seqs ?? 0);
}

/** Puts every hop of one boot under exactly one heading. */
export function judge(
  question: BootQuestion,
  row: StoredRow | undefined,
  dead: readonly { reason: string; hops: number }[],
  nowMs: number,
): Omit<BootAccount, 'gaps'> {
  const { last, ended, base, bootId } = question;
  const found = row ?? NOTHING_STORED;
  const dropped = Object.fromEntries(droppedOf(base, last, dead));
  const reported = sumOf(Object.entries(dropped));

  const silentMs = nowMs - (ended?.ended_by_ms ?? last?.at_ms ?? found.newest_ms);
  const isOver = silentMs > ENDED_AFTER_MS;
  const state = stateOf(question, isOver);
  const missing = missingOf(question, row);
  const droppedTotal = Math.max(0, Math.min(reported, missing));
  const open = Math.max(0, missing - droppedTotal);
  const onDisk = last?.spooled ?? 0;
  const lastCounted = ended ?? last;
  const queued = lastCounted === undefined ? 0 : queuedOf(lastCounted);

  const lastSeq = last?.last_seq ?? 0;
  let finished = (last?.finished ?? 0) - (base?.finished ?? 0);
  let stored = found.stored;
  let inFlight = 0;
  let lostAtEnd = 0;
  let unexplained = 0;
  const spooled = Math.min(open, onDisk);
  const missed = open - spooled;
  if (state === 'closed') {
    unexplained = missed;
  } else if (state === 'running' || (ended !== undefined && !isOver)) {
    // Also just after an end: what it handed on last is still on its way to the store.
    const young = lastSeq - question.settledSeq - (found.seqs - found.settled_seqs);
    inFlight = Math.min(missed, Math.max(queued, young));
    unexplained = missed - inFlight;
  } else {
    // Past its last ledger only what arrived tells how far it came.
    const beyond = Math.max(0, found.seq_max - lastSeq);
    const lostBeyond = beyond - found.seqs_after;
    finished += beyond;
    stored += found.stored_after;
    if (last === undefined) {
      unexplained = isOver ? lostBeyond : 0;
      inFlight = isOver ? 0 : lostBeyond;
    } else {
      lostAtEnd = Math.min(missed, queued) + lostBeyond;
      unexplained = missed - Math.min(missed, queued);
    }
  }
  return {
    proxy: last?.proxy ?? row?.proxy ?? '',
    role: last?.role ?? row?.role ?? '',
    boot_id: bootId,
    state,
    base_seq: base?.last_seq ?? 0,
    last_seq:
      state === 'running' || state === 'closed' ? lastSeq : Math.max(lastSeq, found.seq_max),
    ...(last === undefined ? {} : { last_ledger: new Date(last.at_ms).toISOString() }),
    ...(ended === undefined ? {} : { ended: boundsOf(ended) }),
    finished,
    stored,
    rows_doubled: found.rows - found.stored,
    dropped,
    dropped_total: droppedTotal,
    dropped_but_stored: reported - droppedTotal,
    in_flight: inFlight,
    spooled,
    lost_at_end: lostAtEnd,
    unexplained,
    twins: found.stored - found.seqs + (found.stored_after - found.seqs_after),
  };
}

/** Drops between two ledgers and dead letters, by reason; reasons without any are left out. */
function droppedOf(
  base: LedgerRow | undefined,
  last: LedgerRow | undefined,
  dead: readonly { reason: string; hops: number }[],
): [string, number][] {
  const before = new Map(base?.dropped);
  const fromLedgers = (last?.dropped ?? []).map(([reason, hops]): [string, number] => [
    reason,
    hops - (before.get(reason) ?? 0),
  ]);
  const fromDead = dead.map(({ reason, hops }): [string, number] => [
    `dead_letter_${reason}`,
    hops,
  ]);
  return [...fromLedgers, ...fromDead].filter(([, hops]) => hops !== 0);
}

function boundsOf(ended: LedgerRow): { after: string; before: string } {
  const iso = (ms: number): string => new Date(ms).toISOString();
  return { after: iso(ended.at_ms), before: iso(ended.ended_by_ms) };
}

function stateOf({ last, ended }: BootQuestion, isOver: boolean): BootState {
  if (last === undefined) return 'no_ledger';
  if (last.closing === 1) return 'closed';
  if (ended !== undefined) return 'ended_without_closing_ledger';
  // Of a window in the past, the ledger that decides is old; that newer ones exist shows that the
  // process lived on.
  return isOver && last.newest_ms === last.at_ms ? 'ended_without_closing_ledger' : 'running';
}
