-- Synthetic requests of five hops each, straight into `spans`, in the order of time: what a collector
-- would have stored, in all columns that real hops fill. 48 routes x 5 hops x 2 outcomes = 480 series.
--
--     edge:ingress -> bff:inbound -> bff:outbound -> svc-NN:inbound -> svc-NN:outbound -> outside
--
-- Times are lognormal and nest to the nanosecond, so that attribution has something true to find. One
-- request in a hundred tries twice, one in thirty has a slow client. Of all requests the last 2 % lie
-- in the last hour.
INSERT INTO spans
(
    Timestamp, TraceId, SpanId, ParentSpanId, SpanKind, ServiceName, ServiceNamespace, ServiceVersion, Instance, Host, Zone,
    ScopeName, Duration, StatusCode, HopVersion, Mesh, Cluster, Topology, Proxy, Role, Side, EdgeClass, Peer, PeerRole,
    PeerKnown, Target, Route, Method, Scheme, Protocol, ServerAddress, ClientAddress, HttpStatus, OwnNs, UpstreamNs,
    WaitNs, BackoffNs, WaitAttemptsNs, ConnectNs, LoopNs, TUpFirst, TUpLast, TResFirst, TResLast, TDownFirst, BytesIn,
    BytesOut, Functions, `Phases.Function`, `Phases.Ns`, AnsweredBy, ConfigGeneration, Attempts, AttemptBits,
    `AttemptList.StartNs`, `AttemptList.Ns`, `AttemptList.WaitNs`, `AttemptList.Status`, `AttemptList.Bits`, BootId,
    ClockId, Seq, Source, SourcePartition, SourceOffset, IngestedAt
)
WITH
    -- Nanoseconds, lognormal enough: the mean of four uniform words is nearly normal.
    (h, mean, deviation) -> toInt64(exp(mean + deviation * 1.732 *
        ((bitAnd(h, 65535) + bitAnd(bitShiftRight(h, 16), 65535) + bitAnd(bitShiftRight(h, 32), 65535) + bitShiftRight(h, 48)) / 65536 - 2))) AS spread
SELECT
    fromUnixTimestamp64Nano(startNs + later) AS Timestamp,
    trace AS TraceId,
    leftPad(lower(hex(id)), 16, '0') AS SpanId,
    if(k = 0, '', leftPad(lower(hex(parent)), 16, '0')) AS ParentSpanId,
    'Server' AS SpanKind,
    service,
    if(k = 0, 'edge', 'shop') AS ServiceNamespace,
    '1.0.0' AS ServiceVersion,
    concat(proxy, '-', boot) AS Instance,
    concat('host-', service) AS Host,
    'a' AS Zone,
    'azimuth' AS ScopeName,
    toUInt64(duration),
    if(failed, 'Error', 'Unset') AS StatusCode,
    1 AS HopVersion,
    'shop' AS Mesh,
    'local' AS Cluster,
    'separate' AS Topology,
    if(k = 0, 'edge', concat(service, '-sidecar')) AS proxy,
    if(k = 0, 'gateway', 'sidecar') AS Role,
    ['ingress', 'inbound', 'outbound', 'inbound', 'outbound'][k + 1] AS Side,
    ['external_to_gateway', 'gateway_to_bff', 'loopback', 'bff_to_workload', 'workload_to_external'][k + 1] AS EdgeClass,
    ['', 'edge', 'web-bff', 'web-bff', svc][k + 1] AS Peer,
    ['external', 'gateway', 'bff', 'bff', 'workload'][k + 1] AS PeerRole,
    if(k IN (1, 3), 'mtls', 'listener') AS PeerKnown,
    ['web-bff', 'web-bff', svc, svc, 'payments.example'][k + 1] AS Target,
    concat('/api/', svc, '/', toString(route), '/{id}') AS Route,
    'GET' AS Method,
    'http' AS Scheme,
    '1.1' AS Protocol,
    ['', '', svc, '', 'payments.example'][k + 1] AS ServerAddress,
    if(k = 0, concat('10.', toString(request % 61), '.', toString(request % 251), '.0'), '') AS ClientAddress,
    if(failed, 500, 200) AS HttpStatus,
    toUInt64(own) AS OwnNs,
    toUInt64(attempt + twice * firstTry) AS UpstreamNs,
    toUInt64(if(k = 0, clientWait, 0)) AS WaitNs,
    toUInt64(twice * pause) AS BackoffNs,
    WaitNs AS WaitAttemptsNs,
    toUInt64(if(luck % 100 = k, 200000 + luck % 100000, 0)) AS ConnectNs,
    toUInt64(if(luck % 10 = k, 1000 + luck % 50000, 0)) AS LoopNs,
    toUInt64(intDiv(own, 2)) AS TUpFirst,
    18000 + toInt64(id % 16001) AS TUpLast,
    toUInt64(duration - TResLast - if(luck % 3 = 0, luck % 90000 + 1000, 0)) AS TResFirst,
    own - intDiv(own, 2) AS TResLast,
    TResLast - least(TResLast, 6000 + toInt64(id % 9001)) AS TDownFirst,
    toUInt64(60 + luck % 240) AS BytesIn,
    toUInt64(payload + k % 2) AS BytesOut,
    3073 AS Functions,
    [0, 10, 11] AS `Phases.Function`,
    [
        toUInt64(least(5000 + bitAnd(bitShiftRight(id, 4), 8191), intDiv(own, 4))),
        toUInt64(least(1000 + bitAnd(bitShiftRight(id, 20), 4095), intDiv(own, 4))),
        toUInt64(least(3000 + bitAnd(bitShiftRight(id, 36), 4095), intDiv(own, 4)))] AS `Phases.Ns`,
    'upstream' AS AnsweredBy,
    1 AS ConfigGeneration,
    1 + twice AS Attempts,
    [7, 6, 7, 6, 6][k + 1] AS AttemptBits,
    if(twice, [TUpFirst, TUpFirst + toUInt64(firstTry + pause)], []) AS `AttemptList.StartNs`,
    if(twice, [toUInt64(firstTry), toUInt64(attempt)], []) AS `AttemptList.Ns`,
    if(twice, [toUInt64(0), toUInt64(0)], []) AS `AttemptList.WaitNs`,
    if(twice, [0, HttpStatus], []) AS `AttemptList.Status`,
    if(twice, [1, 7], []) AS `AttemptList.Bits`,
    leftPad(lower(hex(cityHash64(proxy))), 16, '0') AS boot,
    leftPad(lower(hex(cityHash64('host', service))), 16, '0') AS ClockId,
    if(k = 0, request + 1, if(k < 3, 2 * request + k, 2 * intDiv(request, 12) + k - 2)) AS Seq,
    'otlp_spans' AS Source,
    request % 12 AS SourcePartition,
    intDiv(request, 12 * 60) AS SourceOffset,
    toDateTime(intDiv(startNs, 1000000000) + 2) AS IngestedAt
FROM
(
    SELECT
        request, luck, trace, route, failed, clientWait, svc, firstTry, pause, payload, startNs,
        k, id, parent, service, duration, own, attempt, later, k = 2 AND retried AS twice
    FROM
    (
        -- From the inside out: what a hop called, then the hop, then the attempt towards it.
        SELECT
            request, luck, trace, route, failed, retried, clientWait, svc, firstTry, pause, payload, startNs, ids,
            spread(luck, 15.3, 1.) AS outside,
            owns[5] + outside AS d5,
            works[3] + d5 + works[4] AS a4,
            owns[4] + a4 AS d4,
            wires[3] + d4 + wires[4] AS a3,
            owns[3] + a3 + if(retried, firstTry + pause, 0) AS d3,
            works[1] + d3 + works[2] AS a2,
            owns[2] + a2 AS d2,
            wires[1] + d2 + wires[2] AS a1,
            owns[1] + a1 + clientWait AS d1,
            owns,
            arrayMap(n -> toInt64(n), [d1, d2, d3, d4, d5]) AS durations,
            arrayMap(n -> toInt64(n), [a1, a2, a3, a4, outside]) AS attempts,
            ['edge', 'web-bff', 'web-bff', svc, svc] AS services,
            arrayMap((parent, n) -> bitXor(parent, if(n = 3 AND retried, 2, 1)), arrayConcat([toUInt64(0)], arrayPopBack(ids)), range(5)) AS parents,
            arrayCumSum([
                toInt64(0),
                intDiv(owns[1], 2) + wires[1],
                intDiv(owns[2], 2) + works[1],
                intDiv(owns[3], 2) + if(retried, firstTry + pause, 0) + wires[3],
                intDiv(owns[4], 2) + works[3]]) AS offsets
        FROM
        (
            SELECT
                number AS request,
                cityHash64(number) AS luck,
                concat(lower(hex(sipHash64(number))), leftPad(lower(hex(cityHash64(number, 99))), 16, '0')) AS hexes,
                leftPad(hexes, 32, '0') AS trace,
                arrayMap(n -> bitAnd(cityHash64(number, n), bitNot(toUInt64(15))), range(5)) AS ids,
                request % 12 + 12 * (luck % 4) AS route,
                luck % 1009 < 40 AS failed,
                luck % 101 = 0 AS retried,
                if(luck % 31 = 0, toInt64(1000000 + luck % 4000000), toInt64(0)) AS clientWait,
                concat('svc-', leftPad(toString(request % 12), 2, '0')) AS svc,
                arrayMap(n -> spread(cityHash64(number, n + 10), 11.7, 0.5), range(5)) AS owns,
                arrayMap(n -> spread(cityHash64(number, n + 20), 11.9, 0.5), range(4)) AS wires,
                arrayMap(n -> spread(cityHash64(number, n + 30), 14.2, 0.8), range(4)) AS works,
                spread(cityHash64(number, 40), 14., 0.5) AS firstTry,
                spread(cityHash64(number, 41), 15., 0.3) AS pause,
                spread(cityHash64(number, 42), 7., 1.) AS payload,
                {begin_ms:Int64} * 1000000 + toInt64(if(
                    number < {long_ago:UInt64},
                    number / {long_ago:UInt64} * ({hour_ms:Int64} - {begin_ms:Int64}),
                    ({hour_ms:Int64} - {begin_ms:Int64}) + (number - {long_ago:UInt64}) / ({requests:UInt64} - {long_ago:UInt64}) * 3590000) * 1000000)
                    + toInt64(luck % 1000000) AS startNs
            FROM numbers({first:UInt64}, {count:UInt64})
        )
    )
    ARRAY JOIN range(5) AS k, ids AS id, parents AS parent, services AS service, durations AS duration, owns AS own,
        attempts AS attempt, offsets AS later
)
