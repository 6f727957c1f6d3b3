/**
 * Half an hour of steady traffic through a gateway and two sidecars, all processes real:
 *
 *   driver (500/s) ─► gateway ─► front's sidecar ─► front ─► its sidecar ─► back's sidecar ─► back
 *                        └───────────── OTLP ─► collector ─► embedded store, analytics
 *
 * What was answered must be what is reported, and no process may grow. The table and the plot are
 * kept in bench/results/soak.md. $AZIMUTH_SOAK_MINUTES makes it shorter, $AZIMUTH_SOAK_RATE gentler.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { reconcile } from '../../analytics/reconcile.ts';
import { readGatewayVsMesh } from '../../analytics/reports/gateway-vs-mesh.ts';
import { createProcesses, type Processes } from '../../demo/processes.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { freePorts } from '../helpers/free-ports.ts';
import { until } from '../helpers/until.ts';

const MINUTES = Number(process.env['AZIMUTH_SOAK_MINUTES'] ?? 30);
const RATE = Number(process.env['AZIMUTH_SOAK_RATE'] ?? 500);
/** Hops of one request: gateway, and in and out of front, and in to back. */
const HOPS = 4;
const SAMPLE_MS = 5_000;
/** Growth from the second fifth of the run to the last that is noise of a collected heap. */
const GROWTH_MAX = { share: 0.15, mib: 12 } as const;
const HOST = '127.0.0.1';
const AZIMUTH = fileURLToPath(new URL('../../bin/azimuth.js', import.meta.url));
const APP = fileURLToPath(new URL('./soak-app.ts', import.meta.url));
const DRIVER = fileURLToPath(new URL('../../bench/lib/open-rate.ts', import.meta.url));
const RESULT = fileURLToPath(new URL('../../bench/results/soak.md', import.meta.url));
const PASSWORD = 'of the soak';
const WATCHED = ['gateway', 'front-sidecar', 'back-sidecar', 'collector', 'analytics', 'store'];

describe('Steady traffic for long', function () {
  this.timeout((MINUTES + 5) * 60_000);
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-soak-'));
  let processes: Processes;
  let store: StoreClient;
  let gatewayPort: number;

  before(async () => {
    const logs = join(folder, 'logs');
    mkdirSync(logs);
    processes = createProcesses({ logsFolder: logs, pidsFile: join(folder, 'pids.json') });
    const ports = await freePorts(19);
    const take = (): number => ports.pop()!;
    const [front, back, storePort, live] = [take(), take(), take(), take()];
    const [collectorAdmin, otlp, grpc] = [take(), take(), take()];
    const admin = { gateway: take(), front: take(), back: take() };
    const [frontIn, frontOut, backIn, backOut] = [take(), take(), take(), take()];
    gatewayPort = take();
    const mesh = join(folder, 'mesh.yaml');
    writeFileSync(join(folder, '.env'), `AZIMUTH_STORE_PASSWORD=${PASSWORD}\n`);
    writeFileSync(
      mesh,
      `file_format: "1.0"
mesh: soak
telemetry:
  otlp: { endpoint: "http://${HOST}:${otlp}" }
  state_dir: state
store: { url: "http://${HOST}:${storePort}", password: "\${env:AZIMUTH_STORE_PASSWORD}" }
collector:
  otlp_http: { port: ${otlp} }
  otlp_grpc: { port: ${grpc} }
  admin: { port: ${collectorAdmin} }
analytics: { port: ${live} }
gateways:
  - name: edge
    listen: { port: ${gatewayPort} }
    admin: { port: ${admin.gateway} }
    routes: [{ path: "/*", to: front }]
workloads:
  - { name: front, address: "${HOST}:${front}" }
  - { name: back, address: "${HOST}:${back}" }
sidecars:
  - name: front-sidecar
    admin: { port: ${admin.front} }
    serves: [{ workload: front, inbound: { port: ${frontIn}, mesh_only: true }, outbound: { port: ${frontOut} } }]
  - name: back-sidecar
    admin: { port: ${admin.back} }
    serves: [{ workload: back, inbound: { port: ${backIn}, mesh_only: true }, outbound: { port: ${backOut} } }]
`,
    );
    const start = async (name: string, port: number, ...args: string[]): Promise<void> => {
      const readyUrl = `http://${HOST}:${port}/readyz`;
      processes.start({ name, args: [AZIMUTH, ...args, '--mesh', mesh], readyUrl });
      await processes.ready(name);
    };
    const app = async (name: string, env: Record<string, string>): Promise<void> => {
      const readyUrl = `http://${HOST}:${env['PORT']}/`;
      processes.start({ name, args: [APP], env, readyUrl });
      // `front` answers 502 as long as nothing is behind it: that it answers is all we need here.
      if (env['NEXT_PORT'] === undefined) await processes.ready(name);
    };
    await start('store', storePort, 'store', '--data', join(folder, 'data'));
    await start('collector', collectorAdmin, 'collector');
    await Promise.all([
      app('back', { PORT: String(back) }),
      app('front', { PORT: String(front), NEXT_PORT: String(frontOut) }),
      start('analytics', live, 'analytics'),
      start('gateway', admin.gateway, 'gateway', '--name', 'edge'),
      start('front-sidecar', admin.front, 'sidecar', '--name', 'front-sidecar'),
      start('back-sidecar', admin.back, 'sidecar', '--name', 'back-sidecar'),
    ]);
    const url = `http://${HOST}:${storePort}`;
    store = createStoreClient({ url, database: 'azimuth', user: 'azimuth', password: PASSWORD });
  });

  after(async () => {
    await processes.stop(['gateway', 'front-sidecar', 'back-sidecar']);
    await processes.stop(['collector', 'analytics', 'front', 'back']);
    await processes.stop(['store']);
    await store.close();
    rmSync(folder, { recursive: true });
  });

  it('loses nothing, counts nothing twice, and grows nowhere', async () => {
    const fromMs = Date.now() - 1_000;
    const samples = new Map(WATCHED.map((name) => [name, [] as number[]]));
    const sample = (): void => {
      for (const [name, mib] of samples) mib.push(residentMib(processes.pid(name)));
    };
    const timer = setInterval(sample, SAMPLE_MS);
    const args = [DRIVER, gatewayPort, 64, RATE, MINUTES * 60].map(String);
    const driven = promisify(execFile)(process.execPath, args);
    const { stdout } = await Promise.race([driven, processes.failure]).finally(() => {
      clearInterval(timer);
    });
    const load = JSON.parse(stdout) as { requests: number; errors: number; p50Ms: number; p99Ms: number }; // prettier-ignore
    const toMs = Date.now() + 1_000;

    const account = await until(async () => {
      const now = await reconcile(store, { fromMs, toMs: Date.now() + 1, retentionDays: 7 });
      const { in_flight, spooled, unexplained } = now.totals;
      const spoke = now.boots.filter((b) => Date.parse(b.last_ledger ?? '') >= toMs).length;
      return spoke === 3 && in_flight + spooled + unexplained === 0 && now;
    }, 120_000);
    const window = { fromMs, toMs };
    const [split, whole] = await Promise.all(
      (['split', 'whole'] as const).map((perspective) =>
        readGatewayVsMesh(store, window, perspective, { retentionDays: 7 }),
      ),
    );
    const growth = [...samples].map(([name, mib]) => ({ name, mib, ...growthOf(mib) }));
    writeFileSync(RESULT, resultText(load, account.totals.stored, growth));

    assert.equal(load.errors, 0);
    assert.equal(load.requests, RATE * MINUTES * 60);
    assert.deepEqual([split!.requests, whole!.requests], [load.requests, load.requests]);
    assert.equal(account.totals.stored, HOPS * load.requests);
    assert.equal(account.totals.dropped_total, 0);
    for (const { name, before, after } of growth) {
      const bound = before * (1 + GROWTH_MAX.share) + GROWTH_MAX.mib;
      assert.ok(after <= bound, `${name} grew from ${before} to ${after} MiB`);
    }
  });
});

/** Of a process and its children (the store's engine is one), MiB. */
function residentMib(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const own = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? [];
  return children.reduce((sum, child) => sum + residentMib(Number(child)), own);
}

/** Medians of the second and of the last fifth, MiB: the first is warm-up. */
function growthOf(mib: readonly number[]): { before: number; after: number } {
  const median = (part: readonly number[]): number =>
    Math.round(part.toSorted((a, b) => a - b)[Math.floor(part.length / 2)] ?? NaN);
  const fifth = Math.floor(mib.length / 5);
  return { before: median(mib.slice(fifth, 2 * fifth)), after: median(mib.slice(-fifth)) };
}

const BARS = '▁▂▃▄▅▆▇█';
const PLOT_COLUMNS = 60;

/** Resident memory over the run, from zero to the process's own highest value. */
function plot(mib: readonly number[]): string {
  const max = Math.max(...mib);
  return Array.from({ length: Math.min(PLOT_COLUMNS, mib.length) }, (_, column) => {
    const value = mib[Math.floor((column / PLOT_COLUMNS) * mib.length)] ?? 0;
    return BARS[Math.min(BARS.length - 1, Math.floor((value / max) * BARS.length))];
  }).join('');
}

function resultText(
  load: { requests: number; errors: number; p50Ms: number; p99Ms: number },
  stored: number,
  growth: readonly { name: string; mib: readonly number[]; before: number; after: number }[],
): string {
  const rows = growth.map(
    ({ name, mib, before, after }) =>
      `| ${name} | ${before} | ${after} | ${Math.round(Math.max(...mib))} | ${plot(mib)} |`,
  );
  return `# Soak: measured

Written by \`npm run test:full\` (test/full/soak.full.ts): ${MINUTES} minutes at ${RATE} requests/s through a gateway and two
sidecars, every process and the load on the same machine. ${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, Node ${process.versions.node}.

- Requests answered: ${load.requests}, failed: ${load.errors}. p50 ${load.p50Ms.toFixed(1)} ms, p99 ${load.p99Ms.toFixed(1)} ms.
- Hops stored: ${stored}, ${HOPS} for each request; none dropped, none unexplained, none counted twice.

Resident memory, MiB: median of the second fifth of the run and of the last, and the highest; the plot begins at zero.

| process | second fifth | last fifth | highest | over the run |
|---|---:|---:|---:|---|
${rows.join('\n')}
`;
}
