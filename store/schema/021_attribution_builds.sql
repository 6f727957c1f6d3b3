-- Publishes builds of attribution_traces, as `builds` does those of traffic_1m: readers take the
-- greatest Build of a minute and ignore rows that no row here names.
CREATE TABLE IF NOT EXISTS {database}.attribution_builds
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    -- Stored rows of the minute, of hops and of applications, counted before they were read.
    Rows UInt64 CODEC(T64, ZSTD(1)),
    Traces UInt64 CODEC(T64, ZSTD(1)),
    Incomplete UInt64 CODEC(T64, ZSTD(1)),
    -- Start of the run that published it.
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Minute)
ORDER BY (Minute, Build)
TTL Minute + INTERVAL {retention_days} DAY
SETTINGS ttl_only_drop_parts = 1
