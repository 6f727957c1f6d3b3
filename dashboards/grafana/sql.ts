/**
 * The SQL of the dashboard: one source of traffic, and the readings on top of it.
 *
 * The source is the published minutes of `traffic_1m` (newest build of each) and, behind the newest
 * published minute, closed minutes made from raw rows with each (TraceId, SpanId) once. So a figure
 * counts a hop once whether or not its minute is published, and the dashboard works before the first
 * rollup. It never reads attribute Maps, and never stores a direction: that follows from the edge
 * class under the perspective which the viewer picks.
 *
 * Names without database: the data source provides it.
 */
import {
  EDGE_CLASSES,
  directionOf,
  isRequest,
  type EdgeClass,
  type Perspective,
} from '../../telemetry/edge-class.ts';

/** Variables of the dashboard, as they stand in SQL: quoted by Grafana, so no value can end a string. */
const PERSPECTIVE_VARIABLE = '${perspective:sqlstring}';
const TOPOLOGY_VARIABLE = '${topology:sqlstring}';

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ');

/** Bucket of a nanosecond count in the log-linear histograms of traffic_1m: exponent and top 3 mantissa bits. */
const bucketOf = (ns: string): string =>
  `toUInt8(least(215, greatest(0, toInt64(bitShiftRight(reinterpretAsUInt64(toFloat64(${ns})), 49)) - 8264)))`;

/** One row of histogram for one hop; streams and tunnels have no latency. */
const histogramOf = (ns: string): string =>
  `mapFilter((k, v) -> StreamClass = '', map(${bucketOf(ns)}, toUInt32(1)))`;

/**
 * Rows (Minute, Role, EdgeClass, StatusClass, Hops, BytesIn, BytesOut, Latency, Own) of the window
 * and topologies that the viewer picked. Hops that started in the minute still open are left out: a
 * rate over half a minute would look like a fall.
 */
const TRAFFIC = `traffic AS
(
    SELECT Minute, Role, EdgeClass, StatusClass, Hops, BytesIn, BytesOut, Latency, Own
    FROM traffic_1m
    WHERE $__timeFilter(Minute)
        AND $__conditionalAll(Topology IN (${TOPOLOGY_VARIABLE}), $topology)
        AND (Minute, Build) IN (SELECT Minute, max(Build) FROM builds WHERE $__timeFilter(Minute) GROUP BY Minute)
    UNION ALL
    SELECT
        toStartOfMinute(Timestamp) AS Minute,
        Role,
        EdgeClass,
        toUInt8(intDiv(least(HttpStatus, 999), 100)) AS StatusClass,
        toUInt64(1) AS Hops,
        BytesIn,
        BytesOut,
        ${histogramOf('Duration - least(WaitNs, Duration)')} AS Latency,
        ${histogramOf('OwnNs')} AS Own
    FROM spans
    WHERE HopVersion > 0
        AND $__timeFilter(Timestamp)
        AND $__conditionalAll(Topology IN (${TOPOLOGY_VARIABLE}), $topology)
        AND Timestamp >= (SELECT max(Minute) + 60 FROM builds)
        AND Timestamp < toStartOfMinute(now())
    LIMIT 1 BY TraceId, SpanId
)`;

/** Direction of each edge class, in the order of EDGE_CLASSES. */
const directions = (perspective: Perspective): string =>
  quoted(EDGE_CLASSES.map((edgeClass) => directionOf(edgeClass, perspective)));

/** Direction of a row under the perspective that the viewer picked. */
const DIRECTION = `transform(toString(EdgeClass), [${quoted(EDGE_CLASSES)}], if(${PERSPECTIVE_VARIABLE} = 'whole', [${directions('whole')}], [${directions('split')}]), 'unknown')`;

const classesWhere = (holds: (edgeClass: EdgeClass) => boolean): string =>
  `EdgeClass IN (${quoted(EDGE_CLASSES.filter(holds))})`;

/** Requests from outside: the same number in both perspectives. */
const IS_REQUEST = classesWhere(isRequest);
/** The gateway's internal legs: all that moves between the perspectives. */
const IS_MOVED = classesWhere((c) => directionOf(c, 'split') !== directionOf(c, 'whole'));
/** A leg without an answer, or with a 5xx. */
const IS_ERROR = '(StatusClass = 0 OR StatusClass >= 5)';
/** Legs between two parties; a workload's way to its own sidecar is none. */
const IS_BETWEEN = "direction != 'neither'";

/** Gateway or mesh: whose hop it is. */
const PARTY = "if(Role = 'gateway', 'gateway', 'mesh')";

/** Nanoseconds at which a bucket begins. */
const startOf = (bucket: string): string =>
  `reinterpretAsFloat64(bitShiftLeft(toUInt64(${bucket} + 8264), 49))`;

/**
 * Milliseconds below which the share `q` of a histogram lies, linear within its bucket (at most
 * 2.9 % off); NULL of an empty one. The first bucket begins at 0, the last has no end. As a SQL
 * lambda, so that it stands once in a query.
 */
const QUANTILE_MS = `(h, q) -> if(empty(h), NULL,
        arrayElement(
            arrayMap(
                (bucket, hops, below) -> (
                    if(bucket = 0, 0, ${startOf('bucket')})
                    + if(bucket = 215, 0, ${startOf('bucket + 1')} - if(bucket = 0, 0, ${startOf('bucket')}))
                        * (q * arraySum(mapValues(h)) - (below - hops)) / hops) / 1e6,
                mapKeys(h), mapValues(h), arrayCumSum(mapValues(h))),
            arrayFirstIndex(below -> below >= q * arraySum(mapValues(h)), arrayCumSum(mapValues(h))))) AS quantile_ms`;

const heads = (...more: readonly string[]): string =>
  `WITH\n    ${[...more, TRAFFIC].join(',\n    ')}`;

/** `(column, condition)` of the two directions that a leg between two parties can have. */
const NORTH_SOUTH = { name: 'north-south', holds: "direction = 'north_south'" };
const EAST_WEST = { name: 'east-west', holds: "direction = 'east_west'" };
const UNKNOWN = { name: 'unknown', holds: "direction = 'unknown'" };
const GATEWAY = { name: 'gateway', holds: "party = 'gateway'" };
const MESH = { name: 'mesh', holds: "party = 'mesh'" };
type Series = typeof NORTH_SOUTH;

/** Rows of the window with direction and party beside the columns of the source. */
const READ = `(SELECT *, ${DIRECTION} AS direction, ${PARTY} AS party FROM traffic)`;

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

  topologies: `SELECT DISTINCT Topology FROM traffic_1m WHERE $__timeFilter(Minute)
UNION DISTINCT
SELECT DISTINCT Topology FROM spans WHERE HopVersion > 0 AND $__timeFilter(Timestamp)
ORDER BY Topology`,
} as const;
