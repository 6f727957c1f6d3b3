-- CPU and hops of each proxy process between two of its ledgers: the newest of the window, and the
-- newest before it (else the first inside, so that starting up is nobody's cost per request).
SELECT
    BootId AS boot_id,
    any(Proxy) AS proxy,
    any(Role) AS role,
    argMax(CpuNs, LastSeen) - if(countIf(Before) > 0, argMaxIf(CpuNs, LastSeen, Before), argMin(CpuNs, LastSeen)) AS cpu_ns,
    argMax(HopsFinished, LastSeen) - if(countIf(Before) > 0, argMaxIf(HopsFinished, LastSeen, Before), argMin(HopsFinished, LastSeen)) AS hops
FROM
(
    SELECT
        BootId, Proxy, Role, CpuNs, HopsFinished, Timestamp AS LastSeen,
        Timestamp < fromUnixTimestamp64Milli({from_ms:Int64}) AS Before
    FROM ledgers
    -- A ledger comes every 5 s; a minute before the window surely holds one of a living process.
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64} - 60000)
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
)
GROUP BY BootId
HAVING countIf(NOT Before) > 0
