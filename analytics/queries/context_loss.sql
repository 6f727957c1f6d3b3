-- Whether the parent that a hop names is stored, per workload; of a busy window every `every`-th trace,
-- whole. The parent of a hop is an attempt of a proxy, whose span id is the hop's but for its last
-- digit, or a span of an application; it is looked for a minute around the window. Sets hold 64-bit
-- hashes: two different ids of one window meet in one with a chance below one in a million.
SELECT
    ServiceName AS workload,
    countIf(Side = 'inbound') AS entries,
    countIf(Side = 'inbound' AND ParentSpanId = '') AS entries_without_parent,
    countIf(Side = 'inbound' AND Unknown) AS entries_parent_unknown,
    countIf(Side = 'outbound') AS calls,
    countIf(Side = 'outbound' AND ParentSpanId = '') AS calls_without_parent,
    countIf(Side = 'outbound' AND Unknown) AS calls_parent_unknown
FROM
(
    SELECT
        ServiceName, Side, ParentSpanId,
        ParentSpanId != ''
            AND cityHash64(TraceId, substring(ParentSpanId, 1, 15)) NOT IN
            (
                SELECT cityHash64(TraceId, substring(SpanId, 1, 15))
                FROM spans
                WHERE HopVersion + MirrorVersion > 0
                    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
                    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 60000)
                    AND cityHash64(TraceId) % {every:UInt32} = 0
            )
            AND cityHash64(TraceId, ParentSpanId) NOT IN
            (
                SELECT cityHash64(TraceId, SpanId)
                FROM spans
                WHERE HopVersion = 0
                    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
                    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 60000)
                    AND cityHash64(TraceId) % {every:UInt32} = 0
            ) AS Unknown
    FROM
    (
        SELECT TraceId, ServiceName, Side, ParentSpanId
        FROM spans
        WHERE HopVersion > 0
            AND Side IN ('inbound', 'outbound')
            AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
            AND cityHash64(TraceId) % {every:UInt32} = 0
        LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
    )
)
GROUP BY workload
ORDER BY workload
