/** What the fault matrix does to its processes. Each waits for what must have happened, not for time. */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunningKafka } from '../../demo/kafka-broker.ts';
import { silentLog } from '../../runtime/log.ts';
import { createKafkaClient } from '../../transport/kafka/kafka-client.ts';
import { openKafka } from '../../transport/kafka/kafka-connection.ts';
import { until } from '../helpers/until.ts';
import { DISK_BYTES, PARTITIONS, TOPICS, type Proc, type Rig } from './rig.ts';
import type { Scenario, Stage } from './runner.ts';
import type { HoldPoint, StoreFault } from './store-front.ts';

type Fault = (stage: Stage) => Promise<void>;

/** Requests between two harms. */
const BETWEEN = 20;
/** A collector with a watchdog, a store that is away: minutes may pass before a thing is so. */
const WITHIN_MS = 300_000;

/** Kills the collector while an insert of it stands at `point`, so that the moment is certain. */
export function killCollector(point: HoldPoint): Fault {
  return async ({ rig, load, times }) => {
    for (let i = 0; i < times; i++) {
      await rig.front.holdNext(point);
      await rig.kill9('collector');
      await rig.start('collector');
      await load.more(BETWEEN);
    }
  };
}

export function killProxy(name: 'gateway' | 'sidecar'): Fault {
  return async ({ rig, load, times, outage }) => {
    for (let i = 0; i < times; i++) {
      await outage(async () => {
        await rig.kill9(name);
        await rig.start(name);
        // Those who meet the old connections have failed by then.
        await load.more(1);
      });
      await load.more(BETWEEN);
    }
  };
}

/** The store fails for `times` inserts in each of the ways, one after the other. */
export function storeFails(...ways: readonly StoreFault[]): Fault {
  return async ({ rig, load, times }) => {
    for (const fault of ways) {
      rig.front.fault = fault;
      await until(() => rig.front.faulted >= times, WITHIN_MS);
      rig.front.fault = undefined;
      await load.more(BETWEEN);
    }
  };
}

/** What nobody can read: bytes of no encoding, and each of the two encodings broken off. */
const POISON: readonly { readonly json: boolean; readonly body: string }[] = [
  { json: false, body: 'poison, no OTLP' },
  { json: true, body: '{"resourceSpans":[{"scopeSpans":' },
  // A field of 120 bytes of which 3 are there.
  { json: false, body: '\n\u0078abc' },
];

/** Sends messages that nobody can read among the good ones, and waits until they were put aside. */
export const poison: Fault = async (stage) => {
  const { rig, times } = stage;
  await (rig.settings.transport === 'otlp' ? poisonReceiver(stage) : poisonTopic(stage));
  await until(async () => {
    const [row] = await rig.store.query<{ n: number }>(
      'SELECT uniqExact(Body, SourcePartition, SourceOffset) AS n FROM dead_letters WHERE empty(Seqs)',
    );
    return row!.n >= times;
  }, WITHIN_MS);
};

/** One to each partition in turn. */
async function poisonTopic({ rig, load, times }: Stage): Promise<void> {
  const client = createKafkaClient({
    ...{ brokers: rig.bootstrap, clientId: 'poison', log: silentLog },
  });
  await client.connect();
  try {
    const partitions = await client.partitions(TOPICS.traces);
    for (let i = 0; i < times; i++) {
      const value = Buffer.from(poisonNumber(i).body);
      await client.send(TOPICS.traces, partitions[i % partitions.length]!, value);
      await load.more(1);
    }
  } finally {
    await client.close();
  }
}

/** One in each call: it must be told that sending again is of no use. */
async function poisonReceiver({ rig, load, times }: Stage): Promise<void> {
  for (let i = 0; i < times; i++) {
    const { json, body } = poisonNumber(i);
    const { status } = await fetch(`${rig.otlpUrl}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': json ? 'application/json' : 'application/x-protobuf' },
      body,
    });
    if (status !== 400) throw new Error(`the collector answers poison with ${status}`);
    await load.more(1);
  }
}

/** No two alike. */
function poisonNumber(i: number): { json: boolean; body: string } {
  const { json, body } = POISON[i % POISON.length]!;
  return { json, body: `${body}${i}` };
}

/** The broker deletes messages that no collector has read: its retention was too short. */
export const deleteUnread: Fault = ({ rig, load, times }) =>
  withAdmin(rig, async (admin) => {
    for (let i = 0; i < times; i++) {
      // Of a partition in which the group never had a position nobody can tell what is missing.
      await until(async () => {
        await load.more(BETWEEN);
        const [group] = await admin.fetchOffsets({ groupId: GROUP, topics: [TOPICS.traces] });
        return group!.partitions.every(({ offset }) => Number(offset) >= 0);
      }, WITHIN_MS);
      await rig.kill9('collector');
      const before = await offsetsOf(admin);
      await until(async () => {
        await load.more(BETWEEN);
        const now = await offsetsOf(admin);
        return now.every(({ high }, p) => Number(high) > Number(before[p]?.high));
      }, WITHIN_MS);
      const partitions = (await offsetsOf(admin)).map(({ partition, high }) => ({
        partition,
        offset: high,
      }));
      await admin.deleteTopicRecords({ topic: TOPICS.traces, partitions });
      await rig.start('collector');
      await load.more(BETWEEN);
    }
  });

/** The collector's consumer group, by the mesh file's default. */
const GROUP = 'azimuth-collector';

type Admin = ReturnType<ReturnType<typeof openKafka>['kafka']['admin']>;

async function withAdmin(rig: Rig, work: (admin: Admin) => Promise<void>): Promise<void> {
  const { kafka, abort } = openKafka({
    brokers: rig.bootstrap,
    clientId: 'faults',
    log: silentLog,
  });
  const admin = kafka.admin();
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.disconnect();
    abort();
  }
}

const offsetsOf = (admin: Admin): ReturnType<Admin['fetchTopicOffsets']> =>
  admin.fetchTopicOffsets(TOPICS.traces);

/** A broker whose limit our usual batches pass: nothing to do but to send. */
export const sendThroughSmallBroker: Fault = async ({ load, times }) => {
  for (let i = 0; i < times; i++) await load.more(BETWEEN);
};

/** The only broker is killed and away for so long. */
export function brokerAway(ms: number): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      await away(rig.brokers[0]!, 'killed', () => last(ms));
      await load.more(BETWEEN);
    }
  };
}

/** Of three brokers the one that leads a partition of spans just then is away: each partition in turn. */
export function leaderAway(ms: number, how: 'killed' | 'frozen'): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      const leader = await leaderOf(rig, i % PARTITIONS);
      await away(leader, how, () => last(ms));
      await load.more(BETWEEN);
    }
  };
}

async function leaderOf(rig: Rig, partition: number): Promise<RunningKafka> {
  let leader = 0;
  await withAdmin(rig, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [TOPICS.traces] });
    leader = topics[0]!.partitions.find((one) => one.partitionId === partition)!.leader;
  });
  // Their ids count from 1.
  return rig.brokers[leader - 1]!;
}

async function away(
  broker: RunningKafka,
  how: 'killed' | 'frozen',
  last: () => Promise<void>,
): Promise<void> {
  if (how === 'killed') {
    await broker.kill9();
    await last();
    await broker.start();
  } else {
    const pid = broker.pid()!;
    process.kill(pid, 'SIGSTOP');
    await last().finally(() => process.kill(pid, 'SIGCONT'));
  }
}

export function freeze(name: Proc, ms: number): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      rig.signal(name, 'SIGSTOP');
      await last(ms).finally(() => rig.signal(name, 'SIGCONT'));
      await load.more(BETWEEN);
    }
  };
}

/** A second collector of the same group comes and goes. */
export function joinAndLeave(everyMs: number): Fault {
  return async ({ rig, times, last }) => {
    for (let i = 0; i < times; i++) {
      await rig.start('second');
      await last(everyMs);
      await rig.stop('second');
      await last(everyMs);
    }
  };
}

export function delayedAcks(ms: number): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      rig.brokerFront!.delayMs = ms;
      // Longer than any client waits for an answer, so that messages are sent again.
      await last(3 * ms);
      rig.brokerFront!.delayMs = 0;
      await load.more(BETWEEN);
    }
  };
}

export function slowBroker(bytesPerS: number): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      rig.brokerFront!.bytesPerS = bytesPerS;
      await last(20_000);
      rig.brokerFront!.bytesPerS = Infinity;
      await load.more(BETWEEN);
    }
  };
}

/** The table of spans takes no insert while it has a part at all: the refusal is the store's own. */
export const tooManyParts: Fault = async ({ rig, load, times }) => {
  for (let i = 0; i < times; i++) {
    await rig.store.command('ALTER TABLE spans MODIFY SETTING parts_to_throw_insert = 1');
    const before = rig.front.refused;
    await until(() => rig.front.refused >= before + 3, WITHIN_MS);
    await rig.store.command('ALTER TABLE spans RESET SETTING parts_to_throw_insert');
    await load.more(BETWEEN);
  }
};

/** Fills the small disk: under the store by a file, under the spool by keeping the collector away. */
export function fillDisk(what: 'spool' | 'store'): Fault {
  const fill = what === 'spool' ? fillSpoolDisk : fillStoreDisk;
  return async (stage) => {
    for (let i = 0; i < stage.times; i++) {
      await fill(stage);
      await stage.load.more(BETWEEN);
    }
  };
}

const fillSpoolDisk: Fault = async ({ rig, load }) => {
  const free = (): number => {
    const { bavail, bsize } = statfsSync(rig.diskFolder);
    return bavail * bsize;
  };
  await rig.kill9('collector');
  // A batch that does not fit is taken back whole, so that up to a batch stays free. What follows is
  // more than that.
  await until(() => free() < DISK_BYTES.spool / 16, WITHIN_MS);
  await load.more(500);
  await rig.start('collector');
  // What waits on it was sent: the next time begins with an empty one.
  await until(() => free() > DISK_BYTES.spool / 2, WITHIN_MS);
};

const fillStoreDisk: Fault = async ({ rig, load, last }) => {
  const filler = join(rig.diskFolder, 'filler');
  try {
    for (let n = 0; ; n++) writeFileSync(`${filler}-${n}`, Buffer.alloc(1024 * 1024));
  } catch {
    // Full.
  }
  await load.more(500);
  await last(5_000);
  for (let n = 0; n < 4096; n++) rmSync(`${filler}-${n}`, { force: true });
};

const PRELOAD = fileURLToPath(new URL('./stepped-clock.ts', import.meta.url));
/** Read by stepped-clock.ts. */
const STEP_FILE = 'CLOCK_STEP_FILE';

/** One proxy's wall clock steps by so much while it runs, and back. */
export function stepClock(
  name: 'gateway' | 'sidecar',
  byMs: number,
): Pick<Scenario, 'prepare' | 'fault' | 'restore'> {
  const stepFile = (rig: Rig): string => join(rig.diskFolder, 'clock-step');
  return {
    async prepare(rig) {
      writeFileSync(stepFile(rig), '0');
      process.env[STEP_FILE] = stepFile(rig);
      await rig.stop(name);
      await rig.start(name, ['--import', PRELOAD]);
    },
    async fault({ rig, load, times, last }) {
      for (let i = 0; i < times; i++) {
        writeFileSync(stepFile(rig), String(byMs));
        // The proxy takes its wall clock anew every ten seconds.
        await last(12_000);
        await load.more(BETWEEN);
        writeFileSync(stepFile(rig), '0');
        await last(12_000);
      }
    },
    async restore(rig) {
      await rig.stop(name);
      await rig.start(name);
    },
  };
}
