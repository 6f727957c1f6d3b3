-- Traffic of one window by edge class, role and topology.
SELECT
    Mesh AS mesh,
    Topology AS topology,
    Role AS role,
    EdgeClass AS edge_class,
    {{window_sums}}
FROM
(
    {{window_rows}}
)
GROUP BY mesh, topology, role, edge_class
