/** The SQL of the dashboard `Gateway vs mesh`, on the source of traffic-sql.ts. */
import { EDGE_CLASSES, type EdgeClass } from '../../telemetry/edge-class.ts';
import {
  heads,
  heatMap,
  IS_BETWEEN,
  IS_ERROR,
  IS_MOVED,
  IS_REQUEST,
  quoted,
  QUANTILE_MS,
  READ,
} from './traffic-sql.ts';

/** `(column, condition)` of the two directions that a leg between two parties can have. */
const NORTH_SOUTH = { name: 'north-south', holds: "direction = 'north_south'" };
const EAST_WEST = { name: 'east-west', holds: "direction = 'east_west'" };
const UNKNOWN = { name: 'unknown', holds: "direction = 'unknown'" };
const GATEWAY = { name: 'gateway', holds: "party = 'gateway'" };
const MESH = { name: 'mesh', holds: "party = 'mesh'" };
type Series = typeof NORTH_SOUTH;

/** One number column a series, over time. `value` makes the expression of a series' condition. */
function overTime(series: readonly Series[], value: (holds: string) => string): string {
  return `${heads()}
SELECT
    $__timeInterval(Minute) AS time,
    ${series.map((s) => `${value(s.holds)} AS "${s.name}"`).join(',\n    ')}
FROM ${READ}
WHERE ${IS_BETWEEN}
GROUP BY time
ORDER BY time`;
}

/** p50 and p99 in milliseconds of one histogram column, over time. */
function quantilesOverTime(series: readonly Series[], histogram: 'Latency' | 'Own'): string {
  const columns = series.flatMap((s, index) =>
    [
      ['p50', '0.5'],
      ['p99', '0.99'],
    ].map(([name, q]) => `quantile_ms(h${index}, ${q ?? ''}) AS "${name ?? ''} ${s.name}"`),
  );
  return `${heads(QUANTILE_MS)}
SELECT time, ${columns.join(', ')}
FROM
(
    SELECT
        $__timeInterval(Minute) AS time,
        ${series.map((s, index) => `sumMapIf(${histogram}, ${s.holds}) AS h${index}`).join(',\n        ')}
    FROM ${READ}
    WHERE ${IS_BETWEEN}
    GROUP BY time
)
ORDER BY time`;
}

const perSecond = (holds: string): string => `sumIf(Hops, ${holds}) / $__interval_s`;

/** Rows of the table: what the legs are, from the outside inwards. */
const PARTS: readonly { name: string; classes: readonly EdgeClass[] }[] = [
  { name: 'gateway', classes: ['external_to_gateway', 'external_to_bff'] },
  {
    name: 'gateway → mesh',
    classes: ['gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload'],
  },
  { name: 'mesh ↔ mesh', classes: ['bff_to_workload', 'workload_to_workload'] },
  { name: 'mesh → outside', classes: ['workload_to_external'] },
  { name: 'unknown', classes: ['unknown'] },
  { name: 'own sidecar', classes: ['loopback'] },
];
const PART_NAMES = EDGE_CLASSES.map(
  (edgeClass) => PARTS.find((part) => part.classes.includes(edgeClass))?.name ?? edgeClass,
);
const PART = `transform(toString(EdgeClass), [${quoted(EDGE_CLASSES)}], [${quoted(PART_NAMES)}], 'unknown')`;

/** SQL of every panel, by its purpose. */
export const SQL = {
  requests: `${heads()}
SELECT sumIf(Hops, ${IS_REQUEST}) AS "requests" FROM traffic`,

  legs: `${heads()}
SELECT sumIf(Hops, ${IS_BETWEEN}) AS "legs" FROM ${READ}`,

  eastWestShare: `${heads()}
SELECT sumIf(Hops, ${EAST_WEST.holds}) / nullIf(sumIf(Hops, ${IS_BETWEEN}), 0) AS "east-west share" FROM ${READ}`,

  movedShare: `${heads()}
SELECT sumIf(Hops, ${IS_MOVED}) / nullIf(sumIf(Hops, ${IS_BETWEEN}), 0) AS "share that moves" FROM ${READ}`,

  requestErrors: `${heads()}
SELECT sumIf(Hops, ${IS_REQUEST} AND ${IS_ERROR}) / nullIf(sumIf(Hops, ${IS_REQUEST}), 0) AS "failed" FROM traffic`,

  finalUntil: `SELECT if(count() = 0, NULL, toDateTime64(max(Minute) + 60, 3)) AS "final until" FROM builds`,

  requestsPerSecond: overTime([{ name: 'requests', holds: IS_REQUEST }], perSecond),

  legsPerSecond: overTime([NORTH_SOUTH, EAST_WEST, UNKNOWN], perSecond),

  legsPerSecondByRole: overTime([GATEWAY, MESH], perSecond),

  errorRatio: overTime(
    [NORTH_SOUTH, EAST_WEST],
    (holds) => `sumIf(Hops, ${holds} AND ${IS_ERROR}) / nullIf(sumIf(Hops, ${holds}), 0)`,
  ),

  latencyByDirection: quantilesOverTime([NORTH_SOUTH, EAST_WEST], 'Latency'),

  latencyByRole: quantilesOverTime([GATEWAY, MESH], 'Latency'),

  ownByDirection: quantilesOverTime([NORTH_SOUTH, EAST_WEST], 'Own'),

  ownByRole: quantilesOverTime([GATEWAY, MESH], 'Own'),

  requestHeat: heatMap('Latency', IS_REQUEST),

  gatewayOwnHeat: heatMap('Own', `${IS_REQUEST} AND ${GATEWAY.holds}`),

  parts: `${heads(QUANTILE_MS)}
SELECT
    part,
    direction,
    legs,
    legs / greatest(1, toUnixTimestamp($__toTime) - toUnixTimestamp($__fromTime)) AS "legs/s",
    if(direction = 'neither', NULL, legs / nullIf(between_all, 0)) AS share,
    failed / nullIf(legs, 0) AS errors,
    quantile_ms(latency, 0.5) AS p50,
    quantile_ms(latency, 0.9) AS p90,
    quantile_ms(latency, 0.99) AS p99,
    quantile_ms(own, 0.5) AS "own p50",
    quantile_ms(own, 0.99) AS "own p99",
    bytes_in AS "bytes in",
    bytes_out AS "bytes out"
FROM
(
    SELECT
        ${PART} AS part,
        direction,
        sum(Hops) AS legs,
        sumIf(Hops, ${IS_ERROR}) AS failed,
        sumMap(Latency) AS latency,
        sumMap(Own) AS own,
        sum(BytesIn) AS bytes_in,
        sum(BytesOut) AS bytes_out,
        sum(sumIf(Hops, ${IS_BETWEEN})) OVER () AS between_all
    FROM ${READ}
    GROUP BY part, direction
)
ORDER BY indexOf([${quoted(PARTS.map((part) => part.name))}], part)`,
} as const;
