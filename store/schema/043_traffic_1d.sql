-- Sums of traffic_1h by day (UTC), for windows of weeks and months: a month of hours is 720 histograms
-- a series. Built by the rollup job from published hours; a day counts once a row of `day_builds`
-- publishes it, and no longer once one of its hours got a newer build.
CREATE TABLE IF NOT EXISTS {database}.traffic_1d
(
    Day DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    Mesh LowCardinality(String) CODEC(ZSTD(1)),
    Topology LowCardinality(String) CODEC(ZSTD(1)),
    Role Enum8('' = 0, 'gateway' = 1, 'sidecar' = 2) CODEC(ZSTD(1)),
    Side Enum8('' = 0, 'ingress' = 1, 'inbound' = 2, 'outbound' = 3) CODEC(ZSTD(1)),
    EdgeClass Enum8('unknown' = 0, 'external_to_gateway' = 1, 'external_to_bff' = 2, 'gateway_to_workload' = 3, 'gateway_to_bff' = 4, 'gateway_bff_to_workload' = 5, 'bff_to_workload' = 6, 'workload_to_workload' = 7, 'workload_to_external' = 8, 'loopback' = 9) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Peer LowCardinality(String) CODEC(ZSTD(1)),
    Target LowCardinality(String) CODEC(ZSTD(1)),
    Route LowCardinality(String) CODEC(ZSTD(1)),
    -- `_OTHER` for a method outside of RFC 9110 and PATCH: clients choose it, so it must be bounded.
    Method LowCardinality(String) CODEC(ZSTD(1)),
    -- First digit of the status; 0 = no answer was sent. Errors are 0 and 5.
    StatusClass UInt8 CODEC(ZSTD(1)),
    -- Streams and tunnels are counted, but their histograms stay empty.
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),

    Hops UInt64 CODEC(T64, ZSTD(1)),
    Attempts UInt64 CODEC(T64, ZSTD(1)),
    BytesIn UInt64 CODEC(T64, ZSTD(1)),
    BytesOut UInt64 CODEC(T64, ZSTD(1)),
    -- Exact sums, nanoseconds: DurationNs = WaitNs + UpstreamNs + BackoffNs + OwnNs.
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    -- Log-linear histograms, bucket -> hops (analytics/histogram.ts): effective duration, own time.
    Latency Map(UInt8, UInt64) CODEC(ZSTD(1)),
    Own Map(UInt8, UInt64) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Day)
ORDER BY (Day, EdgeClass, Role, Side, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass)
TTL Day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
