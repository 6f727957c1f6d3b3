/** The collector's own counters, for `/metrics`. */
import { MetricsText } from '../runtime/metrics-text.ts';
import type { PipelineStats } from './pipeline.ts';

/** Counters and gauges of a pipeline in Prometheus' text format. */
export function pipelineMetrics(stats: PipelineStats): string {
  const rejected = Object.entries(stats.rejected);
  return new MetricsText()
    .counter('azimuth.collector.messages', '{message}', 'Messages confirmed.', stats.messages)
    .counter('azimuth.collector.spans', '{span}', 'Spans stored.', stats.spans)
    .counter('azimuth.collector.ledgers', '{ledger}', 'Ledgers stored.', stats.ledgers)
    .counter(
      'azimuth.collector.other_logs',
      '{record}',
      'Log records that are no ledgers: discarded.',
      stats.otherLogs,
    )
    .counter(
      'azimuth.collector.turned_away',
      '{call}',
      'Calls turned away because too much was in flight.',
      stats.turnedAway,
    )
    .counter('azimuth.collector.inserts', '{block}', 'Blocks inserted.', stats.inserts)
    .counter(
      'azimuth.collector.insert_failures',
      '{attempt}',
      'Insert attempts that failed.',
      stats.insertFailures,
    )
    .counter('azimuth.collector.insert', 's', 'Time in successful inserts.', stats.insertSeconds)
    .gauge(
      'azimuth.collector.in_flight',
      'By',
      'Message bytes that the store has not confirmed.',
      stats.bytesInFlight,
    )
    .counter(
      'azimuth.collector.rejected',
      '{item}',
      'Spans and ledgers dead-lettered; an unreadable message counts as one.',
      rejected.map(([reason, value]) => ({ labels: { reason }, value })),
    )
    .toString();
}
