-- Where proxies gave up waiting, at any depth: by the workload whose proxy did, and the target.
SELECT
    ServiceName AS service,
    toString(Side) AS side,
    Target AS target,
    count() AS hops
FROM
(
    SELECT ServiceName, Side, Target
    FROM spans
    WHERE HopVersion > 0
        AND bitAnd(Flags, 8) != 0
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
)
GROUP BY service, side, target
ORDER BY hops DESC, service, side, target
LIMIT 50
