-- Publishes builds of traffic_1d, as `hour_builds` does those of traffic_1h.
CREATE TABLE IF NOT EXISTS {database}.day_builds
(
    Day DateTime CODEC(Delta(4), ZSTD(1)),
    Build UInt64 CODEC(ZSTD(1)),
    -- Fingerprint of the builds of its hours that it was made of: another one makes the day stale.
    HourBuilds UInt64 CODEC(ZSTD(1)),
    BuiltAt DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Day)
ORDER BY (Day, Build)
TTL Day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
