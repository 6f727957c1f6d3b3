-- One row per span. A hop's SERVER span carries every fact of the hop and of its attempts in typed
-- columns; the Maps hold only what has no column (application spans, foreign attributes).
-- Identity of a row is (TraceId, SpanId): a replayed batch may store it twice, no figure counts it twice.
-- Why this key and these codecs: docs/adr/005-spans-table.md.
CREATE TABLE IF NOT EXISTS {database}.spans
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    -- Empty when it is `Method Route`, as on every hop; the view otel_traces builds it.
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
    -- Nanoseconds. Of a hop: request's first byte received to last byte sent downstream.
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

    -- 0: not a hop. Otherwise the version byte of `azimuth.hop`.
    HopVersion UInt8 CODEC(ZSTD(1)),
    Mesh LowCardinality(String) CODEC(ZSTD(1)),
    Cluster LowCardinality(String) CODEC(ZSTD(1)),
    Topology LowCardinality(String) CODEC(ZSTD(1)),
    Proxy LowCardinality(String) CODEC(ZSTD(1)),
    Role Enum8('' = 0, 'gateway' = 1, 'sidecar' = 2) CODEC(ZSTD(1)),
    Side Enum8('' = 0, 'ingress' = 1, 'inbound' = 2, 'outbound' = 3) CODEC(ZSTD(1)),
    -- The stored fact; direction is derived from it under a perspective.
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
    -- Nanoseconds. Duration = WaitNs + UpstreamNs + BackoffNs + OwnNs, exactly (docs/GLOSSARY.md, own time).
    OwnNs UInt64 CODEC(T64, ZSTD(1)),
    UpstreamNs UInt64 CODEC(T64, ZSTD(1)),
    WaitNs UInt64 CODEC(T64, ZSTD(1)),
    BackoffNs UInt64 CODEC(T64, ZSTD(1)),
    -- Client wait that fell inside attempts.
    WaitAttemptsNs UInt64 CODEC(T64, ZSTD(1)),
    PoolNs UInt64 CODEC(T64, ZSTD(1)),
    ConnectNs UInt64 CODEC(T64, ZSTD(1)),
    LoopNs UInt64 CODEC(T64, ZSTD(1)),
    -- Time points. Offsets from Timestamp; 0 = not reached. The late ones are stored as distances,
    -- which are small: TUpLast from TUpFirst, TResLast and TDownFirst back from Duration; -1 = not reached.
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
    -- Milliseconds left plus one; 0 = the request had no deadline.
    DeadlineMs UInt32 CODEC(ZSTD(1)),
    Attempts UInt8 CODEC(ZSTD(1)),
    -- ATTEMPT_BITS of the last attempt: 1 target meshed, 2 answered, 4 pooled connection.
    AttemptBits UInt8 CODEC(ZSTD(1)),
    -- Empty when the only attempt follows from the columns above: it ended at the response's last
    -- byte and lasted UpstreamNs + WaitAttemptsNs. Otherwise one element an attempt.
    `AttemptList.StartNs` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.Ns` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.WaitNs` Array(UInt64) CODEC(ZSTD(1)),
    `AttemptList.Status` Array(UInt16) CODEC(ZSTD(1)),
    `AttemptList.Bits` Array(UInt8) CODEC(ZSTD(1)),

    BootId LowCardinality(String) CODEC(ZSTD(1)),
    ClockId LowCardinality(String) CODEC(ZSTD(1)),
    Seq UInt64 CODEC(T64, ZSTD(1)),
    -- Where the row came from: `otlp_http`, or the Kafka topic with partition and offset.
    Source LowCardinality(String) CODEC(ZSTD(1)),
    SourcePartition UInt16 CODEC(ZSTD(1)),
    SourceOffset UInt64 CODEC(T64, ZSTD(1)),
    IngestedAt DateTime CODEC(Delta(4), ZSTD(1)),

    INDEX ix_timestamp Timestamp TYPE minmax GRANULARITY 1,
    INDEX ix_ingested IngestedAt TYPE minmax GRANULARITY 1,
    INDEX ix_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfMinute(Timestamp), TraceId)
TTL toDateTime(Timestamp) + INTERVAL {retention_days} DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
