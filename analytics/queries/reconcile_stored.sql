-- What the store holds of each boot named, past its base: hops once each, rows, sequence numbers.
-- A pair of boot and sequence number with two identities makes `stored` exceed `seqs`: an alarm.
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
        indexOf({boots:Array(String)}, BootId) AS Position,
        arrayElement({bases:Array(UInt64)}, Position) AS Base,
        arrayElement({settled:Array(UInt64)}, Position) AS Settled,
        arrayElement({lasts:Array(UInt64)}, Position) AS Last
    FROM spans
    WHERE HopVersion + MirrorVersion > 0
        AND BootId IN {boots:Array(String)}
        AND Timestamp >= fromUnixTimestamp64Milli({since_ms:Int64})
        AND Seq > Base
)
GROUP BY BootId
