-- Traffic of one window by leg: caller, callee and edge class. Loopback legs, between a workload and
-- its own sidecar, are no edge of the picture. An empty caller: clients outside, or nobody knows.
SELECT
    multiIf(EdgeClass = 'workload_to_external', toString(ServiceName), EdgeClass IN ('external_to_gateway', 'external_to_bff'), '', toString(Peer)) AS caller,
    if(EdgeClass = 'workload_to_external', toString(Target), toString(ServiceName)) AS callee,
    EdgeClass AS edge_class,
    sum(Hops) AS hops,
    sumIf(Hops, StatusClass = 0 OR StatusClass >= 5) AS errors,
    sumIf(Hops, StreamClass != '') AS streams,
    sum(Attempts) AS attempts,
    sum(BytesIn) AS bytes_in,
    sum(BytesOut) AS bytes_out,
    sum(DurationNs) AS duration_ns,
    sum(WaitNs) AS wait_ns,
    sum(UpstreamNs) AS upstream_ns,
    sum(BackoffNs) AS backoff_ns,
    sum(OwnNs) AS own_ns,
    arrayZip(mapKeys(sumMap(Latency)), mapValues(sumMap(Latency))) AS latency,
    arrayZip(mapKeys(sumMap(Own)), mapValues(sumMap(Own))) AS own
FROM
(
    {{window_rows}}
)
WHERE EdgeClass != 'loopback'
GROUP BY caller, callee, edge_class
ORDER BY hops DESC, caller, callee, edge_class
LIMIT 500
