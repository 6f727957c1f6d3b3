-- Writes one build of the days named, from published hours; nobody reads it before days_publish.sql.
INSERT INTO traffic_1d
SELECT
    toStartOfDay(Hour, 'UTC') AS Day,
    {build:UInt64} AS NewBuild,
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass,
    sum(h.Hops), sum(h.Attempts), sum(h.BytesIn), sum(h.BytesOut), sum(h.DurationNs), sum(h.WaitNs),
    sum(h.UpstreamNs), sum(h.BackoffNs), sum(h.OwnNs), sumMap(h.Latency), sumMap(h.Own)
FROM traffic_1h AS h
WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
    AND toStartOfDay(Hour, 'UTC') IN (SELECT toDateTime(arrayJoin({starts:Array(UInt32)})))
    AND (Hour, Build) IN
    (
        SELECT Hour, max(Build)
        FROM hour_builds
        WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
        GROUP BY Hour
    )
GROUP BY Day, Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass
