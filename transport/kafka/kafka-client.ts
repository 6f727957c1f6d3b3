/**
 * The port to a Kafka producer: four methods, so that the discipline above it (kafka-exporter.ts)
 * can be tested with a fake, and another client library can take the place of kafkajs.
 *
 * The discipline needs of a client only this: one message to one named partition, resolved when
 * all in-sync replicas have it. With more than one partition in a send kafkajs acknowledges
 * messages that it never wrote (docs/adr, Kafka discipline); this port cannot express such a send.
 */
import kafkajs from 'kafkajs';
import { AzimuthError } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { Compression } from '../compression.ts';
import type { KafkaAccess } from './kafka-access.ts';
import { openKafka } from './kafka-connection.ts';
import { asExportError } from './kafka-errors.ts';

export interface KafkaClient {
  /** Connects. Resolves when connected; may be called again after it rejected. */
  connect(): Promise<void>;
  /** Ids of the topic's partitions, ascending. Rejects when the topic does not exist. */
  partitions(topic: string): Promise<readonly number[]>;
  /**
   * Sends one value to one partition; resolves when all in-sync replicas have it. Retries for half
   * a minute by itself. Rejects with an AzimuthError.
   */
  send(topic: string, partition: number, value: Uint8Array): Promise<void>;
  /** Disconnects; what is still in flight is rejected. Never rejects. Safe to call twice. */
  close(): Promise<void>;
}

export interface KafkaClientSettings extends KafkaAccess {
  /** Of each record batch. Default `zstd`. */
  readonly compression?: Compression;
  readonly clientId: string;
  readonly log: Log;
}

/** An orderly disconnect takes milliseconds; after this the sockets are destroyed. */
const DISCONNECT_WITHIN_MS = 2_000;

const COMPRESSION_TYPES: Readonly<Record<Compression, kafkajs.CompressionTypes>> = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  zstd: kafkajs.CompressionTypes.ZSTD,
};

const closedError = (): AzimuthError =>
  new AzimuthError('AZ_EXPORT_FAILED', 'the Kafka client is closed');

export function createKafkaClient(settings: KafkaClientSettings): KafkaClient {
  const { kafka, abort } = openKafka(settings);
  const compression = COMPRESSION_TYPES[settings.compression ?? 'zstd'];
  const producer = kafka.producer({
    // Its idempotent mode lost acknowledged messages in two of three fault runs.
    idempotent: false,
    allowAutoTopicCreation: false,
    // One send per partition is the exporter's rule; this bounds a connection all the same.
    maxInFlightRequests: 5,
    createPartitioner: () => (args) => {
      const { partition } = args.message;
      if (partition === undefined) throw new Error('no partition named');
      return partition;
    },
  });
  const admin = kafka.admin();
  let inFlight = 0;
  let closed = false;
  const isClosed = (): boolean => closed;
  // What kafkajs says of its end (an empty list of brokers) is how we end it.
  const failure = (error: unknown, what: string): AzimuthError =>
    isClosed() ? closedError() : asExportError(error, what);

  return {
    async connect() {
      try {
        await producer.connect();
      } catch (error) {
        throw failure(error, `connect to Kafka at ${settings.brokers.join(', ')}`);
      }
    },

    async partitions(topic) {
      try {
        await admin.connect();
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const found = topics.find((t) => t.name === topic)?.partitions ?? [];
        return found.map((p) => p.partitionId).sort((a, b) => a - b);
      } catch (error) {
        throw failure(error, `look up topic ${topic}`);
      } finally {
        // Its connection would idle for hours: metadata is asked for every few minutes.
        await admin.disconnect().catch(() => undefined);
      }
    },

    async send(topic, partition, value) {
      if (isClosed()) throw closedError();
      inFlight++;
      try {
        await producer.send({
          topic,
          acks: -1,
          compression,
          messages: [
            { partition, value: Buffer.from(value.buffer, value.byteOffset, value.length) },
          ],
        });
      } catch (error) {
        throw failure(error, `send to ${topic}/${partition}`);
      } finally {
        inFlight--;
      }
    },

    async close() {
      if (closed) return;
      closed = true;
      // With sends in flight the orderly way waits for answers that may never come.
      if (inFlight > 0) abort();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, DISCONNECT_WITHIN_MS);
      });
      await Promise.race([producer.disconnect().catch(() => undefined), late]);
      clearTimeout(timer);
      abort();
    },
  };
}
