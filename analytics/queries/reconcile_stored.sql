-- What the store holds of each boot named, past its base. As many rows as numbers means a hop for each
-- number, and counting is all there is to do; `repeated` says that there are more rows, and then
-- reconcile_identities.sql tells replays from twins.
SELECT
    BootId AS boot_id,
    any(Proxy) AS proxy,
    toString(any(Role)) AS role,
    countIf(Seq <= Last) AS stored,
    stored AS rows,
    stored AS seqs,
    countIf(Seq <= Settled) AS settled_seqs,
    countIf(Seq > Last) AS stored_after,
    stored_after AS seqs_after,
    count() > groupBitmap(Seq) AS repeated,
    max(Seq) AS seq_max,
    toUnixTimestamp64Milli(max(Timestamp)) AS newest_ms
FROM
(
    SELECT
        BootId, Proxy, Role, Seq, Timestamp,
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
