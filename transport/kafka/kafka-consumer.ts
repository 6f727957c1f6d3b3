/**
 * The port to a Kafka consumer: one member of a group that hands over batches of one partition at
 * a time, several partitions at once, and commits nothing by itself. What a batch means and when
 * it is done is decided above (collector/kafka-receiver.ts).
 *
 * One consumer lives once: after a crash it is closed and a new one is made. kafkajs's own restart
 * is off, because it re-reads the same fault for ever and tells nobody.
 */
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import { assignerOf, findDeadMembers, ownIdentity } from './dead-members.ts';
import type { KafkaAccess } from './kafka-access.ts';
import { openKafka, RETRY } from './kafka-connection.ts';
import { keepCommittedOffsets } from './offset-reset.ts';

export interface ConsumedMessage {
  readonly offset: number;
  /** null: a tombstone. */
  readonly value: Buffer | null;
}

/** Messages of one partition, in order, without control records. */
export interface ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly ConsumedMessage[];
  /** Offset that the next message of this partition will get. */
  readonly highWatermark: number;
  /** False when the consumer stops or the partition was moved: begin nothing new. */
  isCurrent(): boolean;
  /** Keeps the membership alive. Rejects while the group rebalances. */
  heartbeat(): Promise<void>;
  /** Everything up to `offset` is taken: the next fetch starts behind it. Commits nothing. */
  resolve(offset: number): void;
  /** Commits for the group: everything before `nextOffset` is done. */
  commit(nextOffset: number): Promise<void>;
  /**
   * Where the group and the log of the partition are: the next offset that the group has committed
   * (undefined: none yet) and the oldest that the broker still has. Rejects when nobody answers.
   */
  positions(): Promise<{ readonly committed: number | undefined; readonly oldest: number }>;
  /**
   * Stops fetching this partition until the returned function is called; what was fetched before
   * and not handed over is dropped. It then goes on at `offset`, or, without one, where it was.
   */
  pause(): (offset?: number) => void;
}

export interface KafkaConsumer {
  /**
   * Joins the group and hands over batches. Resolves after `close()`; rejects when it cannot
   * connect, join or go on. Call once.
   */
  run(onBatch: (batch: ConsumedBatch) => Promise<void>): Promise<void>;
  /**
   * Waits for batches in hand, leaves the group (so that others take over at once) and
   * disconnects. Never rejects; ends within `withinMs` whatever the broker does.
   */
  close(withinMs: number): Promise<void>;
}

export interface KafkaConsumerSettings extends KafkaAccess {
  readonly topics: readonly string[];
  readonly groupId: string;
  /** A member that is silent for so long has left. */
  readonly sessionTimeoutMs: number;
  readonly log: Log;
  /** The group gave this member its partitions, at first and after each rebalance. */
  readonly onJoined: () => void;
  /** A fetch was answered, with or without messages: the consumer is alive. */
  readonly onFetched: () => void;
  /**
   * A request got no answer in time; what came later was thrown away. kafkajs tries again by itself,
   * for minutes, and tells nobody else.
   */
  readonly onUnanswered: (request: { readonly api: string; readonly broker: string }) => void;
}

/** As often as Kafka's own clients; must be below a third of the session. */
const HEARTBEAT_MS = { most: 3_000, ofSession: 1 / 3 } as const;
/** How long a fetch waits for a first byte: the latency of stop and of resuming a pause. */
const FETCH_WAIT_MS = 500;
/**
 * For one partition: a whole record batch comes in any case. Telemetry inflates up to twentyfold. The
 * next fetch goes out while what came with this one is stored, so that larger ones only cost memory.
 */
const FETCH_BYTES_PER_PARTITION = 1024 * 1024;
const FETCH_BYTES = 4 * 1024 * 1024;
/** Partitions in hand at once: enough that an insert of the store fills from all of them. */
const PARTITIONS_AT_ONCE = 32;

export function openConsumer(settings: KafkaConsumerSettings): KafkaConsumer {
  keepCommittedOffsets();
  const { kafka, abort } = openKafka({
    brokers: settings.brokers,
    tls: settings.tls,
    sasl: settings.sasl,
    clientId: settings.groupId,
    log: settings.log,
  });
  const own = ownIdentity();
  const admin = kafka.admin({ retry: { retries: 5 } });
  let adminReady: Promise<void> | undefined;
  const consumer = kafka.consumer({
    groupId: settings.groupId,
    sessionTimeout: settings.sessionTimeoutMs,
    heartbeatInterval: Math.min(
      HEARTBEAT_MS.most,
      Math.floor(settings.sessionTimeoutMs * HEARTBEAT_MS.ofSession),
    ),
    maxWaitTimeInMs: FETCH_WAIT_MS,
    maxBytesPerPartition: FETCH_BYTES_PER_PARTITION,
    maxBytes: FETCH_BYTES,
    allowAutoTopicCreation: false,
    partitionAssigners: [assignerOf(own)],
    maxInFlightRequests: 5,
    retry: { ...RETRY, restartOnFailure: () => Promise.resolve(false) },
  });
  consumer.on(consumer.events.GROUP_JOIN, () => settings.onJoined());
  consumer.on(consumer.events.FETCH, () => settings.onFetched());
  consumer.on(consumer.events.REQUEST_TIMEOUT, ({ payload: { apiName, broker } }) =>
    settings.onUnanswered({ api: apiName, broker }),
  );

  let ended: () => void;
  let crashed: (error: Error) => void;
  const ending = new Promise<void>((resolve, reject) => {
    ended = resolve;
    crashed = reject;
  });
  // Whoever calls run() sees it; without a caller it is nobody's error.
  ending.catch(() => undefined);
  consumer.on(consumer.events.CRASH, ({ payload }) => crashed(payload.error));

  const positions = async (topic: string, partition: number) => {
    adminReady ??= admin.connect().catch((error: unknown) => {
      adminReady = undefined;
      throw error;
    });
    await adminReady;
    const [ofGroup, ofLog] = await Promise.all([
      admin.fetchOffsets({ groupId: settings.groupId, topics: [topic] }),
      admin.fetchTopicOffsets(topic),
    ]);
    const committed = Number(
      ofGroup[0]?.partitions.find((one) => one.partition === partition)?.offset ?? -1,
    );
    return {
      committed: committed < 0 ? undefined : committed,
      oldest: Number(ofLog.find((one) => one.partition === partition)?.low ?? 0),
    };
  };

  return {
    async run(onBatch) {
      await consumer.connect();
      // A group without a committed offset starts at the oldest message; and so does one whose
      // offset fell out of retention, which would otherwise skip everything silently.
      await consumer.subscribe({ topics: [...settings.topics], fromBeginning: true });
      const letDeadMembersLeave = await findDeadMembers(kafka, settings.groupId, own, settings.log);
      const running = consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: async (payload) => {
          const { batch } = payload;
          const { topic, partition } = batch;
          try {
            await onBatch({
              topic,
              partition,
              highWatermark: Number(batch.highWatermark),
              messages: batch.messages.map(({ offset, value }) => ({
                offset: Number(offset),
                value,
              })),
              isCurrent: () => payload.isRunning() && !payload.isStale(),
              heartbeat: () => payload.heartbeat(),
              resolve: (offset) => payload.resolveOffset(String(offset)),
              commit: (nextOffset) =>
                payload.commitOffsetsIfNecessary({
                  topics: [{ topic, partitions: [{ partition, offset: String(nextOffset) }] }],
                }),
              positions: () => positions(topic, partition),
              pause: () => {
                const resume = payload.pause();
                return (at) => {
                  // Before resuming: fetches on their way from further on are then dropped.
                  if (at !== undefined) consumer.seek({ topic, partition, offset: String(at) });
                  resume();
                };
              },
            });
          } catch (error) {
            // Out of here some errors end kafkajs's consumer silently. The batch is not resolved:
            // it comes again.
            settings.log.error('a batch failed unexpectedly; it is read again', {
              topic,
              partition,
              error: messageOf(error),
            });
          }
        },
      });
      void letDeadMembersLeave();
      await running;
      await ending;
    },
    async close(withinMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, withinMs);
      });
      const goodbye = [consumer.disconnect()];
      if (adminReady !== undefined) goodbye.push(admin.disconnect());
      await Promise.race([Promise.allSettled(goodbye), late]);
      clearTimeout(timer);
      abort();
      ended();
    },
  };
}
