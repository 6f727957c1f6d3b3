-- Column-compatible with the OpenTelemetry Collector's ClickHouse exporter, so that Grafana's and
-- ClickStack's trace views work unconfigured. Raw: a replayed row shows twice (deduplication in
-- here would keep filters from being pushed down to the table). The direction is the split reading, as
-- on the wire; the mapping is made from telemetry/edge-class.ts, a test keeps it equal.
CREATE OR REPLACE VIEW {database}.otel_traces AS
SELECT
    Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    if(SpanName = '' AND HopVersion + MirrorVersion > 0, trim(concat(Method, ' ', Route)), SpanName) AS SpanName,
    toString(SpanKind) AS SpanKind,
    ServiceName,
    mapConcat(
        mapFilter((k, v) -> v != '', map(
            'service.name', toString(ServiceName),
            'service.namespace', toString(ServiceNamespace),
            'service.version', toString(ServiceVersion),
            'service.instance.id', toString(Instance),
            'host.name', toString(Host),
            'cloud.availability_zone', toString(Zone),
            'azimuth.mesh', toString(Mesh),
            'azimuth.cluster', toString(Cluster),
            'azimuth.topology', toString(Topology),
            'azimuth.proxy.name', toString(Proxy),
            'azimuth.proxy.role', toString(Role),
            'azimuth.boot_id', toString(BootId),
            'azimuth.clock_id', toString(ClockId))),
        CAST(ResourceAttributes, 'Map(String, String)')) AS ResourceAttributes,
    ScopeName,
    ScopeVersion,
    mapConcat(
        mapFilter((k, v) -> v != '', map(
            'http.request.method', toString(Method),
            'http.route', toString(Route),
            'http.response.status_code', if(HttpStatus = 0, '', toString(HttpStatus)),
            'url.scheme', toString(Scheme),
            'url.path', Path,
            'server.address', toString(ServerAddress),
            'network.protocol.version', toString(Protocol),
            'client.address', ClientAddress,
            'error.type', toString(ErrorType),
            'service.peer.name', toString(Peer),
            'azimuth.proxy.side', toString(Side),
            'azimuth.edge_class', if(HopVersion + MirrorVersion = 0, '', toString(EdgeClass)),
            'azimuth.traffic.direction', if(HopVersion + MirrorVersion = 0, '', transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'east_west', 'east_west', 'east_west', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown')),
            'azimuth.target', toString(Target),
            'azimuth.mirrored', if(MirrorVersion > 0, 'true', ''),
            'azimuth.own_ns', if(HopVersion + MirrorVersion = 0, '', toString(OwnNs)),
            'azimuth.upstream_ns', if(HopVersion + MirrorVersion = 0, '', toString(UpstreamNs)),
            'azimuth.attempts', if(HopVersion + MirrorVersion = 0, '', toString(Attempts)))),
        CAST(SpanAttributes, 'Map(String, String)')) AS SpanAttributes,
    Duration,
    toString(StatusCode) AS StatusCode,
    StatusMessage,
    `Events.Timestamp`,
    `Events.Name`,
    `Events.Attributes`,
    `Links.TraceId`,
    `Links.SpanId`,
    `Links.TraceState`,
    `Links.Attributes`
FROM {database}.spans
