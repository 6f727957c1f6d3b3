-- Published attribution, one row per request and segment: SELECT * FROM segments WHERE Minute >= …
-- Only complete requests, streams left out; the segments of one TraceId sum to its DurationNs.
CREATE OR REPLACE VIEW {database}.segments AS
SELECT
    Minute, TraceId, Timestamp, Mesh, Topology, ConfigGeneration, EdgeClass, ServiceName, Route, Method, HttpStatus,
    DurationNs,
    DurationNs - ClientWaitNs AS EffectiveNs,
    Kind, Place, Detail, Ns
FROM {database}.attribution
ARRAY JOIN `Segments.Kind` AS Kind, `Segments.Place` AS Place, `Segments.Detail` AS Detail, `Segments.Ns` AS Ns
WHERE IsRequest AND Incomplete = 0 AND StreamClass = ''
