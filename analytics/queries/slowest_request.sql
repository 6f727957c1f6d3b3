-- Trace of the slowest request from outside of a window, by effective duration; streams left out.
SELECT TraceId AS trace
FROM spans
WHERE EdgeClass IN ('external_to_gateway', 'external_to_bff')
    AND HopVersion > 0
    AND StreamClass = ''
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND ({route:String} = '' OR Route = {route:String})
ORDER BY toInt64(Duration) - toInt64(WaitNs) DESC
LIMIT 1
