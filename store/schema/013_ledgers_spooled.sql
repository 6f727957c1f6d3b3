-- Hops of a boot that wait in a spool on disk: neither stored nor lost.
ALTER TABLE {database}.ledgers ADD COLUMN IF NOT EXISTS Spooled UInt64 CODEC(T64, ZSTD(1)) AFTER Dropped
