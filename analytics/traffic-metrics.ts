/**
 * The traffic of closed minutes for `/metrics` of analytics. Names in the style of the proxies' own
 * page, under `azimuth.traffic.`: these are figures of the whole mesh, each hop once, and no process's.
 * Series are bounded by lists of ours and stand at 0 from the start, since Prometheus cannot see the
 * first rise of a series that was not there before it.
 */
import {
  DIRECTIONS,
  directionOf,
  isRequest,
  PERSPECTIVES,
  PROXY_ROLES,
} from '../telemetry/edge-class.ts';
import { ATTR } from '../telemetry/names.ts';
import { STATUS_CLASSES, STATUS_CLASS_LABEL } from '../telemetry/status-class.ts';
import type { HistogramSample, MetricSample, MetricsText } from '../runtime/metrics-text.ts';
import {
  CLOSED_DURATION_BOUNDS_S,
  CLOSED_OWN_BOUNDS_S,
  type ClosedCell,
  type ClosedTraffic,
} from './closed-traffic.ts';

/** Cells that one set of labels sums up. */
interface Group {
  readonly labels: Readonly<Record<string, string>>;
  readonly cells: readonly ClosedCell[];
}

/** Adds the traffic to an exposition. */
export function trafficMetrics(
  into: MetricsText,
  { cells, minutes, closedUntilMs }: ClosedTraffic,
): MetricsText {
  const requests = byRole(cells.filter(({ edgeClass }) => isRequest(edgeClass)));
  const legs = PERSPECTIVES.flatMap((perspective) =>
    DIRECTIONS.flatMap((direction) =>
      byRole(
        cells.filter(({ edgeClass }) => directionOf(edgeClass, perspective) === direction),
      ).map((group) => ({
        ...group,
        labels: { [ATTR.perspective]: perspective, [ATTR.direction]: direction, ...group.labels },
      })),
    ),
  );
  return into
    .counter(
      'azimuth.traffic.requests',
      '{request}',
      'Requests from outside, in closed minutes; the same under every perspective.',
      requests.flatMap(byStatus),
    )
    .histogram(
      'azimuth.traffic.request.duration',
      's',
      'Duration of requests from outside without waiting for clients, streams and tunnels left out.',
      CLOSED_DURATION_BOUNDS_S,
      requests.map((group) => histogramOf(group, 'duration')),
    )
    .counter(
      'azimuth.traffic.legs',
      '{leg}',
      'Hops, each once, in closed minutes, by direction under each perspective.',
      legs.flatMap(byStatus),
    )
    .histogram(
      'azimuth.traffic.leg.duration',
      's',
      'Duration of hops without waiting for clients, streams and tunnels left out.',
      CLOSED_DURATION_BOUNDS_S,
      legs.map((group) => histogramOf(group, 'duration')),
    )
    .histogram(
      'azimuth.traffic.leg.own_time',
      's',
      'What the proxies took themselves: neither client wait, nor attempt, nor back-off.',
      CLOSED_OWN_BOUNDS_S,
      legs.map((group) => histogramOf(group, 'own')),
    )
    .counter(
      'azimuth.traffic.builds',
      '{minute}',
      'Minutes counted: closed ones, and those corrected since rows came late.',
      Object.entries(minutes).map(([reason, value]) => ({ labels: { reason }, value })),
    )
    .gauge(
      'azimuth.traffic.closed_until',
      's',
      'Unix time up to which minutes are counted; NaN before the first.',
      (closedUntilMs ?? NaN) / 1000,
    );
}

/** Both roles always; hops whose record names none, only where there are any. */
const byRole = (cells: readonly ClosedCell[]): Group[] =>
  PROXY_ROLES.map((role) => ({
    labels: { [ATTR.proxyRole]: role === '' ? 'unknown' : role },
    cells: cells.filter((cell) => cell.role === role),
  })).filter(
    ({ labels, cells: some }) =>
      labels[ATTR.proxyRole] !== 'unknown' ||
      some.some(({ hops }) => hops.shown.some((n) => n > 0)),
  );

const byStatus = ({ labels, cells }: Group): MetricSample[] =>
  STATUS_CLASSES.map((name, i) => ({
    labels: { ...labels, [STATUS_CLASS_LABEL]: name },
    value: cells.reduce((sum, { hops }) => sum + hops.shown[i]!, 0),
  }));

function histogramOf({ labels, cells }: Group, of: 'duration' | 'own'): HistogramSample {
  const bounds = of === 'duration' ? CLOSED_DURATION_BOUNDS_S : CLOSED_OWN_BOUNDS_S;
  const counts = new Array<number>(bounds.length + 1).fill(0);
  let sumNs = 0;
  for (const cell of cells) {
    const shown = cell[of].shown();
    shown.counts.forEach((n, i) => (counts[i]! += n));
    sumNs += shown.sum;
  }
  return { labels, counts, sum: sumNs / 1e9 };
}
