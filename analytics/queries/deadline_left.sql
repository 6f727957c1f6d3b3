-- What was left of their deadlines when some requests reached each proxy, and when they left it, as the
-- proxies recorded it. `DeadlineMs` is what was left at a hop's start, plus one; hops without one are
-- counted as unknown and enter no median.
SELECT
    ServiceName AS service,
    toString(Side) AS side,
    countIf(DeadlineMs > 0) AS hops,
    countIf(DeadlineMs = 0) AS unknown,
    if(hops = 0, NULL, quantileExactIf(0.5)(toInt64(DeadlineMs) - 1, DeadlineMs > 0)) AS left_ms,
    if(hops = 0, NULL, quantileExactIf(0.5)(greatest(0, toInt64(DeadlineMs) - 1 - Duration / 1e6), DeadlineMs > 0)) AS left_after_ms,
    countIf(DeadlineMs > 0 AND Duration >= (DeadlineMs - 1) * 1000000) AS over
FROM
(
    SELECT ServiceName, Side, DeadlineMs, Duration
    FROM spans
    WHERE HopVersion > 0
        AND TraceId IN ({traces:Array(String)})
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
)
GROUP BY service, side
ORDER BY left_ms DESC NULLS LAST, service, side
LIMIT 50
