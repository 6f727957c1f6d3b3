/**
 * Receives OTLP from Kafka: our proxies' topics, and those of a stock OpenTelemetry Collector.
 *
 *   fetch -> slices of a partition -> pipeline.accept() -> stored -> resolve + commit -> next slice
 *                                          | not now: pause, back off, the same messages again
 *
 * At least once: an offset is committed only after the store confirmed every row of it, so that a
 * kill at any moment replays and never skips. What cannot be read is the pipeline's to dead-letter;
 * here no message is judged, none is skipped, and nothing thrown ends the consumer. When kafkajs
 * gives up, a new consumer is made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../runtime/clock.ts';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import {
  openConsumer,
  type ConsumedBatch,
  type ConsumedMessage,
  type KafkaConsumer,
  type KafkaConsumerSettings,
} from '../transport/kafka/kafka-consumer.ts';
import type { Signal } from '../transport/exporter.ts';
import type { KafkaAccess } from '../transport/kafka/kafka-access.ts';
import type { InboundMessage, Pipeline } from './pipeline.ts';

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
   * Why it should be restarted; undefined while messages move, none wait, or the pipeline tells to
   * come again: a restart does not bring a store back.
   */
  unhealthy(): string | undefined;
  stats(): KafkaReceiverStats;
}

/**
 * Heartbeats come every second, also around an insert. A successor on the same machine does not wait
 * for it (transport/kafka/dead-members.ts).
 */
const SESSION_TIMEOUT_MS = 10_000;
/** One accept() takes at most so much of a partition: bounds memory and the time to a commit. */
const SLICE = { messages: 500, bytes: 4 * 1024 * 1024 } as const;
/** A partition whose slice was not accepted rests, doubling. */
const RETRY_MS = { base: 250, max: 10_000 } as const;
const RECONNECT_MS = { base: 500, max: 10_000 } as const;
/** kafkajs sends heartbeats only between batches; an insert may take longer than that. */
const HEARTBEAT_EVERY_MS = 1_000;
/** A commit that failed (coordinator moved) is tried again, or an idle partition stays behind. */
const RECOMMIT_EVERY_MS = 2_000;
/** No progress for so long, with messages waiting, is a wedge and not a pause. */
const STUCK_AFTER_MS = 60_000;
/** Batches in hand end within the store's own time limit; leaving a group takes a moment. */
const CLOSE_WITHIN_MS = { withBatches: 10_000, idle: 3_000 } as const;
const OPENING_BRACE = 0x7b;
const NO_BODY = new Uint8Array(0);

export function createKafkaReceiver(settings: KafkaReceiverSettings): KafkaReceiver {
  return new Receiver(settings);
}

/** What is known of one partition. */
interface PartitionState {
  /** Rejections in a row. */
  failures: number;
  /** Offset that the next message should have; undefined until the group's own was asked for. */
  next: number | undefined;
  /** Everything before it is committed. */
  committed: number;
  highWatermark: number;
  /** Accepted but not committed, because the commit failed. */
  recommit: { nextOffset: number; commit: (nextOffset: number) => Promise<void> } | undefined;
}

class Receiver implements KafkaReceiver {
  readonly name = 'kafka receiver';
  readonly #settings: KafkaReceiverSettings;
  readonly #signalOf: ReadonlyMap<string, Signal>;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #partitions = new Map<string, PartitionState>();
  readonly #resumes = new Set<NodeJS.Timeout>();
  readonly #stopping = new AbortController();
  readonly #counts = {
    messages: 0,
    bytes: 0,
    emptyMessages: 0,
    retries: 0,
    commits: 0,
    commitFailures: 0,
    crashes: 0,
    deleted: 0,
  };
  #consumer: KafkaConsumer | undefined;
  #running: Promise<void> | undefined;
  #recommitTimer: NodeJS.Timeout | undefined;
  #joined = false;
  #lastError: string | undefined;
  #batchesInHand = 0;
  #lastFetchMs = 0;
  #lastProgressMs = 0;
  /** The pipeline answered that it cannot take messages now. */
  #lastRefusalMs = -Infinity;

  constructor(settings: KafkaReceiverSettings) {
    this.#settings = settings;
    this.#signalOf = new Map([
      [settings.topics.traces, 'traces'],
      [settings.topics.logs, 'logs'],
    ]);
    this.#log = settings.log.with({ receiver: 'kafka' });
    this.#nowMs = settings.nowMs ?? monotonicMs;
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
    await this.#consumer?.close(this.#closeWithinMs());
    await this.#running;
    for (const timer of this.#resumes) clearTimeout(timer);
    this.#resumes.clear();
  }

  notReady(): string | undefined {
    const stuckMs = this.#nowMs() - this.#lastProgressMs;
    if (this.#joined && this.#lag() > 0 && stuckMs > STUCK_AFTER_MS)
      return `kafka: messages are not taken for ${Math.round(stuckMs / 1000)} s: ${this.#lastError ?? 'no answer'}`;
    if (this.#joined) return undefined;
    const why = this.#lastError === undefined ? '' : `: ${this.#lastError}`;
    return `kafka: not in the consumer group yet${why}`;
  }

  unhealthy(): string | undefined {
    const now = this.#nowMs();
    const silentMs = now - this.#lastFetchMs;
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

  #closeWithinMs(): number {
    return this.#batchesInHand > 0 ? CLOSE_WITHIN_MS.withBatches : CLOSE_WITHIN_MS.idle;
  }

  #lag(): number {
    let lag = 0;
    for (const state of this.#partitions.values())
      lag += Math.max(0, state.highWatermark - state.committed);
    return lag;
  }

  /** Until stopped: one consumer after the other. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let tries = 0; !signal.aborted; tries++) {
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
      });
      this.#consumer = consumer;
      try {
        await consumer.run((batch) => this.#take(batch));
      } catch (error) {
        this.#counts.crashes++;
        this.#lastError = messageOf(error);
        if (tries === 0 || tries % 10 === 9)
          this.#log.warn('the Kafka consumer ended; a new one is made', {
            error: this.#lastError,
            tries: tries + 1,
          });
      }
      this.#joined = false;
      await consumer.close(this.#closeWithinMs());
      const waitMs = Math.min(
        (this.#settings.backOffBaseMs ?? RECONNECT_MS.base) * 2 ** Math.min(tries, 10),
        RECONNECT_MS.max,
      );
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** A new assignment: what was known of other partitions, and commits still due, are void. */
  #onJoined(): void {
    this.#joined = true;
    this.#lastError = undefined;
    this.#partitions.clear();
    this.#lastFetchMs = this.#lastProgressMs = this.#nowMs();
    this.#log.info('joined the consumer group', { group: this.#settings.groupId });
  }

  async #take(batch: ConsumedBatch): Promise<void> {
    const first = batch.messages[0];
    if (first === undefined) return;
    const state = this.#stateOf(batch, first.offset);
    // Nothing waited before these: the time until now was not a standstill.
    if (this.#lag() === 0) this.#lastProgressMs = this.#nowMs();
    state.highWatermark = batch.highWatermark;
    this.#batchesInHand++;
    const group = { rebalances: false };
    let deleted = 0;
    const heartbeat = setInterval(() => {
      batch.heartbeat().catch(() => (group.rebalances = true));
    }, HEARTBEAT_EVERY_MS);
    try {
      try {
        deleted = await this.#deletedBefore(batch, state, first.offset);
      } catch (error) {
        this.#pause(batch, state, error);
        return;
      }
      for (const slice of slicesOf(batch.messages)) {
        // While the group rebalances it waits for us: what follows goes to whoever gets it.
        if (group.rebalances || !batch.isCurrent()) return;
        const accepted = await this.#accept(batch, state, slice, deleted);
        if (!accepted) return;
        deleted = 0;
        // Not asked here whether we are being stopped: what is stored is committed all the same,
        // so that an orderly stop replays nothing. A commit for a lost partition fails by itself.
        await this.#commit(batch, state, slice.at(-1)!.offset + 1);
      }
    } finally {
      clearInterval(heartbeat);
      this.#batchesInHand--;
      this.#lastFetchMs = this.#nowMs();
    }
  }

  /**
   * Messages that the broker deleted before we read them: between the offset that should come next
   * and the one that came. Offsets that are missing for other reasons (transaction markers, a topic
   * that is compacted) lie behind the oldest that the broker has.
   */
  async #deletedBefore(
    batch: ConsumedBatch,
    state: PartitionState,
    firstOffset: number,
  ): Promise<number> {
    if (state.next !== undefined && firstOffset <= state.next) return 0;
    const { committed, oldest } = await batch.positions();
    state.next ??= committed ?? firstOffset;
    return Math.max(0, Math.min(oldest, firstOffset) - state.next);
  }

  /** True when all of the slice is stored (or dead-lettered). On false the partition is paused. */
  async #accept(
    batch: ConsumedBatch,
    state: PartitionState,
    slice: readonly ConsumedMessage[],
    deleted: number,
  ): Promise<boolean> {
    const { topic, partition } = batch;
    const signal = this.#signalOf.get(topic) ?? 'traces';
    const messages: InboundMessage[] = [];
    if (deleted > 0)
      messages.push({
        signal,
        encoding: 'protobuf',
        body: NO_BODY,
        source: { name: topic, partition, offset: state.next! },
        deleted,
      });
    for (const { offset, value } of slice) {
      if (value === null || value.length === 0) continue;
      messages.push({
        signal,
        // No OTLP protobuf begins with a brace: it would be a field of a kind that OTLP never had.
        encoding: value[0] === OPENING_BRACE ? 'json' : 'protobuf',
        body: value,
        source: { name: topic, partition, offset },
      });
    }
    try {
      if (messages.length > 0) await this.#settings.pipeline.accept(messages);
    } catch (error) {
      this.#pause(batch, state, error);
      return false;
    }
    state.failures = 0;
    if (deleted > 0) {
      this.#counts.deleted += deleted;
      const from = state.next;
      this.#log.error('the broker deleted messages before they were read', {
        ...{ topic, partition, from, messages: deleted },
      });
      messages.shift();
    }
    state.next = slice.at(-1)!.offset + 1;
    this.#counts.emptyMessages += slice.length - messages.length;
    this.#counts.messages += messages.length;
    for (const { body } of messages) this.#counts.bytes += body.length;
    batch.resolve(slice.at(-1)!.offset);
    return true;
  }

  /** Rests the partition; it is then fetched again from the first message that was not accepted. */
  #pause(batch: ConsumedBatch, state: PartitionState, error: unknown): void {
    this.#counts.retries++;
    this.#lastError = messageOf(error);
    if (error instanceof AzimuthError && error.retryable) this.#lastRefusalMs = this.#nowMs();
    const base = this.#settings.backOffBaseMs ?? RETRY_MS.base;
    const backOffMs = Math.min(base * 2 ** Math.min(state.failures, 10), RETRY_MS.max);
    const askedMs = error instanceof AzimuthError ? (error.retryAfterS ?? 0) * 1000 : 0;
    const waitMs = Math.max(backOffMs, Math.min(askedMs, RETRY_MS.max)) * (0.8 + Math.random() / 5);
    if (state.failures++ % 10 === 0)
      this.#log.warn('messages were not accepted; they are read again', {
        topic: batch.topic,
        partition: batch.partition,
        error: this.#lastError,
        failures: state.failures,
      });
    const resume = batch.pause();
    const timer = setTimeout(() => {
      this.#resumes.delete(timer);
      resume();
    }, waitMs);
    this.#resumes.add(timer);
  }

  async #commit(batch: ConsumedBatch, state: PartitionState, nextOffset: number): Promise<void> {
    state.recommit = undefined;
    try {
      await batch.commit(nextOffset);
      this.#committed(state, nextOffset);
    } catch (error) {
      // Not lost: stored already, and either committed later or replayed.
      this.#counts.commitFailures++;
      state.recommit = { nextOffset, commit: (offset) => batch.commit(offset) };
      this.#log.debug('commit failed', {
        topic: batch.topic,
        partition: batch.partition,
        error: messageOf(error),
      });
    }
  }

  #committed(state: PartitionState, nextOffset: number): void {
    this.#counts.commits++;
    state.committed = Math.max(state.committed, nextOffset);
    this.#lastProgressMs = this.#nowMs();
  }

  async #recommit(): Promise<void> {
    for (const state of this.#partitions.values()) {
      const due = state.recommit;
      if (due === undefined) continue;
      try {
        await due.commit(due.nextOffset);
        if (state.recommit === due) state.recommit = undefined;
        this.#committed(state, due.nextOffset);
      } catch {
        this.#counts.commitFailures++;
      }
    }
  }

  #stateOf(batch: ConsumedBatch, firstOffset: number): PartitionState {
    const key = `${batch.topic}/${batch.partition}`;
    let state = this.#partitions.get(key);
    if (state === undefined) {
      state = {
        failures: 0,
        next: undefined,
        committed: firstOffset,
        highWatermark: 0,
        recommit: undefined,
      };
      this.#partitions.set(key, state);
    }
    return state;
  }
}

function* slicesOf(messages: readonly ConsumedMessage[]): Generator<readonly ConsumedMessage[]> {
  let start = 0;
  let bytes = 0;
  for (const [at, { value }] of messages.entries()) {
    const more = value?.length ?? 0;
    if (at > start && (at - start >= SLICE.messages || bytes + more > SLICE.bytes)) {
      yield messages.slice(start, at);
      start = at;
      bytes = 0;
    }
    bytes += more;
  }
  if (start < messages.length) yield messages.slice(start);
}
