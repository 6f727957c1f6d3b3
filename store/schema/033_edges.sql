-- Published traffic of a stretch of whole minutes by edge, each hop once:
-- SELECT * FROM edges(perspective = 'split', since = now() - INTERVAL 1 HOUR, until = now()). UTC. Caller
-- is `clients` for requests from outside and empty where nobody vouches for it.
CREATE OR REPLACE VIEW {database}.edges AS
SELECT
    Direction, Caller, Callee, EdgeClass,
    Legs, Requests, Errors, Streams, BytesIn, BytesOut,
    Legs / greatest(1, dateDiff('second', {since:DateTime('UTC')}, {until:DateTime('UTC')})) AS LegsPerS,
    Errors / Legs AS ErrorShare,
    if(empty(LatencyKeys), NULL, LatencyNs[1] / 1e6) AS P50Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[2] / 1e6) AS P90Ms,
    if(empty(LatencyKeys), NULL, LatencyNs[3] / 1e6) AS P99Ms,
    if(empty(OwnKeys), NULL, OwnNs[1] / 1e6) AS OwnP50Ms,
    if(empty(OwnKeys), NULL, OwnNs[2] / 1e6) AS OwnP99Ms,
    OwnSumNs / 1e6 AS OwnSumMs,
    EffectiveSumNs / 1e6 AS LatencySumMs
FROM
(
    SELECT
        *,
        arrayMap(
            (p, i) -> if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49)))
                + if(LatencyKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8265, 49))
                    - if(LatencyKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(LatencyKeys[i]) + 8264, 49))))
                    * (p * LatencyBelow[-1] - (LatencyBelow[i] - LatencyCounts[i])) / LatencyCounts[i],
            [0.5, 0.9, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * LatencyBelow[-1], LatencyBelow), [0.5, 0.9, 0.99])) AS LatencyNs,
        arrayMap(
            (p, i) -> if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49)))
                + if(OwnKeys[i] = 215, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8265, 49))
                    - if(OwnKeys[i] = 0, 0, reinterpretAsFloat64(bitShiftLeft(toUInt64(OwnKeys[i]) + 8264, 49))))
                    * (p * OwnBelow[-1] - (OwnBelow[i] - OwnCounts[i])) / OwnCounts[i],
            [0.5, 0.99],
            arrayMap(p -> arrayFirstIndex(below -> below >= p * OwnBelow[-1], OwnBelow), [0.5, 0.99])) AS OwnNs
    FROM
    (
        SELECT
            *,
            mapKeys(LatencyMap) AS LatencyKeys,
            mapValues(LatencyMap) AS LatencyCounts,
            arrayCumSum(mapValues(LatencyMap)) AS LatencyBelow,
            mapKeys(OwnMap) AS OwnKeys,
            mapValues(OwnMap) AS OwnCounts,
            arrayCumSum(mapValues(OwnMap)) AS OwnBelow
        FROM
        (
            SELECT
                T.Direction AS Direction,
                multiIf(T.EdgeClass = 'workload_to_external', toString(T.ServiceName), T.IsRequest, 'clients', toString(T.Peer)) AS Caller,
                if(T.EdgeClass = 'workload_to_external', toString(T.Target), toString(T.ServiceName)) AS Callee,
                T.EdgeClass AS EdgeClass,
                sum(T.Hops) AS Legs,
                sumIf(T.Hops, T.IsRequest) AS Requests,
                sumIf(T.Hops, T.StatusClass = 0 OR T.StatusClass >= 5) AS Errors,
                sumIf(T.Hops, T.StreamClass != '') AS Streams,
                sum(T.BytesIn) AS BytesIn,
                sum(T.BytesOut) AS BytesOut,
                sum(T.OwnNs) AS OwnSumNs,
                sum(T.DurationNs) - sum(T.WaitNs) AS EffectiveSumNs,
                sumMap(T.Latency) AS LatencyMap,
                sumMap(T.Own) AS OwnMap
            FROM {database}.traffic(perspective = {perspective:String}) AS T
            WHERE T.EdgeClass != 'loopback'
                AND T.Minute >= {since:DateTime('UTC')}
                AND T.Minute < {until:DateTime('UTC')}
            GROUP BY Direction, Caller, Callee, EdgeClass
        )
    )
)
