/**
 * A Kafka client that remembers instead of sending: what went to which partition, and how many
 * sends were in flight at once. `outcome` decides each send; an answer takes one turn of the loop.
 */
import { setImmediate } from 'node:timers/promises';
import type { KafkaClient } from '../../transport/kafka/kafka-client.ts';

export interface SentValue {
  readonly topic: string;
  readonly partition: number;
  readonly value: Buffer;
}

export interface FakeKafkaClient extends KafkaClient {
  /** Acknowledged values, in order. */
  readonly sent: readonly SentValue[];
  /** All sends begun, also those that failed. */
  readonly begun: readonly SentValue[];
  /** Most sends in flight at once to one partition of one topic. */
  readonly mostPerPartition: () => number;
  readonly mostInFlight: () => number;
  readonly closed: () => boolean;
}

export function createFakeKafkaClient(settings: {
  readonly partitions: Readonly<Record<string, readonly number[]>>;
  /** Throws or rejects to fail the send. `written`: also count it as written. */
  readonly outcome?: (send: SentValue) => Promise<void> | void;
  readonly connect?: () => Promise<void>;
}): FakeKafkaClient {
  const sent: SentValue[] = [];
  const begun: SentValue[] = [];
  const inFlight = new Map<string, number>();
  let total = 0;
  let mostPerPartition = 0;
  let mostInFlight = 0;
  let closed = false;
  return {
    sent,
    begun,
    mostPerPartition: () => mostPerPartition,
    mostInFlight: () => mostInFlight,
    closed: () => closed,
    connect: () => settings.connect?.() ?? Promise.resolve(),
    partitions: (topic) => Promise.resolve(settings.partitions[topic] ?? []),
    async send(topic, partition, value) {
      const send = { topic, partition, value: Buffer.from(value) };
      const key = `${topic}/${partition}`;
      const now = (inFlight.get(key) ?? 0) + 1;
      inFlight.set(key, now);
      mostPerPartition = Math.max(mostPerPartition, now);
      mostInFlight = Math.max(mostInFlight, ++total);
      begun.push(send);
      try {
        await setImmediate();
        await settings.outcome?.(send);
        sent.push(send);
      } finally {
        total--;
        inFlight.set(key, inFlight.get(key)! - 1);
      }
    },
    close: () => {
      closed = true;
      return Promise.resolve();
    },
  };
}
