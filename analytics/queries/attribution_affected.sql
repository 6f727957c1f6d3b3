-- Published minutes that hold one of the traces that got rows late.
SELECT DISTINCT toUInt32(Minute) AS minute
FROM attribution
WHERE Minute >= toStartOfMinute(fromUnixTimestamp64Milli({from_ms:Int64}))
    AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
    AND TraceId IN ({{attribution_late_traces}})
