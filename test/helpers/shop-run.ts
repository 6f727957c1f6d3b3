/**
 * Some minutes of the shop in a store: real proxies of one topology, real pipeline, requests one
 * after the other. Every third message is stored twice, as a replay does, so that whoever counts
 * rows instead of hops is found out.
 */
import { createPipeline } from '../../collector/pipeline.ts';
import type { Topology } from '../../demo/shop-mesh.ts';
import { silentLog } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { startMeshLab } from './mesh-lab.ts';

export interface ShopRun {
  /** Statuses of the requests, in their order. */
  readonly statuses: readonly number[];
  /** Around all hops of the run; whole seconds. */
  readonly window: { readonly fromMs: number; readonly toMs: number };
}

/** `requests`: method and path of each. */
export async function runShop(
  store: StoreClient,
  topology: Topology,
  requests: readonly (readonly [string, string])[],
): Promise<ShopRun> {
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
  const fromMs = Math.floor(Date.now() / 1000) * 1000;
  let messages = 0;
  const lab = await startMeshLab(topology, async ({ signal, body }) => {
    const source = { name: 'lab', partition: 0, offset: messages };
    const message = { signal, encoding: 'protobuf' as const, body, source };
    await pipeline.accept([message]);
    if (messages++ % 3 === 0) await pipeline.accept([message]);
  });
  const statuses: number[] = [];
  for (const [method, path] of requests) statuses.push(await lab.send(method, path));
  await lab.stop();
  await pipeline.stop();
  return { statuses, window: { fromMs, toMs: Math.ceil((Date.now() + 1) / 1000) * 1000 } };
}
