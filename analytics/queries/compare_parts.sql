-- Published, complete requests of one side of a comparison: sums by kind and block of time.
SELECT
    toUInt32(intDiv(toUnixTimestamp64Milli(Timestamp) - {from_ms:Int64}, {block_ms:Int64})) AS block,
    count() AS requests,
    sumForEach([GatewayNs, MeshNs, BackoffNs, WireNs, ApplicationNs, UpstreamNs, ParallelSurplusNs, ClientWaitNs, ResidualNs]) AS sums
FROM ({{attribution_window}})
WHERE Incomplete = 0 AND StreamClass = ''
GROUP BY block
ORDER BY block
