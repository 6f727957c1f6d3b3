/**
 * Golden topics: what the proxies of a release put into Kafka, kept under test/fixtures/golden/RELEASE/
 * with the rows that it became. A collector is upgraded before the proxies are, so every later release
 * must read the topics of those before it and make the same rows of them.
 *
 * TOPOLOGY.bin: the values of the topic's messages in order, each behind a head of five bytes:
 *
 *   signal (0 traces, 1 logs)   length, 32 bits, big-endian   OTLP protobuf
 */
import { Batch } from '../../collector/batch.ts';
import type { InboundMessage } from '../../collector/message.ts';
import { TimeWindow } from '../../collector/time-window.ts';
import type { StoreClient } from '../../store/client.ts';
import type { OutboundMessage } from '../../transport/exporter.ts';

/** The longest that a mesh file may ask for: what is kept here grows old. */
export const RETENTION_DAYS = 3_650;

const SIGNALS = ['traces', 'logs'] as const;

export interface GoldenFacts {
  /** When the topic was recorded, Unix milliseconds. */
  readonly recorded_ms: number;
  /** By topology: requests that were sent in. */
  readonly requests: Readonly<Record<string, number>>;
}

export function writeTopic(messages: readonly OutboundMessage[]): Buffer {
  return Buffer.concat(
    messages.flatMap(({ signal, body }) => {
      const head = Buffer.alloc(5);
      head.writeUInt8(SIGNALS.indexOf(signal), 0);
      head.writeUInt32BE(body.length, 1);
      return [head, Buffer.from(body)];
    }),
  );
}

export function readTopic(name: string, file: Buffer): InboundMessage[] {
  const messages: InboundMessage[] = [];
  for (let at = 0; at < file.length;) {
    const bodyBytes = file.readUInt32BE(at + 1);
    messages.push({
      signal: SIGNALS[file.readUInt8(at)]!,
      encoding: 'protobuf',
      body: file.subarray(at + 5, at + 5 + bodyBytes),
      source: { name, partition: 0, offset: messages.length },
    });
    at += 5 + bodyBytes;
  }
  return messages;
}

/** Stores messages as the collector does; resolves with what it rejected, in words. */
export async function storeTopic(
  store: StoreClient,
  messages: readonly InboundMessage[],
  nowMs: number,
): Promise<string[]> {
  const batch = new Batch();
  const window = new TimeWindow(nowMs, RETENTION_DAYS);
  const rejected = messages.flatMap((message) =>
    batch.add(message, window).rejected.map(({ reason, detail }) => `${reason}: ${detail}`),
  );
  for (const { table, bytes } of batch.seal()) await store.insertNative(table, bytes);
  return rejected;
}

/**
 * The stored hops, one line of JSON each behind a line of column names. `columns`: undefined for all
 * that say something about the hop, and nothing about how and when it came here.
 */
export async function hopRows(store: StoreClient, columns?: readonly string[]): Promise<string> {
  const chosen =
    columns === undefined
      ? '* EXCEPT (Source, SourcePartition, SourceOffset, IngestedAt)'
      : columns.map((column) => `"${column}"`).join(', ');
  return store.text(
    `SELECT ${chosen} FROM spans WHERE HopVersion > 0 ORDER BY BootId, Seq
     FORMAT JSONCompactEachRowWithNames`,
  );
}
