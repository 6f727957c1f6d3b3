-- Hops of copies of requests (mirroring), which are no load: the version byte stands here, and
-- HopVersion is 0, so that whatever asks for HopVersion > 0 counts load and nothing else
-- (docs/adr/025-mirrored-hops-are-no-load.md).
ALTER TABLE {database}.spans ADD COLUMN IF NOT EXISTS MirrorVersion UInt8 CODEC(ZSTD(1)) AFTER HopVersion
