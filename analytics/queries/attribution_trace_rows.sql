-- All rows of one trace.
{{attribution_columns}}
WHERE TraceId = {trace:String}
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
FORMAT Native
