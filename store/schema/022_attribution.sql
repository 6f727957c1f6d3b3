-- Published attribution of requests: SELECT * FROM attribution WHERE Incomplete = 0. The newest
-- build of each minute and no other; about two minutes behind the traffic.
CREATE OR REPLACE VIEW {database}.attribution AS
SELECT
    Minute, TraceId, Timestamp, Mesh, Topology, ConfigGeneration, EdgeClass,
    EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
    ServiceName, Route, Method, HttpStatus, StreamClass, Incomplete, Hops, Roots, ByInterval,
    DurationNs, GatewayNs, MeshNs, BackoffNs, WireNs, ApplicationNs, UpstreamNs, ParallelSurplusNs,
    ClientWaitNs, ResidualNs, `Segments.Kind`, `Segments.Place`, `Segments.Detail`, `Segments.Ns`
FROM {database}.attribution_traces
WHERE (Minute, Build) IN (SELECT Minute, max(Build) FROM {database}.attribution_builds GROUP BY Minute)
