-- One row per request (trace) and build: its duration split into segments that sum to it, to the
-- nanosecond. Minute is that of the root hop's start. Written only by the attribution job; a build
-- counts once a row of `attribution_builds` publishes it. docs/GLOSSARY.md says what each kind holds.
CREATE TABLE IF NOT EXISTS {database}.attribution_traces
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    -- Lower-case hex, as in `spans`.
    TraceId String CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    -- Of the root hop; where there is none, of the first hop.
    Mesh LowCardinality(String) CODEC(ZSTD(1)),
    Topology LowCardinality(String) CODEC(ZSTD(1)),
    ConfigGeneration UInt32 CODEC(ZSTD(1)),
    EdgeClass Enum8('unknown' = 0, 'external_to_gateway' = 1, 'external_to_bff' = 2, 'gateway_to_workload' = 3, 'gateway_to_bff' = 4, 'gateway_bff_to_workload' = 5, 'bff_to_workload' = 6, 'workload_to_workload' = 7, 'workload_to_external' = 8, 'loopback' = 9) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Route LowCardinality(String) CODEC(ZSTD(1)),
    Method LowCardinality(String) CODEC(ZSTD(1)),
    HttpStatus UInt16 CODEC(ZSTD(1)),
    -- Streams and tunnels are split too, but enter no percentile.
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),
    -- Bits of why it is incomplete (analytics/attribution/segments.ts); 0 = complete.
    Incomplete UInt16 CODEC(ZSTD(1)),
    Hops UInt16 CODEC(T64, ZSTD(1)),
    -- Entrances into the trace: several requests under one trace id are more than 1.
    Roots UInt16 CODEC(T64, ZSTD(1)),
    -- Calls whose parent was found by interval and not by id.
    ByInterval UInt16 CODEC(T64, ZSTD(1)),
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    -- Sums by kind, in the order of SEGMENT_KINDS; DurationNs is the sum of all of them.
    GatewayNs Int64 CODEC(T64, ZSTD(1)),
    MeshNs Int64 CODEC(T64, ZSTD(1)),
    BackoffNs Int64 CODEC(T64, ZSTD(1)),
    WireNs Int64 CODEC(T64, ZSTD(1)),
    ApplicationNs Int64 CODEC(T64, ZSTD(1)),
    UpstreamNs Int64 CODEC(T64, ZSTD(1)),
    ParallelSurplusNs Int64 CODEC(T64, ZSTD(1)),
    ClientWaitNs Int64 CODEC(T64, ZSTD(1)),
    ResidualNs Int64 CODEC(T64, ZSTD(1)),
    -- Each segment: kind, where, more about it (the next hop of wire, the function of a gateway), ns.
    `Segments.Kind` Array(Enum8('gateway' = 0, 'mesh' = 1, 'backoff' = 2, 'wire' = 3, 'application' = 4, 'upstream' = 5, 'parallel_surplus' = 6, 'client_wait' = 7, 'residual' = 8)) CODEC(ZSTD(1)),
    `Segments.Place` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Segments.Detail` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Segments.Ns` Array(Int64) CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(Minute)
ORDER BY (Minute, EdgeClass, Route, TraceId)
TTL Minute + INTERVAL {retention_days} DAY
SETTINGS ttl_only_drop_parts = 1
