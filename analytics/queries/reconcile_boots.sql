-- Boots of hops that started in the window: one without any ledger is found only so.
SELECT DISTINCT BootId AS boot_id
FROM spans
WHERE HopVersion + MirrorVersion > 0
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
