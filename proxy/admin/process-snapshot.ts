/**
 * What one process that carries requests says about itself for `/metrics` and `/clusters`. Reads
 * counters on the loop that carries requests and searches nothing; JSON-able, since with workers it
 * crosses a channel to the primary.
 */
import type { ExportQueue } from '../../transport/export-queue.ts';
import type { ProcessLoad } from '../admission.ts';
import type { ClusterSnapshot } from '../cluster.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { Deadlines } from '../deadlines.ts';
import { listenersJson, type LimitsJson } from '../limits-json.ts';
import type { ListenerContext } from '../listener-context.ts';
import type { Recorder } from '../recorder.ts';
import type { HopMetricsSnapshot } from './hop-metrics.ts';

/** The parts of a data plane that are read here. */
export interface SnapshotSources {
  readonly recorder: Recorder;
  readonly queue: ExportQueue;
  readonly deadlines: Deadlines;
  readonly load: ProcessLoad;
  readonly credentials: Credentials;
  /** Listeners in service. */
  contexts(): readonly ListenerContext[];
}

/** One cluster of one listener; clusters of the same name at two listeners have pools of their own. */
export type ListenerCluster = ClusterSnapshot & { readonly listener: string };

/** `/clusters` of one process. */
export interface ClustersSnapshot {
  readonly clusters: readonly ListenerCluster[];
  /**
   * Attempts by target and status class since the start of the process, `none` for those without an
   * answer: refused, reset, timed out. All listeners that call the target together.
   */
  readonly attempts: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** `/metrics` of one process. */
export interface ProcessSnapshot {
  readonly hops: HopMetricsSnapshot;
  readonly hops_finished: number;
  readonly requests_in_flight: number;
  readonly exported: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly queued_hops: number;
  /** Hops of this process that lie on disk until the next takes them. */
  readonly spooled_hops: number;
  readonly queued_bytes: number;
  readonly listeners: LimitsJson['listeners'];
  /** Unix seconds at which our certificates end, by file name. */
  readonly certificates: Readonly<Record<string, number>>;
  readonly held_bytes: number;
  readonly clusters: readonly ListenerCluster[];
  readonly cpu_user_s: number;
  readonly cpu_system_s: number;
  readonly rss_bytes: number;
  readonly heap_used_bytes: number;
  /** Lateness of all ticks of the event loop since the start, seconds. */
  readonly loop_late_s: number;
  readonly uptime_s: number;
}

export function clustersSnapshot(sources: SnapshotSources): ClustersSnapshot {
  const attempts: Record<string, Record<string, number>> = {};
  for (const { target, status_class: status, value } of sources.recorder.metrics.attempts()) {
    (attempts[target] ??= {})[status] = value;
  }
  return { clusters: clustersOf(sources), attempts };
}

export function processSnapshot(sources: SnapshotSources): ProcessSnapshot {
  const { recorder, queue, deadlines } = sources;
  const ledger = recorder.ledger(false);
  const cpu = process.cpuUsage();
  return {
    hops: recorder.metrics.snapshot(),
    hops_finished: ledger.hopsFinished,
    requests_in_flight: ledger.inFlight,
    exported: ledger.emitted,
    dropped: ledger.dropped,
    queued_hops: queue.queuedItems,
    spooled_hops: ledger.spooled,
    queued_bytes: queue.queuedBytes,
    listeners: listenersJson(sources.contexts()),
    certificates: sources.credentials.notAfterS(),
    held_bytes: sources.load.heldBytes,
    clusters: clustersOf(sources),
    cpu_user_s: cpu.user / 1e6,
    cpu_system_s: cpu.system / 1e6,
    rss_bytes: ledger.rssBytes,
    heap_used_bytes: process.memoryUsage().heapUsed,
    loop_late_s: deadlines.lateTotalMs / 1000,
    uptime_s: process.uptime(),
  };
}

const clustersOf = (sources: SnapshotSources): ListenerCluster[] =>
  sources
    .contexts()
    .flatMap(({ listener, clusters }) =>
      clusters.map((cluster) => ({ listener: listener.name, ...cluster.snapshot() })),
    );
