-- Minutes that got rows of hops since a moment, found through the minmax index on IngestedAt.
SELECT DISTINCT toUnixTimestamp(toStartOfMinute(Timestamp)) AS minute
FROM spans
WHERE IngestedAt >= toDateTime({since_s:UInt32})
    AND HopVersion > 0
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
