/**
 * `npm run bench:collector`: our collector beside a stock OpenTelemetry Collector (Kafka to
 * ClickHouse), in one run on the same topics and the same store.
 *
 *   speed   two topics, (a) our packed hops, (b) spans of others with 26 attributes, into a store
 *           that only swallows: CPU per span, spans a second on one core
 *   memory  the same topic before a store that takes 10,000 rows a second
 *   kills   live spans, five times kill -9: rows lost, counted twice, standstill after each
 *
 * CPU per span is the figure to compare. `--json` ends with one object on one line. Without Go the
 * stock Collector is left out, loudly. Method and machine: bench/README.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRollup } from '../analytics/jobs/rollup.ts';
import { kafkaMissing } from '../demo/kafka-broker.ts';
import { silentLog } from '../runtime/log.ts';
import { databaseOf, startAzimuth, startOtelcol, type OtelcolSetUp } from './lib/collectors.ts';
import { runKills, type Contestant } from './lib/kills.ts';
import { benchOptions } from './lib/options.ts';
import { buildOtelcol, OTELCOL_VERSION } from './lib/otelcol.ts';
import {
  fillTopic,
  measureMemory,
  measureSpeed,
  measureStartUp,
  PASSWORD,
  startBroker,
  startStore,
  type Speed,
} from './lib/pipeline-lab.ts';
import { benchFile, pinned } from './lib/processes.ts';
import { foreignMessages, packedMessages } from './lib/span-messages.ts';
import { columns, median } from './lib/table.ts';

const HELP = `Usage: npm run bench:collector -- [--spans N] [--rounds N] [--quick] [--only PART,…] [--json] [--save]

  --spans N    spans of each topic (default 2000000)
  --rounds N   rounds of the speed part, both collectors in turn (default 1)
  --quick      200,000 spans, 10 s of memory, 20 s of kills
  --only PART  speed, memory, kills (default: all three)
  --json       end with one JSON object on one line
  --save       write bench/results/collector.md and collector.json

Goals: CPU per span at most 0.2 of the Collector's on (a) and 0.5 on (b), 3 and 2 times its spans a
second, at most 400 MiB before a slow store, 0 lost, 0 counted twice, back within 2 s.
The run to keep, all parts and 2,000,000 spans: npm run bench:collector -- --json --save

Needs java (and, once, mvn) for Kafka; Go, once, for the stock Collector.
Example: npm run bench:collector -- --quick --only speed --json
`;

const options = benchOptions(HELP, {
  spans: { type: 'string' },
  rounds: { type: 'string', default: '1' },
  quick: { type: 'boolean', default: false },
  only: { type: 'string', default: 'speed,memory,kills' },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
});
const spans = Number(options.spans ?? (options.quick ? 200_000 : 2_000_000));
const rounds = Number(options.rounds);
const parts = options.only.split(',');
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const missingKafka = kafkaMissing();
if (missingKafka !== undefined) {
  say(`*** no Kafka: ${missingKafka} ***`);
  process.exit(1);
}
const otelcol = buildOtelcol(say);
if ('missing' in otelcol) say(`*** THE STOCK COLLECTOR IS LEFT OUT: ${otelcol.missing} ***`);

const scratch = mkdtempSync(join(tmpdir(), 'azimuth-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
say('starting Kafka');
const kafka = await startBroker();
const { brokers } = kafka;

let groups = 0;
const readingOf = (topic: string, store: number) => ({
  ...{ brokers, topic, store, scratch, password: PASSWORD },
  group: `bench-${++groups}`,
});
const ours = (topic: string) => (store: number) => startAzimuth(readingOf(topic, store));
const theirs = (topic: string, setUp: OtelcolSetUp) => (store: number) => {
  if ('missing' in otelcol) throw new Error(otelcol.missing);
  return startOtelcol(otelcol.path, setUp, readingOf(topic, store));
};
const hasPeer = 'path' in otelcol;

const TOPICS = [
  { topic: 'packed', messages: packedMessages(1), compression: 'zstd', what: '(a) packed hops' },
  {
    topic: 'foreign',
    messages: foreignMessages(2),
    compression: 'none',
    what: '(b) 26 attributes',
  },
] as const;
if (parts.includes('speed') || parts.includes('memory'))
  for (const { topic, messages, compression, what } of TOPICS) {
    say(`filling topic ${topic} with ${spans} spans`);
    const bytes = await fillTopic({ brokers, topic, messages, spans, compression });
    say(`${what}: ${bytes.toFixed(0)} bytes a span before compression (${compression})`);
  }

const json: Record<string, number | null> = {};
const rows: string[][] = [];
const medianOf = (list: readonly Speed[], pick: (speed: Speed) => number): number =>
  median(list.map(pick));

if (parts.includes('speed')) {
  rows.push(['into a store that swallows', 'CPU us/span', 'spans/s', 'peak MiB']);
  say('what starting costs');
  const [{ messages }] = TOPICS;
  await fillTopic({ brokers, topic: 'empty', messages, spans: 0, compression: 'none' });
  const ownStartUs = await measureStartUp(ours('empty'));
  const peerStartUs = hasPeer ? await measureStartUp(theirs('empty', 'fast')) : 0;
  for (const { topic, what } of TOPICS) {
    const own: Speed[] = [];
    const peer: Speed[] = [];
    for (let round = 1; round <= rounds; round++) {
      say(`${what}, round ${round} of ${rounds}`);
      own.push(await measureSpeed(ours(topic), spans, ownStartUs));
      if (hasPeer) peer.push(await measureSpeed(theirs(topic, 'fast'), spans, peerStartUs));
    }
    const cells = (name: string, list: readonly Speed[]): string[] => [
      `${what}, ${name}`,
      medianOf(list, (s) => s.cpuUs).toFixed(2),
      medianOf(list, (s) => s.spansPerS).toFixed(0),
      medianOf(list, (s) => s.peakMib).toFixed(0),
    ];
    rows.push(cells('azimuth', own));
    if (hasPeer) rows.push(cells('Collector', peer));
    const suffix = topic === 'foreign' ? '_foreign' : '';
    json[`cpu_us${suffix}`] = medianOf(own, (s) => s.cpuUs);
    json[`cpu_us_collector${suffix}`] = hasPeer ? medianOf(peer, (s) => s.cpuUs) : null;
    json[`cpu_vs_collector${suffix}`] = hasPeer
      ? medianOf(own, (s) => s.cpuUs) / medianOf(peer, (s) => s.cpuUs)
      : null;
    json[`spans_per_s${suffix}`] = medianOf(own, (s) => s.spansPerS);
    json[`spans_per_s_vs_collector${suffix}`] = hasPeer
      ? medianOf(own, (s) => s.spansPerS) / medianOf(peer, (s) => s.spansPerS)
      : null;
  }
}

if (parts.includes('memory')) {
  const rate = 10_000;
  const seconds = options.quick ? 10 : 30;
  rows.push([`${seconds} s before a store of ${rate} rows/s`, '', 'spans stored', 'peak MiB']);
  say('a slow store');
  const measured = [
    ['azimuth', await measureMemory(ours('packed'), rate, seconds)] as const,
    ...(hasPeer
      ? [['Collector', await measureMemory(theirs('packed', 'fast'), rate, seconds)] as const]
      : []),
  ];
  for (const [name, { peakMib, spans: stored }] of measured) {
    say(`${name}: at most ${peakMib.toFixed(0)} MiB`);
    rows.push([name, '', String(stored), peakMib.toFixed(0)]);
  }
  json['slow_store_mib'] = measured[0]![1].peakMib;
  json['slow_store_mib_collector'] = measured[1]?.[1].peakMib ?? null;
}

if (parts.includes('kills')) await kills();

async function kills(): Promise<void> {
  say('live spans and five times kill -9');
  const store = await startStore(scratch);
  const setUps = (hasPeer ? ['default', 'lossless'] : []) as OtelcolSetUp[];
  // A collector's group, and so its tables, must be the same after each kill.
  const groupOf = (name: string): string => `kills-${name}`;
  const contestants: Contestant[] = [
    {
      name: 'azimuth',
      start: (port) => startAzimuth({ ...readingOf('kills', port), group: groupOf('azimuth') }),
    },
    ...setUps.map((setUp) => ({
      name: `Collector, ${setUp}`,
      start: (port: number) => {
        if ('missing' in otelcol) throw new Error(otelcol.missing);
        return startOtelcol(otelcol.path, setUp, {
          ...readingOf('kills', port),
          group: groupOf(setUp),
        });
      },
    })),
  ];
  const { produced, results } = await runKills({
    ...{ brokers, topic: 'kills', store: store.access, contestants },
    kills: 5,
    spansPerS: 4_500,
    seconds: options.quick ? 20 : 85,
    say,
  });
  const stored = async (table: string): Promise<{ rows: number; ids: number }> => {
    const [row] = await store.client.query<{ rows: number; ids: number }>(
      `SELECT count() AS rows, uniqExact(SpanId) AS ids FROM ${table}`,
    );
    return row!;
  };
  // The published figure, once all minutes are closed.
  const nowMs = (): number => Date.now() + 180_000;
  await runRollup({ store: store.client, log: silentLog, retentionDays: 7, nowMs });
  const [figure] = await store.client.query<{ hops: number }>(
    `SELECT sum(Hops) AS hops FROM traffic(perspective = 'split')`,
  );
  rows.push([
    `5 x kill -9, ${produced} spans`,
    ...['lost', 'stored twice', 'counted twice', 'standstill s (worst)'],
  ]);
  for (const [i, { name }] of contestants.entries()) {
    const isOurs = i === 0;
    const table = isOurs ? 'spans' : `${databaseOf(groupOf(setUps[i - 1]!))}.otel_traces`;
    const { rows: count, ids } = await stored(table);
    const twice = count - ids;
    const countedTwice = isOurs ? Math.max(0, figure!.hops - produced) : twice;
    const lost = isOurs ? produced - Math.min(ids, figure!.hops) : produced - ids;
    const { standstillsMs } = results[i]!;
    const worst = Math.max(...standstillsMs) / 1000;
    const standstill = `${(median(standstillsMs) / 1000).toFixed(1)} (${worst.toFixed(1)})`;
    rows.push([name, String(lost), String(twice), String(countedTwice), standstill]);
    const suffix = isOurs ? '' : `_collector_${setUps[i - 1]}`;
    json[`missing${suffix}`] = lost;
    json[`counted_twice${suffix}`] = countedTwice;
    json[`standstill_s${suffix}`] = worst;
  }
  await store.stop();
}

const text =
  `\n${columns(rows)}  ${spans} spans a topic, 300 a message, 4 partitions; ` +
  `${pinned ? 'collector on core 0, the rest on core 1' : 'not pinned to cores'}; ` +
  `Node ${process.versions.node}, Collector ${hasPeer ? OTELCOL_VERSION : 'left out'}; ` +
  `${cpus().length} cores, load of the last 15 minutes ${loadavg()[2]!.toFixed(1)}\n`;
process.stdout.write(text);
if (options.json) console.log(JSON.stringify(json));
if (options.save) {
  const day = new Date().toISOString().slice(0, 10);
  const fence = '```';
  writeFileSync(
    benchFile('results/collector.md'),
    `# bench:collector, ${day}\n\nWritten by \`npm run bench:collector -- --save\`; method and goals: ` +
      `[README](../README.md).\n\n${fence}text${text}${fence}\n`,
  );
  writeFileSync(benchFile('results/collector.json'), `${JSON.stringify(json, null, 2)}\n`);
}
await kafka.stop();
process.exit(0);
