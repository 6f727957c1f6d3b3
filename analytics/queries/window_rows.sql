-- Rollup rows of one window: whole days of a long one from traffic_1d, other whole hours of it from
-- traffic_1h, [published_from, published_to) else from traffic_1m, the rest of [from, to) from raw rows:
-- partial minutes at the edges, minutes not yet published, and raw_minutes, which got rows since. Days in
-- hour_days are read by hours, hours in minute_hours by minutes. No minute is in two of them.
SELECT
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
    DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM traffic_1d
WHERE Day >= fromUnixTimestamp64Milli({days_from_ms:Int64})
    AND Day < fromUnixTimestamp64Milli({days_to_ms:Int64})
    AND Day NOT IN (SELECT toDateTime(arrayJoin({hour_days:Array(UInt32)})))
    AND (Day, Build) IN
    (
        SELECT Day, max(Build)
        FROM day_builds
        WHERE Day >= fromUnixTimestamp64Milli({days_from_ms:Int64})
            AND Day < fromUnixTimestamp64Milli({days_to_ms:Int64})
        GROUP BY Day
    )
UNION ALL
SELECT
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
    DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM traffic_1h
WHERE Hour >= fromUnixTimestamp64Milli({hours_from_ms:Int64})
    AND Hour < fromUnixTimestamp64Milli({hours_to_ms:Int64})
    AND (Hour < fromUnixTimestamp64Milli({days_from_ms:Int64})
        OR Hour >= fromUnixTimestamp64Milli({days_to_ms:Int64})
        OR toStartOfDay(Hour, 'UTC') IN (SELECT toDateTime(arrayJoin({hour_days:Array(UInt32)}))))
    AND Hour NOT IN (SELECT toDateTime(arrayJoin({minute_hours:Array(UInt32)})))
    AND (Hour, Build) IN
    (
        SELECT Hour, max(Build)
        FROM hour_builds
        WHERE Hour >= fromUnixTimestamp64Milli({hours_from_ms:Int64})
            AND Hour < fromUnixTimestamp64Milli({hours_to_ms:Int64})
        GROUP BY Hour
    )
UNION ALL
SELECT
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
    DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM traffic_1m
WHERE Minute >= fromUnixTimestamp64Milli({published_from_ms:Int64})
    AND Minute < fromUnixTimestamp64Milli({published_to_ms:Int64})
    AND (Minute < fromUnixTimestamp64Milli({hours_from_ms:Int64})
        OR Minute >= fromUnixTimestamp64Milli({hours_to_ms:Int64})
        OR toStartOfHour(Minute) IN (SELECT toDateTime(arrayJoin({minute_hours:Array(UInt32)}))))
    AND Minute NOT IN (SELECT toDateTime(arrayJoin({raw_minutes:Array(UInt32)})))
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
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, BoundedMethod AS Method, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
    DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM
(
    {{hops_to_traffic}}
)
