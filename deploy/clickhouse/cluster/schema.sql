-- Generated from store/schema/ by `npm run generate` (tools/cluster-schema.ts); not edited by hand.

CREATE DATABASE IF NOT EXISTS azimuth_local ON CLUSTER azimuth;

CREATE DATABASE IF NOT EXISTS azimuth ON CLUSTER azimuth;

CREATE TABLE IF NOT EXISTS azimuth_local.spans ON CLUSTER azimuth
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind Enum8('Unspecified' = 0, 'Internal' = 1, 'Server' = 2, 'Client' = 3, 'Producer' = 4, 'Consumer' = 5) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ServiceNamespace LowCardinality(String) CODEC(ZSTD(1)),
    ServiceVersion LowCardinality(String) CODEC(ZSTD(1)),
    Instance LowCardinality(String) CODEC(ZSTD(1)),
    Host LowCardinality(String) CODEC(ZSTD(1)),
    Zone LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName LowCardinality(String) CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    StatusCode Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    `Events.Timestamp` Array(DateTime64(9)) CODEC(ZSTD(1)),
    `Events.Name` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Events.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Links.TraceId` Array(String) CODEC(ZSTD(1)),
    `Links.SpanId` Array(String) CODEC(ZSTD(1)),
    `Links.TraceState` Array(String) CODEC(ZSTD(1)),
    `Links.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    HopVersion UInt8 CODEC(ZSTD(1)),
    Mesh LowCardinality(String) CODEC(ZSTD(1)),
    Cluster LowCardinality(String) CODEC(ZSTD(1)),
    Topology LowCardinality(String) CODEC(ZSTD(1)),
    Proxy LowCardinality(String) CODEC(ZSTD(1)),
    Role Enum8('' = 0, 'gateway' = 1, 'sidecar' = 2) CODEC(ZSTD(1)),
    Side Enum8('' = 0, 'ingress' = 1, 'inbound' = 2, 'outbound' = 3) CODEC(ZSTD(1)),
    EdgeClass Enum8('unknown' = 0, 'external_to_gateway' = 1, 'external_to_bff' = 2, 'gateway_to_workload' = 3, 'gateway_to_bff' = 4, 'gateway_bff_to_workload' = 5, 'bff_to_workload' = 6, 'workload_to_workload' = 7, 'workload_to_external' = 8, 'loopback' = 9) CODEC(ZSTD(1)),
    Peer LowCardinality(String) CODEC(ZSTD(1)),
    PeerRole Enum8('' = 0, 'external' = 1, 'gateway' = 2, 'bff' = 3, 'gateway_bff' = 4, 'workload' = 5) CODEC(ZSTD(1)),
    PeerKnown Enum8('unknown' = 0, 'mtls' = 1, 'listener' = 2, 'configuration' = 3) CODEC(ZSTD(1)),
    Target LowCardinality(String) CODEC(ZSTD(1)),
    Route LowCardinality(String) CODEC(ZSTD(1)),
    Method LowCardinality(String) CODEC(ZSTD(1)),
    Scheme LowCardinality(String) CODEC(ZSTD(1)),
    Protocol LowCardinality(String) CODEC(ZSTD(1)),
    ServerAddress LowCardinality(String) CODEC(ZSTD(1)),
    Path String CODEC(ZSTD(1)),
    ClientAddress String CODEC(ZSTD(1)),
    HttpStatus UInt16 CODEC(ZSTD(1)),
    ErrorType LowCardinality(String) CODEC(ZSTD(1)),
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    WaitAttemptsNs UInt64 CODEC(T64, ZSTD(1)),
    PoolNs UInt64 CODEC(T64, ZSTD(1)),
    ConnectNs UInt64 CODEC(T64, ZSTD(1)),
    LoopNs UInt64 CODEC(T64, ZSTD(1)),
    TReqLast UInt64 CODEC(T64, ZSTD(1)),
    TUpFirst UInt64 CODEC(T64, ZSTD(1)),
    TUpLast Int64 CODEC(T64, ZSTD(1)),
    TResFirst UInt64 CODEC(T64, ZSTD(1)),
    TResLast Int64 CODEC(T64, ZSTD(1)),
    TDownFirst Int64 CODEC(T64, ZSTD(1)),
    BytesIn UInt64 CODEC(T64, ZSTD(1)),
    BytesOut UInt64 CODEC(T64, ZSTD(1)),
    Functions UInt32 CODEC(ZSTD(1)),
    `Phases.Function` Array(UInt8) CODEC(ZSTD(1)),
    `Phases.Ns` Array(UInt64) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    AnsweredBy Enum8('' = 0, 'upstream' = 1, 'proxy' = 2, 'client_gone' = 3) CODEC(ZSTD(1)),
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),
    ConfigGeneration UInt32 CODEC(ZSTD(1)),
    DeadlineMs UInt32 CODEC(ZSTD(1)),
    Attempts UInt8 CODEC(ZSTD(1)),
    AttemptBits UInt8 CODEC(ZSTD(1)),
    `AttemptList.StartNs` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.Ns` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.WaitNs` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.Status` Array(UInt16) CODEC(ZSTD(1)),
    `AttemptList.Bits` Array(UInt8) CODEC(ZSTD(1)),

    BootId LowCardinality(String) CODEC(ZSTD(1)),
    ClockId LowCardinality(String) CODEC(ZSTD(1)),
    Seq UInt64 CODEC(T64, ZSTD(1)),
    Source LowCardinality(String) CODEC(ZSTD(1)),
    SourcePartition UInt16 CODEC(ZSTD(1)),
    SourceOffset UInt64 CODEC(T64, ZSTD(1)),
    IngestedAt DateTime CODEC(Delta(4), ZSTD(1)),

    INDEX ix_timestamp Timestamp TYPE minmax GRANULARITY 1,
    INDEX ix_ingested IngestedAt TYPE minmax GRANULARITY 1,
    INDEX ix_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/spans', '{replica}')
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfMinute(Timestamp), TraceId)
TTL toDateTime(Timestamp) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS azimuth.spans ON CLUSTER azimuth AS azimuth_local.spans
ENGINE = Distributed('azimuth', 'azimuth_local', 'spans', cityHash64(TraceId));

CREATE TABLE IF NOT EXISTS azimuth_local.ledgers ON CLUSTER azimuth
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    ServiceName LowCardinality(String),
    Mesh LowCardinality(String),
    Topology LowCardinality(String),
    Proxy LowCardinality(String),
    Role Enum8('' = 0, 'gateway' = 1, 'sidecar' = 2),
    Host LowCardinality(String),
    BootId LowCardinality(String),
    ClockId LowCardinality(String),
    LastSeq UInt64 CODEC(T64, ZSTD(1)),
    HopsFinished UInt64 CODEC(T64, ZSTD(1)),
    Emitted UInt64 CODEC(T64, ZSTD(1)),
    Dropped Map(LowCardinality(String), UInt64),
    Attempts UInt64 CODEC(T64, ZSTD(1)),
    CpuNs UInt64 CODEC(T64, ZSTD(1)),
    RssBytes UInt64 CODEC(T64, ZSTD(1)),
    LoopDelayNs UInt64 CODEC(T64, ZSTD(1)),
    InFlight UInt32 CODEC(ZSTD(1)),
    Closing UInt8,
    IngestedAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/ledgers', '{replica}')
PARTITION BY toDate(Timestamp)
ORDER BY (BootId, LastSeq, Timestamp)
TTL toDateTime(Timestamp) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS azimuth.ledgers ON CLUSTER azimuth AS azimuth_local.ledgers
ENGINE = Distributed('azimuth', 'azimuth_local', 'ledgers', cityHash64(BootId));

CREATE TABLE IF NOT EXISTS azimuth_local.dead_letters ON CLUSTER azimuth
(
    At DateTime64(3),
    Signal LowCardinality(String),
    Source LowCardinality(String),
    SourcePartition UInt16,
    SourceOffset UInt64,
    Reason LowCardinality(String),
    Detail String CODEC(ZSTD(3)),
    Items UInt32,
    BootIds Array(LowCardinality(String)),
    Seqs Array(UInt64),
    Body String CODEC(ZSTD(3)),
    BodyBytes UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/dead_letters', '{replica}')
PARTITION BY toDate(At)
ORDER BY (Signal, At)
TTL toDateTime(At) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS azimuth.dead_letters ON CLUSTER azimuth AS azimuth_local.dead_letters
ENGINE = Distributed('azimuth', 'azimuth_local', 'dead_letters', rand());

CREATE OR REPLACE VIEW azimuth.otel_traces_trace_id_ts ON CLUSTER azimuth AS
SELECT TraceId, toDateTime(Timestamp) AS Start, toDateTime(Timestamp) AS End
FROM azimuth.spans;

CREATE TABLE IF NOT EXISTS azimuth_local.traffic_1m ON CLUSTER azimuth
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
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
    Method LowCardinality(String) CODEC(ZSTD(1)),
    StatusClass UInt8 CODEC(ZSTD(1)),
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),

    Hops UInt64 CODEC(T64, ZSTD(1)),
    Attempts UInt64 CODEC(T64, ZSTD(1)),
    BytesIn UInt64 CODEC(T64, ZSTD(1)),
    BytesOut UInt64 CODEC(T64, ZSTD(1)),
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    Latency Map(UInt8, UInt32) CODEC(ZSTD(1)),
    Own Map(UInt8, UInt32) CODEC(ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/traffic_1m', '{replica}')
PARTITION BY toDate(Minute)
ORDER BY (Minute, EdgeClass, Role, Side, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass)
TTL Minute + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.traffic_1m ON CLUSTER azimuth AS azimuth_local.traffic_1m
ENGINE = Distributed('azimuth', 'azimuth_local', 'traffic_1m', intHash64(toUnixTimestamp(Minute)));

CREATE TABLE IF NOT EXISTS azimuth_local.builds ON CLUSTER azimuth
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    Rows UInt64 CODEC(T64, ZSTD(1)),
    Uniques UInt64 CODEC(T64, ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/builds', '{replica}')
PARTITION BY toYYYYMM(Minute)
ORDER BY (Minute, Build)
TTL Minute + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.builds ON CLUSTER azimuth AS azimuth_local.builds
ENGINE = Distributed('azimuth', 'azimuth_local', 'builds', intHash64(toUnixTimestamp(Minute)));

CREATE OR REPLACE VIEW azimuth.traffic ON CLUSTER azimuth AS
SELECT
    Minute,
    if({perspective:String} = 'whole', transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'north_south', 'north_south', 'north_south', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown'), transform(toString(EdgeClass), ['unknown', 'external_to_gateway', 'external_to_bff', 'gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload', 'bff_to_workload', 'workload_to_workload', 'workload_to_external', 'loopback'], ['unknown', 'north_south', 'north_south', 'east_west', 'east_west', 'east_west', 'east_west', 'east_west', 'north_south', 'neither'], 'unknown')) AS Direction,
    EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
    Mesh, Topology, Role, Side, EdgeClass, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass,
    Hops, Attempts, BytesIn, BytesOut, DurationNs, WaitNs, UpstreamNs, BackoffNs, OwnNs, Latency, Own
FROM azimuth.traffic_1m
WHERE (Minute, Build) IN (SELECT Minute, max(Build) FROM azimuth.builds GROUP BY Minute)
    AND throwIf({perspective:String} NOT IN ('split', 'whole'), 'perspective is one of: split, whole') = 0;

ALTER TABLE azimuth_local.ledgers ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS Spooled UInt64 CODEC(T64, ZSTD(1)) AFTER Dropped;

ALTER TABLE azimuth.ledgers ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS Spooled UInt64 AFTER Dropped;

CREATE TABLE IF NOT EXISTS azimuth_local.traffic_1h ON CLUSTER azimuth
(
    Hour DateTime CODEC(Delta(4), ZSTD(1)),
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
    Method LowCardinality(String) CODEC(ZSTD(1)),
    StatusClass UInt8 CODEC(ZSTD(1)),
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),

    Hops UInt64 CODEC(T64, ZSTD(1)),
    Attempts UInt64 CODEC(T64, ZSTD(1)),
    BytesIn UInt64 CODEC(T64, ZSTD(1)),
    BytesOut UInt64 CODEC(T64, ZSTD(1)),
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    Latency Map(UInt8, UInt32) CODEC(ZSTD(1)),
    Own Map(UInt8, UInt32) CODEC(ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/traffic_1h', '{replica}')
PARTITION BY toYYYYMM(Hour)
ORDER BY (Hour, EdgeClass, Role, Side, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass)
TTL Hour + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.traffic_1h ON CLUSTER azimuth AS azimuth_local.traffic_1h
ENGINE = Distributed('azimuth', 'azimuth_local', 'traffic_1h', intHash64(toUnixTimestamp(Hour)));

CREATE TABLE IF NOT EXISTS azimuth_local.hour_builds ON CLUSTER azimuth
(
    Hour DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    MinuteBuild UInt64 CODEC(ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/hour_builds', '{replica}')
PARTITION BY toYYYYMM(Hour)
ORDER BY (Hour, Build)
TTL Hour + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.hour_builds ON CLUSTER azimuth AS azimuth_local.hour_builds
ENGINE = Distributed('azimuth', 'azimuth_local', 'hour_builds', intHash64(toUnixTimestamp(Hour)));

ALTER TABLE azimuth_local.ledgers ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS EndedBy DateTime64(3) CODEC(ZSTD(1)) AFTER Closing;

ALTER TABLE azimuth.ledgers ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS EndedBy DateTime64(3) AFTER Closing;

CREATE TABLE IF NOT EXISTS azimuth_local.attribution_traces ON CLUSTER azimuth
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    Mesh LowCardinality(String) CODEC(ZSTD(1)),
    Topology LowCardinality(String) CODEC(ZSTD(1)),
    ConfigGeneration UInt32 CODEC(ZSTD(1)),
    EdgeClass Enum8('unknown' = 0, 'external_to_gateway' = 1, 'external_to_bff' = 2, 'gateway_to_workload' = 3, 'gateway_to_bff' = 4, 'gateway_bff_to_workload' = 5, 'bff_to_workload' = 6, 'workload_to_workload' = 7, 'workload_to_external' = 8, 'loopback' = 9) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Route LowCardinality(String) CODEC(ZSTD(1)),
    Method LowCardinality(String) CODEC(ZSTD(1)),
    HttpStatus UInt16 CODEC(ZSTD(1)),
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),
    Incomplete UInt16 CODEC(ZSTD(1)),
    Hops UInt16 CODEC(T64, ZSTD(1)),
    Roots UInt16 CODEC(T64, ZSTD(1)),
    ByInterval UInt16 CODEC(T64, ZSTD(1)),
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    GatewayNs Int64 CODEC(T64, ZSTD(1)),
    MeshNs Int64 CODEC(T64, ZSTD(1)),
    BackoffNs Int64 CODEC(T64, ZSTD(1)),
    WireNs Int64 CODEC(T64, ZSTD(1)),
    ApplicationNs Int64 CODEC(T64, ZSTD(1)),
    UpstreamNs Int64 CODEC(T64, ZSTD(1)),
    ParallelSurplusNs Int64 CODEC(T64, ZSTD(1)),
    ClientWaitNs Int64 CODEC(T64, ZSTD(1)),
    ResidualNs Int64 CODEC(T64, ZSTD(1)),
    `Segments.Kind` Array(Enum8('gateway' = 0, 'mesh' = 1, 'backoff' = 2, 'wire' = 3, 'application' = 4, 'upstream' = 5, 'parallel_surplus' = 6, 'client_wait' = 7, 'residual' = 8)) CODEC(ZSTD(1)),
    `Segments.Place` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Segments.Detail` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Segments.Ns` Array(Int64) CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/attribution_traces', '{replica}')
PARTITION BY toDate(Minute)
ORDER BY (Minute, EdgeClass, Route, TraceId)
TTL Minute + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.attribution_traces ON CLUSTER azimuth AS azimuth_local.attribution_traces
ENGINE = Distributed('azimuth', 'azimuth_local', 'attribution_traces', cityHash64(TraceId));

CREATE TABLE IF NOT EXISTS azimuth_local.attribution_builds ON CLUSTER azimuth
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    Rows UInt64 CODEC(T64, ZSTD(1)),
    Traces UInt64 CODEC(T64, ZSTD(1)),
    Incomplete UInt64 CODEC(T64, ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/attribution_builds', '{replica}')
PARTITION BY toYYYYMM(Minute)
ORDER BY (Minute, Build)
TTL Minute + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.attribution_builds ON CLUSTER azimuth AS azimuth_local.attribution_builds
ENGINE = Distributed('azimuth', 'azimuth_local', 'attribution_builds', intHash64(toUnixTimestamp(Minute)));

CREATE OR REPLACE VIEW azimuth.attribution ON CLUSTER azimuth AS
SELECT
    Minute, TraceId, Timestamp, Mesh, Topology, ConfigGeneration, EdgeClass,
    EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
    ServiceName, Route, Method, HttpStatus, StreamClass, Incomplete, Hops, Roots, ByInterval,
    DurationNs, GatewayNs, MeshNs, BackoffNs, WireNs, ApplicationNs, UpstreamNs, ParallelSurplusNs,
    ClientWaitNs, ResidualNs, `Segments.Kind`, `Segments.Place`, `Segments.Detail`, `Segments.Ns`
FROM azimuth.attribution_traces
WHERE (Minute, Build) IN (SELECT Minute, max(Build) FROM azimuth.attribution_builds GROUP BY Minute);

CREATE OR REPLACE VIEW azimuth.hops ON CLUSTER azimuth AS
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
FROM azimuth.spans
WHERE HopVersion > 0
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId;

CREATE OR REPLACE VIEW azimuth.requests ON CLUSTER azimuth AS
SELECT
    Timestamp, TraceId, Mesh, Topology, Proxy, ServiceName, Route, Method, Target, HttpStatus,
    HttpStatus = 0 OR HttpStatus >= 500 AS Failed,
    ErrorType, AnsweredBy, StreamClass, ConfigGeneration, Attempts,
    (Duration - least(WaitNs, Duration)) / 1e6 AS LatencyMs,
    OwnNs / 1e6 AS OwnMs,
    WaitNs / 1e6 AS ClientWaitMs,
    BytesIn, BytesOut
FROM azimuth.spans
WHERE HopVersion > 0
    AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId;

CREATE OR REPLACE VIEW azimuth.routes ON CLUSTER azimuth AS
SELECT
    Direction, ServiceName, Route,
    Legs, Requests, Errors, Streams, BytesIn, BytesOut,
    Legs / greatest(1, dateDiff('second', {since:DateTime('UTC')}, {until:DateTime('UTC')})) AS LegsPerS,
    Errors / Legs AS ErrorShare,
    if(empty(LatencyKeys), NULL, LatencyNs[1] / 1e6) AS P50Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[2] / 1e6) AS P90Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[3] / 1e6) AS P99Ms,
    if(empty(OwnKeys), NULL, OwnNs[1] / 1e6) AS OwnP50Ms,
    if(empty(OwnKeys), NULL, OwnNs[2] / 1e6) AS OwnP99Ms,
    OwnSumNs / 1e6 AS OwnSumMs,
    EffectiveSumNs / 1e6 AS LatencySumMs
FROM
(
    SELECT
        *,
        arrayMap(
            (p, i) -> if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49)))
                + if(LatencyKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8265, 49))
                    - if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49))))
                    * (p * LatencyBelow[-1] - (LatencyBelow[i] - LatencyCounts[i])) / LatencyCounts[i],
            [0.5, 0.9, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * LatencyBelow[-1], LatencyBelow), [0.5, 0.9, 0.99])) AS LatencyNs,
        arrayMap(
            (p, i) -> if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49)))
                + if(OwnKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8265, 49))
                    - if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49))))
                    * (p * OwnBelow[-1] - (OwnBelow[i] - OwnCounts[i])) / OwnCounts[i],
            [0.5, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * OwnBelow[-1], OwnBelow), [0.5, 0.99])) AS OwnNs
    FROM
    (
        SELECT
            *,
            mapKeys(LatencyMap) AS LatencyKeys,
            mapValues(LatencyMap) AS LatencyCounts,
            arrayCumSum(mapValues(LatencyMap)) AS LatencyBelow,
            mapKeys(OwnMap) AS OwnKeys,
            mapValues(OwnMap) AS OwnCounts,
            arrayCumSum(mapValues(OwnMap)) AS OwnBelow
        FROM
        (
            SELECT
                T.Direction AS Direction,
                T.ServiceName AS ServiceName,
                T.Route AS Route,
                sum(T.Hops) AS Legs,
                sumIf(T.Hops, T.IsRequest) AS Requests,
                sumIf(T.Hops, T.StatusClass = 0 OR T.StatusClass >= 5) AS Errors,
                sumIf(T.Hops, T.StreamClass != '') AS Streams,
                sum(T.BytesIn) AS BytesIn,
                sum(T.BytesOut) AS BytesOut,
                sum(T.OwnNs) AS OwnSumNs,
                sum(T.DurationNs) - sum(T.WaitNs) AS EffectiveSumNs,
                sumMap(T.Latency) AS LatencyMap,
                sumMap(T.Own) AS OwnMap
            FROM azimuth.traffic(perspective = {perspective:String}) AS T
            WHERE T.EdgeClass != 'loopback'
                AND T.Minute >= {since:DateTime('UTC')}
                AND T.Minute < {until:DateTime('UTC')}
            GROUP BY Direction, ServiceName, Route
        )
    )
);

CREATE OR REPLACE VIEW azimuth.edges ON CLUSTER azimuth AS
SELECT
    Direction, Caller, Callee, EdgeClass,
    Legs, Requests, Errors, Streams, BytesIn, BytesOut,
    Legs / greatest(1, dateDiff('second', {since:DateTime('UTC')}, {until:DateTime('UTC')})) AS LegsPerS,
    Errors / Legs AS ErrorShare,
    if(empty(LatencyKeys), NULL, LatencyNs[1] / 1e6) AS P50Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[2] / 1e6) AS P90Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[3] / 1e6) AS P99Ms,
    if(empty(OwnKeys), NULL, OwnNs[1] / 1e6) AS OwnP50Ms,
    if(empty(OwnKeys), NULL, OwnNs[2] / 1e6) AS OwnP99Ms,
    OwnSumNs / 1e6 AS OwnSumMs,
    EffectiveSumNs / 1e6 AS LatencySumMs
FROM
(
    SELECT
        *,
        arrayMap(
            (p, i) -> if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49)))
                + if(LatencyKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8265, 49))
                    - if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49))))
                    * (p * LatencyBelow[-1] - (LatencyBelow[i] - LatencyCounts[i])) / LatencyCounts[i],
            [0.5, 0.9, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * LatencyBelow[-1], LatencyBelow), [0.5, 0.9, 0.99])) AS LatencyNs,
        arrayMap(
            (p, i) -> if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49)))
                + if(OwnKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8265, 49))
                    - if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49))))
                    * (p * OwnBelow[-1] - (OwnBelow[i] - OwnCounts[i])) / OwnCounts[i],
            [0.5, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * OwnBelow[-1], OwnBelow), [0.5, 0.99])) AS OwnNs
    FROM
    (
        SELECT
            *,
            mapKeys(LatencyMap) AS LatencyKeys,
            mapValues(LatencyMap) AS LatencyCounts,
            arrayCumSum(mapValues(LatencyMap)) AS LatencyBelow,
            mapKeys(OwnMap) AS OwnKeys,
            mapValues(OwnMap) AS OwnCounts,
            arrayCumSum(mapValues(OwnMap)) AS OwnBelow
        FROM
        (
            SELECT
                T.Direction AS Direction,
                multiIf(T.EdgeClass = 'workload_to_external', toString(T.ServiceName), T.IsRequest, 'clients', toString(T.Peer)) AS Caller,
                if(T.EdgeClass = 'workload_to_external', toString(T.Target), toString(T.ServiceName)) AS Callee,
                T.EdgeClass AS EdgeClass,
                sum(T.Hops) AS Legs,
                sumIf(T.Hops, T.IsRequest) AS Requests,
                sumIf(T.Hops, T.StatusClass = 0 OR T.StatusClass >= 5) AS Errors,
                sumIf(T.Hops, T.StreamClass != '') AS Streams,
                sum(T.BytesIn) AS BytesIn,
                sum(T.BytesOut) AS BytesOut,
                sum(T.OwnNs) AS OwnSumNs,
                sum(T.DurationNs) - sum(T.WaitNs) AS EffectiveSumNs,
                sumMap(T.Latency) AS LatencyMap,
                sumMap(T.Own) AS OwnMap
            FROM azimuth.traffic(perspective = {perspective:String}) AS T
            WHERE T.EdgeClass != 'loopback'
                AND T.Minute >= {since:DateTime('UTC')}
                AND T.Minute < {until:DateTime('UTC')}
            GROUP BY Direction, Caller, Callee, EdgeClass
        )
    )
);

CREATE OR REPLACE VIEW azimuth.segments ON CLUSTER azimuth AS
SELECT
    Minute, TraceId, Timestamp, Mesh, Topology, ConfigGeneration, EdgeClass, ServiceName, Route, Method, HttpStatus,
    DurationNs,
    DurationNs - ClientWaitNs AS EffectiveNs,
    Kind, Place, Detail, Ns
FROM azimuth.attribution
ARRAY JOIN `Segments.Kind` AS Kind, `Segments.Place` AS Place, `Segments.Detail` AS Detail, `Segments.Ns` AS Ns
WHERE IsRequest AND Incomplete = 0 AND StreamClass = '';

ALTER TABLE azimuth_local.spans ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS MirrorVersion UInt8 CODEC(ZSTD(1)) AFTER HopVersion;

ALTER TABLE azimuth.spans ON CLUSTER azimuth ADD COLUMN IF NOT EXISTS MirrorVersion UInt8 AFTER HopVersion;

CREATE OR REPLACE VIEW azimuth.mirrored_hops ON CLUSTER azimuth AS
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
FROM azimuth.spans
WHERE MirrorVersion > 0
    AND Timestamp >= {since:DateTime('UTC')}
    AND Timestamp < {until:DateTime('UTC')}
LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId;

CREATE OR REPLACE VIEW azimuth.otel_traces ON CLUSTER azimuth AS
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
FROM azimuth.spans;

CREATE TABLE IF NOT EXISTS azimuth_local.traffic_1d ON CLUSTER azimuth
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
    Method LowCardinality(String) CODEC(ZSTD(1)),
    StatusClass UInt8 CODEC(ZSTD(1)),
    StreamClass Enum8('' = 0, 'stream' = 1, 'tunnel' = 2) CODEC(ZSTD(1)),

    Hops UInt64 CODEC(T64, ZSTD(1)),
    Attempts UInt64 CODEC(T64, ZSTD(1)),
    BytesIn UInt64 CODEC(T64, ZSTD(1)),
    BytesOut UInt64 CODEC(T64, ZSTD(1)),
    DurationNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    Latency Map(UInt8, UInt64) CODEC(ZSTD(1)),
    Own Map(UInt8, UInt64) CODEC(ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/traffic_1d', '{replica}')
PARTITION BY toYYYYMM(Day)
ORDER BY (Day, EdgeClass, Role, Side, ServiceName, Peer, Target, Route, Method, StatusClass, StreamClass)
TTL Day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.traffic_1d ON CLUSTER azimuth AS azimuth_local.traffic_1d
ENGINE = Distributed('azimuth', 'azimuth_local', 'traffic_1d', intHash64(toUnixTimestamp(Day)));

CREATE TABLE IF NOT EXISTS azimuth_local.day_builds ON CLUSTER azimuth
(
    Day DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    HourBuilds UInt64 CODEC(ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/azimuth_local/day_builds', '{replica}')
PARTITION BY toYYYYMM(Day)
ORDER BY (Day, Build)
TTL Day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS azimuth.day_builds ON CLUSTER azimuth AS azimuth_local.day_builds
ENGINE = Distributed('azimuth', 'azimuth_local', 'day_builds', intHash64(toUnixTimestamp(Day)));
