/**
 * `npm run bench:analytics`: what a month of traffic costs. Synthetic requests over 30 days, 2 % of
 * them in the last hour, in a store of its own; for each size from one million rows to --rows:
 *
 *   disk          bytes a SERVER row, indexes included
 *   rollup        `azimuth backfill` builds minutes and hours of the whole month
 *   reports       gateway-vs-mesh over HTTP from the analytics' API: the last hour from raw rows
 *                 (nothing published yet), from minutes, and 30 days from hours; routes beside it
 *   attribution   the last hour split by a worker process over the store's HTTP interface: CPU of
 *                 the worker a hop, and of the store
 *
 * `--json` ends with one object on one line, of the largest size. Method and goals: bench/README.md.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bars } from './lib/bars.ts';
import {
  measureAttribution,
  measureDisk,
  measureReports,
  measureRollup,
} from './lib/analytics-lab.ts';
import { startHistory } from './lib/history.ts';
import { benchOptions } from './lib/options.ts';
import { benchFile } from './lib/processes.ts';
import { columns } from './lib/table.ts';

const HELP = `Usage: npm run bench:analytics -- [--rows N] [--only-largest] [--json] [--save]

  --rows N         SERVER rows of the largest size (default 100000000; 1000000 takes a minute or two)
  --only-largest   leave out the smaller sizes (1 M, 10 M, …)
  --json           end with one JSON object on one line
  --save           write bench/results/analytics.md and analytics.json

Needs about 80 bytes of disk a row below the folder for temporary files.
Example: npm run bench:analytics -- --rows 1000000 --json
`;

const options = benchOptions(HELP, {
  rows: { type: 'string', default: '100000000' },
  'only-largest': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
});
const largest = Number(options.rows);
if (!Number.isInteger(largest) || largest < 100_000) {
  process.stderr.write(`--rows takes a whole number from 100000 on, not "${options.rows}"\n`);
  process.exit(64);
}
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** What one size gave. Seconds, bytes and CPU-microseconds. */
async function measure(rows: number) {
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-bench-'));
  const history = await startHistory(folder);
  try {
    const cpuBeforeUs = history.storeCpuUs();
    const beganMs = performance.now();
    await history.fill(rows, say);
    const fillS = (performance.now() - beganMs) / 1000;
    const fillCpuUs = (history.storeCpuUs() - cpuBeforeUs) / rows;
    await history.settle(60);
    const disk = await measureDisk(history);
    say('reports from raw rows');
    const raw = await measureReports(history, [history.lastHour]);
    say('rollup of 30 days');
    const rollup = await measureRollup(history);
    await history.settle(60);
    say('reports from rollups');
    const [hour, month] = await measureReports(history, [history.lastHour, history.window]);
    say('attribution of the last hour');
    const attribution = await measureAttribution(history);
    return {
      rows,
      series: disk.series,
      rows_last_hour: attribution.hops,
      fill_s: fillS,
      fill_store_cpu_us_per_row: fillCpuUs,
      bytes_per_hop: disk.bytesPerRow,
      index_bytes_per_hop: disk.indexBytesPerRow,
      rollup_s: rollup.seconds,
      rollup_store_cpu_us_per_hop: rollup.storeCpuUs / rows,
      rollup_mib: rollup.mib,
      last_hour_raw_s: raw[0]!.totalS,
      last_hour_s: hour!.totalS,
      last_hour_routes_s: hour!.routesS,
      last_30d_s: month!.totalS,
      last_30d_routes_s: month!.routesS,
      cli_last_hour_s: hour!.cliS,
      cli_last_30d_s: month!.cliS,
      attribution_cpu_us_per_hop: attribution.cpuUsPerHop,
      attribution_cold_cpu_us_per_hop: attribution.coldCpuUsPerHop,
      attribution_store_cpu_us_per_hop: attribution.storeCpuUsPerHop,
      attribution_hops_per_s: attribution.hopsPerS,
      attribution_peak_mib: attribution.peakMib,
    };
  } finally {
    await history.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
type Measured = Awaited<ReturnType<typeof measure>>;

const sizes = [1e6, 1e7, 1e8].filter((rows) => rows < largest && !options['only-largest']);
const results: Measured[] = [];
for (const rows of [...sizes, largest]) {
  say(`\n${rows} rows`);
  results.push(await measure(rows));
}

const GOALS: readonly [keyof Measured, string, number][] = [
  ['last_hour_s', 'last hour under 1 s', 1],
  ['last_30d_s', '30 days under 1 s', 1],
  ['last_30d_routes_s', '30 days with routes under 1 s', 1],
  ['attribution_cpu_us_per_hop', 'attribution at most 3.3 CPU-us a hop', 3.3],
  ['bytes_per_hop', 'at most 62 bytes a SERVER row', 62],
];
const digits = (value: number | null, places: number): string =>
  value === null ? '-' : value.toFixed(places);
const row = (name: string, of: keyof Measured, places: number): string[] => [
  name,
  ...results.map((result) => digits(result[of], places)),
];
const table = columns([
  ['rows', ...results.map(({ rows }) => `${rows / 1e6} M`)],
  row('series', 'series', 0),
  row('rows in the last hour', 'rows_last_hour', 0),
  row('filling, s', 'fill_s', 0),
  row('  store CPU us a row', 'fill_store_cpu_us_per_row', 2),
  row('bytes a row, with indexes', 'bytes_per_hop', 1),
  row('  of these indexes', 'index_bytes_per_hop', 2),
  row('rollup of 30 days, s', 'rollup_s', 1),
  row('  store CPU us a hop', 'rollup_store_cpu_us_per_hop', 2),
  row('  on disk, MiB', 'rollup_mib', 0),
  row('gateway-vs-mesh, last hour, raw rows, s', 'last_hour_raw_s', 3),
  row('gateway-vs-mesh, last hour, s', 'last_hour_s', 3),
  row('gateway-vs-mesh, 30 days, s', 'last_30d_s', 3),
  row('  the same by azimuth report, last hour, s', 'cli_last_hour_s', 2),
  row('  the same by azimuth report, 30 days, s', 'cli_last_30d_s', 2),
  row('with routes, last hour, s', 'last_hour_routes_s', 3),
  row('with routes, 30 days, s', 'last_30d_routes_s', 3),
  row('attribution, worker CPU us a hop', 'attribution_cpu_us_per_hop', 2),
  row('  the first, cold', 'attribution_cold_cpu_us_per_hop', 2),
  row('  store CPU us a hop', 'attribution_store_cpu_us_per_hop', 2),
  row('  hops a second', 'attribution_hops_per_s', 0),
  row('  worker at most, MiB', 'attribution_peak_mib', 0),
]);
const plot = (title: string, of: keyof Measured, places: number): string =>
  bars(
    title,
    results.map((result) => ({ name: `${result.rows / 1e6} M rows`, value: result[of] ?? NaN })),
    places,
  );
const last = results.at(-1)!;
const goals = columns(
  GOALS.map(([of, text, bound]) => {
    const value = last[of];
    const verdict = value === null ? 'not measured' : value <= bound ? 'met' : 'missed';
    return [text, digits(value, 3), verdict];
  }),
);
const text =
  `\n${table}` +
  plot('30 days, gateway-vs-mesh, seconds', 'last_30d_s', 3) +
  plot('last hour, gateway-vs-mesh, seconds', 'last_hour_s', 3) +
  plot('bytes a row', 'bytes_per_hop', 1) +
  `\n${goals}\n  Medians. ${cpus().length} cores, load of the last 15 minutes ` +
  `${loadavg()[2]!.toFixed(1)} (above the cores: others were working), Node ${process.versions.node}\n`;
process.stdout.write(text);
const json = JSON.stringify(last);
if (options.save) {
  const results_ = benchFile('results');
  mkdirSync(results_, { recursive: true });
  const day = new Date().toISOString().slice(0, 10);
  const fence = '```';
  writeFileSync(
    join(results_, 'analytics.md'),
    `# bench:analytics, ${day}\n\nWritten by \`npm run bench:analytics -- --save\`; method: [README](../README.md).\n\n${fence}text${text}${fence}\n`,
  );
  writeFileSync(join(results_, 'analytics.json'), json + '\n');
}
if (options.json) console.log(json);
process.exit(0);
