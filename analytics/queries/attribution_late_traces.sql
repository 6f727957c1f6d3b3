-- Traces that got rows in the changed minutes since a moment.
SELECT TraceId
FROM spans
WHERE toStartOfMinute(Timestamp) IN (SELECT toDateTime(arrayJoin({changed:Array(UInt32)})))
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND IngestedAt >= toDateTime({since_s:UInt32})
