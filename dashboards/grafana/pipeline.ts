/**
 * The dashboard `Pipeline`: is every hop on its way to the store, how long does it take, and what is
 * lost where. `azimuth reconcile` is the judge; this shows the same over time. What only the
 * collector's own process knows (lag, inserts, retries) stands on its /metrics.
 *
 * Only layout and wording stand here. What a figure means is decided in pipeline-sql.ts.
 */
import { dashboardOf } from './dashboard.ts';
import { GRID_COLUMNS, layOut, lines, stat, table, type Rows } from './panels.ts';
import { PIPELINE_SQL as SQL } from './pipeline-sql.ts';

const PANELS: Rows = [
  [
    'In this window',
    [
      stat({
        title: 'Hops finished',
        description: 'By the ledgers of all proxies.',
        unit: 'short',
        sql: SQL.finished,
      }),
      stat({
        title: 'Hops stored',
        description: 'That the collector stored in this window, each once.',
        unit: 'short',
        sql: SQL.stored,
      }),
      stat({
        title: 'Rows doubled',
        description: 'Sent again after an answer was lost. No figure counts them twice.',
        unit: 'short',
        sql: SQL.doubled,
      }),
      stat({
        title: 'Hops dropped',
        description: 'That proxies gave up, as they report it; the reasons stand below.',
        unit: 'short',
        sql: SQL.droppedTotal,
      }),
      stat({
        title: 'Hops waiting',
        description: 'In queues and spools of proxies, by their newest ledgers.',
        unit: 'short',
        sql: SQL.queued,
      }),
      stat({
        title: 'Dead letters',
        description: 'Messages that could not be stored; table dead_letters holds them.',
        unit: 'short',
        sql: SQL.deadLetters,
      }),
    ],
  ],
  [
    'Flow',
    [
      lines({
        title: 'Hops stored per second',
        description: 'By the time of storing. Doubled: rows that were there already.',
        unit: 'short',
        sql: SQL.storedPerSecond,
        series: ['stored', 'doubled'],
      }),
      lines({
        title: 'Time until stored, p50 and p99',
        description: 'From the end of a hop to its row, to the second. Dashed: p50.',
        unit: 's',
        sql: SQL.untilStored,
        series: ['p50 until stored', 'p99 until stored'],
      }),
      lines({
        title: 'Hops waiting in proxies',
        description: 'Finished and not handed on: in memory (queued) or on disk (spooled).',
        unit: 'short',
        sql: SQL.waiting,
        series: ['queued', 'spooled'],
        stacked: true,
      }),
      lines({
        title: 'Hops dropped and dead letters',
        description:
          'Per interval. A process that began before this window shows its drops until then in its first.',
        unit: 'short',
        sql: SQL.lostOverTime,
        series: ['dropped', 'dead letters'],
      }),
    ],
  ],
  [
    'Losses',
    [
      table({
        title: 'Dropped hops by process and reason',
        description: 'What each reason means and what to do: docs/GLOSSARY.md.',
        sql: SQL.droppedByReason,
        span: GRID_COLUMNS / 2,
      }),
      table({
        title: 'Dead letters by source and reason',
        description:
          'deleted_by_broker: items are messages that Kafka deleted before they were read. before_first_read: a group without a position began past the first message.',
        sql: SQL.deadByReason,
        span: GRID_COLUMNS / 2,
      }),
      table({
        title: 'Processes',
        description:
          'Of one without a closing ledger, what it finished after its last ledger is unknown.',
        sql: SQL.processes,
      }),
    ],
  ],
];

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function pipeline() {
  const dashboard = dashboardOf(
    'pipeline',
    'Telemetry on its way from the proxies to the store: flow, delay, losses.',
  );
  layOut(dashboard, PANELS);
  return dashboard.build();
}
