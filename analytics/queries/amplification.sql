-- Internal legs that each request from outside caused, by the route that it entered on. The attempt
-- that brought a leg stands in the low 4 bits of its parent's span id, so that legs of a repeated
-- attempt are told apart. Traces with several requests cannot be divided among them.
SELECT
    service,
    route,
    count() AS requests,
    sum(TraceCalls) AS calls,
    sum(TraceRepeated) AS repeated_legs,
    sum(TraceRetries) AS retries,
    sum(TraceEgress) AS egress,
    quantileExactLow(0.5)(TraceCalls) AS calls_p50,
    quantileExactHigh(0.99)(TraceCalls) AS calls_p99,
    max(TraceCalls) AS calls_max,
    max(TraceServices) AS services_max,
    sum(TraceHops) AS rows
FROM
(
    SELECT
        TraceId,
        count() AS TraceHops,
        countIf(IsRequest) AS TraceRoots,
        anyIf(ServiceName, IsRequest) AS service,
        anyIf(Route, IsRequest) AS route,
        countIf(IsRequest AND Inside) > 0 AS TraceInside,
        countIf(IsInternal AND Attempt < 2) AS TraceCalls,
        countIf(IsInternal AND Attempt >= 2) AS TraceRepeated,
        -- Attempts beyond the first, also those that reached nobody.
        sum(toUInt64(greatest(Attempts, 1) - 1)) AS TraceRetries,
        countIf(EdgeClass = 'workload_to_external') AS TraceEgress,
        uniqExactIf(ServiceName, IsInternal) AS TraceServices
    FROM
    (
        SELECT
            *,
            EdgeClass IN ('external_to_gateway', 'external_to_bff') AS IsRequest,
            EdgeClass NOT IN ('external_to_gateway', 'external_to_bff', 'workload_to_external', 'loopback') AS IsInternal,
            -- A caller that nobody vouches for need not number its attempts so.
            if(EdgeClass = 'unknown' OR ParentSpanId = '', 0, position('0123456789abcdef', substring(ParentSpanId, 16, 1)) - 1) AS Attempt
        FROM ({{hops_sampled}})
    )
    GROUP BY TraceId
)
WHERE TraceRoots = 1 AND TraceInside
GROUP BY service, route
ORDER BY calls DESC, service, route
LIMIT 501
