/**
 * `azimuth topics`: creates the Kafka topics that the mesh file names, and ends. Run before proxies
 * and collector (an init job), because neither of them creates a topic. Existing topics stay as
 * they are, so that it may be run at each start.
 */
import { parseArgs } from 'node:util';
import { collectorPart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createLog } from '../../runtime/log.ts';
import { readKafkaAccess } from '../../transport/kafka/kafka-access.ts';
import { ensureTopics } from '../../transport/kafka/kafka-topics.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

/** More than 12 collectors or 12 sends in flight are beyond one mesh; more partitions cost fetches. */
const PARTITIONS = 12;

export const command: Command = {
  help: `
azimuth topics: create the Kafka topics for spans and logs where they do not exist

Usage: azimuth topics [--mesh FILE] [--partitions N] [--replication N] [--check]

  --mesh FILE        mesh file; its telemetry.kafka names brokers and topics
  --partitions N     partitions of a new topic (default ${PARTITIONS}): as many sends are in flight at
                     once, and as many collectors can share the work
  --replication N    replicas of a new topic (default 1; 3 where there are three brokers)
  --check            validate the mesh file and options, open nothing

Examples:
  azimuth topics --mesh mesh.yaml
  azimuth topics --mesh mesh.yaml --partitions 24 --replication 3
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        mesh: { type: 'string' },
        partitions: { type: 'string', default: String(PARTITIONS) },
        replication: { type: 'string', default: '1' },
        check: { type: 'boolean', default: false },
      },
    });
    const { kafka } = collectorPart(meshFromArgs(values)).telemetry;
    const partitions = count('partitions', values.partitions);
    const replication = count('replication', values.replication);
    const topics = [...new Set([kafka.topic_spans, kafka.topic_logs])];
    const where = `${topics.join(', ')} at ${kafka.brokers.join(', ')}`;
    if (values.check) {
      process.stdout.write(`ok: topics ${where}, ${partitions} partitions each\n`);
      return 0;
    }
    const states = await ensureTopics({
      ...readKafkaAccess(kafka),
      topics,
      partitions,
      replication,
      log: createLog({ level: 'error' }),
    });
    for (const state of states) {
      const note = state.created || state.partitions === partitions ? '' : ', left as it is';
      process.stdout.write(
        `${state.topic}: ${state.created ? 'created' : 'exists'}, ${state.partitions} partitions${note}\n`,
      );
    }
    return 0;
  },
};

/** A number of partitions or replicas: 1 to 10,000. Throws AZ_USAGE. */
function count(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 10_000)
    throw new AzimuthError('AZ_USAGE', `--${name} takes a number from 1 to 10000, not "${text}"`);
  return value;
}
