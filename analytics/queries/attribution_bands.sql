-- Per band of buckets [low, high]: sums by kind, and some requests' own totals to resample from.
SELECT
    tupleElement(band, 1) AS band,
    count() AS traces,
    sumForEach(totals) AS sums,
    groupArraySample(1000, 1)(totals) AS sample
FROM
(
    SELECT
        arrayJoin(arrayFilter(
            b -> bucket >= tupleElement(b, 2) AND bucket <= tupleElement(b, 3),
            arrayZip({band:Array(UInt8)}, {low:Array(UInt32)}, {high:Array(UInt32)}))) AS band,
        [GatewayNs, MeshNs, BackoffNs, WireNs, ApplicationNs, UpstreamNs, ParallelSurplusNs, ClientWaitNs, ResidualNs] AS totals
    FROM ({{attribution_window}})
    WHERE Incomplete = 0 AND StreamClass = ''
)
GROUP BY band
