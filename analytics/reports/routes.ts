/**
 * The report of routes: load, errors, latency and own time by route and direction, under a
 * perspective. A route stands with the service that received the legs on it, so a request from
 * outside and the legs that it causes stand on lines of their own.
 */
import type { StoreClient } from '../../store/client.ts';
import {
  directionOf,
  isRequest,
  type Direction,
  type Perspective,
} from '../../telemetry/edge-class.ts';
import {
  addTraffic,
  emptyTraffic,
  readRoutes,
  type Traffic,
  type WindowGroups,
  type RouteTraffic,
} from '../traffic.ts';
import type { Window } from '../window.ts';
import { count, percent, rate, threeDigits } from './numbers.ts';
import { headOf, type Presentation, type ReportHead } from './presentation.ts';
import { FEW_FOR_P99, ratio, trafficFigures, type TrafficFigures } from './traffic-figures.ts';

export interface RouteLine extends TrafficFigures {
  readonly direction: Direction;
  readonly service: string;
  /** Template; '' where none matched. */
  readonly route: string;
  readonly legs: number;
  /** Legs that are requests from outside. */
  readonly requests: number;
  readonly legs_per_s: number;
  /** Of all legs of the report. */
  readonly share: number | null;
  /** Share of the proxy's own time in the legs' effective durations. */
  readonly own_share: number | null;
  /** Fewer hops than a p99 needs. */
  readonly few: boolean;
}

export interface Routes extends ReportHead {
  readonly report: 'routes';
  readonly perspective: Perspective;
  /** There are more lines than these, all of them quieter. */
  readonly cut: boolean;
  /** The busiest first. */
  readonly lines: readonly RouteLine[];
}

/** Makes the report's figures from what was read; pure. */
export function routes(
  window: Window,
  { groups, finalUntilMs, cut }: WindowGroups<RouteTraffic>,
  perspective: Perspective,
): Routes {
  const sums = new Map<
    string,
    Omit<RouteTraffic, 'edgeClass'> & { direction: Direction; requests: number }
  >();
  for (const { service, route, edgeClass, traffic } of groups) {
    const direction = directionOf(edgeClass, perspective);
    const key = JSON.stringify([direction, service, route]);
    const known = sums.get(key) ?? {
      direction,
      service,
      route,
      traffic: emptyTraffic(),
      requests: 0,
    };
    addTraffic(known.traffic, traffic);
    known.requests += isRequest(edgeClass) ? traffic.hops : 0;
    sums.set(key, known);
  }
  const rows = groups.reduce((sum, { traffic }) => sum + traffic.hops, 0);
  const head = headOf(window, finalUntilMs, rows);
  return {
    report: 'routes',
    perspective,
    ...head,
    cut,
    lines: [...sums.values()]
      .sort((a, b) => b.traffic.hops - a.traffic.hops)
      .map(({ direction, service, route, traffic, requests }) => ({
        direction,
        service,
        route,
        legs: traffic.hops,
        requests,
        legs_per_s: traffic.hops / head.window_s,
        share: ratio(traffic.hops, rows),
        own_share: ratio(traffic.ownNs, effectiveNs(traffic)),
        few: traffic.hops - traffic.streams < FEW_FOR_P99,
        ...trafficFigures(traffic, head.window_s),
      })),
  };
}

const effectiveNs = ({ durationNs, waitNs }: Traffic): number => durationNs - waitNs;

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readRoutesReport(
  store: StoreClient,
  window: Window,
  perspective: Perspective,
): Promise<Routes> {
  return routes(window, await readRoutes(store, window), perspective);
}

export const DIRECTION_SHORT: Readonly<Record<Direction, string>> = {
  north_south: 'N-S',
  east_west: 'E-W',
  unknown: '?',
  neither: 'loopback',
};

/** Shows the report; pure. */
export function presentRoutes(report: Routes): Presentation {
  const { lines } = report;
  const most = Math.max(0, ...lines.map((line) => line.legs));
  const slowest = lines.filter((line) => line.latency.p99.ms !== null).slice(0, 24);
  const few = lines.filter((line) => line.few).length;
  const requests = lines.reduce((sum, line) => sum + line.requests, 0);
  const column = (
    head: string,
    spare: number,
    cell: (line: RouteLine) => string,
    left = false,
  ) => ({
    head,
    spare,
    cells: lines.map(cell),
    left,
  });
  return {
    title: 'Routes',
    about: 'Which routes carry the load, fail, are slow, and what the proxies add to each.',
    head: report,
    context: [`perspective ${report.perspective}`],
    facts: [`${count(requests)} requests from outside`, `${count(report.rows)} legs`],
    tables: [
      {
        caption: 'Routes, the busiest first',
        columns: [
          column('service', 0, (line) => line.service),
          column('route', 0, (line) => line.route || '(none matched)', true),
          column('', 0, (line) => DIRECTION_SHORT[line.direction], true),
          column('legs', 5, (line) => count(line.legs)),
          column('/s', 0, (line) => rate(line.legs_per_s)),
          column('errors', 0, (line) => percent(line.error_share)),
          column('p50', 0, (line) => threeDigits(line.latency.p50.ms)),
          column('p90', 6, (line) => threeDigits(line.latency.p90.ms)),
          column('p99', 0, (line) => threeDigits(line.latency.p99.ms) + (line.few ? '*' : '')),
          column('own p50', 2, (line) => threeDigits(line.own.p50.ms)),
          column('own p99', 3, (line) => threeDigits(line.own.p99.ms)),
        ],
        bars: { head: 'load', shares: lines.map((line) => line.legs / most) },
        empty: NO_TRAFFIC,
      },
    ],
    plots: [
      {
        kind: 'spans',
        caption: 'p50, p90 (mark) and p99 of the busiest routes, milliseconds without client wait',
        unit: 'ms',
        rows: slowest.map((line) => ({
          label: `${line.service} ${line.route || '(none matched)'}`,
          low: line.latency.p50.ms ?? 0,
          middle: line.latency.p90.ms ?? 0,
          high: line.latency.p99.ms ?? 0,
        })),
      },
    ],
    warnings: [
      ...(report.cut ? [CUT] : []),
      ...(few > 0
        ? [
            `* ${count(few)} of ${count(lines.length)} lines have fewer than ${FEW_FOR_P99} hops: their p99 is one of the few slowest`,
          ]
        : []),
    ],
    notes: [
      'times in ms, without waiting for clients; own: the receiving proxy itself; a quantile is known to its bucket (--json has the bounds)',
    ],
  };
}

export const NO_TRAFFIC =
  'No hop started in this window. Try a longer one (--last 1h), or see whether the proxies and the collector run: azimuth reconcile';

export const CUT = 'Only the busiest 500 are read and counted here: the others are left out.';
