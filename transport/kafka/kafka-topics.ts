/**
 * Makes sure that topics exist. Producers and consumers never create one: a topic made by accident
 * has one partition and one replica for ever.
 */
import kafkajs from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { silentLog, type Log } from '../../runtime/log.ts';
import type { KafkaAccess } from './kafka-access.ts';
import { openKafka } from './kafka-connection.ts';
import { kafkaErrorType } from './kafka-errors.ts';

export interface TopicsSettings extends KafkaAccess {
  readonly topics: readonly string[];
  /** Partitions of a topic that is created, 1.. */
  readonly partitions: number;
  /** Replicas of each partition, 1..number of brokers. */
  readonly replication: number;
  readonly log?: Log;
}

export interface TopicState {
  readonly topic: string;
  readonly partitions: number;
  readonly created: boolean;
}

/**
 * By default the producer's clock stamps a message: a broker refuses those of a process whose clock
 * is more than an hour ahead, and deletes those of one whose clock is days behind at once.
 */
const TIME_OF_ARRIVAL = { name: 'message.timestamp.type', value: 'LogAppendTime' } as const;

/** A created topic shows in every broker's metadata within this time, or something is wrong. */
const VISIBLE_WITHIN_MS = 10_000;

/**
 * Creates those topics that do not exist, and waits until each has its partitions with a leader.
 * Existing ones stay as they are. Safe to call twice and from two processes at once.
 * @throws AzimuthError AZ_KAFKA_UNAVAILABLE (no broker answers), AZ_KAFKA_REFUSED.
 */
export function ensureTopics(settings: TopicsSettings): Promise<TopicState[]> {
  const { topics, partitions, replication } = settings;
  return withAdmin(settings, settings.log ?? silentLog, async (admin) => {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic));
    if (missing.length > 0) {
      try {
        await admin.createTopics({
          topics: missing.map((topic) => ({
            topic,
            numPartitions: partitions,
            replicationFactor: replication,
            configEntries: [TIME_OF_ARRIVAL],
          })),
          waitForLeaders: false,
        });
      } catch (error) {
        // The broker that answers next may not know the topic yet, though it was created; and
        // another process may have been faster. The wait below decides.
        const types = causesOf(error).map(kafkaErrorType);
        const passing = [
          'UNKNOWN_TOPIC_OR_PARTITION',
          'TOPIC_ALREADY_EXISTS',
          'LEADER_NOT_AVAILABLE',
        ];
        if (!types.every((type) => type !== undefined && passing.includes(type)))
          throw new AzimuthError(
            'AZ_KAFKA_REFUSED',
            `Kafka refused to create ${missing.join(', ')} with ${partitions} partitions and ` +
              `${replication} replicas: ${causesOf(error).map(messageOf).join('; ')}`,
            { cause: error },
          );
      }
    }
    const counts = await untilVisible(admin, topics);
    return topics.map((topic) => ({
      topic,
      partitions: counts.get(topic)!,
      created: missing.includes(topic),
    }));
  });
}

/** Names of all topics. @throws AzimuthError AZ_KAFKA_UNAVAILABLE when no broker answers. */
export function listTopics(brokers: readonly string[], log: Log = silentLog): Promise<string[]> {
  return withAdmin({ brokers }, log, (admin) => admin.listTopics());
}

async function untilVisible(
  admin: kafkajs.Admin,
  topics: readonly string[],
): Promise<Map<string, number>> {
  const until = performance.now() + VISIBLE_WITHIN_MS;
  for (;;) {
    try {
      const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
      const led = metadata.topics.filter((t) => t.partitions.every((p) => p.leader >= 0));
      if (led.length === topics.length)
        return new Map(led.map((t) => [t.name, t.partitions.length]));
    } catch (error) {
      if (kafkaErrorType(error) === undefined) throw error;
    }
    if (performance.now() > until)
      throw new AzimuthError(
        'AZ_KAFKA_UNAVAILABLE',
        `${topics.join(', ')}: no leader for every partition after ${VISIBLE_WITHIN_MS / 1000} s`,
      );
    await sleep(100);
  }
}

/** What a group has still to read of one topic. */
export interface TopicLag {
  readonly topic: string;
  readonly messages: number;
  /** Partitions whose group offset lies before the oldest message: what was there is deleted. */
  readonly partitions_behind_retention: number;
}

/**
 * Messages of each topic that the group has not committed; of a partition without a committed
 * offset all that is there.
 * @throws AzimuthError AZ_KAFKA_UNAVAILABLE (no broker answers), AZ_KAFKA_REFUSED.
 */
export function readLag(
  access: KafkaAccess,
  groupId: string,
  topics: readonly string[],
): Promise<TopicLag[]> {
  return withAdmin(access, silentLog, async (admin) => {
    const committed = await admin.fetchOffsets({ groupId, topics: [...topics] });
    return Promise.all(
      topics.map(async (topic) => {
        const ofGroup = committed.find((one) => one.topic === topic)?.partitions ?? [];
        let messages = 0;
        let behind = 0;
        for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
          const at = Number(ofGroup.find((one) => one.partition === partition)?.offset ?? -1);
          const oldest = Number(low);
          if (at >= 0 && at < oldest) behind++;
          messages += Math.max(0, Number(high) - Math.max(at, oldest));
        }
        return { topic, messages, partitions_behind_retention: behind };
      }),
    );
  });
}

async function withAdmin<T>(
  access: KafkaAccess,
  log: Log,
  use: (admin: kafkajs.Admin) => Promise<T>,
): Promise<T> {
  // A person or a test waits for the answer: three tries, not half a minute.
  const { kafka, abort } = openKafka({
    ...access,
    clientId: 'azimuth-topics',
    log,
    retries: 2,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await use(admin);
  } catch (error) {
    if (error instanceof AzimuthError) throw error;
    if (kafkaErrorType(error) !== undefined)
      throw new AzimuthError('AZ_KAFKA_REFUSED', messageOf(error), { cause: error });
    throw new AzimuthError(
      'AZ_KAFKA_UNAVAILABLE',
      `no Kafka broker answers at ${access.brokers.join(', ')} (${messageOf(error)}); ` +
        'start one, or set telemetry.kafka.brokers in the mesh file',
      { cause: error },
    );
  } finally {
    await admin.disconnect().catch(() => undefined);
    abort();
  }
}

const causesOf = (error: unknown): readonly unknown[] =>
  error instanceof kafkajs.KafkaJSAggregateError ? error.errors : [error];
