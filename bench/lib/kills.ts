/**
 * Collectors that are killed while spans come in: one topic, one producer with its own list of what
 * it sent, several collectors beside each other, each in a group of its own with its own tables of
 * one store. Each gets SIGKILL some seconds after its rows flow again, and is started at once.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { silentLog } from '../../runtime/log.ts';
import { createKafkaClient } from '../../transport/kafka/kafka-client.ts';
import { ensureTopics } from '../../transport/kafka/kafka-topics.ts';
import { PARTITIONS, SPANS_PER_MESSAGE, startFront, type Front } from './pipeline-lab.ts';
import { sleep, stop } from './processes.ts';
import { packedMessages } from './span-messages.ts';
import type { FrontSettings } from './store-front.ts';

export interface Contestant {
  readonly name: string;
  start(store: number): ChildProcess | Promise<ChildProcess>;
}

export interface KillRun {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly store: NonNullable<FrontSettings['forward']>;
  readonly contestants: readonly Contestant[];
  readonly kills: number;
  readonly spansPerS: number;
  /** The producer goes on at least for so long, and until the last kill was survived. */
  readonly seconds: number;
  /** Told what happens. */
  readonly say: (text: string) => void;
}

export interface KillResult {
  /** From each kill to the first row that its successor stored, milliseconds. */
  readonly standstillsMs: readonly number[];
}

/** Nothing was stored for so long: all that is left is stored (a session of the peer's is 10 s). */
const QUIET_MS = 20_000;
/** A successor that stores nothing for so long has given up. */
const SUCCESSOR_MAX_MS = 60_000;

/** Runs it. Returns how many spans were sent, and what became of each collector. */
export async function runKills(
  run: KillRun,
): Promise<{ readonly produced: number; readonly results: readonly KillResult[] }> {
  const { brokers, topic, contestants } = run;
  const topics = [topic, `${topic}_logs`];
  await ensureTopics({ brokers, topics, partitions: PARTITIONS, replication: 1 });
  const producer = produce(run);
  const fronts = await Promise.all(contestants.map(() => startFront({ forward: run.store })));
  const lives = contestants.map((contestant, i) => live(contestant, fronts[i]!, run, 100 + i));
  await Promise.all([...lives.map((one) => one.killed), sleep(run.seconds * 1000)]);
  const produced = await producer.end();
  await untilQuiet(fronts);
  const results = await Promise.all(lives.map((one) => one.end()));
  for (const front of fronts) await front.stop();
  return { produced, results };
}

/** Sends messages at an even pace until it is told to end; resolves with the spans acknowledged. */
function produce(run: KillRun): { end(): Promise<number> } {
  const messages = packedMessages(9);
  const everyMs = (1000 * SPANS_PER_MESSAGE) / run.spansPerS;
  let going = true;
  const sending = (async () => {
    const { brokers, topic } = run;
    const client = createKafkaClient({ brokers, clientId: 'bench', log: silentLog });
    await client.connect();
    const startedMs = performance.now();
    let sent = 0;
    for (; going; sent++) {
      // Behind its plan it sends at once, and is not behind for ever.
      await sleep(Math.max(0, startedMs + sent * everyMs - performance.now()));
      await client.send(topic, sent % PARTITIONS, messages.next(SPANS_PER_MESSAGE));
    }
    await client.close();
    return sent * SPANS_PER_MESSAGE;
  })();
  return {
    end: () => {
      going = false;
      return sending;
    },
  };
}

/** One collector and its successors. */
function live(
  contestant: Contestant,
  front: Front,
  { kills, say }: KillRun,
  seed: number,
): { readonly killed: Promise<void>; end(): Promise<KillResult> } {
  const standstillsMs: number[] = [];
  let current: ChildProcess | undefined;
  /** Resolves with the end of the first insert that began after `sinceMs`. */
  const flows = (sinceMs: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`${contestant.name} stored nothing for ${SUCCESSOR_MAX_MS} ms`)),
        SUCCESSOR_MAX_MS,
      );
      front.onInsert(({ beganMs, doneMs }) => {
        if (beganMs < sinceMs) return;
        clearTimeout(late);
        resolve(doneMs);
      });
    });
  const killed = (async () => {
    const first = flows(0);
    current = await contestant.start(front.port);
    await first;
    for (let kill = 0; kill < kills; kill++) {
      // Between 1 and 3.5 s, another one each time, the same in each run.
      await sleep(1000 + ((seed * 7919 + kill * 997) % 2500));
      const killMs = Date.now();
      current.kill('SIGKILL');
      await once(current, 'exit');
      const again = flows(Date.now());
      current = await contestant.start(front.port);
      const standstillMs = (await again) - killMs;
      say(`${contestant.name}: back ${standstillMs} ms after kill ${kill + 1}`);
      standstillsMs.push(standstillMs);
    }
  })();
  return {
    killed,
    async end() {
      if (current !== undefined) await stop(current);
      return { standstillsMs };
    },
  };
}

async function untilQuiet(fronts: readonly Front[]): Promise<void> {
  const sum = (): number => fronts.reduce((total, front) => total + front.rows(), 0);
  let seen = -1;
  let movedMs = Date.now();
  while (Date.now() - movedMs < QUIET_MS) {
    await sleep(200);
    if (sum() === seen) continue;
    seen = sum();
    movedMs = Date.now();
  }
}
