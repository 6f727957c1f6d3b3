/**
 * The gateway-versus-mesh report: load and latency of one window by direction, under a perspective.
 * Made here as plain figures; the terminal, JSON and CSV forms say the same in their manner.
 *
 * A request is counted where it enters, so requests are the same in both perspectives; legs are
 * split by direction, and north-south + east-west + unknown + loopback is the same sum in both.
 */
import {
  directionOf,
  isRequest,
  type Direction,
  type EdgeClass,
  type Perspective,
  type ProxyRole,
} from '../../telemetry/edge-class.ts';
import type { StoreClient } from '../../store/client.ts';
import { reconcileForReport, type Reconciliation, type ReportedAccount } from '../reconcile.ts';
import {
  addTraffic,
  emptyTraffic,
  readTraffic,
  type Traffic,
  type WindowTraffic,
} from '../traffic.ts';
import type { Window } from '../window.ts';
import { ratio, trafficFigures, type TrafficFigures } from './traffic-figures.ts';

/** Parts of the traffic that one line of the report stands for. Each class is in exactly one. */
export const PARTS = {
  gateway: ['external_to_gateway', 'external_to_bff'],
  egress: ['workload_to_external'],
  gateway_to_mesh: ['gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload'],
  mesh_to_mesh: ['bff_to_workload', 'workload_to_workload'],
  unknown: ['unknown'],
  loopback: ['loopback'],
} as const satisfies Record<string, readonly [EdgeClass, ...EdgeClass[]]>;
export type Part = keyof typeof PARTS;

/** One line of the report. */
export interface TrafficLine extends TrafficFigures {
  readonly direction: Direction;
  /** `all`: the whole direction. */
  readonly part: Part | 'all';
  readonly legs: number;
  /** Legs that are requests from outside. */
  readonly requests: number;
  readonly legs_per_s: number;
  /** Of all legs but loopback ones; null for loopback. */
  readonly share: number | null;
}

interface CpuLine {
  readonly role: ProxyRole;
  /** Processes (boots) that sent ledgers in the window. */
  readonly processes: number;
  readonly cpu_ms: number;
  /** Per 1,000 hops that these processes finished between the same ledgers. */
  readonly cpu_ms_per_1000_hops: number | null;
  /** What 1,000 requests from outside cost in this role; adds up over roles. */
  readonly cpu_ms_per_1000_requests: number | null;
}

export interface GatewayVsMesh {
  readonly report: 'gateway-vs-mesh';
  readonly perspective: Perspective;
  readonly from: string;
  readonly to: string;
  readonly window_s: number;
  /** Up to here data are final but for late rows, past it provisional. */
  readonly final_until: string;
  readonly provisional: boolean;
  readonly meshes: readonly string[];
  readonly topologies: readonly string[];
  readonly requests: number;
  readonly requests_per_s: number;
  /** Requests that entered at a BFF's sidecar, which then performs the gateway's functions. */
  readonly requests_at_bff: number;
  /** Loopback legs have no direction; `sum` is all of them, the same in both perspectives. */
  readonly legs: Readonly<Record<Exclude<Direction, 'neither'> | 'loopback' | 'sum', number>>;
  /** What the other perspective moves: the legs between gateway and mesh. */
  readonly moved: {
    readonly legs: number;
    /** Of all legs but loopback ones. */
    readonly share: number;
    readonly other_perspective: Perspective;
    readonly to_direction: Direction;
  };
  readonly lines: readonly TrafficLine[];
  readonly cpu: readonly CpuLine[];
  readonly accounted_for: Reconciliation['totals'] & {
    /** The account covers the window from here on: the end of a long one. */
    readonly since: string;
    readonly processes: number;
    readonly ended_without_closing_ledger: number;
    readonly undecodable_messages: number;
  };
}

const partsOf = (direction: Direction, perspective: Perspective): Part[] =>
  (Object.keys(PARTS) as Part[]).filter(
    (part) => directionOf(PARTS[part][0], perspective) === direction,
  );

/** Makes the report's figures from what was read; pure. */
export function gatewayVsMesh(
  traffic: WindowTraffic,
  account: ReportedAccount,
  perspective: Perspective,
): GatewayVsMesh {
  const { fromMs, toMs } = traffic.window;
  const seconds = (toMs - fromMs) / 1000;
  const of = (classes: readonly EdgeClass[]): Traffic =>
    classes.reduce((sum, c) => {
      const more = traffic.byEdgeClass.get(c);
      return more === undefined ? sum : addTraffic(sum, more);
    }, emptyTraffic());
  const hopsWhere = (test: (edgeClass: EdgeClass) => boolean): number =>
    [...traffic.byEdgeClass].reduce((sum, [c, { hops }]) => sum + (test(c) ? hops : 0), 0);

  const other: Perspective = perspective === 'split' ? 'whole' : 'split';
  const legsIn = (direction: Direction): number =>
    hopsWhere((c) => directionOf(c, perspective) === direction);
  const legs = {
    north_south: legsIn('north_south'),
    east_west: legsIn('east_west'),
    unknown: legsIn('unknown'),
    loopback: legsIn('neither'),
    sum: hopsWhere(() => true),
  };
  const shareable = legs.sum - legs.loopback;
  const requests = hopsWhere(isRequest);
  const moved = hopsWhere((c) => directionOf(c, perspective) !== directionOf(c, other));

  const line = (
    direction: Direction,
    part: Part | 'all',
    classes: readonly EdgeClass[],
  ): TrafficLine => {
    const sums = of(classes);
    return {
      direction,
      part,
      legs: sums.hops,
      requests: hopsWhere((c) => classes.includes(c) && isRequest(c)),
      legs_per_s: sums.hops / seconds,
      share: direction === 'neither' ? null : ratio(sums.hops, shareable),
      ...trafficFigures(sums, seconds),
    };
  };
  const lines = (['north_south', 'east_west', 'unknown', 'neither'] as const).flatMap(
    (direction) => {
      const parts = partsOf(direction, perspective);
      return [
        line(
          direction,
          'all',
          parts.flatMap((part) => PARTS[part]),
        ),
        ...(parts.length > 1 ? parts.map((part) => line(direction, part, PARTS[part])) : []),
      ];
    },
  );

  return {
    report: 'gateway-vs-mesh',
    perspective,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    window_s: seconds,
    final_until: new Date(traffic.finalUntilMs).toISOString(),
    provisional: traffic.finalUntilMs < toMs,
    meshes: traffic.meshes,
    topologies: traffic.topologies,
    requests,
    requests_per_s: requests / seconds,
    requests_at_bff: hopsWhere((c) => c === 'external_to_bff'),
    legs,
    moved: {
      legs: moved,
      share: ratio(moved, shareable) ?? 0,
      other_perspective: other,
      to_direction: directionOf(PARTS.gateway_to_mesh[0], other),
    },
    lines,
    cpu: traffic.cpu.map(({ role, processes, cpuNs, hops }) => {
      const perHopMs = hops > 0 ? cpuNs / 1e6 / hops : null;
      const inWindow = traffic.hopsByRole.get(role) ?? 0;
      return {
        role,
        processes,
        cpu_ms: cpuNs / 1e6,
        cpu_ms_per_1000_hops: perHopMs === null ? null : perHopMs * 1000,
        cpu_ms_per_1000_requests:
          perHopMs === null || requests === 0 ? null : (perHopMs * inWindow * 1000) / requests,
      };
    }),
    accounted_for: {
      since: new Date(account.fromMs ?? traffic.window.fromMs).toISOString(),
      ...account.totals,
      processes: account.boots.length,
      ended_without_closing_ledger: account.boots.filter(
        (boot) => boot.state === 'ended_without_closing_ledger' || boot.state === 'no_ledger',
      ).length,
      undecodable_messages: account.undecodable_messages,
    },
  };
}

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readGatewayVsMesh(
  store: StoreClient,
  window: Window,
  perspective: Perspective,
  options: { readonly retentionDays?: number; readonly nowMs?: number } = {},
): Promise<GatewayVsMesh> {
  const traffic = await readTraffic(store, window);
  const account = await reconcileForReport(store, { ...window, ...options });
  return gatewayVsMesh(traffic, account, perspective);
}
