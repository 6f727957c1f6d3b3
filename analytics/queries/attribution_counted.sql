-- Rows of each minute of a stretch, hops and application spans alike.
SELECT toUInt32(toStartOfMinute(Timestamp)) AS minute, count() AS rows
FROM spans
WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
GROUP BY minute
ORDER BY minute
