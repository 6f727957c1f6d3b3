-- CPU and hops of each proxy process between two of its ledgers: the newest of the window, and the
-- newest before it (else the first inside, so that starting up is nobody's cost per request). A
-- window too short for two of them, since one comes every 5 s, ends with the first one after it.
WITH ends AS
(
    -- By the instant first: a month holds millions of ledgers, of which two a process are looked at.
    SELECT
        BootId,
        countIf(Timestamp < fromUnixTimestamp64Milli({from_ms:Int64})) AS before,
        countIf(Timestamp >= fromUnixTimestamp64Milli({to_ms:Int64})) AS after,
        count() - before - after AS inside,
        if(before > 0, maxIf(Timestamp, Timestamp < fromUnixTimestamp64Milli({from_ms:Int64})), min(Timestamp)) AS first,
        if(after > 0 AND inside + (before > 0) < 2,
            minIf(Timestamp, Timestamp >= fromUnixTimestamp64Milli({to_ms:Int64})),
            maxIf(Timestamp, Timestamp < fromUnixTimestamp64Milli({to_ms:Int64}))) AS last
    FROM ledgers
    -- A minute before the window surely holds a ledger of a living process, and 10 s after it too.
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 10000)
    GROUP BY BootId
    HAVING inside > 0 OR (before > 0 AND after > 0)
)
SELECT
    ledgers.BootId AS boot_id,
    any(Proxy) AS proxy,
    any(Role) AS role,
    anyIf(CpuNs, Timestamp = ends.last) - anyIf(CpuNs, Timestamp = ends.first) AS cpu_ns,
    anyIf(HopsFinished, Timestamp = ends.last) - anyIf(HopsFinished, Timestamp = ends.first) AS hops
FROM
(
    SELECT BootId, Timestamp, Proxy, Role, CpuNs, HopsFinished
    FROM ledgers
    WHERE (BootId, Timestamp) IN (SELECT BootId, arrayJoin([first, last]) FROM ends)
) AS ledgers
INNER JOIN ends ON ledgers.BootId = ends.BootId
GROUP BY boot_id
