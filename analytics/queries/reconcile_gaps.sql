-- Ranges of sequence numbers of one boot that are not stored, in (base, last], the first 100.
SELECT previous + 1 AS from_seq, seq - 1 AS to_seq
FROM
(
    SELECT seq, lagInFrame(seq, 1, {base:UInt64}) OVER (ORDER BY seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS previous
    FROM
    (
        SELECT DISTINCT Seq AS seq
        FROM spans
        WHERE HopVersion + MirrorVersion > 0 AND BootId = {boot:String} AND Seq > {base:UInt64} AND Seq <= {last:UInt64}
        UNION DISTINCT
        SELECT {last:UInt64} + 1 AS seq
    )
)
WHERE seq > previous + 1
ORDER BY seq
LIMIT 100
