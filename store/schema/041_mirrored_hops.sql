-- Hops of copies of requests of a stretch of time, each once: nothing of them stands in any other view.
-- SELECT * FROM mirrored_hops(since = now() - INTERVAL 1 HOUR, until = now()). UTC. A copy has a trace of
-- its own; Of… name the request that it is a copy of, on the hop where it was made.
CREATE OR REPLACE VIEW {database}.mirrored_hops AS
SELECT
    Timestamp, TraceId, SpanId, ParentSpanId,
    `Links.TraceId`[1] AS OfTraceId,
    `Links.SpanId`[1] AS OfSpanId,
    Mesh, Topology, Proxy, Role, Side, EdgeClass,
    ServiceName, Peer, PeerRole, PeerKnown, Target, Route, Method, HttpStatus,
    HttpStatus = 0 OR HttpStatus >= 500 AS Failed,
    ErrorType, AnsweredBy, StreamClass, Flags, ConfigGeneration, Attempts,
    Duration AS DurationNs,
    (Duration - least(WaitNs, Duration)) / 1e6 AS LatencyMs,
    OwnNs / 1e6 AS OwnMs,
    BytesIn, BytesOut, BootId, Seq, IngestedAt
FROM {database}.spans
WHERE MirrorVersion > 0
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
