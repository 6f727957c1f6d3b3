/** The collector's own counters as Prometheus text. */
import type { PipelineStats } from './pipeline.ts';

/** Counters and gauges of a pipeline in Prometheus' text format 0.0.4. */
export function prometheusText(stats: PipelineStats): string {
  const lines: string[] = [];
  const metric = (name: string, type: 'counter' | 'gauge', help: string, value: number): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name} ${value}`);
  };
  metric('azimuth_collector_messages_total', 'counter', 'Messages confirmed.', stats.messages);
  metric('azimuth_collector_spans_total', 'counter', 'Spans stored.', stats.spans);
  metric('azimuth_collector_ledgers_total', 'counter', 'Ledgers stored.', stats.ledgers);
  metric(
    'azimuth_collector_other_logs_total',
    'counter',
    'Log records that are no ledgers: discarded.',
    stats.otherLogs,
  );
  metric(
    'azimuth_collector_turned_away_total',
    'counter',
    'Calls turned away because too much was in flight.',
    stats.turnedAway,
  );
  metric('azimuth_collector_inserts_total', 'counter', 'Blocks inserted.', stats.inserts);
  metric(
    'azimuth_collector_insert_failures_total',
    'counter',
    'Insert attempts that failed.',
    stats.insertFailures,
  );
  metric(
    'azimuth_collector_insert_seconds_total',
    'counter',
    'Time spent in successful inserts.',
    stats.insertSeconds,
  );
  metric(
    'azimuth_collector_in_flight_bytes',
    'gauge',
    'Message bytes that the store has not confirmed.',
    stats.bytesInFlight,
  );
  const rejected = 'azimuth_collector_rejected_total';
  lines.push(
    `# HELP ${rejected} Spans and ledgers dead-lettered; an unreadable message counts as one.`,
    `# TYPE ${rejected} counter`,
  );
  for (const [reason, count] of Object.entries(stats.rejected)) {
    lines.push(`${rejected}{reason="${reason}"} ${count}`);
  }
  return lines.join('\n') + '\n';
}
