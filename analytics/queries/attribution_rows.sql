-- All rows of a stretch of time, in the table's own order: the rows of one trace of one minute are
-- neighbours.
{{attribution_columns}}
WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
ORDER BY toStartOfMinute(Timestamp), TraceId
SETTINGS optimize_read_in_order = 1, max_block_size = 8192
FORMAT Native
