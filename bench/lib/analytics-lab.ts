/** The parts of the analytics' benchmark: each takes a filled store and gives figures. */
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { createAnalyticsApi } from '../../analytics/api.ts';
import { REPORTS } from '../../analytics/reports/catalogue.ts';
import type { Window } from '../../analytics/window.ts';
import type { AttributionPass } from './attribution-worker.ts';
import type { History } from './history.ts';
import { benchFile, output, start, startNode } from './processes.ts';
import { median } from './table.ts';

const ROUNDS = 5;
/**
 * The worker splits so many hops before it is measured as warm: a process that runs for days is. At
 * least and at most so many passes; medians are of their second half.
 */
const WARM_HOPS = 500_000;
const PASSES_MIN = 4;
const PASSES_MAX = 16;

const AZIMUTH = benchFile('../bin/azimuth.js');
const azimuth = (...args: string[]): Promise<string> =>
  output(start('any', [process.execPath, AZIMUTH, ...args]));
const boundsOf = ({ fromMs, toMs }: Window): string[] => [
  ...['--from', new Date(fromMs).toISOString()],
  ...['--to', new Date(toMs).toISOString()],
];

export async function measureDisk({ client }: History): Promise<{
  readonly series: number;
  readonly bytesPerRow: number;
  readonly indexBytesPerRow: number;
}> {
  const [size] = await client.query<{ bytes: number; indexes: number; rows: number }>(
    `SELECT sum(bytes_on_disk) AS bytes, sum(rows) AS rows,
       sum(secondary_indices_compressed_bytes + secondary_indices_marks_bytes + primary_key_size) AS indexes
     FROM system.parts WHERE database = currentDatabase() AND table = 'spans' AND active`,
  );
  const [found] = await client.query<{ series: number }>(
    `SELECT uniqExact(Role, Side, EdgeClass, ServiceName, Peer, Target, Route, HttpStatus) AS series FROM spans`,
  );
  const { bytes, indexes, rows } = size!;
  return {
    series: found!.series,
    bytesPerRow: bytes / rows,
    indexBytesPerRow: indexes / rows,
  };
}

/** Builds minutes, hours and days of the whole month by the command that users have. */
export async function measureRollup(history: History): Promise<{
  readonly seconds: number;
  readonly storeCpuUs: number;
  readonly mib: number;
}> {
  const cpuUs = history.storeCpuUs();
  const beganMs = performance.now();
  await azimuth(
    'backfill',
    '--mesh',
    history.meshFile,
    ...boundsOf(history.window),
    '--only',
    'rollup',
  );
  const seconds = (performance.now() - beganMs) / 1000;
  const storeCpuUs = history.storeCpuUs() - cpuUs;
  const [size] = await history.client.query<{ bytes: number }>(
    `SELECT sum(bytes_on_disk) AS bytes FROM system.parts
     WHERE database = currentDatabase() AND table IN ('traffic_1m', 'traffic_1h', 'traffic_1d') AND active`,
  );
  return { seconds, storeCpuUs, mib: size!.bytes / 2 ** 20 };
}

export interface ReportTimes {
  /** Medians of some rounds over the API. */
  readonly totalS: number;
  /** With every route; null where no report has them. */
  readonly routesS: number | null;
  /** By the command in the terminal, its start included. */
  readonly cliS: number;
}

/** Reads the reports of some windows as users do: over HTTP, and by the command. */
export async function measureReports(
  history: History,
  windows: readonly Window[],
): Promise<ReportTimes[]> {
  const api = createAnalyticsApi({
    host: '127.0.0.1',
    port: 0,
    store: history.client,
    retentionDays: 30,
    jobs: [],
    nowMs: () => Date.now(),
  });
  await api.start();
  const timed = async (work: () => Promise<unknown>, rounds: number): Promise<number> => {
    const seconds: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const beganMs = performance.now();
      await work();
      seconds.push((performance.now() - beganMs) / 1000);
    }
    return median(seconds);
  };
  const read = async (report: string, window: Window): Promise<void> => {
    const query = `from=${new Date(window.fromMs).toISOString()}&to=${new Date(window.toMs).toISOString()}`;
    const answer = await fetch(`http://127.0.0.1:${api.port()}/api/${report}?${query}`);
    const body = await answer.text();
    if (answer.status !== 200) throw new Error(`${report}: ${answer.status} ${body}`);
  };
  const withRoutes = REPORTS.find(({ name }) => name === 'routes')?.name;
  try {
    const times: ReportTimes[] = [];
    for (const window of windows) {
      times.push({
        totalS: await timed(() => read('gateway-vs-mesh', window), ROUNDS),
        routesS:
          withRoutes === undefined ? null : await timed(() => read(withRoutes, window), ROUNDS),
        cliS: await timed(
          () =>
            azimuth(
              'report',
              'gateway-vs-mesh',
              '--json',
              '--mesh',
              history.meshFile,
              ...boundsOf(window),
            ),
          1,
        ),
      });
    }
    return times;
  } finally {
    await api.stop();
  }
}

/** Splits the last hour some times in a worker process; the first, cold pass stands apart. */
export async function measureAttribution(history: History): Promise<{
  readonly hops: number;
  readonly cpuUsPerHop: number;
  readonly coldCpuUsPerHop: number;
  readonly storeCpuUsPerHop: number;
  readonly hopsPerS: number;
  readonly peakMib: number;
}> {
  const { fromMs, toMs } = history.lastHour;
  const [stored] = await history.client.query<{ hops: number }>(
    'SELECT count() AS hops FROM spans WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})',
    { from_ms: fromMs },
  );
  const wanted = Math.ceil((2 * WARM_HOPS) / stored!.hops);
  const count = Math.min(PASSES_MAX, Math.max(PASSES_MIN, wanted));
  let cpuUs = history.storeCpuUs();
  const worker = startNode('any', 'lib/attribution-worker.ts', [
    history.meshFile,
    fromMs,
    toMs,
    count,
  ]);
  const passes: (AttributionPass & { readonly storeCpuUs: number })[] = [];
  createInterface({ input: worker.stdout! }).on('line', (line) => {
    const nowUs = history.storeCpuUs();
    passes.push({ ...(JSON.parse(line) as AttributionPass), storeCpuUs: nowUs - cpuUs });
    cpuUs = nowUs;
  });
  const [code] = (await once(worker, 'close')) as [number | null];
  if (code !== 0 || passes.length !== count) throw new Error(`the worker ended with ${code}`);
  const [cold] = passes;
  const warm = passes.slice(count >> 1);
  const of = (value: (pass: (typeof passes)[number]) => number): number => median(warm.map(value));
  return {
    hops: cold!.hops,
    cpuUsPerHop: of((pass) => pass.cpuUs / pass.hops),
    coldCpuUsPerHop: cold!.cpuUs / cold!.hops,
    storeCpuUsPerHop: of((pass) => pass.storeCpuUs / pass.hops),
    hopsPerS: of((pass) => pass.hops / pass.seconds),
    peakMib: passes.at(-1)!.peakMib,
  };
}
