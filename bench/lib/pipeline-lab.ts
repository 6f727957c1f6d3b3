/**
 * What surrounds a collector under test: a real Kafka with topics filled beforehand, store fronts
 * and the embedded store, all on core 1; and the reading of what a collector cost.
 */
import { spawnSync, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startKafka, type RunningKafka } from '../../demo/kafka-broker.ts';
import { silentLog } from '../../runtime/log.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { createKafkaClient } from '../../transport/kafka/kafka-client.ts';
import { ensureTopics } from '../../transport/kafka/kafka-topics.ts';
import {
  benchFile,
  cpuUs,
  freePort,
  peakMib,
  pinned,
  sleep,
  start,
  startNode,
  stop,
} from './processes.ts';
import type { SpanMessages } from './span-messages.ts';
import type { FrontSettings, InsertLine } from './store-front.ts';

export const PARTITIONS = 4;
export const SPANS_PER_MESSAGE = 300;
/** So many spans are made; a longer topic repeats them. No cost of a collector depends on it. */
const DISTINCT_SPANS = 120_000;
/** A collector that gets nothing done for so long has stopped. */
const STANDSTILL_MAX_MS = 60_000;

/** A broker on core 1. */
export async function startBroker(): Promise<RunningKafka> {
  const kafka = await startKafka();
  if (pinned) spawnSync('taskset', ['-a', '-c', '-p', '1', String(kafka.pid())]);
  return kafka;
}

export interface Filling {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly messages: SpanMessages;
  readonly spans: number;
  readonly compression: 'none' | 'zstd';
}

/** Creates the topic and sends `spans` spans to it, partitions in turn. Returns bytes a span. */
export async function fillTopic(filling: Filling): Promise<number> {
  const { brokers, topic, messages, spans, compression } = filling;
  await ensureTopics({
    brokers,
    topics: [topic, `${topic}_logs`],
    partitions: PARTITIONS,
    replication: 1,
  });
  const client = createKafkaClient({ brokers, clientId: 'bench', log: silentLog, compression });
  await client.connect();
  const made: Buffer[] = [];
  let left = Math.ceil(spans / SPANS_PER_MESSAGE);
  let bytes = 0;
  const sendTo = async (partition: number): Promise<void> => {
    while (left-- > 0) {
      const at = left % (DISTINCT_SPANS / SPANS_PER_MESSAGE);
      const body = (made[at] ??= messages.next(SPANS_PER_MESSAGE));
      bytes += body.length;
      await client.send(topic, partition, body);
    }
  };
  await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => sendTo(partition)));
  await client.close();
  return bytes / spans;
}

export interface Front {
  readonly port: number;
  /** Spans in confirmed inserts. */
  rows(): number;
  /** Calls `listener` for each insert that is confirmed from now on. */
  onInsert(listener: (line: InsertLine) => void): void;
  stop(): Promise<void>;
}

export async function startFront(settings: FrontSettings): Promise<Front> {
  const child = startNode(1, 'lib/store-front.ts', [JSON.stringify(settings)]);
  const listeners: ((line: InsertLine) => void)[] = [];
  let rows = 0;
  const port = await new Promise<number>((resolve) => {
    createInterface({ input: child.stdout! }).on('line', (text) => {
      const line = JSON.parse(text) as InsertLine | { port: number };
      if ('port' in line) resolve(line.port);
      else {
        rows += line.rows;
        for (const listener of listeners) listener(line);
      }
    });
  });
  return {
    port,
    rows: () => rows,
    onInsert: (listener) => void listeners.push(listener),
    stop: () => stop(child),
  };
}

/** Waits until the front has confirmed `rows` spans; throws when none comes for a minute. */
export async function untilRows(front: Front, rows: number): Promise<void> {
  let seen = front.rows();
  let movedMs = Date.now();
  while (front.rows() < rows) {
    await sleep(20);
    if (front.rows() > seen) {
      seen = front.rows();
      movedMs = Date.now();
    } else if (Date.now() - movedMs > STANDSTILL_MAX_MS)
      throw new Error(`only ${seen} of ${rows} spans arrived in the store`);
  }
}

export interface Speed {
  /** User and system time of the collector, microseconds a span. */
  readonly cpuUs: number;
  readonly spansPerS: number;
  readonly peakMib: number;
}

type StartCollector = (store: number) => ChildProcess | Promise<ChildProcess>;

/** So long a collector may take to start and to join its group. */
const START_UP_MS = 8_000;

/** CPU of a collector that starts, joins and finds nothing to read, microseconds. */
export async function measureStartUp(startCollector: StartCollector): Promise<number> {
  const front = await startFront({});
  const collector = await startCollector(front.port);
  try {
    await sleep(START_UP_MS);
    return cpuUs([collector.pid!]);
  } finally {
    await stop(collector);
    await front.stop();
  }
}

/**
 * Runs a collector over a topic of `spans` spans, from its start to the last insert. Not from the
 * first insert on: one that reads far ahead of its inserts has done half of the work by then. Its
 * CPU is without `startUpUs`; its rate has the start in it.
 */
export async function measureSpeed(
  startCollector: StartCollector,
  spans: number,
  startUpUs: number,
): Promise<Speed> {
  const front = await startFront({});
  const startedMs = Date.now();
  const collector = await startCollector(front.port);
  const pid = collector.pid!;
  let lastMs = 0;
  front.onInsert(({ doneMs }) => (lastMs = doneMs));
  try {
    await untilRows(front, spans);
    return {
      cpuUs: (cpuUs([pid]) - startUpUs) / spans,
      spansPerS: spans / ((lastMs - startedMs) / 1000),
      peakMib: peakMib(pid),
    };
  } finally {
    await stop(collector);
    await front.stop();
  }
}

/** Peak memory of a collector, MiB, after `seconds` before a store that takes `rowsPerSecond`. */
export async function measureMemory(
  startCollector: StartCollector,
  rowsPerSecond: number,
  seconds: number,
): Promise<{ readonly peakMib: number; readonly spans: number }> {
  const front = await startFront({ rowsPerSecond });
  const collector = await startCollector(front.port);
  try {
    await sleep(seconds * 1000);
    return { peakMib: peakMib(collector.pid!), spans: front.rows() };
  } finally {
    // Not stopped in order: it would wait for the slow store.
    collector.kill('SIGKILL');
    await front.stop();
  }
}

export interface RunningStore {
  readonly access: { readonly port: number; readonly user: string; readonly password: string };
  readonly client: StoreClient;
  stop(): Promise<void>;
}

export const PASSWORD = 'bench';

/** The embedded store as a process of its own, with our schema. */
export async function startStore(scratch: string): Promise<RunningStore> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const file = join(scratch, 'store.yaml');
  writeFileSync(
    file,
    `file_format: "1.0"\nmesh: bench\ntopology: separate\nstore: { url: "${url}", password: "\${env:BENCH_PASSWORD}" }\n`,
  );
  const data = join(scratch, 'store');
  const child = start(
    1,
    [process.execPath, benchFile('../bin/azimuth.js'), 'store', '--mesh', file, '--data', data],
    { BENCH_PASSWORD: PASSWORD },
  );
  const access = { user: 'azimuth', password: PASSWORD };
  const client = createStoreClient({ url, database: 'azimuth', ...access });
  const migrated = (): Promise<unknown> => client.query('SELECT 1 FROM spans LIMIT 0');
  for (let tries = 0; ; tries++) {
    const answered = await migrated().then(
      () => true,
      () => false,
    );
    if (answered) break;
    if (child.exitCode !== null || tries > 300) throw new Error('the store did not start');
    await sleep(100);
  }
  return {
    access: { port, ...access },
    client,
    async stop() {
      await client.close();
      await stop(child);
    },
  };
}
