-- Requests from outside of a window: the slowest by effective duration, and the newest that failed.
SELECT
    TraceId AS trace,
    toInt64(toUnixTimestamp64Milli(Timestamp)) AS at_ms,
    Method AS method,
    Route AS route,
    HttpStatus AS status,
    ErrorType AS error_type,
    greatest(0, toInt64(Duration) - toInt64(WaitNs)) AS effective_ns
FROM spans
WHERE HopVersion > 0
    AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
    AND StreamClass = ''
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND ({failed:UInt8} = 0 OR HttpStatus = 0 OR HttpStatus >= 500)
ORDER BY if({failed:UInt8} = 0, effective_ns, at_ms) DESC
LIMIT 1 BY trace
LIMIT 8
