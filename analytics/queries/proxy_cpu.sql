-- CPU and hops of each proxy process between two of its ledgers: the newest of the window, and the
-- newest before it (else the first inside, so that starting up is nobody's cost per request). A
-- window too short for two of them, since one comes every 5 s, ends with the first one after it.
WITH
    if(countIf(Place = 'before') > 0, argMaxIf((CpuNs, HopsFinished), LastSeen, Place = 'before'), argMin((CpuNs, HopsFinished), LastSeen)) AS first,
    if(countIf(Place = 'after') > 0 AND countIf(Place = 'inside') + (countIf(Place = 'before') > 0) < 2, argMinIf((CpuNs, HopsFinished), LastSeen, Place = 'after'), argMaxIf((CpuNs, HopsFinished), LastSeen, Place != 'after')) AS last
SELECT
    BootId AS boot_id,
    any(Proxy) AS proxy,
    any(Role) AS role,
    last.1 - first.1 AS cpu_ns,
    last.2 - first.2 AS hops
FROM
(
    SELECT
        BootId, Proxy, Role, CpuNs, HopsFinished, Timestamp AS LastSeen,
        multiIf(
            Timestamp < fromUnixTimestamp64Milli({from_ms:Int64}), 'before',
            Timestamp < fromUnixTimestamp64Milli({to_ms:Int64}), 'inside',
            'after') AS Place
    FROM ledgers
    -- A minute before the window surely holds a ledger of a living process, and 10 s after it too.
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64} + 10000)
)
GROUP BY BootId
HAVING countIf(Place = 'inside') > 0 OR (countIf(Place = 'before') > 0 AND countIf(Place = 'after') > 0)
