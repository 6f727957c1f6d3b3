-- Hops of the boots named that were dead-lettered and are not stored: dropped, by reason. One that
-- was dead-lettered twice, or was stored after all, counts once, or not at all.
SELECT boot_id, reason, count() AS hops
FROM
(
    SELECT dead_boot AS boot_id, dead_seq, any(Reason) AS reason
    FROM
    (
        SELECT Reason, tupleElement(pair, 1) AS dead_boot, tupleElement(pair, 2) AS dead_seq
        FROM (SELECT Reason, arrayJoin(arrayZip(BootIds, Seqs)) AS pair FROM dead_letters)
        WHERE dead_boot IN {boots:Array(String)}
    )
    WHERE dead_seq > arrayElement({bases:Array(UInt64)}, indexOf({boots:Array(String)}, dead_boot))
        AND dead_seq <= arrayElement({lasts:Array(UInt64)}, indexOf({boots:Array(String)}, dead_boot))
    GROUP BY dead_boot, dead_seq
)
WHERE (boot_id, dead_seq) NOT IN
(
    SELECT toString(BootId), Seq FROM spans
    WHERE HopVersion + MirrorVersion > 0
        AND BootId IN {boots:Array(String)}
        AND Seq IN (SELECT arrayJoin(Seqs) FROM dead_letters)
)
GROUP BY boot_id, reason
ORDER BY boot_id, reason
