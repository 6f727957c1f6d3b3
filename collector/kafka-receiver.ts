/**
 * Receives OTLP from Kafka: our proxies' topics, and those of a stock OpenTelemetry Collector.
 *
 *   fetch -> lane of the partition -> pipeline.accept() -> stored -> commit     (kafka-lane.ts)
 *     \-> the next fetch meanwhile, as long as there is room for its bytes
 *
 * At least once: an offset is committed only after the store confirmed every row before it, so that a
 * kill at any moment replays and never skips. What cannot be read is the pipeline's to dead-letter;
 * here no message is judged, none is skipped, and nothing thrown ends the consumer. When kafkajs
 * gives up, a new consumer is made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import {
  openConsumer,
  type ConsumedBatch,
  type KafkaConsumer,
  type KafkaConsumerSettings,
} from '../transport/kafka/kafka-consumer.ts';
import { isBrokerAway, isTopicMissing } from '../transport/kafka/kafka-errors.ts';
import type { Signal } from '../transport/exporter.ts';
import type { KafkaAccess } from '../transport/kafka/kafka-access.ts';
import { ByteRoom } from './byte-room.ts';
import { KafkaLane, type LaneContext } from './kafka-lane.ts';
import type { Pipeline } from './pipeline.ts';

export interface KafkaReceiverSettings extends KafkaAccess {
  /** Topic of each signal. */
  readonly topics: Readonly<Record<Signal, string>>;
  readonly groupId: string;
  readonly pipeline: Pick<Pipeline, 'accept'>;
  readonly log: Log;
  /** After a kill, members on other machines take over after it. Default 10 s. */
  readonly sessionTimeoutMs?: number;
  /** For tests. */
  readonly openConsumer?: (settings: KafkaConsumerSettings) => KafkaConsumer;
  readonly nowMs?: () => number;
  /** First wait after a rejection and after a crash; for tests. */
  readonly backOffBaseMs?: number;
  /** Bytes handed on and not stored yet, above which nothing more is. Default 32 MiB. */
  readonly inFlightBytesMax?: number;
  /** Between heartbeats while a batch waits for room; for tests. */
  readonly heartbeatEveryMs?: number;
}

export interface KafkaReceiverStats {
  /** Messages whose content the pipeline accepted, dead letters included. */
  readonly messages: number;
  readonly bytes: number;
  /** Messages without a value or with an empty one: nothing is in them. */
  readonly emptyMessages: number;
  /** Times that the pipeline asked to come again. */
  readonly retries: number;
  readonly commits: number;
  readonly commitFailures: number;
  /** Times that the consumer ended by itself and was made anew. */
  readonly crashes: number;
  /** Messages that the broker deleted (retention) before they were read. */
  readonly deleted: number;
  /** Partitions whose reading began past their first offset for a group without a position. */
  readonly beganPastStart: number;
  /** Messages fetched or known to wait that are not committed yet. */
  readonly lag: number;
}

export interface KafkaReceiver {
  readonly name: string;
  /** Begins to connect and resolves at once: without a broker it tries again for ever. */
  start(): Promise<void>;
  /** Finishes the batches in hand, commits, leaves the group. Safe to call twice. */
  stop(): Promise<void>;
  /** Why it gets no messages now, or cannot hand them on; undefined while it works. */
  notReady(): string | undefined;
  /**
   * Why it should be restarted; undefined while messages move, none wait, the pipeline tells to come
   * again, or brokers cannot be reached or answer too late: a restart brings neither a store nor a
   * broker back.
   */
  unhealthy(): string | undefined;
  stats(): KafkaReceiverStats;
}

/**
 * Heartbeats come every second, also around an insert. A successor on the same machine does not wait
 * for it (transport/kafka/dead-members.ts).
 */
const SESSION_TIMEOUT_MS = 10_000;
/**
 * Bytes handed to the pipeline that are not stored yet: one full batch on its way to the store and
 * one that fills. Half of what the pipeline takes in all, so that OTLP is never turned away by it.
 */
const IN_FLIGHT_BYTES_MAX = 32 * 1024 * 1024;
const RECONNECT_MS = { base: 500, max: 10_000 } as const;
/** A topic that is missing at first is created by whoever starts the same system just then. */
const TOPIC_LOOK_MS = 2_000;
/** A commit that failed (coordinator moved) is tried again, or an idle partition stays behind. */
const RECOMMIT_EVERY_MS = 2_000;
/** kafkajs sends heartbeats only between batches; waiting for room may take longer than that. */
const HEARTBEAT_EVERY_MS = 1_000;
/** No progress for so long, with messages waiting, is a wedge and not a pause. */
const STUCK_AFTER_MS = 60_000;
/** A slow broker leaves request after request unanswered, of several kinds. */
const TELL_UNANSWERED_EVERY_MS = 30_000;
/** What is in flight is stored, or refused, within the store's own time limit. */
const SETTLE_WITHIN_MS = 10_000;
/** Leaving a group takes a moment. */
const CLOSE_WITHIN_MS = 3_000;

export function createKafkaReceiver(settings: KafkaReceiverSettings): KafkaReceiver {
  return new Receiver(settings);
}

class Receiver implements KafkaReceiver {
  readonly name = 'kafka receiver';
  readonly #settings: KafkaReceiverSettings;
  readonly #signalOf: ReadonlyMap<string, Signal>;
  readonly #log: Log;
  readonly #nowMs: () => number;
  /** By topic and partition, of the present assignment. */
  readonly #lanes = new Map<string, KafkaLane>();
  /** Those of past assignments that have messages in flight. */
  readonly #retired = new Set<KafkaLane>();
  readonly #stopping = new AbortController();
  readonly #room: ByteRoom;
  readonly #context: LaneContext;
  readonly #counts = {
    messages: 0,
    bytes: 0,
    emptyMessages: 0,
    retries: 0,
    commits: 0,
    commitFailures: 0,
    crashes: 0,
    deleted: 0,
    beganPastStart: 0,
  };
  #consumer: KafkaConsumer | undefined;
  #running: Promise<void> | undefined;
  #recommitTimer: NodeJS.Timeout | undefined;
  #joined = false;
  #lastError: string | undefined;
  #batchesInHand = 0;
  #lastFetchMs = 0;
  #lastProgressMs = 0;
  /** The pipeline answered that it cannot take messages now, or no broker answered (in time). */
  #lastRefusalMs = -Infinity;
  #toldUnansweredMs = -Infinity;

  constructor(settings: KafkaReceiverSettings) {
    this.#settings = settings;
    this.#signalOf = new Map([
      [settings.topics.traces, 'traces'],
      [settings.topics.logs, 'logs'],
    ]);
    this.#log = settings.log.with({ receiver: 'kafka' });
    this.#nowMs = settings.nowMs ?? monotonicMs;
    this.#room = new ByteRoom(settings.inFlightBytesMax ?? IN_FLIGHT_BYTES_MAX);
    this.#context = {
      pipeline: settings.pipeline,
      log: this.#log,
      room: this.#room,
      stopping: this.#stopping.signal,
      backOffBaseMs: settings.backOffBaseMs,
      heartbeatEveryMs: settings.heartbeatEveryMs ?? HEARTBEAT_EVERY_MS,
      counts: this.#counts,
      onCommitted: () => (this.#lastProgressMs = this.#nowMs()),
      onRefused: (error, mayPass) => this.#noteFailure(error, mayPass || isBrokerAway(error)),
      onCommitFailed: (error) => this.#noteFailure(error, isBrokerAway(error)),
    };
  }

  start(): Promise<void> {
    this.#lastFetchMs = this.#lastProgressMs = this.#nowMs();
    this.#recommitTimer = setInterval(() => void this.#recommit(), RECOMMIT_EVERY_MS);
    this.#running ??= this.#run();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#recommitTimer);
    // What is in flight is stored and committed first: an orderly stop replays nothing.
    await this.#settled();
    await this.#consumer?.close(CLOSE_WITHIN_MS);
    await this.#running;
  }

  notReady(): string | undefined {
    const stuckMs = this.#nowMs() - this.#lastProgressMs;
    if (this.#joined && this.#lag() > 0 && stuckMs > STUCK_AFTER_MS)
      return `kafka: messages are not taken for ${Math.round(stuckMs / 1000)} s: ${this.#lastError ?? 'no answer'}`;
    if (this.#joined) return undefined;
    const why = this.#lastError === undefined ? '' : `: ${this.#lastError}`;
    return `kafka: not in the consumer group yet (brokers ${this.#settings.brokers.join(', ')})${why}`;
  }

  unhealthy(): string | undefined {
    const now = this.#nowMs();
    const silentMs = now - Math.max(this.#lastFetchMs, this.#lastRefusalMs);
    const stuckMs = now - Math.max(this.#lastProgressMs, this.#lastRefusalMs);
    const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
    const why = this.#lastError === undefined ? '' : ` (last error: ${this.#lastError})`;
    const lag = this.#lag();
    if (lag > 0 && stuckMs > STUCK_AFTER_MS)
      return `kafka: ${lag} messages wait and none was committed for ${seconds(stuckMs)}${why}`;
    if (this.#batchesInHand === 0 && silentMs > STUCK_AFTER_MS)
      return `kafka: nothing could be fetched for ${seconds(silentMs)}${why}`;
    return undefined;
  }

  stats(): KafkaReceiverStats {
    return { ...this.#counts, lag: this.#lag() };
  }

  /** Resolves when nothing is in flight, after SETTLE_WITHIN_MS at the latest. */
  async #settled(): Promise<void> {
    const lanes = [...this.#lanes.values(), ...this.#retired];
    const done = new AbortController();
    await Promise.race([
      Promise.all(lanes.map((lane) => lane.settled())),
      sleep(SETTLE_WITHIN_MS, undefined, { signal: done.signal }).catch(() => undefined),
    ]);
    done.abort();
  }

  #lag(): number {
    let lag = 0;
    for (const lane of this.#lanes.values()) lag += lane.lag;
    return lag;
  }

  /** Until stopped: one consumer after the other. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let tries = 0; !signal.aborted; tries++) {
      let waitMsMax: number = RECONNECT_MS.max;
      const open = this.#settings.openConsumer ?? openConsumer;
      const consumer = open({
        brokers: this.#settings.brokers,
        tls: this.#settings.tls,
        sasl: this.#settings.sasl,
        topics: [...this.#signalOf.keys()],
        groupId: this.#settings.groupId,
        sessionTimeoutMs: this.#settings.sessionTimeoutMs ?? SESSION_TIMEOUT_MS,
        log: this.#log,
        onJoined: () => {
          this.#onJoined();
          tries = 0;
        },
        onFetched: () => (this.#lastFetchMs = this.#nowMs()),
        onUnanswered: ({ api, broker }) => this.#onUnanswered(api, broker),
      });
      this.#consumer = consumer;
      try {
        await consumer.run((batch) => this.#take(batch));
      } catch (error) {
        this.#counts.crashes++;
        this.#noteFailure(error, isBrokerAway(error));
        if (isTopicMissing(error)) {
          waitMsMax = TOPIC_LOOK_MS;
          const topics = [...this.#signalOf.keys()].join(', ');
          this.#lastError = `not all of the topics ${topics} exist; \`azimuth topics\` creates them`;
        }
        // Being stopped, kafkajs ends with an error about nothing.
        if (!this.#stopping.signal.aborted && (tries === 0 || tries % 10 === 9))
          this.#log.warn('the Kafka consumer ended; a new one is made', {
            error: this.#lastError,
            brokers: this.#settings.brokers.join(', '),
            tries: tries + 1,
          });
      }
      this.#joined = false;
      await consumer.close(CLOSE_WITHIN_MS);
      const waitMs = Math.min(
        (this.#settings.backOffBaseMs ?? RECONNECT_MS.base) * 2 ** Math.min(tries, 10),
        waitMsMax,
      );
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** `mayPass`: a restart of this process would not help against it. */
  #noteFailure(error: unknown, mayPass: boolean): void {
    this.#lastError = messageOf(error);
    if (mayPass) this.#lastRefusalMs = this.#nowMs();
  }

  /** Answers that come too late keep messages waiting, and to whoever asks next they come as late. */
  #onUnanswered(api: string, broker: string): void {
    const now = this.#nowMs();
    this.#lastError = `${broker} did not answer ${api} in time`;
    this.#lastRefusalMs = now;
    if (now - this.#toldUnansweredMs < TELL_UNANSWERED_EVERY_MS) return;
    this.#toldUnansweredMs = now;
    this.#log.warn('a Kafka broker does not answer in time; messages wait', { broker, api });
  }

  /** A new assignment: what was known of partitions, and commits still due, are void. */
  #onJoined(): void {
    this.#joined = true;
    this.#lastError = undefined;
    for (const lane of this.#lanes.values()) {
      lane.retire();
      this.#retired.add(lane);
      void lane.settled().then(() => this.#retired.delete(lane));
    }
    this.#lanes.clear();
    this.#lastFetchMs = this.#lastProgressMs = this.#nowMs();
    this.#log.info('joined the consumer group', { group: this.#settings.groupId });
  }

  async #take(batch: ConsumedBatch): Promise<void> {
    const first = batch.messages[0];
    if (first === undefined) return;
    const lane = this.#laneOf(batch, first.offset);
    // Nothing waited before these: the time until now was not a standstill.
    if (this.#lag() === 0) this.#lastProgressMs = this.#nowMs();
    this.#batchesInHand++;
    try {
      await lane.take(batch);
    } finally {
      this.#batchesInHand--;
      this.#lastFetchMs = this.#nowMs();
    }
  }

  async #recommit(): Promise<void> {
    for (const lane of this.#lanes.values()) await lane.recommit();
  }

  #laneOf({ topic, partition }: ConsumedBatch, firstOffset: number): KafkaLane {
    const key = `${topic}/${partition}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      const signal = this.#signalOf.get(topic) ?? 'traces';
      lane = new KafkaLane({ topic, partition, signal }, firstOffset, this.#context);
      this.#lanes.set(key, lane);
    }
    return lane;
  }
}
