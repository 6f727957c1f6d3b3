/** `azimuth reconcile`: prints whether every hop is accounted for; exit code 1 when one is not. */
import { parseArgs } from 'node:util';
import { hasFault, reconcile } from '../../analytics/reconcile.ts';
import { reconcileText } from '../../analytics/reports/reconcile-text.ts';
import { parseWindow } from '../../analytics/window.ts';
import { collectorPart, type CollectorPart } from '../../mesh/parts.ts';
import { messageOf } from '../../runtime/errors.ts';
import { createStoreClient } from '../../store/client.ts';
import { readKafkaAccess } from '../../transport/kafka/kafka-access.ts';
import { readLag, type TopicLag } from '../../transport/kafka/kafka-topics.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
Usage: azimuth reconcile [options]

Compares what proxies say they finished with what the store holds, process by process, and
exits with 1 when a hop is unexplained. Where Kafka is the transport, also what waits in it.

  --last 1h         processes alive in this window (default 1h)
  --from T --to T   the same by ISO 8601 instants, UTC where no zone stands
  --json            everything, with the ranges of missing sequence numbers
  --mesh FILE       which mesh file names the store

Example:
  azimuth reconcile --last 10m || echo "something is missing"
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        last: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        json: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    const window = parseWindow(values, Date.now(), '1h');
    const collector = collectorPart(meshFromArgs(values));
    const part = collector.store;
    const lag = askLag(collector);
    const store = createStoreClient(part);
    try {
      const result = await reconcile(store, {
        ...window,
        retentionDays: part.retention_days,
        edges: true,
      });
      const kafka = await lag;
      process.stdout.write(
        values.json
          ? JSON.stringify({ ...result, ...(kafka === undefined ? {} : { kafka }) }, null, 2) + '\n'
          : `\n${reconcileText(result, process.stdout.columns || 110)}${lagText(kafka)}\n`,
      );
      return hasFault(result) ? 1 : 0;
    } finally {
      await store.close();
    }
  },
};

/** What waits in Kafka, or why nobody could say. */
type KafkaLag = { readonly topics: readonly TopicLag[] } | { readonly error: string };

/** Undefined where the mesh does not use Kafka. Never rejects: the account stands without it. */
async function askLag({ telemetry, kafka }: CollectorPart): Promise<KafkaLag | undefined> {
  if (telemetry.transport !== 'kafka') return undefined;
  const { topic_spans: spans, topic_logs: logs } = telemetry.kafka;
  try {
    const access = readKafkaAccess(telemetry.kafka);
    return { topics: await readLag(access, kafka.group_id, [spans, logs]) };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

function lagText(lag: KafkaLag | undefined): string {
  if (lag === undefined) return '';
  if ('error' in lag) return `  what waits in Kafka is unknown: ${lag.error}\n`;
  const topics = lag.topics.map(({ topic, messages, partitions_behind_retention: behind }) => {
    const gone = behind > 0 ? `, ${behind} partitions behind what the broker keeps` : '';
    return `${topic} ${messages}${gone}`;
  });
  return `  messages waiting in Kafka: ${topics.join(', ')}\n`;
}
