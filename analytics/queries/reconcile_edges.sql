-- Exits against entries: every attempt of A towards B that was answered must have one inbound hop at
-- B, and every inbound hop from a known peer an exit. They meet by the parent chain: the inbound
-- hop's parent is the exit hop's span id XOR the attempt's number, which fills its low 4 bits, so
-- that the first 15 hex digits name the exit. Rows a minute around the window are read too.
SELECT
    caller,
    target,
    sum(answered) AS exits,
    sum(entered) AS entries,
    sum(if(answered > entered, answered - entered, 0)) AS exits_unmatched,
    sum(if(entered > attempts, entered - attempts, 0)) AS entries_unmatched
FROM
(
    SELECT
        if(max(exit_caller) != '', max(exit_caller), max(entry_caller)) AS caller,
        if(max(exit_target) != '', max(exit_target), max(entry_target)) AS target,
        sum(answered_one) AS answered,
        sum(attempts_one) AS attempts,
        sum(entry_one) AS entered,
        if(sum(attempts_one) > 0, minIf(Timestamp, attempts_one > 0), min(Timestamp)) AS at
    FROM
    (
        SELECT
            Timestamp, TraceId, SpanId,
            if(Side = 'inbound', substring(ParentSpanId, 1, 15), substring(SpanId, 1, 15)) AS exit_id,
            if(Side = 'inbound', '', toString(ServiceName)) AS exit_caller,
            if(Side = 'inbound', '', toString(Target)) AS exit_target,
            if(Side = 'inbound', toString(Peer), '') AS entry_caller,
            if(Side = 'inbound', toString(ServiceName), '') AS entry_target,
            if(empty(`AttemptList.Bits`), [AttemptBits], `AttemptList.Bits`) AS bits,
            if(Side = 'inbound', 0, arrayCount(b -> bitAnd(b, 3) = 3, bits)) AS answered_one,
            if(Side = 'inbound', 0, arrayCount(b -> bitAnd(b, 1) = 1, bits)) AS attempts_one,
            if(Side = 'inbound', 1, 0) AS entry_one
        FROM spans
        WHERE HopVersion + MirrorVersion > 0
            AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
            AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 60000)
            AND if(Side = 'inbound', PeerKnown != 'unknown' AND Peer != '', attempts_one > 0)
        LIMIT 1 BY TraceId, SpanId
    )
    GROUP BY TraceId, exit_id
)
WHERE at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
GROUP BY caller, target
ORDER BY caller, target
