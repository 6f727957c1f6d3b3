-- Closed minutes past the newest published one that hold hops.
SELECT toUnixTimestamp(toStartOfMinute(Timestamp)) AS minute, count() AS rows
FROM spans
WHERE HopVersion > 0
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
GROUP BY minute
ORDER BY minute
