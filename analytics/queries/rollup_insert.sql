-- Writes one build of the minutes named; nobody reads it before builds_publish.sql.
INSERT INTO traffic_1m
SELECT
    Minute, Build, Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route,
    BoundedMethod AS Method, StatusClass, StreamClass, Hops, Attempts, BytesIn, BytesOut,
    DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM
(
    {{hops_to_traffic}}
)
