/**
 * Reconciliation: is every hop that a proxy finished accounted for? Per process boot:
 *
 *   finished = stored (once) + dropped by reason + in flight + spooled + lost at the end + unexplained
 *
 * Finished and dropped come from the proxy's ledgers, stored from its sequence numbers in the store,
 * dead letters are drops too. "Lost at the end" is only for a boot that ended without its closing
 * ledger (kill -9): what it had finished and not handed on. Reads only. Ledgers are read before
 * hops: rows that come in between can only explain more.
 */
import type { StoreClient } from '../store/client.ts';
import {
  droppedBetween,
  endOf,
  judge,
  lastStatement,
  type BootAccount,
  type BootQuestion,
  type LedgerRow,
  type StoredRow,
} from './boot-account.ts';
import { sql } from './sql.ts';
import type { Window } from './window.ts';

/**
 * What a running proxy handed on this long ago must be stored by now: a Kafka topic and a collector
 * lie in between. Until then a missing hop counts as in flight.
 */
const SETTLE_MS = 30_000;
/** How far a hop's start may lie before the ledger from which on it is looked for, at first. */
const LONG_HOP_MS = 3_600_000;
/**
 * A report's account covers so much of the end of its window: it reads raw rows, and those of a month
 * take minutes and more memory than a store gives to one query.
 */
const REPORTED_MS_MAX = 30 * 60_000;
/** Boots named in one query: parameters travel in the URL. */
const BOOTS_MAX = 100;

export interface ReconcileOptions extends Window {
  /** Days that rows are kept; older ones are not looked for. Default 7. */
  readonly retentionDays?: number;
  /** Unix milliseconds now; default: the clock. */
  readonly nowMs?: number;
  /** Also compare exits with entries per edge; dearer. Default false. */
  readonly edges?: boolean;
}

/** Calls from one workload to another, seen from both ends. */
export interface EdgeAccount {
  readonly caller: string;
  readonly target: string;
  /** Attempts that were answered. */
  readonly exits: number;
  /** Inbound hops. */
  readonly entries: number;
  /** Answered attempts without an inbound hop. */
  readonly exits_unmatched: number;
  /** Inbound hops without an exit. */
  readonly entries_unmatched: number;
}

/** Messages that a broker deleted before the collector read them: how many hops, nobody knows. */
export interface DeletedMessages {
  readonly topic: string;
  readonly partition: number;
  readonly from_offset: number;
  readonly to_offset: number;
  readonly messages: number;
}

/** A partition that a group without a position read first from here: what was before is unknown. */
export interface BeganPastStart {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Reconciliation {
  readonly boots: readonly BootAccount[];
  readonly totals: Pick<
    BootAccount,
    | 'finished'
    | 'stored'
    | 'rows_doubled'
    | 'dropped'
    | 'dropped_total'
    | 'dropped_but_stored'
    | 'in_flight'
    | 'spooled'
    | 'lost_at_end'
    | 'unexplained'
    | 'twins'
  >;
  /** Messages that were dead-lettered without telling which hops they held. */
  readonly undecodable_messages: number;
  readonly deleted_by_broker: readonly DeletedMessages[];
  readonly began_past_start: readonly BeganPastStart[];
  /** Only when asked for. */
  readonly edges?: readonly EdgeAccount[];
}

/**
 * Accounts for all hops of the boots that were alive in the window.
 * @throws AzimuthError of the store's.
 */
export async function reconcile(
  store: StoreClient,
  options: ReconcileOptions,
): Promise<Reconciliation> {
  const nowMs = options.nowMs ?? Date.now();
  const window = { from_ms: options.fromMs, to_ms: options.toMs };
  const questions = await askLedgers(store, options, nowMs);
  const boots: BootAccount[] = [];
  for (let i = 0; i < questions.length; i += BOOTS_MAX) {
    boots.push(...(await accountFor(store, questions.slice(i, i + BOOTS_MAX), nowMs)));
  }
  boots.sort((a, b) => a.proxy.localeCompare(b.proxy) || a.boot_id.localeCompare(b.boot_id));
  const [undecodable] = await store.query<{ messages: number }>(
    sql('reconcile_undecodable'),
    window,
  );
  const deleted = await store.query<DeletedMessages>(sql('reconcile_deleted'), window);
  const began = await store.query<BeganPastStart>(sql('reconcile_began'), window);
  const edges =
    options.edges === true ? (await readEdgeAccounts(store, options, nowMs)).accounts : undefined;
  return {
    boots,
    totals: totalOf(boots),
    undecodable_messages: undecodable?.messages ?? 0,
    deleted_by_broker: deleted,
    began_past_start: began,
    ...(edges === undefined ? {} : { edges }),
  };
}

/**
 * Exits against entries per pair of workloads, up to `untilMs`: the far end of younger exits may
 * still be on its way.
 * @throws AzimuthError of the store's.
 */
export async function readEdgeAccounts(
  store: StoreClient,
  { fromMs, toMs }: Window,
  nowMs: number,
): Promise<{ readonly accounts: readonly EdgeAccount[]; readonly untilMs: number }> {
  const untilMs = Math.max(fromMs, Math.min(toMs, nowMs - SETTLE_MS));
  const accounts = await store.query<EdgeAccount>(sql('reconcile_edges'), {
    from_ms: fromMs,
    to_ms: untilMs,
  });
  return { accounts, untilMs };
}

/**
 * The account that a report states beside its figures: of the last half hour of its window. Of all
 * of a longer one `azimuth reconcile` tells.
 */
export async function reconcileForReport(
  store: StoreClient,
  options: ReconcileOptions,
): Promise<ReportedAccount> {
  const fromMs = Math.max(options.fromMs, options.toMs - REPORTED_MS_MAX);
  return { ...(await reconcile(store, { ...options, fromMs })), fromMs };
}

export interface ReportedAccount extends Reconciliation {
  /** Where its window begins, Unix milliseconds; absent: where the report's does. */
  readonly fromMs?: number;
}

/** True when something is wrong: a hop that nobody can explain, or two hops under one number. */
export const hasFault = ({ totals }: Reconciliation): boolean =>
  totals.unexplained > 0 || totals.twins > 0;

async function askLedgers(
  store: StoreClient,
  options: ReconcileOptions,
  nowMs: number,
): Promise<BootQuestion[]> {
  const window = { from_ms: options.fromMs, to_ms: options.toMs };
  const keptMs = ((options.retentionDays ?? 7) - 1) * 86_400_000;
  const rows = await store.query<LedgerRow>(sql('reconcile_ledgers'), {
    ...window,
    settled_ms: nowMs - SETTLE_MS,
    oldest_ms: nowMs - keptMs,
  });
  const byBoot = Map.groupBy(rows, (row) => row.boot_id);
  const ofHops = await store.query<{ boot_id: string }>(sql('reconcile_boots'), window);
  for (const { boot_id } of ofHops) if (!byBoot.has(boot_id)) byBoot.set(boot_id, []);
  return [...byBoot].map(([bootId, ledgers]) => {
    const newest = ledgers.find((row) => row.is_last === 1);
    const ended = endOf(ledgers, newest);
    const last = lastStatement(newest, ended);
    const windowBase = ledgers.find((row) => row.is_base === 1);
    // Drops are counted without their numbers: those since the base may concern hops before it, so
    // that with drops in between the account must go back to where rows begin.
    const base =
      windowBase !== undefined && last !== undefined && droppedBetween(windowBase, last) === 0
        ? windowBase
        : ledgers.find((row) => row.is_oldest === 1);
    const settled = last?.closing === 1 ? last : ledgers.find((row) => row.is_settled === 1);
    return {
      bootId,
      last,
      ended,
      settledSeq: Math.max(settled?.last_seq ?? 0, base?.last_seq ?? 0),
      base,
      sinceMs: (base?.at_ms ?? ledgers[0]?.at_ms ?? LONG_HOP_MS) - LONG_HOP_MS,
    };
  });
}

async function accountFor(
  store: StoreClient,
  questions: readonly BootQuestion[],
  nowMs: number,
): Promise<BootAccount[]> {
  const stored = await askStored(store, questions);
  const dead = Map.groupBy(
    await store.query<{ boot_id: string; reason: string; hops: number }>(
      sql('reconcile_dead'),
      paramsOf(questions),
    ),
    (row) => row.boot_id,
  );
  const judged = (question: BootQuestion): Omit<BootAccount, 'gaps'> =>
    judge(question, stored.get(question.bootId), dead.get(question.bootId) ?? [], nowMs);
  const short = questions.filter((question) => question.sinceMs > 0 && isShort(judged(question)));
  if (short.length > 0) {
    // A hop that lasted for hours started long before its ledger: look again without that bound.
    const again = await askStored(
      store,
      short.map((question) => ({ ...question, sinceMs: 0 })),
    );
    for (const [bootId, row] of again) stored.set(bootId, row);
  }
  const accounts: BootAccount[] = [];
  for (const question of questions) {
    const account = judged(question);
    const gaps = isShort(account)
      ? await store.query<{ from_seq: number; to_seq: number }>(sql('reconcile_gaps'), {
          boot: question.bootId,
          base: account.base_seq,
          last: account.last_seq,
        })
      : [];
    accounts.push({ ...account, gaps });
  }
  return accounts;
}

const isShort = (account: Pick<BootAccount, 'unexplained' | 'lost_at_end'>): boolean =>
  account.unexplained > 0 || account.lost_at_end > 0;

function paramsOf(questions: readonly BootQuestion[]): Record<string, unknown> {
  return {
    boots: questions.map((q) => q.bootId),
    bases: questions.map((q) => q.base?.last_seq ?? 0),
    settled: questions.map((q) => q.settledSeq),
    lasts: questions.map((q) => q.last?.last_seq ?? 0),
  };
}

async function askStored(
  store: StoreClient,
  questions: readonly BootQuestion[],
): Promise<Map<string, StoredRow>> {
  const sinceMs = Math.max(0, Math.min(...questions.map((q) => q.sinceMs)));
  const ask = <Row>(query: string, of: readonly BootQuestion[]): Promise<Row[]> =>
    store.query<Row>(sql(query), { ...paramsOf(of), since_ms: sinceMs });
  const rows = await ask<StoredRow & { repeated: number }>('reconcile_stored', questions);
  const found = new Map<string, StoredRow>(rows.map((row) => [row.boot_id, row]));
  const repeated = new Set(rows.filter((row) => row.repeated === 1).map((row) => row.boot_id));
  const again = questions.filter(({ bootId }) => repeated.has(bootId));
  if (again.length === 0) return found;
  for (const row of await ask<StoredRow>('reconcile_identities', again))
    found.set(row.boot_id, row);
  return found;
}

function totalOf(boots: readonly BootAccount[]): Reconciliation['totals'] {
  const sum = (pick: (boot: BootAccount) => number): number =>
    boots.reduce((total, boot) => total + pick(boot), 0);
  const dropped: Record<string, number> = {};
  for (const boot of boots) {
    for (const [reason, hops] of Object.entries(boot.dropped)) {
      dropped[reason] = (dropped[reason] ?? 0) + hops;
    }
  }
  return {
    finished: sum((boot) => boot.finished),
    stored: sum((boot) => boot.stored),
    rows_doubled: sum((boot) => boot.rows_doubled),
    dropped,
    dropped_total: sum((boot) => boot.dropped_total),
    dropped_but_stored: sum((boot) => boot.dropped_but_stored),
    in_flight: sum((boot) => boot.in_flight),
    spooled: sum((boot) => boot.spooled),
    lost_at_end: sum((boot) => boot.lost_at_end),
    unexplained: sum((boot) => boot.unexplained),
    twins: sum((boot) => boot.twins),
  };
}
