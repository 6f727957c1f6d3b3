-- Requests from outside of a stretch of time, each once, in either perspective the same:
-- SELECT * FROM requests(since = now() - INTERVAL 1 HOUR, until = now()). UTC. LatencyMs is without
-- waiting for the client; StreamClass is empty but for streams and tunnels, which have no latency.
CREATE OR REPLACE VIEW {database}.requests AS
SELECT
    Timestamp, TraceId, Mesh, Topology, Proxy, ServiceName, Route, Method, Target, HttpStatus,
    HttpStatus = 0 OR HttpStatus >= 500 AS Failed,
    ErrorType, AnsweredBy, StreamClass, ConfigGeneration, Attempts,
    (Duration - least(WaitNs, Duration)) / 1e6 AS LatencyMs,
    OwnNs / 1e6 AS OwnMs,
    WaitNs / 1e6 AS ClientWaitMs,
    BytesIn, BytesOut
FROM {database}.spans
WHERE HopVersion > 0
    AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
