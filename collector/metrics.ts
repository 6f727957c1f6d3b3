/** The collector's own counters, for `/metrics`. */
import { MetricsText } from '../runtime/metrics-text.ts';
import type { KafkaReceiverStats } from './kafka-receiver.ts';
import type { PipelineStats } from './pipeline.ts';

/** Counters and gauges of a collector in Prometheus' text format; `kafka` where it reads from there. */
export function collectorMetrics(stats: PipelineStats, kafka?: KafkaReceiverStats): string {
  const rejected = Object.entries(stats.rejected);
  const text = new MetricsText()
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
    .counter('azimuth.collector.insert_rows', '{row}', 'Rows inserted.', stats.rowsInserted)
    .counter('azimuth.collector.insert_bytes', 'By', 'Block bytes inserted.', stats.bytesInserted)
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
    );
  if (kafka !== undefined) kafkaMetrics(text, kafka);
  return text.toString();
}

function kafkaMetrics(text: MetricsText, stats: KafkaReceiverStats): void {
  text
    .gauge(
      'azimuth.collector.kafka.lag',
      '{message}',
      'Messages of the partitions in hand that are not committed.',
      stats.lag,
    )
    .counter('azimuth.collector.kafka.messages', '{message}', 'Messages read.', stats.messages)
    .counter('azimuth.collector.kafka.bytes', 'By', 'Bytes of the messages read.', stats.bytes)
    .counter(
      'azimuth.collector.kafka.retries',
      '{time}',
      'Times that a partition rested because messages were not accepted.',
      stats.retries,
    )
    .counter('azimuth.collector.kafka.commits', '{commit}', 'Offsets committed.', stats.commits)
    .counter(
      'azimuth.collector.kafka.commit_failures',
      '{commit}',
      'Commits that failed; they are tried again.',
      stats.commitFailures,
    )
    .counter(
      'azimuth.collector.kafka.crashes',
      '{time}',
      'Times that a consumer ended by itself and was made anew.',
      stats.crashes,
    )
    .counter(
      'azimuth.collector.kafka.deleted',
      '{message}',
      'Messages that the broker deleted before they were read.',
      stats.deleted,
    )
    .counter(
      'azimuth.collector.kafka.began_past_start',
      '{partition}',
      'Partitions read first from past their first offset: what was before is unknown.',
      stats.beganPastStart,
    );
}
