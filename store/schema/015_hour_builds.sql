-- Publishes builds of traffic_1h, as `builds` does those of traffic_1m.
CREATE TABLE IF NOT EXISTS {database}.hour_builds
(
    Hour DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    -- Greatest build of the hour's minutes when it was made: a greater one makes the hour stale.
    MinuteBuild UInt64 CODEC(ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Hour)
ORDER BY (Hour, Build)
TTL Hour + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
