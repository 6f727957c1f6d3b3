/**
 * The SQL of the dashboard `Traces`: single requests, from raw rows, each row once however often it
 * was stored. Limited by window and count: these are the only panels that read `spans` by the row.
 */
import {
  DIRECTION,
  IS_BETWEEN,
  IS_REQUEST,
  PICKED_DIRECTION,
  PICKED_ROUTE,
  PICKED_TOPOLOGY,
} from './traffic-sql.ts';

const TRACE_VARIABLE = '${trace:sqlstring}';

const LIMIT = 50;

const PICKED_HOPS = `HopVersion > 0
        AND $__timeFilter(Timestamp)
        AND ${PICKED_TOPOLOGY}
        AND ${PICKED_ROUTE}`;

const EFFECTIVE_MS = '(Duration - least(WaitNs, Duration)) / 1e6';

const requests = (where: string, order: string): string => `SELECT
    toDateTime64(Timestamp, 3) AS at,
    TraceId AS trace,
    toString(Method) AS method,
    toString(Route) AS route,
    HttpStatus AS status,
    toString(ErrorType) AS error,
    ${EFFECTIVE_MS} AS latency,
    OwnNs / 1e6 AS own,
    Attempts AS attempts,
    toString(ServiceName) AS service
FROM spans
WHERE ${PICKED_HOPS}
    AND ${IS_REQUEST}
    AND StreamClass = ''
    AND ${where}
ORDER BY ${order} DESC, trace
LIMIT 1 BY TraceId, SpanId
LIMIT ${LIMIT}`;

/**
 * Rows of the trace that the viewer picked, from the view that speaks the Collector's names. Looked
 * up by id through the bloom filter, whatever the window: a link may be older than it.
 */
const OF_TRACE = `SELECT * FROM otel_traces WHERE TraceId = ${TRACE_VARIABLE} LIMIT 1 BY TraceId, SpanId LIMIT 2000`;

const tags = (column: string): string =>
  `arrayMap(key -> map('key', key, 'value', ${column}[key]), mapKeys(${column}))`;

export const TRACES_SQL = {
  slowest: requests('1 = 1', 'latency'),

  failed: requests('(HttpStatus = 0 OR HttpStatus >= 500)', 'at'),

  slowestLegs: `SELECT
    toDateTime64(Timestamp, 3) AS at,
    TraceId AS trace,
    toString(Peer) AS caller,
    toString(ServiceName) AS callee,
    toString(EdgeClass) AS class,
    direction,
    toString(Route) AS route,
    HttpStatus AS status,
    ${EFFECTIVE_MS} AS latency,
    OwnNs / 1e6 AS own
FROM (SELECT *, ${DIRECTION} AS direction FROM spans WHERE ${PICKED_HOPS})
WHERE ${IS_BETWEEN} AND ${PICKED_DIRECTION} AND StreamClass = ''
ORDER BY latency DESC, trace
LIMIT 1 BY TraceId, SpanId
LIMIT ${LIMIT}`,

  /**
   * Columns by the names of Grafana's trace frame, as the plugin's own trace view makes them. A hop's
   * parent is an attempt of its caller, which need not be stored as a row: its hop is, under the same
   * id but for the last digit.
   */
  trace: `WITH
    stored AS (${OF_TRACE}),
    (SELECT groupUniqArray(SpanId) FROM stored) AS ids
SELECT
    TraceId AS traceID,
    SpanId AS spanID,
    if(ParentSpanId = '' OR has(ids, ParentSpanId), ParentSpanId, concat(substring(ParentSpanId, 1, 15), '0')) AS parentSpanID,
    toString(ServiceName) AS serviceName,
    toString(SpanName) AS operationName,
    toUnixTimestamp64Nano(Timestamp) / 1e6 AS startTime,
    Duration / 1e6 AS duration,
    ${tags('SpanAttributes')} AS tags,
    ${tags('ResourceAttributes')} AS serviceTags,
    if(StatusCode = 'Error', 2, 0) AS statusCode,
    StatusMessage AS statusMessage,
    lower(SpanKind) AS kind
FROM stored
ORDER BY startTime, spanID`,

  hops: `SELECT
    toString(ServiceName) AS service,
    toString(Proxy) AS proxy,
    toString(Side) AS side,
    toString(EdgeClass) AS class,
    ${DIRECTION} AS direction,
    toString(Route) AS route,
    HttpStatus AS status,
    toString(ErrorType) AS error,
    Duration / 1e6 AS duration,
    OwnNs / 1e6 AS own,
    UpstreamNs / 1e6 AS upstream,
    WaitNs / 1e6 AS "client wait",
    BackoffNs / 1e6 AS backoff,
    Attempts AS attempts
FROM spans
WHERE TraceId = ${TRACE_VARIABLE} AND HopVersion + MirrorVersion > 0
ORDER BY Timestamp, SpanId
LIMIT 1 BY TraceId, SpanId
LIMIT 500`,

  segments: `SELECT
    toString(kind) AS segment,
    place,
    detail,
    sum(ns) / 1e6 AS time,
    sum(ns) / nullIf(any(DurationNs), 0) AS share
FROM attribution
ARRAY JOIN Segments.Kind AS kind, Segments.Place AS place, Segments.Detail AS detail, Segments.Ns AS ns
WHERE TraceId = ${TRACE_VARIABLE}
GROUP BY kind, place, detail
ORDER BY time DESC, segment, place, detail`,
} as const;
