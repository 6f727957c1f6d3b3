-- The last row that the rollup job writes for a minute: it publishes the build. Readers take the
-- greatest Build of a minute and ignore rows of traffic_1m that no row here names.
CREATE TABLE IF NOT EXISTS {database}.builds
(
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    -- Stored rows of hops that started in the minute, counted before the build read them: when more
    -- are found later, the minute is built anew.
    Rows UInt64 CODEC(T64, ZSTD(1)),
    -- Hops of the build, each counted once. Rows = Uniques: readers of raw rows need no deduplication.
    Uniques UInt64 CODEC(T64, ZSTD(1)),
    -- Start of the run that published it.
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Minute)
ORDER BY (Minute, Build)
TTL Minute + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
