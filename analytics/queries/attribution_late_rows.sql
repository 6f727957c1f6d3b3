-- All rows of the traces that got rows late, wherever they lie in the stretch around the changed minutes.
{{attribution_columns}}
WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND TraceId IN ({{attribution_late_traces}})
ORDER BY toStartOfMinute(Timestamp), TraceId
SETTINGS max_block_size = 8192
FORMAT Native
