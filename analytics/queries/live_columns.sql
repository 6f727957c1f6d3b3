-- Requests from outside of a window, each once, by steps of time and bucket of effective duration
-- (two an octave: exponent and top mantissa bit of the double).
SELECT
    toInt64(intDiv(toUnixTimestamp64Milli(Timestamp), {step_ms:Int64}) * {step_ms:Int64}) AS at_ms,
    toUInt8(least(60, greatest(0, toInt64(bitShiftRight(reinterpretAsUInt64(toFloat64(greatest(0, toInt64(Duration) - toInt64(WaitNs)))), 51)) - 2066))) AS bucket,
    count() AS requests,
    countIf(HttpStatus = 0 OR HttpStatus >= 500) AS errors
FROM
(
    SELECT Timestamp, Duration, WaitNs, HttpStatus
    FROM spans
    WHERE HopVersion > 0
        AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
        AND StreamClass = ''
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    LIMIT 1 BY TraceId, SpanId
)
GROUP BY at_ms, bucket
ORDER BY at_ms, bucket
