-- Writes one build of the hours named, from published minutes; nobody reads it before hours_publish.sql.
INSERT INTO traffic_1h
SELECT
    toStartOfHour(Minute) AS Hour,
    {build:UInt64} AS NewBuild,
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass,
    sum(m.Hops), sum(m.Attempts), sum(m.BytesIn), sum(m.BytesOut), sum(m.DurationNs), sum(m.WaitNs),
    sum(m.UpstreamNs), sum(m.BackoffNs), sum(m.OwnNs), sumMap(m.Latency), sumMap(m.Own)
FROM traffic_1m AS m
WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
    AND toStartOfHour(Minute) IN (SELECT toDateTime(arrayJoin({starts:Array(UInt32)})))
    AND (Minute, Build) IN
    (
        SELECT Minute, max(Build)
        FROM builds
        WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
        GROUP BY Minute
    )
GROUP BY Hour, Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass
