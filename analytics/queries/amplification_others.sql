-- What of the window belongs to no single request: traces without one, and traces with several.
SELECT
    countIf(roots = 0) AS traces_without_request,
    sumIf(legs, roots = 0) AS legs_without_request,
    countIf(roots > 1) AS traces_of_several,
    sumIf(legs, roots > 1) AS legs_of_several
FROM
(
    SELECT
        TraceId,
        countIf(EdgeClass IN ('external_to_gateway', 'external_to_bff')) AS roots,
        countIf(EdgeClass NOT IN ('external_to_gateway', 'external_to_bff', 'workload_to_external', 'loopback')) AS legs,
        countIf(Inside) AS inside
    FROM ({{hops_sampled}})
    GROUP BY TraceId
    HAVING inside > 0
)
