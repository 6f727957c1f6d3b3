/**
 * Holds the outside ledger against the store, after a fault:
 *
 *   requests answered = rows of the gateway = rows of the sidecar, each once
 *                     = requests of gateway-vs-mesh, in both perspectives
 *   and what `azimuth reconcile` says: nothing unexplained
 *
 * A scenario may except something, and then it is told how much: hops dropped must be counted as
 * dropped, hops of a killed proxy must lie within the bounds that its end was reported with.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { reconcile, type Reconciliation } from '../../analytics/reconcile.ts';
import { readGatewayVsMesh } from '../../analytics/reports/gateway-vs-mesh.ts';
import type { SentRequest } from './load.ts';
import type { Proc, Rig } from './rig.ts';

/** What a scenario may cost. Nothing, unless it says so. */
export interface Exceptions {
  /** This proxy was killed: what it had in hand is lost, and requests failed while it was away. */
  readonly killed?: 'gateway' | 'sidecar';
  /** Hops may be missing that a ledger counts as dropped for this reason, or dead letters name. */
  readonly counted?: string;
  /** Messages that nobody can read were sent on purpose; they are found as dead letters. */
  readonly poison?: boolean;
  /** The broker deleted messages that nobody had read: what was in them is counted as unexplained. */
  readonly deleted?: boolean;
}

/** A time in which requests may fail, because the scenario made it so. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Outcome {
  readonly sent: number;
  readonly accepted: number;
  /** Requests that failed outside of any outage. */
  readonly proxyErrors: number;
  readonly failedInOutage: number;
  /** Hops of accepted requests that are not stored, and how many of them are explained. */
  readonly missing: number;
  readonly explained: number;
  /** Hops counted more than once by a figure. */
  readonly countedTwice: number;
  /** Rows more than hops: replays that every figure sees through. */
  readonly rowsDoubled: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly peakMb: Readonly<Partial<Record<Proc, number>>>;
  /** What is wrong, in words; empty when all holds. */
  readonly faults: readonly string[];
}

export interface Evidence {
  readonly rig: Rig;
  readonly prefix: string;
  readonly sent: readonly SentRequest[];
  readonly outages: readonly Outage[];
  readonly exceptions: Exceptions;
  /** Unix milliseconds before the first request and after the last answer. */
  readonly fromMs: number;
  readonly toMs: number;
}

interface PathRows {
  readonly path: string;
  readonly proxy: string;
  readonly hops: number;
}

const PROXY_OF = { gateway: 'edge', sidecar: 'app-sidecar' } as const;
/** For a broker that comes back, a group that forms anew and a machine that does other things. */
const SETTLES_WITHIN_MS = 180_000;
const EVERY_MS = 250;
/** The clocks of two processes of one machine, and the rounding of each. */
const CLOCK_SLACK_MS = 200;
/**
 * Generous bounds of resident memory: a leak of what waits for the next would pass them. The
 * collector keeps to some 400 MB with its store frozen; a proxy's queue is bounded at 32 MiB.
 */
const RSS_MB_MAX = { gateway: 400, sidecar: 400, collector: 700 } as const;

/** Waits until everything is accounted for, or can no longer be expected to be, and judges. */
export async function judge(evidence: Evidence): Promise<Outcome> {
  const { rig, sent, prefix, outages, exceptions, fromMs, toMs } = evidence;
  const faults: string[] = [];
  const account = await settled(evidence, faults);

  const accepted = sent.filter(({ status }) => status === 200);
  const failed = sent.filter(({ status }) => status !== 200);
  const outside = failed.filter(
    (one) => !outages.some(({ fromMs: a, toMs: b }) => one.startMs <= b && one.endMs >= a),
  );
  for (const one of outside.slice(0, 3))
    faults.push(`${one.path} failed: ${one.error ?? `status ${one.status}`}`);

  const rows = await rig.store.query<PathRows>(
    `SELECT Path AS path, Proxy AS proxy, uniqExact(TraceId, SpanId) AS hops FROM spans
     WHERE HopVersion > 0 AND startsWith(Path, {prefix:String}) GROUP BY path, proxy`,
    { prefix: `${prefix}/` },
  );
  let missing = 0;
  let explained = 0;
  let twice = 0;
  for (const [role, proxy] of Object.entries(PROXY_OF) as [keyof typeof PROXY_OF, string][]) {
    const ofProxy = new Map(rows.filter((r) => r.proxy === proxy).map((r) => [r.path, r.hops]));
    const lost = accepted.filter(({ path }) => !ofProxy.has(path));
    missing += lost.length;
    const allowed =
      exceptions.killed === role ? await boundsOf(rig, account, proxy, lost) : undefined;
    explained += Math.min(lost.length, allowed ?? 0);
    if (allowed !== undefined && lost.length > allowed)
      faults.push(
        `${lost.length} hops of ${proxy} are missing, its reported ends explain ${allowed}`,
      );
    const allExplained =
      allowed !== undefined || exceptions.counted !== undefined || exceptions.deleted === true;
    if (!allExplained && lost.length > 0)
      faults.push(`${lost.length} hops of ${proxy} are missing, such as ${lost[0]!.path}`);
    twice += [...ofProxy.values()].filter((hops) => hops > 1).length;
  }
  const sentPaths = new Set(sent.map(({ path }) => path));
  const strange = rows.filter(({ path }) => !sentPaths.has(path));
  if (strange.length > 0) faults.push(`rows of requests that nobody sent: ${strange[0]!.path}`);

  const requests = rows.filter((r) => r.proxy === PROXY_OF.gateway).reduce((n, r) => n + r.hops, 0);
  const window = { fromMs: fromMs - CLOCK_SLACK_MS, toMs: toMs + CLOCK_SLACK_MS };
  for (const perspective of ['split', 'whole'] as const) {
    const report = await readGatewayVsMesh(rig.store, window, perspective, { retentionDays: 7 });
    if (report.requests !== requests)
      faults.push(
        `gateway-vs-mesh (${perspective}) says ${report.requests}, stored are ${requests}`,
      );
    twice += Math.max(0, report.requests - requests);
  }

  const { totals } = account;
  if (exceptions.counted !== undefined) {
    explained += Math.min(missing, totals.dropped_total);
    if (missing > totals.dropped_total)
      faults.push(`${missing} hops are missing, ${totals.dropped_total} are counted as dropped`);
  }
  const others = Object.keys(totals.dropped).filter((reason) => reason !== exceptions.counted);
  if (totals.dropped_total > 0 && others.length > 0)
    faults.push(`dropped: ${JSON.stringify(totals.dropped)}`);
  if (exceptions.deleted === true) {
    explained += Math.min(missing, totals.unexplained);
    if (missing !== totals.unexplained)
      faults.push(`${missing} hops are missing, ${totals.unexplained} are told as unexplained`);
    if (account.deleted_by_broker.length === 0) faults.push('no deleted messages were told');
  }
  const unreadable = account.undecodable_messages;
  if (unreadable > 0 !== (exceptions.poison === true))
    faults.push(`${unreadable} messages were dead-lettered as unreadable`);
  if (twice > 0) faults.push(`${twice} hops are counted twice`);
  const iso = (ms: number): string => new Date(ms).toISOString();
  const cli = await rig.azimuth('reconcile', '--from', iso(fromMs), '--to', iso(Date.now()));
  // What the broker deleted must be seen: it ends with 1, as for anything unexplained.
  if (cli.code !== (exceptions.deleted === true ? 1 : 0))
    faults.push(`azimuth reconcile ended with ${cli.code}:\n${cli.out}${cli.err}`);

  const peakMb: Partial<Record<Proc, number>> = {};
  for (const [name, max] of Object.entries(RSS_MB_MAX) as [keyof typeof RSS_MB_MAX, number][]) {
    const bytes = rig.peakRssBytes(name);
    if (bytes === undefined) continue;
    peakMb[name] = Math.round(bytes / 2 ** 20);
    if (peakMb[name] > max) faults.push(`${name} took ${peakMb[name]} MB, bound ${max}`);
  }
  return {
    sent: sent.length,
    accepted: accepted.length,
    proxyErrors: outside.length,
    failedInOutage: failed.length - outside.length,
    missing,
    explained,
    countedTwice: twice,
    rowsDoubled: totals.rows_doubled,
    dropped: totals.dropped,
    peakMb,
    faults,
  };
}

/** The reconciliation once both proxies have spoken since the load's end and nothing is on its way. */
async function settled(
  { rig, fromMs, toMs, exceptions }: Evidence,
  faults: string[],
): Promise<Reconciliation> {
  const untilMs = performance.now() + SETTLES_WITHIN_MS;
  for (;;) {
    const account = await reconcile(rig.store, { fromMs, toMs: Date.now() + 1, retentionDays: 7 });
    const { totals, boots } = account;
    const running = new Set<string>();
    for (const { state, proxy, last_ledger } of boots) {
      if (state === 'running' && Date.parse(last_ledger ?? '') >= toMs) running.add(proxy);
    }
    const killed = exceptions.killed === undefined ? undefined : PROXY_OF[exceptions.killed];
    const undecided = boots.filter(
      ({ state, proxy, last_ledger }) =>
        state === 'no_ledger' ||
        (state === 'running' && proxy === killed && Date.parse(last_ledger ?? '') < toMs),
    );
    const unexplained = exceptions.deleted === true ? 0 : totals.unexplained;
    const open = totals.in_flight + totals.spooled + unexplained;
    if (running.size === 2 && undecided.length === 0 && open === 0) return account;
    if (performance.now() > untilMs) {
      faults.push(
        `not settled within ${SETTLES_WITHIN_MS / 1000} s: ${running.size} of 2 proxies spoke, ${JSON.stringify(totals)}`,
      );
      return account;
    }
    await Promise.race([sleep(EVERY_MS), rig.failure]);
  }
}

/**
 * How many of the accepted requests may be missing at a proxy that was killed: what its boots are
 * reported to have lost at their ends, and, per boot, what they cannot have stated any more: hops
 * that were in flight at the last statement, and requests answered since then.
 */
async function boundsOf(
  rig: Rig,
  account: Reconciliation,
  proxy: string,
  lost: readonly SentRequest[],
): Promise<number> {
  const ended = account.boots.filter(
    (boot) => boot.proxy === proxy && boot.state === 'ended_without_closing_ledger',
  );
  const statements = await rig.store.query<{ boot: string; ms: number; inFlight: number }>(
    `SELECT BootId AS boot, toUnixTimestamp64Milli(max(Timestamp)) AS ms,
            argMax(InFlight, Timestamp) AS inFlight
     FROM ledgers WHERE BootId IN {boots:Array(String)} GROUP BY boot`,
    { boots: ended.map((boot) => boot.boot_id) },
  );
  let allowed = 0;
  for (const boot of ended) {
    const statement = statements.find((one) => one.boot === boot.boot_id);
    if (statement === undefined) continue;
    // The next boot's requests are stored, so that those lost after the statement are this one's.
    const next = Math.min(
      ...statements.filter((one) => one.ms > statement.ms).map((one) => one.ms),
      Infinity,
    );
    const since = lost.filter((r) => r.endUnixMs >= statement.ms && r.endUnixMs < next).length;
    allowed += boot.lost_at_end + statement.inFlight + since;
  }
  return allowed;
}
