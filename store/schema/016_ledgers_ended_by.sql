-- By when a process had ended that left no closing ledger, as its successor stated it; else 1970.
ALTER TABLE {database}.ledgers ADD COLUMN IF NOT EXISTS EndedBy DateTime64(3) CODEC(ZSTD(1)) AFTER Closing
