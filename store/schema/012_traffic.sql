-- Published traffic by minute with its direction: SELECT * FROM traffic(perspective = 'split').
-- Readers see the newest build of a minute and no other. Minutes not yet published are not here; the
-- report adds them. The mapping is made from telemetry/edge-class.ts, a test keeps it equal. A
-- quantile: see analytics/histogram.ts for the buckets of Latency and Own.
CREATE OR REPLACE VIEW {database}.traffic AS
SELECT
    Minute,
    if({perspective:String} = 'whole', transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'north_south', 'north_south', 'north_south', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown'), transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'east_west', 'east_west', 'east_west', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown')) AS Direction,
    EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass,
    Hops, Attempts, BytesIn, BytesOut, DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM {database}.traffic_1m
WHERE (Minute, Build) IN (SELECT Minute, max(Build) FROM {database}.builds GROUP BY Minute)
    AND throwIf({perspective:String} NOT IN ('split', 'whole'), 'perspective is one of: split, whole') = 0
