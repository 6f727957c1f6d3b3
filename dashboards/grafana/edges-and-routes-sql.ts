/**
 * The SQL of the dashboard `Edges and routes`, on the source of traffic-sql.ts: who calls whom, and
 * what each route costs. An edge is a pair of caller and callee; the way between a workload and its
 * own sidecar is none. Clients outside and callers that nobody knows are nodes of their own.
 */
import {
  heads,
  heatMap,
  IS_BETWEEN,
  IS_ERROR,
  PICKED_DIRECTION,
  QUANTILE_MS,
  READ,
} from './traffic-sql.ts';

const SHOWN = `${IS_BETWEEN} AND ${PICKED_DIRECTION}`;

const WINDOW_S = 'greatest(1, toUnixTimestamp($__toTime) - toUnixTimestamp($__fromTime))';

/** The most that the node graph draws is 1,500 nodes; more than this many edges cannot be read. */
const EDGES_MAX = 500;

/** Legs by caller, callee and edge class. */
const EDGES = `
    edges AS
    (
        SELECT
            multiIf(
                EdgeClass IN ('external_to_gateway', 'external_to_bff'), 'clients',
                EdgeClass = 'workload_to_external', toString(ServiceName),
                Peer = '', 'unknown',
                toString(Peer)) AS caller,
            if(EdgeClass = 'workload_to_external', concat(toString(Target), ' (outside)'), toString(ServiceName)) AS callee,
            toString(EdgeClass) AS edge_class,
            direction,
            sum(Hops) AS legs,
            sumIf(Hops, ${IS_ERROR}) AS failed,
            sumMap(Latency) AS latency,
            sumMap(Own) AS own,
            sum(BytesIn) AS bytes_in,
            sum(BytesOut) AS bytes_out
        FROM ${READ}
        WHERE ${SHOWN}
        GROUP BY caller, callee, edge_class, direction
        ORDER BY legs DESC, caller, callee
        LIMIT ${EDGES_MAX}
    )`;

const FIGURES = `legs,
    legs / ${WINDOW_S} AS "legs/s",
    failed / nullIf(legs, 0) AS errors,
    quantile_ms(latency, 0.5) AS p50,
    quantile_ms(latency, 0.9) AS p90,
    quantile_ms(latency, 0.99) AS p99,
    quantile_ms(own, 0.5) AS "own p50",
    quantile_ms(own, 0.99) AS "own p99",
    bytes_in AS "bytes in",
    bytes_out AS "bytes out"`;

export const EDGES_SQL = {
  /** A node's figures are those of the legs that it received; a caller that receives none has its calls. */
  nodes: `${heads(QUANTILE_MS)},${EDGES}
SELECT
    name AS id,
    name AS title,
    if(received = 0, 'calls only', concat(toString(callers), if(callers = 1, ' caller', ' callers'))) AS subtitle,
    if(received = 0, called, received) / ${WINDOW_S} AS mainstat,
    quantile_ms(latency, 0.99) AS secondarystat,
    1 - arc__errors AS arc__ok,
    if(received = 0, 0, failed / received) AS arc__errors,
    received AS detail__received,
    called AS detail__called
FROM
(
    SELECT
        name,
        sumIf(legs, side = 'callee') AS received,
        sumIf(legs, side = 'caller') AS called,
        sumIf(failed, side = 'callee') AS failed,
        uniqExactIf(other, side = 'callee') AS callers,
        sumMapIf(latency, side = 'callee') AS latency
    FROM
    (
        SELECT callee AS name, caller AS other, 'callee' AS side, legs, failed, latency FROM edges
        UNION ALL
        SELECT caller AS name, callee AS other, 'caller' AS side, legs, failed, latency FROM edges
    )
    GROUP BY name
)
ORDER BY mainstat DESC, id`,

  links: `${heads(QUANTILE_MS)},${EDGES}
SELECT
    concat(caller, ' → ', callee, ' (', edge_class, ')') AS id,
    caller AS source,
    callee AS target,
    legs / ${WINDOW_S} AS mainstat,
    quantile_ms(latency, 0.99) AS secondarystat,
    1 + round(6 * legs / max(legs) OVER ()) AS thickness,
    multiIf(failed > 0.05 * legs, '#C4162A', direction = 'north_south', '#3274D9', direction = 'east_west', '#E0752D', '#8E8E8E') AS color,
    direction AS detail__direction,
    edge_class AS detail__class,
    failed / nullIf(legs, 0) AS detail__errors
FROM edges
ORDER BY legs DESC, id`,

  edges: `${heads(QUANTILE_MS)},${EDGES}
SELECT
    caller,
    callee,
    edge_class AS class,
    direction,
    ${FIGURES}
FROM edges
ORDER BY legs DESC, caller, callee`,

  routes: `${heads(QUANTILE_MS)}
SELECT
    service,
    route,
    method,
    direction,
    ${FIGURES}
FROM
(
    SELECT
        toString(ServiceName) AS service,
        toString(Route) AS route,
        toString(Verb) AS method,
        direction,
        sum(Hops) AS legs,
        sumIf(Hops, ${IS_ERROR}) AS failed,
        sumMap(Latency) AS latency,
        sumMap(Own) AS own,
        sum(BytesIn) AS bytes_in,
        sum(BytesOut) AS bytes_out
    FROM ${READ}
    WHERE ${SHOWN}
    GROUP BY service, route, method, direction
)
ORDER BY legs DESC, service, route, method
LIMIT 500`,

  latencyHeat: heatMap('Latency', SHOWN),

  ownHeat: heatMap('Own', SHOWN),
} as const;
