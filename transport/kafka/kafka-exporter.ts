/**
 * Sends OTLP messages to Kafka under the one discipline that lost no acknowledged message in any
 * fault run: the partition is always named by us, one partition per send, one send in flight per
 * partition, all in-sync replicas acknowledge.
 *
 *   message -> split to at most 900 KB -> next free and healthy partition -> send -> acknowledged
 *
 * A broker whose limit is lower says so; its part is halved and the lower limit kept. A single item
 * that is refused for its size is dropped and counted: without its attributes a hop were no hop.
 *
 * Round robin instead of a key: a key would bind a trace to a partition that may stand still, and
 * nothing downstream in the pipeline needs an order. It keeps no queue and retries nothing itself:
 * the export queue in front does both. A broker that is away at the start is no error here.
 */
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Exporter, OutboundMessage, Signal } from '../exporter.ts';
import type { KafkaClient } from './kafka-client.ts';
import type { Part } from '../otlp-split.ts';
import { PartSender } from '../part-sender.ts';

export interface KafkaExporterSettings {
  /** Owned by the exporter from now on: `close()` closes it. */
  readonly client: KafkaClient;
  /** Topic of each signal. */
  readonly topics: Readonly<Record<Signal, string>>;
  readonly log: Log;
  /** Largest value at first, bytes before compression. Default VALUE_BYTES_MAX. */
  readonly valueBytesMax?: number;
  /** Monotonic milliseconds; for tests. */
  readonly nowMs?: () => number;
}

/** The broker's default limit is 1,048,588 bytes for a batch; headers and envelope need room. */
export const VALUE_BYTES_MAX = 900_000;

/** A partition that failed rests 1 s, doubling to 10 s: as long as a leader change may take. */
const REST_MS = { base: 1000, max: 10_000 } as const;

/** Partitions may be added to a topic; nobody waits for them. */
const METADATA_EVERY_MS = 300_000;

interface PartitionState {
  readonly id: number;
  busy: boolean;
  /** Sends that failed in a row. */
  failures: number;
  /** Monotonic milliseconds until which it rests. */
  restsUntilMs: number;
}

/** What is known of one topic. */
interface Lane {
  readonly topic: string;
  partitions: PartitionState[];
  cursor: number;
  /** Sends that wait for a free partition, first come first served. */
  readonly waiting: (() => void)[];
  lookup: Promise<void> | undefined;
  lookedUpAtMs: number;
}

export function createKafkaExporter(settings: KafkaExporterSettings): Exporter {
  return new KafkaExporter(settings);
}

class KafkaExporter implements Exporter {
  readonly name = 'kafka';
  readonly #client: KafkaClient;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #lanes: Record<Signal, Lane>;
  readonly #parts: PartSender;
  #connecting: Promise<void> | undefined;
  #closed = false;

  constructor(settings: KafkaExporterSettings) {
    this.#client = settings.client;
    this.#log = settings.log.with({ exporter: 'kafka' });
    this.#nowMs = settings.nowMs ?? monotonicMs;
    this.#parts = new PartSender(settings.valueBytesMax ?? VALUE_BYTES_MAX);
    const lane = (topic: string): Lane => ({
      topic,
      partitions: [],
      cursor: 0,
      waiting: [],
      lookup: undefined,
      lookedUpAtMs: 0,
    });
    this.#lanes = { traces: lane(settings.topics.traces), logs: lane(settings.topics.logs) };
  }

  /** The number of partitions of the spans' topic; 1 until it is known. */
  get concurrency(): number {
    return Math.max(1, this.#lanes.traces.partitions.length);
  }

  /** Begins to connect. Resolves at once, also when no broker is there: a proxy serves without one. */
  start(): Promise<void> {
    for (const lane of Object.values(this.#lanes)) {
      this.#ready(lane).catch((error: unknown) =>
        this.#log.warn('Kafka is not reachable yet; telemetry waits in the queue', {
          topic: lane.topic,
          error: messageOf(error),
        }),
      );
    }
    return Promise.resolve();
  }

  /**
   * Resolves when every part of the message is acknowledged. Rejects retryable when a part could
   * not be sent (sending the same message object again sends only what is left), and final when
   * items of it are larger than Kafka takes: `refusedItems` says how many, the others were sent.
   */
  send(message: OutboundMessage): Promise<void> {
    const lane = this.#lanes[message.signal];
    return this.#parts.send(message, (part) => this.#sendPart(lane, part));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const lane of Object.values(this.#lanes))
      for (const wake of lane.waiting.splice(0)) wake();
    await this.#client.close();
  }

  async #sendPart(lane: Lane, part: Part): Promise<void> {
    const partition = await this.#freePartition(lane);
    try {
      await this.#client.send(lane.topic, partition.id, part.body);
      if (partition.failures > 0) {
        partition.failures = 0;
        partition.restsUntilMs = 0;
        if (lane.partitions.every(({ failures }) => failures === 0))
          this.#log.info('Kafka takes messages again', { topic: lane.topic });
      }
    } catch (error) {
      const known = error instanceof AzimuthError ? error : undefined;
      // A message that is refused says nothing about the partition.
      if (known === undefined || known.retryable) this.#rest(lane, partition, error);
      throw known ?? new AzimuthError('AZ_EXPORT_FAILED', messageOf(error), { cause: error });
    } finally {
      partition.busy = false;
      lane.waiting.shift()?.();
    }
  }

  #rest(lane: Lane, partition: PartitionState, error: unknown): void {
    partition.failures++;
    const restMs = Math.min(REST_MS.base * 2 ** (partition.failures - 1), REST_MS.max);
    partition.restsUntilMs = this.#nowMs() + restMs;
    // One line for an outage, not one for each partition.
    const first = lane.partitions.every((p) => p === partition || p.failures === 0);
    if (first && partition.failures === 1 && !this.#closed)
      this.#log.warn('Kafka does not take messages', {
        topic: lane.topic,
        partition: partition.id,
        error: messageOf(error),
      });
  }

  /** Waits for a partition without a send in flight, and takes it. The caller gives it back. */
  async #freePartition(lane: Lane): Promise<PartitionState> {
    for (;;) {
      this.#failIfClosed();
      await this.#ready(lane);
      this.#failIfClosed();
      const partition = this.#choose(lane);
      if (partition !== undefined) {
        partition.busy = true;
        return partition;
      }
      await new Promise<void>((resolve) => lane.waiting.push(resolve));
    }
  }

  /**
   * The next free one in turn that does not rest. When none is in flight and all rest, the one
   * whose rest ends first: somebody must find out that the broker is back.
   */
  #choose(lane: Lane): PartitionState | undefined {
    const count = lane.partitions.length;
    const now = this.#nowMs();
    let soonest: PartitionState | undefined;
    let busy = false;
    for (let step = 0; step < count; step++) {
      const at = (lane.cursor + step) % count;
      const partition = lane.partitions[at]!;
      if (partition.busy) {
        busy = true;
      } else if (partition.restsUntilMs <= now) {
        lane.cursor = (at + 1) % count;
        return partition;
      } else if (soonest === undefined || partition.restsUntilMs < soonest.restsUntilMs) {
        soonest = partition;
      }
    }
    return busy ? undefined : soonest;
  }

  /** Connected, and the partitions of the topic known. One look-up at a time. */
  #ready(lane: Lane): Promise<void> {
    const known = lane.partitions.length > 0;
    const stale = this.#nowMs() - lane.lookedUpAtMs > METADATA_EVERY_MS;
    if (known && !stale) return Promise.resolve();
    lane.lookup ??= this.#lookUp(lane).finally(() => (lane.lookup = undefined));
    if (!known) return lane.lookup;
    // What is known serves meanwhile, and also when the look-up fails.
    lane.lookup.catch(() => undefined);
    return Promise.resolve();
  }

  async #lookUp(lane: Lane): Promise<void> {
    lane.lookedUpAtMs = this.#nowMs();
    this.#connecting ??= this.#client.connect();
    try {
      await this.#connecting;
    } catch (error) {
      this.#connecting = undefined;
      throw error;
    }
    const ids = await this.#client.partitions(lane.topic);
    if (ids.length === 0)
      throw new AzimuthError('AZ_EXPORT_FAILED', `topic ${lane.topic} has no partitions`);
    const before = new Map(lane.partitions.map((partition) => [partition.id, partition]));
    lane.partitions = ids.map(
      (id) => before.get(id) ?? { id, busy: false, failures: 0, restsUntilMs: 0 },
    );
  }

  #failIfClosed(): void {
    if (this.#closed) throw new AzimuthError('AZ_EXPORT_FAILED', 'the exporter is closed');
  }
}
