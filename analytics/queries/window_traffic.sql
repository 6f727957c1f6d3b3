-- Traffic of one window by edge class, role and topology. [published_from, published_to) comes from
-- traffic_1m but for raw_minutes; the rest of [from, to) comes from raw rows: partial minutes at the
-- edges, minutes not yet published, and raw_minutes, which got rows since. No minute is in both.
SELECT
    Mesh AS mesh,
    Topology AS topology,
    Role AS role,
    EdgeClass AS edge_class,
    sum(Hops) AS hops,
    sumIf(Hops, StatusClass = 0 OR StatusClass >= 5) AS errors,
    sumIf(Hops, StreamClass != '') AS streams,
    sum(Attempts) AS attempts,
    sum(BytesIn) AS bytes_in,
    sum(BytesOut) AS bytes_out,
    sum(DurationNs) AS duration_ns,
    sum(WaitNs) AS wait_ns,
    sum(UpstreamNs) AS upstream_ns,
    sum(BackoffNs) AS backoff_ns,
    sum(OwnNs) AS own_ns,
    -- Pairs [bucket, hops], since a Map's keys would become strings in JSON.
    arrayZip(mapKeys(sumMap(Latency)), mapValues(sumMap(Latency))) AS latency,
    arrayZip(mapKeys(sumMap(Own)), mapValues(sumMap(Own))) AS own
FROM
(
    SELECT
        Mesh, Topology, Role, EdgeClass, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
        DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
    FROM traffic_1m
    WHERE Minute >= fromUnixTimestamp64Milli({published_from_ms:Int64})
        AND Minute < fromUnixTimestamp64Milli({published_to_ms:Int64})
        AND Minute NOT IN (arrayMap(m -> toDateTime(m), {raw_minutes:Array(UInt32)}))
        AND (Minute, Build) IN
        (
            SELECT Minute, max(Build)
            FROM builds
            WHERE Minute >= fromUnixTimestamp64Milli({published_from_ms:Int64})
                AND Minute < fromUnixTimestamp64Milli({published_to_ms:Int64})
            GROUP BY Minute
        )
    UNION ALL
    SELECT
        Mesh, Topology, Role, EdgeClass, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
        DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
    FROM
    (
        {{hops_to_traffic}}
    )
)
GROUP BY mesh, topology, role, edge_class
