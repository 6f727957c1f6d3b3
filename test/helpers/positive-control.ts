/**
 * A run of one topology with a delay injected into every second request, and what the attribution
 * makes of it. Real proxies, real pipeline, real store.
 */
import { explainTrace, type Explanation } from '../../analytics/reports/explain.ts';
import { createPipeline } from '../../collector/pipeline.ts';
import type { Topology } from '../../demo/shop-mesh.ts';
import { silentLog } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { InjectedDelay, type DelayPlace } from './injected-delay.ts';
import { startMeshLab } from './mesh-lab.ts';

type Segment = Explanation['segments'][number];

export interface ControlledRun {
  /** Segments of the requests that were left alone, and of those that were delayed. */
  readonly plain: readonly (readonly Segment[])[];
  readonly delayed: readonly (readonly Segment[])[];
  /** What the injector really waited, once for each delayed request. */
  readonly waitedMs: readonly number[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** Sends requests one after the other; the store is emptied first. */
export async function runControlled(
  store: StoreClient,
  topology: Topology,
  injected: { readonly place: DelayPlace; readonly ms: number; readonly requests: number },
): Promise<ControlledRun> {
  for (const table of ['spans', 'ledgers']) await store.command(`TRUNCATE TABLE ${table}`);
  const pipeline = createPipeline({
    store,
    log: silentLog,
    rowsMax: 8_000,
    batchIntervalMs: 5,
    bytesInFlightMax: 1e9,
    now: Date.now,
    retentionDays: 7,
  });
  pipeline.start();
  const injection = new InjectedDelay(injected.place, injected.ms);
  const fromMs = Date.now() - 1_000;
  const lab = await startMeshLab(
    topology,
    async ({ signal, body }) => {
      const source = { name: 'lab', partition: 0, offset: 0 };
      await pipeline.accept([{ signal, encoding: 'protobuf', body, source }]);
    },
    injection,
  );
  for (let n = 0; n < injected.requests; n++) {
    injection.beforeRequest();
    await lab.send('GET', '/api/carts/7');
  }
  await lab.stop();
  await pipeline.stop();
  const traces = await store.query<{ trace: string }>(
    `SELECT TraceId AS trace FROM spans WHERE Side = 'ingress' ORDER BY Timestamp`,
  );
  const segments = [];
  for (const { trace } of traces) {
    const { incomplete, segments: found } = await explainTrace(store, trace);
    if (incomplete.length > 0) throw new Error(`incomplete: ${incomplete.join()}`);
    segments.push(found);
  }
  return {
    plain: segments.filter((_, n) => n % 2 === 0),
    delayed: segments.filter((_, n) => n % 2 === 1),
    waitedMs: injection.waitedMs,
    fromMs,
    toMs: Date.now() + 1_000,
  };
}

/** How the injected segment is called. */
export function injectedSegment(topology: Topology, place: DelayPlace): string {
  return {
    gateway: `gateway ${topology === 'merged' ? 'web-bff' : 'edge'} route`,
    sidecar: 'mesh cart inbound',
    application: 'application cart ',
    wire: 'wire web-bff cart',
  }[place];
}

export const nameOf = ({ kind, place, detail }: Omit<Segment, 'ms'>): string =>
  `${kind} ${place} ${detail}`;

/** Median over the requests of what each name took in all, greatest first; milliseconds. */
export function medians(requests: readonly (readonly Segment[])[]): [string, number][] {
  const names = new Set(requests.flat().map(nameOf));
  return [...names]
    .map((name): [string, number] => {
      const of = (segments: readonly Segment[]): number =>
        segments.filter((s) => nameOf(s) === name).reduce((sum, { ms }) => sum + ms, 0);
      return [name, median(requests.map(of))];
    })
    .sort((a, b) => b[1] - a[1]);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
