/**
 * The SQL that the dashboards share: one source of traffic, and the readings on top of it.
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

/** The condition that rows belong to what the viewer picked; the columns are named alike in all tables. */
export const PICKED_TOPOLOGY = '$__conditionalAll(Topology IN (${topology:sqlstring}), $topology)';
export const PICKED_ROUTE = '$__conditionalAll(Route IN (${route:sqlstring}), $route)';
/** Of rows that have a direction. */
export const PICKED_DIRECTION =
  '$__conditionalAll(direction IN (${direction:sqlstring}), $direction)';

export const quoted = (names: readonly string[]): string =>
  names.map((name) => `'${name}'`).join(', ');

/** Bucket of a nanosecond count in the log-linear histograms of traffic_1m: exponent and top 3 mantissa bits. */
const bucketOf = (ns: string): string =>
  `toUInt8(least(215, greatest(0, toInt64(bitShiftRight(reinterpretAsUInt64(toFloat64(${ns})), 49)) - 8264)))`;

/** One row of histogram for one hop; streams and tunnels have no latency. */
const histogramOf = (ns: string): string =>
  `mapFilter((k, v) -> StreamClass = '', map(${bucketOf(ns)}, toUInt32(1)))`;

/** Clients choose a method, so it is bounded as in traffic_1m. */
const BOUNDED_METHOD =
  "if(Method IN ('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'), Method, '_OTHER')";

/** What both halves of the source have by name. */
const DIMENSIONS = 'Role, EdgeClass, ServiceName, Peer, Target, Route';

/**
 * Rows (Minute, DIMENSIONS, Verb, StatusClass, Hops, BytesIn, BytesOut, Latency, Own) of the window,
 * topologies and routes that the viewer picked. Hops that started in the minute still open are left out: a
 * rate over half a minute would look like a fall.
 */
const TRAFFIC = `traffic AS
(
    SELECT Minute, ${DIMENSIONS}, Method AS Verb, StatusClass, Hops, BytesIn, BytesOut, Latency, Own
    FROM traffic_1m
    WHERE $__timeFilter(Minute)
        AND ${PICKED_TOPOLOGY}
        AND ${PICKED_ROUTE}
        AND (Minute, Build) IN (SELECT Minute, max(Build) FROM builds WHERE $__timeFilter(Minute) GROUP BY Minute)
    UNION ALL
    SELECT
        toStartOfMinute(Timestamp) AS Minute,
        ${DIMENSIONS},
        ${BOUNDED_METHOD} AS Verb,
        toUInt8(intDiv(least(HttpStatus, 999), 100)) AS StatusClass,
        toUInt64(1) AS Hops,
        BytesIn,
        BytesOut,
        ${histogramOf('Duration - least(WaitNs, Duration)')} AS Latency,
        ${histogramOf('OwnNs')} AS Own
    FROM spans
    WHERE HopVersion > 0
        AND $__timeFilter(Timestamp)
        AND ${PICKED_TOPOLOGY}
        AND ${PICKED_ROUTE}
        AND Timestamp >= (SELECT max(Minute) + 60 FROM builds)
        AND Timestamp < toStartOfMinute(now())
    LIMIT 1 BY TraceId, SpanId
)`;

/** Direction of each edge class, in the order of EDGE_CLASSES. */
const directions = (perspective: Perspective): string =>
  quoted(EDGE_CLASSES.map((edgeClass) => directionOf(edgeClass, perspective)));

/** Direction of a row under the perspective that the viewer picked. */
export const DIRECTION = `transform(toString(EdgeClass), [${quoted(EDGE_CLASSES)}], if(${PERSPECTIVE_VARIABLE} = 'whole', [${directions('whole')}], [${directions('split')}]), 'unknown')`;

const classesWhere = (holds: (edgeClass: EdgeClass) => boolean): string =>
  `EdgeClass IN (${quoted(EDGE_CLASSES.filter(holds))})`;

/** Requests from outside: the same number in both perspectives. */
export const IS_REQUEST = classesWhere(isRequest);
/** The gateway's internal legs: all that moves between the perspectives. */
export const IS_MOVED = classesWhere((c) => directionOf(c, 'split') !== directionOf(c, 'whole'));
/** A leg without an answer, or with a 5xx. */
export const IS_ERROR = '(StatusClass = 0 OR StatusClass >= 5)';
/** Legs between two parties; a workload's way to its own sidecar is none. */
export const IS_BETWEEN = "direction != 'neither'";

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
export const QUANTILE_MS = `(h, q) -> if(empty(h), NULL,
        arrayElement(
            arrayMap(
                (bucket, hops, below) -> (
                    if(bucket = 0, 0, ${startOf('bucket')})
                    + if(bucket = 215, 0, ${startOf('bucket + 1')} - if(bucket = 0, 0, ${startOf('bucket')}))
                        * (q * arraySum(mapValues(h)) - (below - hops)) / hops) / 1e6,
                mapKeys(h), mapValues(h), arrayCumSum(mapValues(h))),
            arrayFirstIndex(below -> below >= q * arraySum(mapValues(h)), arrayCumSum(mapValues(h))))) AS quantile_ms`;

export const heads = (...more: readonly string[]): string =>
  `WITH\n    ${[...more, TRAFFIC].join(',\n    ')}`;

/** One column of a heat map: the hops of a histogram below `ms`, down to the column before. */
interface HeatBand {
  readonly ms: string;
  /** Buckets [from, to). */
  readonly from: number;
  readonly to: number;
}

/**
 * Half octaves from 33 microseconds to 69 s: 43 rows of a picture that can still be read. What is
 * below stands in the first, what is above in the last.
 */
export const HEAT_BANDS: readonly HeatBand[] = Array.from({ length: 43 }, (_, i) => {
  const octave = 15 + (i >> 1);
  const ns = 2 ** octave * (i % 2 === 0 ? 1 : 1.5);
  const to = (octave - 10) * 8 + (i % 2) * 4;
  return {
    ms: String(Number((ns / 1e6).toPrecision(3))),
    from: i === 0 ? 0 : to - 4,
    to: i === 42 ? 216 : to,
  };
});

/** Hops in buckets [low, high) of a histogram, as a SQL lambda. */
const HOPS_BETWEEN =
  '(h, low, high) -> arraySum((b, n) -> if(b >= low AND b < high, n, 0), mapKeys(h), mapValues(h)) AS hops_between';

/**
 * Rows of a heat map over time that is made before it is sent: a column a band, named by its upper
 * bound in milliseconds, and in it the hops of that band.
 */
export function heatMap(histogram: 'Latency' | 'Own', where: string): string {
  return `${heads(HOPS_BETWEEN)}
SELECT time,
    ${HEAT_BANDS.map(({ ms, from, to }) => `hops_between(h, ${from}, ${to}) AS "${ms}"`).join(',\n    ')}
FROM
(
    SELECT $__timeInterval(Minute) AS time, sumMap(${histogram}) AS h
    FROM ${READ}
    WHERE ${where}
    GROUP BY time
)
ORDER BY time`;
}

/** Rows of the window with direction and party beside the columns of the source. */
export const READ = `(SELECT *, ${DIRECTION} AS direction, ${PARTY} AS party FROM traffic)`;

/** Names that the variables offer: those of the window, published or not. */
const namesOf = (
  column: string,
): string => `SELECT DISTINCT ${column} FROM traffic_1m WHERE ${column} != '' AND $__timeFilter(Minute)
UNION DISTINCT
SELECT DISTINCT ${column} FROM spans WHERE HopVersion > 0 AND ${column} != '' AND $__timeFilter(Timestamp)
ORDER BY ${column}`;

export const TOPOLOGIES = namesOf('Topology');
export const ROUTES = namesOf('Route');
