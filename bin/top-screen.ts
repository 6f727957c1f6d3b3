/**
 * What `azimuth top` shows, and what its keys do. Pure: figures and a size in, lines out; the command
 * reads the store and owns the terminal.
 */
import { edges, type EdgeLine, type Edges } from '../analytics/reports/edges.ts';
import { count, percent, rate, threeDigits } from '../analytics/reports/numbers.ts';
import { finalityText, printable } from '../analytics/reports/presentation-text.ts';
import {
  DIRECTION_SHORT,
  routes,
  type RouteLine,
  type Routes,
} from '../analytics/reports/routes.ts';
import { renderTable, spread } from '../analytics/reports/table.ts';
import type { EdgeTraffic, RouteTraffic, WindowGroups } from '../analytics/traffic.ts';
import type { Window } from '../analytics/window.ts';
import type { Perspective } from '../telemetry/edge-class.ts';

/** By what lines are sorted, in the order of the key `s`. */
export const TOP_SORTS = ['rate', 'errors', 'p50', 'p99', 'own'] as const;
export type TopSort = (typeof TOP_SORTS)[number];

export interface TopView {
  readonly sort: TopSort;
  readonly show: 'both' | 'routes' | 'edges';
  readonly perspective: Perspective;
}

/** One reading; both perspectives can be shown from it. */
export interface TopReading {
  readonly window: Window;
  readonly routes: WindowGroups<RouteTraffic>;
  readonly edges: WindowGroups<EdgeTraffic>;
}

export interface TopSize {
  readonly width: number;
  /** Lines there are; Infinity for a pipe. */
  readonly height: number;
  readonly color: boolean;
}

/** The keys, for `--help` and the last line. */
export const TOP_KEYS = 'q leave   s sort   r routes   e edges   b both   p perspective';

/** The view after a key; undefined: leave. Unknown keys change nothing. */
export function pressKey(view: TopView, key: string): TopView | undefined {
  switch (key) {
    case 'q':
    // Raw mode hands us what would be signals: Ctrl-C and Ctrl-D.
    case '\x03':
    case '\x04':
      return undefined;
    case 's':
      return { ...view, sort: TOP_SORTS[(TOP_SORTS.indexOf(view.sort) + 1) % TOP_SORTS.length]! };
    case 'r':
      return { ...view, show: 'routes' };
    case 'e':
      return { ...view, show: 'edges' };
    case 'b':
      return { ...view, show: 'both' };
    case 'p':
      return { ...view, perspective: view.perspective === 'split' ? 'whole' : 'split' };
    default:
      return view;
  }
}

/** Lines of the screen, at most `height`, each at most `width` characters but for styles. */
export function topScreen(
  view: TopView,
  reading: TopReading,
  size: TopSize,
  trouble?: string,
): string[] {
  // prettier-ignore
  const byRoute = routes(reading.window, reading.routes, view.perspective);
  const byEdge = edges(reading.window, reading.edges, { accounts: [], untilMs: 0 });
  const dim = (text: string): string => (size.color ? `\x1b[2m${text}\x1b[22m` : text);
  const bold = (text: string): string => (size.color ? `\x1b[1m${text}\x1b[22m` : text);
  const head = spread(
    [
      `azimuth top   ${new Date(reading.window.toMs).toISOString().slice(11, 19)} UTC`,
      `last ${threeDigits(byRoute.window_s)} s`,
      `${rate(requestsOf(byRoute) / byRoute.window_s)} requests/s`,
      `sorted by ${view.sort}`,
      `perspective ${view.perspective}`,
      trouble === undefined ? finalityText(byRoute) : printable(`TROUBLE: ${trouble}`),
    ],
    size.width,
  ).map(bold);
  const left = size.height - head.length - 1;
  const tables = [
    ...(view.show === 'edges' ? [] : [routeLines(byRoute, view.sort, size.width)]),
    ...(view.show === 'routes' ? [] : [edgeLines(byEdge, view, size.width)]),
  ];
  const each = Math.max(2, Math.floor(left / tables.length) - 1);
  const body = tables.flatMap(([title = '', ...rows]) => [
    '',
    dim(title),
    ...rows.slice(0, each - 1),
  ]);
  const keys = Number.isFinite(size.height) ? [dim(TOP_KEYS.slice(0, size.width))] : [];
  return [...head, ...body, ...keys].slice(0, size.height);
}

const requestsOf = ({ lines }: Routes): number => lines.reduce((sum, l) => sum + l.requests, 0);

const SORT_VALUE: Readonly<Record<TopSort, (line: RouteLine | EdgeLine) => number>> = {
  rate: (line) => line.legs,
  errors: (line) => line.errors,
  p50: (line) => line.latency.p50.ms ?? -1,
  p99: (line) => line.latency.p99.ms ?? -1,
  own: (line) => line.own.p99.ms ?? -1,
};

const sorted = <Line extends RouteLine | EdgeLine>(lines: readonly Line[], sort: TopSort): Line[] =>
  lines.toSorted((a, b) => SORT_VALUE[sort](b) - SORT_VALUE[sort](a) || b.legs - a.legs);

function routeLines({ lines }: Routes, sort: TopSort, width: number): string[] {
  const shown = sorted(lines, sort);
  return renderTable(
    [
      { head: 'ROUTE', spare: 0, cells: shown.map((l) => printable(l.route || '(none matched)')) },
      { head: 'service', spare: 2, cells: shown.map((l) => printable(l.service)), left: true },
      { head: '', spare: 1, cells: shown.map((l) => DIRECTION_SHORT[l.direction]), left: true },
      ...figureColumns(shown),
    ],
    width,
  );
}

function edgeLines({ lines }: Edges, { sort, perspective }: TopView, width: number): string[] {
  const shown = sorted(lines, sort);
  return renderTable(
    [
      { head: 'EDGE', spare: 0, cells: shown.map((l) => printable(`${l.from || '(unknown)'} → ${l.to}`)) }, // prettier-ignore
      { head: '', spare: 1, cells: shown.map((l) => DIRECTION_SHORT[l.direction[perspective]]), left: true }, // prettier-ignore
      ...figureColumns(shown),
    ],
    width,
  );
}

const figureColumns = (lines: readonly (RouteLine | EdgeLine)[]) => [
  { head: '/s', spare: 0, cells: lines.map((l) => rate(l.legs_per_s)) },
  { head: 'legs', spare: 5, cells: lines.map((l) => count(l.legs)) },
  { head: 'errors', spare: 0, cells: lines.map((l) => percent(l.error_share)) },
  { head: 'p50', spare: 0, cells: lines.map((l) => threeDigits(l.latency.p50.ms)) },
  { head: 'p90', spare: 4, cells: lines.map((l) => threeDigits(l.latency.p90.ms)) },
  {
    head: 'p99',
    spare: 0,
    cells: lines.map((l) => threeDigits(l.latency.p99.ms) + (l.few ? '*' : '')),
  },
  { head: 'own p50', spare: 3, cells: lines.map((l) => threeDigits(l.own.p50.ms)) },
  { head: 'own p99', spare: 3, cells: lines.map((l) => threeDigits(l.own.p99.ms)) },
];
