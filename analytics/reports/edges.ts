/**
 * The report of edges: who calls whom, in which direction under either perspective, how much, how
 * well, and whether what left one end arrived at the other. Loopback legs, between a workload and its
 * own sidecar, are no edge.
 */
import type { StoreClient } from '../../store/client.ts';
import {
  directionOf,
  isRequest,
  PERSPECTIVES,
  type Direction,
  type EdgeClass,
  type Perspective,
} from '../../telemetry/edge-class.ts';
import { readEdgeAccounts, type EdgeAccount } from '../reconcile.ts';
import { readEdges, type EdgeTraffic, type WindowGroups } from '../traffic.ts';
import type { Window } from '../window.ts';
import { count, percent, rate, threeDigits } from './numbers.ts';
import { headOf, type Presentation, type ReportHead } from './presentation.ts';
import { CUT, DIRECTION_SHORT, NO_TRAFFIC } from './routes.ts';
import { FEW_FOR_P99, ratio, trafficFigures, type TrafficFigures } from './traffic-figures.ts';

export interface EdgeLine extends TrafficFigures {
  /** `clients` for requests from outside; '' where nobody vouches for the caller. */
  readonly from: string;
  /** Service, or for egress the target outside of the mesh. */
  readonly to: string;
  readonly edge_class: EdgeClass;
  readonly direction: Readonly<Record<Perspective, Direction>>;
  readonly legs: number;
  readonly legs_per_s: number;
  /** Of all legs of the report. */
  readonly share: number | null;
  /** Fewer hops than a p99 needs. */
  readonly few: boolean;
  /**
   * Both ends compared, up to `ends_compared_until`; null where one end is outside of the mesh, or
   * where the two ends of the pair do not name each other.
   */
  readonly ends: Omit<EdgeAccount, 'caller' | 'target'> | null;
}

export interface Edges extends ReportHead {
  readonly report: 'edges';
  readonly cut: boolean;
  /** The far end of younger exits may still be on its way. */
  readonly ends_compared_until: string;
  /** The busiest first. */
  readonly lines: readonly EdgeLine[];
}

/** Makes the report's figures from what was read; pure. */
export function edges(
  window: Window,
  { groups, finalUntilMs, cut }: WindowGroups<EdgeTraffic>,
  { accounts, untilMs }: { readonly accounts: readonly EdgeAccount[]; readonly untilMs: number },
): Edges {
  const rows = groups.reduce((sum, { traffic }) => sum + traffic.hops, 0);
  const head = headOf(window, finalUntilMs, rows);
  const keyOf = (from: string, to: string): string => JSON.stringify([from, to]);
  const byPair = new Map(
    accounts.map(({ caller, target, ...ends }) => [keyOf(caller, target), ends]),
  );
  return {
    report: 'edges',
    ...head,
    cut,
    ends_compared_until: new Date(untilMs).toISOString(),
    lines: groups.map(({ caller, callee, edgeClass, traffic }) => ({
      from: isRequest(edgeClass) ? 'clients' : caller,
      to: callee,
      edge_class: edgeClass,
      direction: Object.fromEntries(
        PERSPECTIVES.map((perspective) => [perspective, directionOf(edgeClass, perspective)]),
      ) as Record<Perspective, Direction>,
      legs: traffic.hops,
      legs_per_s: traffic.hops / head.window_s,
      share: ratio(traffic.hops, rows),
      few: traffic.hops - traffic.streams < FEW_FOR_P99,
      ...trafficFigures(traffic, head.window_s),
      ends: isRequest(edgeClass) ? null : (byPair.get(keyOf(caller, callee)) ?? null),
    })),
  };
}

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readEdgesReport(
  store: StoreClient,
  window: Window,
  nowMs: number,
): Promise<Edges> {
  const found = await readEdges(store, window);
  return edges(window, found, await readEdgeAccounts(store, window, nowMs));
}

/** Shows the report; pure. */
export function presentEdges(report: Edges): Presentation {
  const { lines } = report;
  const most = Math.max(0, ...lines.map((line) => line.legs));
  const few = lines.filter((line) => line.few).length;
  const moved = lines.filter(({ direction }) => direction.split !== direction.whole);
  const apart = lines.filter((line) => line.ends !== null && unmatched(line.ends) > 0);
  const nameOf = (line: EdgeLine): string => `${line.from || '(unknown)'} → ${line.to}`;
  const column = (head: string, spare: number, cell: (line: EdgeLine) => string, left = false) => ({
    head,
    spare,
    cells: lines.map(cell),
    left,
  });
  return {
    title: 'Edges',
    about: 'Who calls whom, how much, how well, and whether every call arrived.',
    head: report,
    context: [],
    facts: [`${count(lines.length)} edges`, `${count(report.rows)} legs`],
    tables: [
      {
        caption: 'Edges, the busiest first',
        columns: [
          column('from → to', 0, nameOf),
          column('split', 0, ({ direction }) => DIRECTION_SHORT[direction.split], true),
          column('whole', 4, ({ direction }) => DIRECTION_SHORT[direction.whole], true),
          column('class', 10, (line) => line.edge_class, true),
          column('/s', 0, (line) => rate(line.legs_per_s)),
          column('errors', 0, (line) => percent(line.error_share)),
          column('p50', 0, (line) => threeDigits(line.latency.p50.ms)),
          column('p99', 0, (line) => threeDigits(line.latency.p99.ms) + (line.few ? '*' : '')),
          column('own p50', 5, (line) => threeDigits(line.own.p50.ms)),
          column('MB in', 8, (line) => threeDigits(line.bytes_in / 1e6)),
          column('MB out', 8, (line) => threeDigits(line.bytes_out / 1e6)),
          column('exits', 6, ({ ends }) => (ends === null ? '' : count(ends.exits))),
          column('apart', 1, ({ ends }) => (ends === null ? '' : count(unmatched(ends)))),
        ],
        bars: { head: 'load', shares: lines.map((line) => line.legs / most) },
        empty: NO_TRAFFIC,
      },
    ],
    plots: [
      {
        kind: 'spans',
        caption: 'p50, p90 (mark) and p99 of the busiest edges, milliseconds without client wait',
        unit: 'ms',
        rows: lines
          .filter((line) => line.latency.p99.ms !== null)
          .slice(0, 24)
          .map((line) => ({
            label: nameOf(line),
            low: line.latency.p50.ms ?? 0,
            middle: line.latency.p90.ms ?? 0,
            high: line.latency.p99.ms ?? 0,
          })),
      },
    ],
    warnings: [
      ...(report.cut ? [CUT] : []),
      ...apart.map(
        (line) =>
          `${nameOf(line)}: ${count(line.ends!.exits_unmatched)} answered calls match no entry, ${count(line.ends!.entries_unmatched)} entries no call`,
      ),
      ...(few > 0
        ? [
            `* ${count(few)} of ${count(lines.length)} edges have fewer than ${FEW_FOR_P99} hops: their p99 is one of the few slowest`,
          ]
        : []),
    ],
    notes: [
      ...(moved.length > 0
        ? [
            `${count(moved.length)} edges between gateway and mesh are E-W in the perspective split and N-S in whole`,
          ]
        : []),
      'times in ms, without waiting for clients; exits: answered calls of the caller; apart: exits without an entry and entries without an exit',
    ],
  };
}

const unmatched = (ends: NonNullable<EdgeLine['ends']>): number =>
  ends.exits_unmatched + ends.entries_unmatched;

/** A line for a table of fixed columns: every key there, whether both ends were compared or not. */
export const flatEnds = ({ ends, ...line }: EdgeLine): object => ({
  ...line,
  exits: ends?.exits ?? null,
  entries: ends?.entries ?? null,
  exits_unmatched: ends?.exits_unmatched ?? null,
  entries_unmatched: ends?.entries_unmatched ?? null,
});
