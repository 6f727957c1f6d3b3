-- One row per ledger event: the newest of a boot says all that its proxy finished and dropped.
CREATE TABLE IF NOT EXISTS {database}.ledgers
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
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (BootId, LastSeq, Timestamp)
TTL toDateTime(Timestamp) + INTERVAL {retention_days} DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
