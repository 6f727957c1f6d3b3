-- The same as reconcile_stored.sql, of boots with more rows than numbers: hops by their identity, once
-- each. A pair of boot and sequence number with two identities makes `stored` exceed `seqs`: an alarm.
SELECT
    BootId AS boot_id,
    any(Proxy) AS proxy,
    toString(any(Role)) AS role,
    uniqExactIf((TraceId, SpanId), Seq <= Last) AS stored,
    countIf(Seq <= Last) AS rows,
    uniqExactIf(Seq, Seq <= Last) AS seqs,
    uniqExactIf(Seq, Seq <= Settled) AS settled_seqs,
    uniqExactIf((TraceId, SpanId), Seq > Last) AS stored_after,
    uniqExactIf(Seq, Seq > Last) AS seqs_after,
    max(Seq) AS seq_max,
    toUnixTimestamp64Milli(max(Timestamp)) AS newest_ms
FROM
(
    SELECT
        BootId, Proxy, Role, TraceId, SpanId, Seq, Timestamp,
        transform(BootId, {boots:Array(String)}, {bases:Array(UInt64)}, toUInt64(0)) AS Base,
        transform(BootId, {boots:Array(String)}, {settled:Array(UInt64)}, toUInt64(0)) AS Settled,
        transform(BootId, {boots:Array(String)}, {lasts:Array(UInt64)}, toUInt64(0)) AS Last
    FROM spans
    WHERE HopVersion + MirrorVersion > 0
        AND BootId IN {boots:Array(String)}
        AND Timestamp >= fromUnixTimestamp64Milli({since_ms:Int64})
        AND Seq > Base
)
GROUP BY BootId
