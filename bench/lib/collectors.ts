/**
 * The two collectors under test as processes: ours from a mesh file, the stock one from the YAML
 * that its users write. Each reads one topic in one consumer group, begins at the oldest message
 * and inserts into one store front.
 */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchFile, freePort, start } from './processes.ts';

export interface Reading {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** Also names its files and, for the stock one, its database. */
  readonly group: string;
  /** Port of the store front. */
  readonly store: number;
  /** Folder for its configuration. */
  readonly scratch: string;
  readonly password: string;
}

/** Our collector. Resolves once the process was started, not once it reads. */
export async function startAzimuth(reading: Reading): Promise<ChildProcess> {
  const { brokers, topic, group, store, scratch, password } = reading;
  const file = join(scratch, `${group}.yaml`);
  writeFileSync(
    file,
    `file_format: "1.0"
mesh: bench
topology: separate
store: { url: "http://127.0.0.1:${store}", password: "\${env:BENCH_PASSWORD}" }
telemetry:
  transport: kafka
  kafka: { brokers: ${JSON.stringify(brokers)}, topic_spans: ${topic}, topic_logs: ${topic}_logs }
collector:
  otlp_http: { port: ${await freePort()} }
  otlp_grpc: { port: ${await freePort()} }
  admin: { port: ${await freePort()} }
  kafka: { group_id: ${group} }
`,
  );
  return start(0, [process.execPath, benchFile('../bin/azimuth.js'), 'collector', '--mesh', file], {
    BENCH_PASSWORD: password,
  });
}

/**
 * How a stock Collector is set up.
 *
 *   fast      a batch processor with 50,000 spans: the least CPU per span that was measured
 *   default   the receiver's and the exporter's defaults behind a usual batch processor
 *   lossless  commits after the insert, no queue: the one set-up that lost nothing in measurements
 */
export type OtelcolSetUp = 'fast' | 'default' | 'lossless';

/** A stock Collector at `path`. Resolves once the process was started, not once it reads. */
export function startOtelcol(path: string, setUp: OtelcolSetUp, reading: Reading): ChildProcess {
  const { brokers, topic, group, store, scratch, password } = reading;
  const lossless = setUp === 'lossless';
  const marking = `
    message_marking: { after: true }
    error_backoff: { enabled: true, initial_interval: 1s, max_elapsed_time: 0s }`;
  const batch =
    setUp === 'fast'
      ? '{ send_batch_size: 50000, send_batch_max_size: 50000, timeout: 1s }'
      : '{ send_batch_size: 10000, timeout: 1s }';
  const file = join(scratch, `${group}.yaml`);
  // Not compressed, as ours: the CPU per span was the same with LZ4, its default, and the front can
  // count rows.
  writeFileSync(
    file,
    `receivers:
  kafka:
    brokers: ${JSON.stringify(brokers)}
    group_id: ${group}
    initial_offset: earliest
    traces: { topics: [${topic}] }${lossless ? marking : ''}
${lossless ? '' : `processors:\n  batch: ${batch}\n`}exporters:
  clickhouse:
    endpoint: http://127.0.0.1:${store}?dial_timeout=10s
    username: azimuth
    password: ${password}
    database: ${databaseOf(group)}
    compress: none
    timeout: 30s
${lossless ? '    sending_queue: { enabled: false }\n' : ''}service:
  pipelines:
    traces: { receivers: [kafka], ${lossless ? '' : 'processors: [batch], '}exporters: [clickhouse] }
  telemetry:
    logs: { level: warn }
    metrics: { level: none }
`,
  );
  return start(0, [path, '--config', file], { GOMAXPROCS: '1' });
}

/** Database that a stock Collector of this group makes for itself. */
export const databaseOf = (group: string): string => `otel_${group.replaceAll('-', '_')}`;
