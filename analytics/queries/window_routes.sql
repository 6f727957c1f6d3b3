-- Traffic of one window by route: the service that received the legs, the route template that it
-- matched there, and the edge class. Loopback legs, between a workload and its own sidecar, have their
-- route at the far end. One row more than is shown, to tell that there are more.
SELECT
    ServiceName AS service,
    Route AS route,
    EdgeClass AS edge_class,
    {{window_sums}}
FROM
(
    {{window_rows}}
)
WHERE EdgeClass != 'loopback'
GROUP BY service, route, edge_class
ORDER BY hops DESC, service, route, edge_class
LIMIT 501
