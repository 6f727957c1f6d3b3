/** What the fault matrix does to its processes. Each waits for what must have happened, not for time. */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLog } from '../../runtime/log.ts';
import { createKafkaClient } from '../../transport/kafka/kafka-client.ts';
import { openKafka } from '../../transport/kafka/kafka-connection.ts';
import { until } from '../helpers/until.ts';
import { TOPICS, type Proc, type Rig } from './rig.ts';
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

/** Messages of no known encoding among the good ones, one to each partition in turn. */
export async function poison({ rig, load, times }: Stage): Promise<void> {
  const brokers = rig.bootstrap;
  const client = createKafkaClient({ brokers, clientId: 'poison', log: silentLog });
  await client.connect();
  try {
    const partitions = await client.partitions(TOPICS.traces);
    for (let i = 0; i < times; i++) {
      const value = Buffer.from(`poison ${i}, no OTLP`);
      await client.send(TOPICS.traces, partitions[i % partitions.length]!, value);
      await load.more(1);
    }
  } finally {
    await client.close();
  }
  await until(async () => {
    const [row] = await rig.store.query<{ n: number }>(
      'SELECT uniqExact(SourcePartition, SourceOffset) AS n FROM dead_letters WHERE empty(Seqs)',
    );
    return row!.n >= times;
  }, WITHIN_MS);
}

/** The broker deletes messages that no collector has read: its retention was too short. */
export const deleteUnread: Fault = async ({ rig, load, times }) => {
  const { kafka, abort } = openKafka({
    brokers: rig.bootstrap,
    clientId: 'faults',
    log: silentLog,
  });
  const admin = kafka.admin();
  await admin.connect();
  try {
    for (let i = 0; i < times; i++) {
      // A group that never had a position in a partition misses nothing there.
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
  } finally {
    await admin.disconnect();
    abort();
  }
};

/** The collector's consumer group, by the mesh file's default. */
const GROUP = 'azimuth-collector';

type Admin = ReturnType<ReturnType<typeof openKafka>['kafka']['admin']>;

const offsetsOf = (admin: Admin): ReturnType<Admin['fetchTopicOffsets']> =>
  admin.fetchTopicOffsets(TOPICS.traces);

/** A broker whose limit our usual batches pass: nothing to do but to send. */
export const sendThroughSmallBroker: Fault = async ({ load, times }) => {
  for (let i = 0; i < times; i++) await load.more(BETWEEN);
};

/** One broker after the other is away for so long, killed or frozen. */
export function brokersAway(ms: number, how: 'killed' | 'frozen' = 'killed'): Fault {
  return async ({ rig, load, times, last }) => {
    for (let i = 0; i < times; i++) {
      const broker = rig.brokers[i % rig.brokers.length]!;
      if (how === 'killed') {
        await broker.kill9();
        await last(ms);
        await broker.start();
      } else {
        const pid = broker.pid()!;
        process.kill(pid, 'SIGSTOP');
        await last(ms).finally(() => process.kill(pid, 'SIGCONT'));
      }
      await load.more(BETWEEN);
    }
  };
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
  return async ({ rig, load, last }) => {
    rig.brokerFront!.delayMs = ms;
    // Longer than any client waits for an answer, so that messages are sent again.
    await last(3 * ms);
    rig.brokerFront!.delayMs = 0;
    await load.more(BETWEEN);
  };
}

export function slowBroker(bytesPerS: number): Fault {
  return async ({ rig, load, last }) => {
    rig.brokerFront!.bytesPerS = bytesPerS;
    await last(20_000);
    rig.brokerFront!.bytesPerS = Infinity;
    await load.more(BETWEEN);
  };
}

/** Fills the small disk: under the store by a file, under the spool by keeping the collector away. */
export function fillDisk(what: 'spool' | 'store'): Fault {
  const free = (rig: Rig): number => {
    const { bavail, bsize } = statfsSync(rig.diskFolder);
    return bavail * bsize;
  };
  if (what === 'spool') {
    return async ({ rig, load }) => {
      await rig.kill9('collector');
      await until(() => free(rig) < 16_384, WITHIN_MS);
      await load.more(500);
      await rig.start('collector');
    };
  }
  return async ({ rig, load, last }) => {
    const filler = join(rig.diskFolder, 'filler');
    const fill = (): void => {
      try {
        for (let n = 0; ; n++) writeFileSync(`${filler}-${n}`, Buffer.alloc(1024 * 1024));
      } catch {
        // Full.
      }
    };
    fill();
    await load.more(500);
    await last(5_000);
    for (let n = 0; n < 4096; n++) rmSync(`${filler}-${n}`, { force: true });
  };
}

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
    async fault({ rig, load, last }) {
      writeFileSync(stepFile(rig), String(byMs));
      // The proxy takes its wall clock anew every ten seconds.
      await last(12_000);
      await load.more(BETWEEN);
      writeFileSync(stepFile(rig), '0');
      await last(12_000);
    },
    async restore(rig) {
      await rig.stop(name);
      await rig.start(name);
    },
  };
}
