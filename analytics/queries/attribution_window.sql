-- Published requests from outside of one window, each once. `bucket`: its effective duration (without
-- client wait) in steps of 1/128 octave: exponent and top 7 mantissa bits of the double.
SELECT
    *,
    toUInt32(bitShiftRight(reinterpretAsUInt64(toFloat64(greatest(0, toInt64(DurationNs) - ClientWaitNs))), 45)) AS bucket
FROM attribution
WHERE IsRequest
    AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    AND Minute >= toStartOfMinute(fromUnixTimestamp64Milli({from_ms:Int64}))
    AND ({route:String} = '' OR Route = {route:String})
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({topology:String} = '' OR Topology = {topology:String})
    AND ({generation:UInt32} = 0 OR ConfigGeneration = {generation:UInt32})
