-- Requests from outside of a window, each once, that ran out of time or came near it. `DeadlineMs` is
-- what the route gave them (timeout_ms), plus one; without one, a request counts as timed out when its answer was
-- 504, or a proxy gave up on its upstream (flag UT, bit 3 of RESPONSE_FLAGS).
SELECT
    TraceId AS trace,
    multiIf(
        DeadlineMs > 0 AND Duration >= (DeadlineMs - 1) * 1000000, 'over',
        DeadlineMs > 0 AND Duration >= (DeadlineMs - 1) * {near_ns_per_ms:UInt32}, 'near',
        HttpStatus = 504 OR bitAnd(Flags, 8) != 0, 'timed_out',
        'in_time') AS outcome,
    DeadlineMs > 0 AS with_deadline
FROM spans
WHERE HopVersion > 0
    AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
    AND StreamClass = ''
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND ({route:String} = '' OR Route = {route:String})
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
