-- All rows of some traces that began in a stretch of time.
{{attribution_columns}}
WHERE TraceId IN ({traces:Array(String)})
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
ORDER BY toStartOfMinute(Timestamp), TraceId
FORMAT Native
