-- Hops of a stretch of time, each once, however often it is stored, with names and units for people:
-- SELECT * FROM hops(since = now() - INTERVAL 1 HOUR, until = now()). The stretch is a parameter, since a
-- filter outside would not reach the table past the deduplication. UTC. The mapping to directions is
-- made from telemetry/edge-class.ts, a test keeps it equal.
CREATE OR REPLACE VIEW {database}.hops AS
SELECT
    Timestamp, TraceId, SpanId, ParentSpanId, Mesh, Topology, Proxy, Role, Side, EdgeClass,
    transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'east_west', 'east_west', 'east_west', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown') AS DirectionSplit,
    transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'north_south', 'north_south', 'north_south', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown') AS DirectionWhole,
    EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
    ServiceName, Peer, PeerRole, PeerKnown, Target, Route, Method, Scheme, Protocol, HttpStatus,
    HttpStatus = 0 OR HttpStatus >= 500 AS Failed,
    ErrorType, AnsweredBy, StreamClass, Flags, ConfigGeneration, Attempts,
    Attempts > 0 AND bitAnd(AttemptBits, 4) != 0 AS Pooled,
    Duration AS DurationNs,
    toUInt64(Duration - least(WaitNs, Duration)) AS EffectiveNs,
    OwnNs, UpstreamNs, WaitNs, BackoffNs,
    (Duration - least(WaitNs, Duration)) / 1e6 AS LatencyMs,
    OwnNs / 1e6 AS OwnMs,
    BytesIn, BytesOut, BootId, Seq, IngestedAt
FROM {database}.spans
WHERE HopVersion > 0
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
