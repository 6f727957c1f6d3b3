/**
 * The SQL of the dashboard `Attribution`: published requests from outside, each split into segments
 * that sum to its duration (view `attribution`). The bands are those of the attribution report: the
 * mean of every segment among the requests near a percentile, since means add up and percentiles of
 * segments do not. Requests that are not published yet, about the last two minutes, are left out.
 */
import { PICKED_ROUTE, PICKED_TOPOLOGY, quoted } from './traffic-sql.ts';

/**
 * Kinds of segments in the order in which bars are stacked: column of the view and name. Client wait
 * is left out: it is nobody's latency. A test holds them against the analytics' own list.
 */
export const KINDS = [
  { column: 'GatewayNs', name: 'gateway' },
  { column: 'MeshNs', name: 'mesh' },
  { column: 'WireNs', name: 'wire' },
  { column: 'ApplicationNs', name: 'application' },
  { column: 'UpstreamNs', name: 'upstream' },
  { column: 'BackoffNs', name: 'backoff' },
  { column: 'ParallelSurplusNs', name: 'parallel surplus' },
  { column: 'ResidualNs', name: 'residual' },
] as const;

/** Bits of the column `Incomplete` with their names; held against the analytics' own by a test. */
export const REASONS = {
  missing_root: 1,
  missing_parent: 2,
  missing_child: 4,
  ambiguous_parent: 8,
  several_roots: 16,
  clock_domains: 32,
  too_large: 64,
  closed_early: 128,
  does_not_add_up: 256,
} as const;

/** Bands: name, and the ranks from which to which its requests are taken. */
const BANDS = [
  { name: 'p50', from: 0.45, to: 0.55 },
  { name: 'p90', from: 0.85, to: 0.95 },
  { name: 'p99', from: 0.985, to: 0.995 },
  { name: 'p99.9', from: 0.9985, to: 0.9995 },
] as const;

/** Below this many requests a band's mean says little. */
const FEW = 30;

/** Requests of the window, topologies and routes that the viewer picked. */
const PICKED = `IsRequest
        AND $__timeFilter(Timestamp)
        AND Minute >= toStartOfMinute($__fromTime)
        AND Minute <= $__toTime
        AND ${PICKED_TOPOLOGY}
        AND ${PICKED_ROUTE}`;

/** Those that miss nothing and whose latency is one: streams have none. */
const COMPLETE = `${PICKED}
        AND Incomplete = 0
        AND StreamClass = ''`;

/** Nanoseconds without client wait. */
const EFFECTIVE_NS = 'greatest(0, toInt64(DurationNs) - ClientWaitNs)';

/**
 * `requests`: the complete ones with the bucket of their effective duration, 1/128 octave wide.
 * `bands`: name and first and last bucket of each band. A band is made of whole buckets.
 */
const IN_BANDS = `
    requests AS
    (
        SELECT *, bitShiftRight(reinterpretAsUInt64(toFloat64(${EFFECTIVE_NS})), 45) AS bucket
        FROM attribution
        WHERE ${COMPLETE}
    ),
    (
        SELECT arraySort(groupArray((bucket, n)))
        FROM (SELECT bucket, count() AS n FROM requests GROUP BY bucket)
    ) AS buckets,
    arrayCumSum(tupleElement(buckets, 2)) AS upto,
    rank -> arrayElement(
        tupleElement(buckets, 1),
        least(length(upto), toUInt64(arrayFirstIndex(u -> u > rank, arrayPushBack(upto, 0x7fffffffffffffff))))) AS bucket_at,
    arrayMap(
        (name, low, high) -> (
            name,
            bucket_at(floor(round(low * upto[-1], 6))),
            bucket_at(greatest(0, ceil(round(high * upto[-1], 6)) - 1))),
        [${quoted(BANDS.map((band) => band.name))}],
        [${BANDS.map((band) => band.from).join(', ')}],
        [${BANDS.map((band) => band.to).join(', ')}]) AS bands`;

const ORDER = `indexOf([${quoted(BANDS.map((band) => band.name))}], band)`;

export const ATTRIBUTION_SQL = {
  complete: `SELECT count() AS "complete" FROM attribution WHERE ${COMPLETE}`,

  incompleteShare: `SELECT countIf(Incomplete != 0) / nullIf(count(), 0) AS "incomplete" FROM attribution WHERE ${PICKED}`,

  gatewayShare: `SELECT sum(GatewayNs) / nullIf(sum(${EFFECTIVE_NS}), 0) AS "gateway" FROM attribution WHERE ${COMPLETE}`,

  meshShare: `SELECT sum(MeshNs) / nullIf(sum(${EFFECTIVE_NS}), 0) AS "mesh" FROM attribution WHERE ${COMPLETE}`,

  residual: `SELECT max(abs(ResidualNs)) AS "residual" FROM attribution WHERE ${COMPLETE}`,

  publishedUntil: `SELECT if(count() = 0, NULL, toDateTime64(max(Minute) + 60, 3)) AS "published until" FROM attribution_builds`,

  bars: `WITH ${IN_BANDS}
SELECT
    tupleElement(found, 1) AS band,
    ${KINDS.map(({ column, name }) => `avg(${column}) / 1e6 AS "${name}"`).join(',\n    ')}
FROM (SELECT *, arrayJoin(bands) AS found FROM requests)
WHERE bucket >= tupleElement(found, 2) AND bucket <= tupleElement(found, 3)
GROUP BY band
ORDER BY ${ORDER}`,

  bands: `WITH ${IN_BANDS}
SELECT
    tupleElement(found, 1) AS band,
    count() AS requests,
    if(requests < ${FEW}, 'few', '') AS note,
    avg(${EFFECTIVE_NS}) / 1e6 AS total,
    ${KINDS.map(({ column, name }) => `avg(${column}) / 1e6 AS "${name}"`).join(',\n    ')}
FROM (SELECT *, arrayJoin(bands) AS found FROM requests)
WHERE bucket >= tupleElement(found, 2) AND bucket <= tupleElement(found, 3)
GROUP BY band
ORDER BY ${ORDER}`,

  segments: `WITH ${IN_BANDS}
SELECT
    kind,
    place,
    detail,
    ${BANDS.map(({ name }) => `sumIf(ns, band = '${name}') / nullIf(any(traces['${name}']), 0) / 1e6 AS "${name}"`).join(',\n    ')}
FROM
(
    SELECT
        tupleElement(found, 1) AS band,
        Segments.Kind AS kinds, Segments.Place AS places, Segments.Detail AS details, Segments.Ns AS times,
        (SELECT CAST((groupArray(name), groupArray(n)), 'Map(String, UInt64)') FROM
        (
            SELECT tupleElement(b, 1) AS name, count() AS n
            FROM (SELECT bucket, arrayJoin(bands) AS b FROM requests)
            WHERE bucket >= tupleElement(b, 2) AND bucket <= tupleElement(b, 3)
            GROUP BY name
        )) AS traces
    FROM (SELECT *, arrayJoin(bands) AS found FROM requests)
    WHERE bucket >= tupleElement(found, 2) AND bucket <= tupleElement(found, 3)
)
ARRAY JOIN kinds AS segment_kind, places AS place, details AS detail, times AS ns
WHERE segment_kind != 'client_wait'
GROUP BY toString(segment_kind) AS kind, place, detail
ORDER BY abs("p99") DESC, kind, place, detail
LIMIT 200`,

  overTime: `SELECT
    $__timeInterval(Minute) AS time,
    ${KINDS.map(({ column, name }) => `avg(${column}) / 1e6 AS "${name}"`).join(',\n    ')}
FROM attribution
WHERE ${COMPLETE}
GROUP BY time
ORDER BY time`,

  incompleteOverTime: `SELECT
    $__timeInterval(Minute) AS time,
    ${Object.entries(REASONS)
      .map(([name, bit]) => `countIf(bitAnd(Incomplete, ${bit}) != 0) AS "${name}"`)
      .join(',\n    ')}
FROM attribution
WHERE ${PICKED}
GROUP BY time
ORDER BY time`,

  incompleteByReason: `SELECT
    reason,
    count() AS requests,
    requests / (SELECT count() FROM attribution WHERE ${PICKED}) AS share,
    argMax(TraceId, Timestamp) AS "newest trace"
FROM attribution
ARRAY JOIN arrayFilter(
    r -> bitAnd(Incomplete, transform(r, [${quoted(Object.keys(REASONS))}], [${Object.values(REASONS).join(', ')}], 0)) != 0,
    [${quoted(Object.keys(REASONS))}]) AS reason
WHERE ${PICKED}
GROUP BY reason
ORDER BY requests DESC, reason`,
} as const;
