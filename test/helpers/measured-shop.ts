/**
 * A store with what a real mesh recorded: the demo's shop behind real proxies, requests sent one after
 * the other, minutes rolled up and requests split as the analytics do it. Some requests that failed
 * or lack a record are written beside them. For tests of what reads the store.
 */
import { createAttributionJob } from '../../analytics/jobs/attribution.ts';
import { runRollup } from '../../analytics/jobs/rollup.ts';
import { createPipeline } from '../../collector/pipeline.ts';
import { silentLog } from '../../runtime/log.ts';
import { insertHops } from './hop-rows.ts';
import { startMeshLab } from './mesh-lab.ts';
import { startTestStore, type TestStore } from './store.ts';

export interface MeasuredShop {
  readonly store: TestStore;
  /** Requests that the mesh carried; each was answered and is complete. */
  readonly requests: number;
  /** Requests written beside them that failed and lack the record of the BFF. */
  readonly failed: number;
  /** Stretch that all of it lies in, Unix seconds. */
  readonly fromS: number;
  readonly toS: number;
  stop(): Promise<void>;
}

const CARTS = 40;
const SEARCHES = 20;
const FAILED = 6;

/** Both proxies said that the other end of their attempt is meshed, and that it answered. */
const MESHED_ANSWERED = 3;

export async function startMeasuredShop(): Promise<MeasuredShop> {
  const store = await startTestStore();
  const pipeline = createPipeline({
    store: store.client,
    log: silentLog,
    rowsMax: 8_000,
    batchIntervalMs: 5,
    bytesInFlightMax: 1e9,
    now: Date.now,
    retentionDays: 7,
  });
  pipeline.start();
  const fromMs = Date.now() - 1_000;
  const lab = await startMeshLab('separate', async ({ signal, body }) => {
    const source = { name: 'lab', partition: 0, offset: 0 };
    await pipeline.accept([{ signal, encoding: 'protobuf', body, source }]);
  });
  for (let n = 0; n < CARTS; n++) await lab.send('GET', `/api/carts/${n}`);
  for (let n = 0; n < SEARCHES; n++) await lab.send('GET', '/api/search?q=lamp');
  await lab.stop();
  await pipeline.stop();
  await insertHops(
    store.client,
    Array.from({ length: FAILED }, (_, n) => ({
      n: n * 5,
      atMs: Date.now(),
      status: 503,
      attemptBits: MESHED_ANSWERED,
    })),
  );
  const toMs = Date.now() + 1_000;
  // As late as the jobs publish the newest minute.
  const settings = {
    store: store.client,
    log: silentLog,
    retentionDays: 7,
    nowMs: () => toMs + 5 * 60_000,
  };
  await runRollup(settings);
  await createAttributionJob(settings).run();
  return {
    store,
    requests: CARTS + SEARCHES,
    failed: FAILED,
    fromS: Math.floor(fromMs / 60_000) * 60,
    toS: Math.ceil(toMs / 60_000) * 60,
    stop: () => store.stop(),
  };
}
