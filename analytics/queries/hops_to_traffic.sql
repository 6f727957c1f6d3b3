-- Rows of traffic_1m made from stored hops: each hop once, in the minute in which it started.
-- The rollup job writes them, readers use the same text for minutes that are not published, so that
-- both always agree. A hop stored twice stands in one minute twice, hence the LIMIT 1 BY per minute.
SELECT
    minute AS Minute,
    {build:UInt64} AS Build,
    Mesh,
    Topology,
    Role,
    Side,
    EdgeClass,
    ServiceName,
    Peer,
    Target,
    Route,
    if(Method IN ('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'), Method, '_OTHER') AS BoundedMethod,
    toUInt8(intDiv(least(HttpStatus, 999), 100)) AS StatusClass,
    StreamClass,
    count() AS Hops,
    sum(toUInt64(HopAttempts)) AS Attempts,
    sum(HopBytesIn) AS BytesIn,
    sum(HopBytesOut) AS BytesOut,
    sum(HopDurationNs) AS DurationNs,
    sum(HopWaitNs) AS WaitNs,
    sum(HopUpstreamNs) AS UpstreamNs,
    sum(HopBackoffNs) AS BackoffNs,
    sum(HopOwnNs) AS OwnNs,
    -- Bucket of a nanosecond count: exponent and top 3 mantissa bits of the double, from 1,024 ns on.
    sumMapIf(map(toUInt8(least(215, greatest(0, toInt64(bitShiftRight(reinterpretAsUInt64(toFloat64(HopDurationNs - least(HopWaitNs, HopDurationNs))), 49)) - 8264))), toUInt32(1)), StreamClass = '') AS Latency,
    sumMapIf(map(toUInt8(least(215, greatest(0, toInt64(bitShiftRight(reinterpretAsUInt64(toFloat64(HopOwnNs)), 49)) - 8264))), toUInt32(1)), StreamClass = '') AS Own
FROM
(
    SELECT
        toStartOfMinute(Timestamp) AS minute,
        Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, HttpStatus, StreamClass,
        Attempts AS HopAttempts,
        BytesIn AS HopBytesIn,
        BytesOut AS HopBytesOut,
        Duration AS HopDurationNs,
        WaitNs AS HopWaitNs,
        UpstreamNs AS HopUpstreamNs,
        BackoffNs AS HopBackoffNs,
        OwnNs AS HopOwnNs
    FROM spans
    WHERE HopVersion > 0
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
        -- Left out: the published stretch, but for its minutes that changed.
        AND (Timestamp < fromUnixTimestamp64Milli({published_from_ms:Int64})
            OR Timestamp >= fromUnixTimestamp64Milli({published_to_ms:Int64})
            OR toStartOfMinute(Timestamp) IN (SELECT toDateTime(arrayJoin({raw_minutes:Array(UInt32)}))))
    LIMIT 1 BY minute, TraceId, SpanId
)
GROUP BY Minute, Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, BoundedMethod, StatusClass, StreamClass
