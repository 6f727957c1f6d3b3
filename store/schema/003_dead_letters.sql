-- What could not be stored as spans or ledgers, whole, with where it came from and why.
CREATE TABLE IF NOT EXISTS {database}.dead_letters
(
    At DateTime64(3),
    Signal LowCardinality(String),
    Source LowCardinality(String),
    SourcePartition UInt16,
    SourceOffset UInt64,
    -- Bounded: malformed, out_of_window, too_large, ...
    Reason LowCardinality(String),
    Detail String CODEC(ZSTD(3)),
    -- Spans in it as far as known; 0 = undecodable, so the count is unknown.
    Items UInt32,
    -- (boot id, sequence) pairs of hops in it, as far as known: they count as dropped, not as unexplained.
    BootIds Array(LowCardinality(String)),
    Seqs Array(UInt64),
    -- The message itself, cut at 1 MiB.
    Body String CODEC(ZSTD(3)),
    BodyBytes UInt64
)
ENGINE = MergeTree
PARTITION BY toDate(At)
ORDER BY (Signal, At)
TTL toDateTime(At) + INTERVAL {retention_days} DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
