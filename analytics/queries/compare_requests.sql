-- Requests from outside of one side of a comparison, each once, by block of time and by bucket of
-- effective duration: 1/128 octave, as in attribution_window.sql.
SELECT
    toUInt32(intDiv(toUnixTimestamp64Milli(Timestamp) - {from_ms:Int64}, {block_ms:Int64})) AS block,
    toUInt32(bitShiftRight(reinterpretAsUInt64(toFloat64(EffectiveNs)), 45)) AS bucket,
    count() AS requests,
    countIf(HttpStatus = 0 OR HttpStatus >= 500) AS errors,
    sum(EffectiveNs) AS effective_ns,
    sum(OwnNs) AS own_ns
FROM
(
    SELECT
        Timestamp,
        HttpStatus,
        OwnNs,
        toUInt64(Duration - least(WaitNs, Duration)) AS EffectiveNs
    FROM spans
    WHERE HopVersion > 0
        AND EdgeClass IN ('external_to_gateway', 'external_to_bff')
        AND StreamClass = ''
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({route:String} = '' OR Route = {route:String})
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({topology:String} = '' OR Topology = {topology:String})
        AND ({generation:UInt32} = 0 OR ConfigGeneration = {generation:UInt32})
    LIMIT 1 BY toStartOfMinute(Timestamp), TraceId, SpanId
)
GROUP BY block, bucket
ORDER BY block, bucket
