-- Traffic of one window by leg: caller, callee and edge class. Loopback legs, between a workload and
-- its own sidecar, are no edge of the picture. An empty caller: clients outside, or nobody knows. One
-- row more than is shown, to tell that there are more.
SELECT
    multiIf(EdgeClass = 'workload_to_external', toString(ServiceName), EdgeClass IN ('external_to_gateway', 'external_to_bff'), '', toString(Peer)) AS caller,
    if(EdgeClass = 'workload_to_external', toString(Target), toString(ServiceName)) AS callee,
    EdgeClass AS edge_class,
    {{window_sums}}
FROM
(
    {{window_rows}}
)
WHERE EdgeClass != 'loopback'
GROUP BY caller, callee, edge_class
ORDER BY hops DESC, caller, callee, edge_class
LIMIT 501
