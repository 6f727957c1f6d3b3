-- Sums of the builds named, each apart, by role, edge class and status. Sums of time leave streams and
-- tunnels out, as the histograms do.
SELECT
    toUnixTimestamp(Minute) AS minute,
    toString(Build) AS build,
    Role AS role,
    EdgeClass AS edge_class,
    StatusClass AS status_class,
    sum(Hops) AS hops,
    sumIf(DurationNs - WaitNs, StreamClass = '') AS effective_ns,
    sumIf(OwnNs, StreamClass = '') AS own_ns,
    arrayZip(mapKeys(sumMap(Latency)), mapValues(sumMap(Latency))) AS latency,
    arrayZip(mapKeys(sumMap(Own)), mapValues(sumMap(Own))) AS own
FROM traffic_1m
WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
    AND (toUnixTimestamp(Minute), toString(Build)) IN
        (SELECT arrayJoin(arrayZip({minutes:Array(UInt32)}, {builds:Array(String)})))
GROUP BY Minute, Build, role, edge_class, status_class
