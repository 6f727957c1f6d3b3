-- Published minutes that got rows since their newest build was made, or that hold rows and were never
-- published. The inner query finds candidates by the index on IngestedAt.
SELECT
    toUInt32(toStartOfMinute(Timestamp)) AS minute,
    count() AS rows
FROM spans
WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND toStartOfMinute(Timestamp) IN
    (
        SELECT toStartOfMinute(Timestamp)
        FROM spans
        WHERE IngestedAt >= toDateTime({since_s:UInt32})
            AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    )
GROUP BY minute
ORDER BY minute
