/**
 * A receiver of Kafka whose consumers and pipeline do what the test says.
 */
import { setImmediate } from 'node:timers/promises';
import {
  createKafkaReceiver,
  type KafkaReceiver,
  type KafkaReceiverSettings,
} from '../../collector/kafka-receiver.ts';
import type { InboundMessage } from '../../collector/pipeline.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import type {
  ConsumedBatch,
  ConsumedMessage,
  KafkaConsumer,
  KafkaConsumerSettings,
} from '../../transport/kafka/kafka-consumer.ts';

export const NOTHING = { spans: 0, ledgers: 0, rejected: [] };
export const busy = (): AzimuthError => new AzimuthError('AZ_COLLECTOR_BUSY');

/** Consumers that do what the test says; `events` is what happened, in order. */
export function scene(settings: Partial<KafkaReceiverSettings> = {}) {
  const events: string[] = [];
  const consumers: {
    settings: KafkaConsumerSettings;
    deliver: (batch: ConsumedBatch) => Promise<void>;
    crash: (error: Error) => void;
  }[] = [];
  const open = (consumerSettings: KafkaConsumerSettings): KafkaConsumer => {
    let end: () => void = () => undefined;
    return {
      run: (onBatch) =>
        new Promise((resolve, reject) => {
          end = resolve;
          consumers.push({ settings: consumerSettings, deliver: onBatch, crash: reject });
        }),
      close: () => {
        events.push('close');
        end();
        return Promise.resolve();
      },
    };
  };
  const receiver: KafkaReceiver = createKafkaReceiver({
    brokers: ['unused:1'],
    topics: { traces: 'spans', logs: 'logs' },
    groupId: 'g',
    log: silentLog,
    pipeline: { accept: () => Promise.resolve(NOTHING) },
    openConsumer: open,
    ...settings,
  });
  const batch = (
    values: readonly (string | null)[],
    overrides: Partial<ConsumedBatch> = {},
  ): ConsumedBatch => ({
    topic: 'spans',
    partition: 3,
    messages: values.map((value, i): ConsumedMessage => ({
      offset: 100 + i,
      value: value === null ? null : Buffer.from(value),
    })),
    highWatermark: 100 + values.length,
    isCurrent: () => true,
    heartbeat: () => Promise.resolve(),
    resolve: (offset) => events.push(`resolve ${offset}`),
    commit: (next) => {
      events.push(`commit ${next}`);
      return Promise.resolve();
    },
    positions: () => Promise.resolve({ committed: undefined, oldest: 0 }),
    pause: () => {
      events.push('pause');
      return (offset) => events.push(offset === undefined ? 'resume' : `resume ${offset}`);
    },
    ...overrides,
  });
  return { receiver, events, consumers, batch };
}

/** Waits for an event of a scene. The test's own time limit ends it. */
export async function happens(
  s: { readonly events: readonly string[] },
  event: string,
): Promise<void> {
  while (!s.events.includes(event)) await setImmediate();
}

/** A pipeline whose answers the test gives, call by call. */
export function manualPipeline() {
  const calls: {
    readonly offsets: number[];
    readonly store: () => void;
    readonly refuse: (error: Error) => void;
  }[] = [];
  return {
    calls,
    accept: (messages: readonly InboundMessage[]) =>
      new Promise<typeof NOTHING>((resolve, reject) => {
        const offsets = messages.map(({ source }) => source.offset);
        calls.push({ offsets, store: () => resolve(NOTHING), refuse: reject });
      }),
  };
}
