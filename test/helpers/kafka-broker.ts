/**
 * A real Kafka for the test files that ask for one: that of $KAFKA_BROKERS, else one started here
 * and shared by all of them. Topics and groups get names of their own, so files do not meet.
 *
 * Without Java (or without Maven for the first start) the suites are pending and say so; where
 * CI=true that is a failure, because a suite that never ran must not look like one that passed.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { kafkaMissing, startKafka, type RunningKafka } from '../../demo/kafka-broker.ts';
import { ensureTopics } from '../../transport/kafka/kafka-topics.ts';

export interface TestKafka {
  readonly brokers: readonly string[];
  /** The broker itself, to halt and start it; undefined for that of $KAFKA_BROKERS. */
  readonly broker: RunningKafka | undefined;
  /** Creates topics of names not used before. */
  topics(partitions: number): Promise<{ traces: string; logs: string }>;
  /** A consumer group's name not used before. */
  group(): string;
}

/** The first start fetches 43 MB of jars. */
const START_WITHIN_MS = 300_000;

let shared: Promise<RunningKafka> | undefined;

// A root hook: after the last suite of the whole run, whichever files it has.
after('stop the test Kafka', async function () {
  this.timeout(30_000);
  await shared?.then(
    (kafka) => kafka.stop(),
    () => undefined,
  );
});

/** For a `before` hook: the broker, or the suite pending with a loud reason. */
export async function testKafka(context: Mocha.Context): Promise<TestKafka> {
  context.timeout(START_WITHIN_MS);
  const given = process.env['KAFKA_BROKERS'];
  if (given !== undefined && given !== '') return handle(given.split(','), undefined);
  const missing = kafkaMissing();
  if (missing !== undefined) pending(context, `no Kafka: ${missing}; or set KAFKA_BROKERS`);
  shared ??= startKafka();
  const kafka = await shared;
  return handle(kafka.brokers, kafka);
}

/** For tests whose program starts a broker of its own. */
export function requireKafka(context: Mocha.Context): void {
  const missing = kafkaMissing();
  if (missing !== undefined) pending(context, `no Kafka: ${missing}`);
}

/** For tests that ask kcat, an independent Kafka client, to be the judge. */
export function requireKcat(context: Mocha.Context): void {
  if (spawnSync('kcat', ['-V'], { stdio: 'ignore' }).status !== 0)
    pending(context, 'kcat is not installed (Debian: apt-get install kcat)');
}

/** Runs kcat on a topic; `input` goes to its stdin, its stdout comes back. */
export function kcat(
  kafka: TestKafka,
  args: readonly string[],
  input: Buffer = Buffer.alloc(0),
): Buffer {
  const result = spawnSync('kcat', ['-b', kafka.brokers.join(','), '-q', ...args], {
    input,
    maxBuffer: 256 * 1024 * 1024,
    timeout: 20_000,
  });
  if (result.status !== 0) throw new Error(`kcat failed: ${result.stderr.toString()}`);
  return result.stdout;
}

function pending(context: Mocha.Context, reason: string): never {
  if (process.env['CI'] === 'true') throw new Error(`CI needs this: ${reason}`);
  process.stderr.write(`\n*** PENDING: ${reason} ***\n\n`);
  context.skip();
}

function handle(brokers: readonly string[], broker: RunningKafka | undefined): TestKafka {
  return {
    brokers,
    broker,
    async topics(partitions) {
      const id = randomUUID().slice(0, 8);
      const names = { traces: `spans_${id}`, logs: `logs_${id}` };
      const topics = Object.values(names);
      await ensureTopics({ brokers, topics, partitions, replication: 1 });
      return names;
    },
    group: () => `group-${randomUUID().slice(0, 8)}`,
  };
}
