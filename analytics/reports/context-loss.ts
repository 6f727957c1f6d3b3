/**
 * The report of context loss: where traces break, per workload. A call without a parent began a trace
 * of its own, so the application did not hand the context on; a parent that is not stored is a span
 * that goes elsewhere, or a lost record; an exit without an entry went past the sidecar, or lost its
 * record. The ledgers' count of missing hops stands beside it, since loss looks the same.
 */
import type { StoreClient } from '../../store/client.ts';
import { readEdgeAccounts, reconcile, type EdgeAccount } from '../reconcile.ts';
import { sql } from '../sql.ts';
import type { Window } from '../window.ts';
import { count, percent } from './numbers.ts';
import { headOf, type Presentation, type ReportHead } from './presentation.ts';
import { NO_TRAFFIC } from './routes.ts';
import { sampledWindow, samplingWarning } from './sampling.ts';
import { ratio } from './traffic-figures.ts';

export interface ContextLossLine {
  readonly workload: string;
  /** Inbound hops. */
  readonly entries: number;
  /** That name no parent: their caller is outside of the mesh, or sent no context. */
  readonly entries_without_parent: number;
  /** That name a parent which is not stored. */
  readonly entries_parent_unknown: number;
  /** Outbound hops. */
  readonly calls: number;
  /** That began a trace of their own. */
  readonly calls_without_parent: number;
  readonly calls_parent_unknown: number;
  /** Of calls; null without calls. */
  readonly calls_lost_share: number | null;
  /** Answered attempts towards workloads of the mesh, up to `ends_compared_until`. */
  readonly exits: number;
  /** That match no entry. */
  readonly exits_unmatched: number;
}

export interface ContextLoss extends ReportHead {
  readonly report: 'context-loss';
  readonly every: number;
  readonly ends_compared_until: string;
  /** Hops that are missing by the ledgers. */
  readonly hops_missing: number;
  /** By lost calls and unmatched exits, most first. */
  readonly lines: readonly ContextLossLine[];
}

type Row = Omit<ContextLossLine, 'calls_lost_share' | 'exits' | 'exits_unmatched'>;

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readContextLoss(
  store: StoreClient,
  window: Window,
  options: { readonly retentionDays: number; readonly nowMs: number },
): Promise<ContextLoss> {
  const { traffic, every, params } = await sampledWindow(store, window);
  const rows = await store.query<Row>(sql('context_loss'), params);
  const { accounts, untilMs } = await readEdgeAccounts(store, window, options.nowMs);
  const { totals } = await reconcile(store, { ...window, ...options });
  const seen = new Map(rows.map((row) => [row.workload, row]));
  const workloads = new Set([...seen.keys(), ...accounts.map(({ caller }) => caller)]);
  return {
    report: 'context-loss',
    ...headOf(
      window,
      traffic.finalUntilMs,
      rows.reduce((sum, row) => sum + row.entries + row.calls, 0),
    ),
    every,
    ends_compared_until: new Date(untilMs).toISOString(),
    hops_missing: totals.unexplained + totals.dropped_total,
    lines: [...workloads]
      .map((workload) => lineOf(workload, seen.get(workload), accounts))
      .sort((a, b) => lost(b) - lost(a) || a.workload.localeCompare(b.workload)),
  };
}

function lineOf(
  workload: string,
  row: Row | undefined,
  accounts: readonly EdgeAccount[],
): ContextLossLine {
  const own = accounts.filter(({ caller }) => caller === workload);
  const { calls = 0, calls_without_parent = 0, calls_parent_unknown = 0 } = row ?? {};
  return {
    workload,
    entries: row?.entries ?? 0,
    entries_without_parent: row?.entries_without_parent ?? 0,
    entries_parent_unknown: row?.entries_parent_unknown ?? 0,
    calls,
    calls_without_parent,
    calls_parent_unknown,
    calls_lost_share: ratio(calls_without_parent + calls_parent_unknown, calls),
    exits: own.reduce((sum, { exits }) => sum + exits, 0),
    exits_unmatched: own.reduce((sum, { exits_unmatched }) => sum + exits_unmatched, 0),
  };
}

const lost = (line: ContextLossLine): number =>
  line.calls_without_parent +
  line.calls_parent_unknown +
  line.exits_unmatched +
  line.entries_without_parent +
  line.entries_parent_unknown;

/** Shows the report; pure. */
export function presentContextLoss(report: ContextLoss): Presentation {
  const { lines } = report;
  const most = Math.max(1, ...lines.map(lost));
  const total = lines.reduce((sum, line) => sum + lost(line), 0);
  const column = (head: string, spare: number, cell: (line: ContextLossLine) => string) => ({
    head,
    spare,
    cells: lines.map(cell),
  });
  return {
    title: 'Context loss',
    about: 'Where traces break: calls that began a trace of their own, and ends that do not meet.',
    head: report,
    context: [],
    facts: [
      `${count(report.rows)} entries and calls`,
      total === 0 ? 'no context lost' : `${count(total)} breaks`,
    ],
    tables: [
      {
        caption: 'Breaks by workload',
        columns: [
          column('workload', 0, (line) => line.workload || '(unknown)'),
          column('calls', 0, (line) => count(line.calls)),
          column('no parent', 0, (line) => count(line.calls_without_parent)),
          column('parent unknown', 0, (line) => count(line.calls_parent_unknown)),
          column('lost', 1, (line) => percent(line.calls_lost_share)),
          column('exits', 3, (line) => count(line.exits)),
          column('no entry', 0, (line) => count(line.exits_unmatched)),
          column('entries', 4, (line) => count(line.entries)),
          column('no parent', 2, (line) => count(line.entries_without_parent)),
          column('parent unknown', 2, (line) => count(line.entries_parent_unknown)),
        ],
        bars: { head: 'breaks', shares: lines.map((line) => lost(line) / most) },
        empty: NO_TRAFFIC,
      },
    ],
    plots: [
      {
        kind: 'stacks',
        caption: 'Breaks by workload',
        unit: 'hops',
        parts: ['calls lost', 'exits without entry', 'entries without known parent'],
        rows: lines.map((line) => ({
          label: line.workload || '(unknown)',
          values: [
            line.calls_without_parent + line.calls_parent_unknown,
            line.exits_unmatched,
            line.entries_without_parent + line.entries_parent_unknown,
          ],
        })),
      },
    ],
    warnings: [
      ...samplingWarning(report.every),
      ...lines
        .filter((line) => line.calls_without_parent > 0)
        .map(
          (line) =>
            `${line.workload} began ${count(line.calls_without_parent)} of ${count(line.calls)} calls without a trace: it does not hand on the header traceparent, or works by itself`,
        ),
      ...(lines.some((line) => line.calls_parent_unknown + line.entries_parent_unknown > 0)
        ? [
            'parent unknown: the span named is not stored; applications that trace elsewhere do so, and so does a lost record',
          ]
        : []),
      ...(report.hops_missing > 0
        ? [
            `${count(report.hops_missing)} hops are missing by the ledgers: that many breaks may be lost records`,
          ]
        : []),
    ],
    notes: [
      'calls: outbound hops; exits: answered attempts towards the mesh; entries: inbound hops. With a break the attribution of a request is incomplete or goes by interval',
    ],
  };
}
