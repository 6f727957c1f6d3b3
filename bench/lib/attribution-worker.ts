/**
 * The attribution of one stretch in a process of its own, as `azimuth backfill --again` does it, and
 * what it cost: over the store's HTTP interface, reading, splitting, writing and publishing. One JSON
 * line a pass; the first one runs cold. Arguments: mesh file, from and to in Unix milliseconds, passes.
 */
import { splitStretch } from '../../analytics/jobs/backfill.ts';
import { loadMesh } from '../../mesh/load.ts';
import { storePart } from '../../mesh/parts.ts';
import { createStoreClient } from '../../store/client.ts';
import { peakMib } from './processes.ts';

export interface AttributionPass {
  /** Hops split. */
  readonly hops: number;
  readonly traces: number;
  /** User and system time of this process, microseconds. */
  readonly cpuUs: number;
  readonly seconds: number;
  /** Largest resident memory until now, MiB. */
  readonly peakMib: number;
}

const [meshFile, fromMs, toMs, passes] = process.argv.slice(2);
const store = createStoreClient(storePart(loadMesh(meshFile!)));
for (let pass = 0; pass < Number(passes); pass++) {
  const before = process.cpuUsage();
  const beganMs = performance.now();
  const stretch = { fromMs: Number(fromMs), toMs: Number(toMs), newestBuild: 0n };
  const { hops, traces } = await splitStretch(store, stretch, Date.now());
  const { user, system } = process.cpuUsage(before);
  const line: AttributionPass = {
    hops,
    traces,
    cpuUs: user + system,
    seconds: (performance.now() - beganMs) / 1000,
    peakMib: peakMib(process.pid),
  };
  console.log(JSON.stringify(line));
}
await store.close();
