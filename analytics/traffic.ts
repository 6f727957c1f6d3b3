/**
 * The traffic of one window, read once for all reports: figures by edge class, so that both
 * perspectives come from the same rows, and what the proxies' CPUs did meanwhile. Reads only.
 */
import type { EdgeClass, ProxyRole } from '../telemetry/edge-class.ts';
import type { StoreClient } from '../store/client.ts';
import { planReading } from './builds.ts';
import { addPairs, type Histogram } from './histogram.ts';
import { sql } from './sql.ts';
import type { Window } from './window.ts';

/** Sums over a set of hops. Nanoseconds and bytes. */
export interface Traffic {
  hops: number;
  /** Hops that answered 5xx or nothing. */
  errors: number;
  /** Hops that were streams or tunnels: in all sums, in no histogram. */
  streams: number;
  attempts: number;
  bytesIn: number;
  bytesOut: number;
  durationNs: number;
  waitNs: number;
  upstreamNs: number;
  backoffNs: number;
  ownNs: number;
  /** Of effective durations: client wait is nobody's latency but the client's. */
  readonly latency: Histogram;
  readonly own: Histogram;
}

/** CPU of all processes of one role, between ledgers. */
interface RoleCpu {
  readonly role: ProxyRole;
  processes: number;
  cpuNs: number;
  /** Hops finished between the same ledgers. */
  hops: number;
}

export interface WindowTraffic {
  readonly window: Window;
  readonly finalUntilMs: number;
  /** Names seen in the window, sorted. */
  readonly meshes: readonly string[];
  readonly topologies: readonly string[];
  readonly byEdgeClass: ReadonlyMap<EdgeClass, Traffic>;
  readonly hopsByRole: ReadonlyMap<ProxyRole, number>;
  readonly cpu: readonly RoleCpu[];
}

/** Columns of sums, the same in every query of window_rows.sql. */
interface SumsRow {
  hops: number;
  errors: number;
  streams: number;
  attempts: number;
  bytes_in: number;
  bytes_out: number;
  duration_ns: number;
  wait_ns: number;
  upstream_ns: number;
  backoff_ns: number;
  own_ns: number;
  latency: [number, number][];
  own: [number, number][];
}

interface TrafficRow extends SumsRow {
  mesh: string;
  topology: string;
  role: ProxyRole;
  edge_class: EdgeClass;
}

/** No hop at all. */
export const emptyTraffic = (): Traffic => ({
  hops: 0,
  errors: 0,
  streams: 0,
  attempts: 0,
  bytesIn: 0,
  bytesOut: 0,
  durationNs: 0,
  waitNs: 0,
  upstreamNs: 0,
  backoffNs: 0,
  ownNs: 0,
  latency: new Map(),
  own: new Map(),
});

/** Adds `more` into `into` and returns it. */
export function addTraffic(into: Traffic, more: Traffic): Traffic {
  into.hops += more.hops;
  into.errors += more.errors;
  into.streams += more.streams;
  into.attempts += more.attempts;
  into.bytesIn += more.bytesIn;
  into.bytesOut += more.bytesOut;
  into.durationNs += more.durationNs;
  into.waitNs += more.waitNs;
  into.upstreamNs += more.upstreamNs;
  into.backoffNs += more.backoffNs;
  into.ownNs += more.ownNs;
  addPairs(into.latency, more.latency);
  addPairs(into.own, more.own);
  return into;
}

const trafficOf = (row: SumsRow): Traffic => ({
  hops: row.hops,
  errors: row.errors,
  streams: row.streams,
  attempts: row.attempts,
  bytesIn: row.bytes_in,
  bytesOut: row.bytes_out,
  durationNs: row.duration_ns,
  waitNs: row.wait_ns,
  upstreamNs: row.upstream_ns,
  backoffNs: row.backoff_ns,
  ownNs: row.own_ns,
  latency: new Map(row.latency),
  own: new Map(row.own),
});

/**
 * Reads a window. Every hop that started in it counts once, whether its minute is published or not.
 * @throws AzimuthError of the store's.
 */
export async function readTraffic(store: StoreClient, window: Window): Promise<WindowTraffic> {
  const plan = await planReading(store, window);
  const [rows, ledgers] = await Promise.all([
    store.query<TrafficRow>(sql('window_traffic'), plan.params),
    store.query<{ role: ProxyRole; cpu_ns: number; hops: number }>(sql('proxy_cpu'), {
      from_ms: window.fromMs,
      to_ms: window.toMs,
    }),
  ]);
  const byEdgeClass = new Map<EdgeClass, Traffic>();
  const hopsByRole = new Map<ProxyRole, number>();
  for (const row of rows) {
    const known = byEdgeClass.get(row.edge_class) ?? emptyTraffic();
    byEdgeClass.set(row.edge_class, addTraffic(known, trafficOf(row)));
    hopsByRole.set(row.role, (hopsByRole.get(row.role) ?? 0) + row.hops);
  }
  const cpu = new Map<ProxyRole, RoleCpu>();
  for (const { role, cpu_ns, hops } of ledgers) {
    const known = cpu.get(role) ?? { role, processes: 0, cpuNs: 0, hops: 0 };
    known.processes += 1;
    known.cpuNs += cpu_ns;
    known.hops += hops;
    cpu.set(role, known);
  }
  const names = (pick: (row: TrafficRow) => string): string[] =>
    [...new Set(rows.map(pick))].filter((name) => name !== '').sort();
  return {
    window,
    finalUntilMs: plan.finalUntilMs,
    meshes: names((row) => row.mesh),
    topologies: names((row) => row.topology),
    byEdgeClass,
    hopsByRole,
    cpu: [...cpu.values()].sort((a, b) => a.role.localeCompare(b.role)),
  };
}

/** Legs from one caller to one callee. */
export interface EdgeTraffic {
  /** '' for clients outside of the mesh, and where nobody vouches for the caller. */
  readonly caller: string;
  /** Service, or for egress the target outside of the mesh. */
  readonly callee: string;
  readonly edgeClass: EdgeClass;
  readonly traffic: Traffic;
}

/** Legs that one service received on one route. */
export interface RouteTraffic {
  readonly service: string;
  /** Template; '' where none matched. */
  readonly route: string;
  readonly edgeClass: EdgeClass;
  readonly traffic: Traffic;
}

/** Rows by busyness, with what the reading itself has to say. */
export interface WindowGroups<Group> {
  readonly finalUntilMs: number;
  /** The busiest first, GROUPS_MAX at most. */
  readonly groups: readonly Group[];
  /** There are more than GROUPS_MAX; the others are in no group here. */
  readonly cut: boolean;
}

/** Most groups of one reading: more than a person reads, and a bound for whoever names routes. */
export const GROUPS_MAX = 500;

/**
 * Reads a window by edges; loopback legs are no edge.
 * @throws AzimuthError of the store's.
 */
export function readEdges(store: StoreClient, window: Window): Promise<WindowGroups<EdgeTraffic>> {
  return readGroups(store, window, 'window_edges', (row) => ({
    caller: row.caller,
    callee: row.callee,
    edgeClass: row.edge_class,
    traffic: trafficOf(row),
  }));
}

/**
 * Reads a window by routes; loopback legs have their route at the far end.
 * @throws AzimuthError of the store's.
 */
export function readRoutes(
  store: StoreClient,
  window: Window,
): Promise<WindowGroups<RouteTraffic>> {
  return readGroups(store, window, 'window_routes', (row) => ({
    service: row.service,
    route: row.route,
    edgeClass: row.edge_class,
    traffic: trafficOf(row),
  }));
}

/** A row of window_edges.sql (caller, callee) or window_routes.sql (service, route). */
type GroupRow = SumsRow &
  Record<'caller' | 'callee' | 'service' | 'route', string> & { edge_class: EdgeClass };

async function readGroups<Group>(
  store: StoreClient,
  window: Window,
  query: 'window_edges' | 'window_routes',
  groupOf: (row: GroupRow) => Group,
): Promise<WindowGroups<Group>> {
  const { params, finalUntilMs } = await planReading(store, window);
  const rows = await store.query<GroupRow>(sql(query), params);
  return {
    finalUntilMs,
    groups: rows.slice(0, GROUPS_MAX).map(groupOf),
    cut: rows.length > GROUPS_MAX,
  };
}
