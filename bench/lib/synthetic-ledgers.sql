-- Ledgers of the 14 processes of synthetic-hops.sql, by which all their hops are accounted for: one
-- each `every_s` seconds of a stretch.
INSERT INTO ledgers
(
    Timestamp, ServiceName, Mesh, Topology, Proxy, Role, Host, BootId, ClockId, LastSeq, HopsFinished, Emitted, Attempts,
    CpuNs, RssBytes, LoopDelayNs, InFlight, Closing, IngestedAt
)
SELECT
    fromUnixTimestamp64Milli(at_ms),
    service,
    'shop',
    'separate',
    proxy,
    if(service = 'edge', 'gateway', 'sidecar'),
    concat('host-', service),
    leftPad(lower(hex(cityHash64(proxy))), 16, '0'),
    leftPad(lower(hex(cityHash64('host', service))), 16, '0'),
    multiIf(
        service = 'edge', begun,
        service = 'web-bff', 2 * begun,
        2 * intDiv(begun + 11 - (process - 2), 12)) AS seq,
    seq, seq, seq,
    seq * 25000 + intDiv(at_ms - {begin_ms:Int64}, 50) * 1000,
    120000000 + cityHash64(at_ms) % 20000000,
    cityHash64(at_ms, process) % 2000000,
    0,
    0,
    toDateTime(intDiv(at_ms, 1000) + 1)
FROM
(
    SELECT
        number % 14 AS process,
        {from_ms:Int64} + toInt64(intDiv(number, 14)) * {every_s:UInt32} * 1000 AS at_ms,
        multiIf(process = 0, 'edge', process = 1, 'web-bff', concat('svc-', leftPad(toString(process - 2), 2, '0'))) AS service,
        if(process = 0, 'edge', concat(service, '-sidecar')) AS proxy,
        -- Requests that had begun by then: the inverse of when they begin.
        toUInt64(if(
            at_ms < {hour_ms:Int64},
            {long_ago:UInt64} * ((at_ms - {begin_ms:Int64}) / ({hour_ms:Int64} - {begin_ms:Int64})),
            least(toFloat64({requests:UInt64}), {long_ago:UInt64} + ({requests:UInt64} - {long_ago:UInt64}) * ((at_ms - {hour_ms:Int64}) / 3590000)))) AS begun
    FROM numbers(14 * {count:UInt64})
)
