-- When the rows of a trace lie; found by the bloom filter on TraceId.
SELECT
    toInt64(toUnixTimestamp64Milli(min(Timestamp))) AS from_ms,
    toInt64(toUnixTimestamp64Milli(max(Timestamp))) + 1 AS to_ms,
    count() AS rows
FROM spans
WHERE TraceId = {trace:String}
