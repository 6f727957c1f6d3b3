-- Hops of a window and of a minute around it, each once; of a busy window every `every`-th trace, whole.
SELECT
    Timestamp, TraceId, SpanId, ParentSpanId, Side, EdgeClass, ServiceName, Target, Route, HttpStatus,
    AnsweredBy, Flags, Attempts,
    Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64}) AS Inside
FROM spans
WHERE HopVersion > 0
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 60000)
    AND cityHash64(TraceId) % {every:UInt32} = 0
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
