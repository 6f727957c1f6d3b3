/**
 * What one hop costs in bytes along the whole line, for the sizing in docs/OPERATE.md:
 *
 *   demo over a real Kafka → files of the topic → merged parts of each table
 *
 * Runs the demo's shop as a user would, so bytes are those of real hops in batches of the rate that
 * was asked for. CPU is measured elsewhere (bench/proxy.ts, bench/collector.ts): not beside all else.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startKafka } from '../demo/kafka-broker.ts';
import { silentLog } from '../runtime/log.ts';
import { createStoreClient } from '../store/client.ts';
import { createEmbeddedStore } from '../store/embedded/supervisor.ts';
import { benchOptions } from './lib/options.ts';

const HELP = `
Usage: node bench/sizing.ts [--rate N] [--seconds N] [--save]

  --rate N      requests a second of the demo's shop (default 200)
  --seconds N   how long (default 30)
  --save        write bench/results/sizing.md

Needs java (and, once, mvn) for Kafka.
Example: node bench/sizing.ts --rate 100 --seconds 10
`.trimStart();

const DEMO = fileURLToPath(new URL('../demo/run.ts', import.meta.url));
const RESULT = fileURLToPath(new URL('./results/sizing.md', import.meta.url));
/** The store is opened here once more after the demo; nobody else can reach it. */
const ACCESS = { user: 'azimuth', password: 'sizing', database: 'azimuth' };

interface TableSize {
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
}

/** Bytes of the segments of a topic, without the files that Kafka allots ahead. */
function topicBytes(dataFolder: string, topic: string): number {
  return readdirSync(dataFolder)
    .filter((name) => name.startsWith(`${topic}-`))
    .flatMap((name) => readdirSync(join(dataFolder, name)).map((file) => join(name, file)))
    .filter((file) => file.endsWith('.log'))
    .reduce((sum, file) => sum + statSync(join(dataFolder, file)).size, 0);
}

async function runDemo(args: readonly string[]): Promise<Record<string, number>> {
  const child = spawn(process.execPath, [DEMO, '--free-ports', '--json', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const out = await text(child.stdout);
  if ((await ended) !== 0) throw new Error('the demo did not account for everything');
  return JSON.parse(out) as Record<string, number>;
}

async function readTables(folder: string): Promise<TableSize[]> {
  const embedded = createEmbeddedStore({
    folder,
    host: '127.0.0.1',
    port: 0,
    ...ACCESS,
    log: silentLog,
    logLevel: 'warn',
  });
  await embedded.start();
  const client = createStoreClient({ url: embedded.url(), ...ACCESS, requestTimeoutMs: 300_000 });
  try {
    for (const table of ['spans', 'attribution_traces', 'traffic_1m'])
      await client.command(`OPTIMIZE TABLE ${table} FINAL`);
    return await client.query<TableSize>(
      `SELECT table AS name, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts
       WHERE active AND database = 'azimuth' GROUP BY table ORDER BY bytes DESC`,
    );
  } finally {
    await client.close();
    await embedded.stop();
  }
}

const values = benchOptions(HELP, {
  rate: { type: 'string', default: '200' },
  seconds: { type: 'string', default: '30' },
  save: { type: 'boolean', default: false },
});
const folder = mkdtempSync(join(tmpdir(), 'azimuth-sizing-'));
const kafka = await startKafka({ dir: join(folder, 'kafka') });
try {
  const data = join(folder, 'data');
  const figures = await runDemo([
    ...['--transport', 'kafka', '--brokers', kafka.brokers.join()],
    ...['--rate', values.rate, '--seconds', values.seconds],
    ...['--dir', join(folder, 'demo'), '--data', data],
  ]);
  const tables = await readTables(data);
  const hops = figures['hops_stored']!;
  const requests = figures['requests_sent']!;
  const logs = join(folder, 'kafka', 'data');
  const per = (bytes: number, count: number): string => (bytes / count).toFixed(1);
  const spans = tables.find(({ name }) => name === 'spans');
  const lines = [
    '# What a hop costs, for sizing',
    '',
    `\`node bench/sizing.ts --rate ${values.rate} --seconds ${values.seconds}\` on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version},`,
    `${new Date().toISOString().slice(0, 10)}: ${requests} requests, ${hops} hops, everything on one machine.`,
    '',
    '| what | figure |',
    '|---|---|',
    `| hops a request (of the shop) | ${per(hops, requests)} |`,
    `| Kafka, \`otlp_spans\`, one replica | ${per(topicBytes(logs, 'otlp_spans'), hops)} bytes a hop |`,
    `| Kafka, \`otlp_logs\` (ledgers) | ${topicBytes(logs, 'otlp_logs')} bytes in all |`,
    `| ClickHouse, \`spans\`, merged, applications' spans included | ${per(spans?.bytes ?? NaN, spans?.rows ?? NaN)} bytes a row, ${spans?.rows ?? 0} rows |`,
    ...tables
      .filter(({ name }) => name !== 'spans')
      .map(({ name, rows, bytes }) => `| ClickHouse, \`${name}\` | ${rows} rows, ${bytes} bytes |`),
    '',
  ];
  process.stdout.write(lines.join('\n'));
  if (values.save) writeFileSync(RESULT, lines.join('\n'));
} finally {
  await kafka.stop();
  rmSync(folder, { recursive: true, force: true });
}
