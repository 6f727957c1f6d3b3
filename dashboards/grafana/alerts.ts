/**
 * The alert rules as Grafana provisions them from a file. Each says by its annotation `runbook` where
 * docs/OPERATE.md tells what to do, and by the panel which shows the same over time. Where an alert
 * goes is the operator's: no contact point stands here.
 */
import { QueryBuilder, RuleBuilder } from '@grafana/grafana-foundation-sdk/alerting';
import { TypeThresholdBuilder } from '@grafana/grafana-foundation-sdk/expr';
import { ALERT_SQL as SQL } from './alerts-sql.ts';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';
import type { BuiltDashboard } from './dashboard.ts';
import { DASHBOARDS, type DashboardName } from './links.ts';

interface Alert {
  /** Its anchor in docs/OPERATE.md is `alert-<slug>`. */
  readonly slug: string;
  readonly title: string;
  readonly summary: string;
  readonly sql: string;
  /** Fires above this. */
  readonly above: number;
  /** It must hold for so long. */
  readonly holdsFor: string;
  readonly severity: 'critical' | 'warning';
  readonly panel: readonly [dashboard: DashboardName, title: string];
}

const ALERTS: readonly Alert[] = [
  {
    slug: 'error-rate',
    title: 'Requests fail',
    summary: 'More than 5 % of the requests from outside were answered 5xx or not at all.',
    sql: SQL.errorRate,
    above: 0.05,
    holdsFor: '2m',
    severity: 'critical',
    panel: ['gatewayVsMesh', 'Requests failed'],
  },
  {
    slug: 'gateway-own-time',
    title: 'A gateway is slow itself',
    summary:
      "A gateway's own time is above 10 ms at p99: it waits for a CPU, or a function of it is slow.",
    sql: SQL.gatewayOwnTime,
    above: 10,
    holdsFor: '5m',
    severity: 'warning',
    panel: ['gatewayVsMesh', 'Own time by role, p50 and p99'],
  },
  {
    slug: 'mesh-own-time',
    title: 'A sidecar is slow itself',
    summary:
      "A sidecar's own time is above 10 ms at p99: it waits for a CPU, or a function of it is slow.",
    sql: SQL.meshOwnTime,
    above: 10,
    holdsFor: '5m',
    severity: 'warning',
    panel: ['gatewayVsMesh', 'Own time by role, p50 and p99'],
  },
  {
    slug: 'lag',
    title: 'Telemetry is late',
    summary: 'Of the hops stored in the last five minutes 1 % took over a minute from their end.',
    sql: SQL.lag,
    above: 60,
    holdsFor: '5m',
    severity: 'warning',
    panel: ['pipeline', 'Time until stored, p50 and p99'],
  },
  {
    slug: 'unexplained-hops',
    title: 'Hops are missing without a reason',
    summary:
      'A proxy finished hops that are neither stored nor counted as dropped, dead or waiting.',
    sql: SQL.unexplained,
    above: 0,
    holdsFor: '5m',
    severity: 'critical',
    panel: ['pipeline', 'Processes'],
  },
  {
    slug: 'dead-letters',
    title: 'Messages cannot be stored',
    summary: 'Messages of the last ten minutes were put aside in the table dead_letters.',
    sql: SQL.deadLetters,
    above: 0,
    holdsFor: '0s',
    severity: 'warning',
    panel: ['pipeline', 'Dead letters by source and reason'],
  },
  {
    slug: 'no-data',
    title: 'No proxy is heard of',
    summary:
      'No statement of any proxy was stored for two minutes; each makes one every five seconds.',
    sql: SQL.noData,
    above: 120,
    holdsFor: '1m',
    severity: 'critical',
    panel: ['pipeline', 'Processes'],
  },
  {
    slug: 'analytics-behind',
    title: 'Minutes are not published',
    summary:
      'The newest published minute ended over five minutes ago: the analytics are away or behind.',
    sql: SQL.analyticsBehind,
    above: 300,
    holdsFor: '2m',
    severity: 'warning',
    panel: ['gatewayVsMesh', 'Final until'],
  },
];

/** Of the file's groups; also of the dashboards' folder. */
const FOLDER = 'Azimuth';

/** The file's content. `dashboards`: as built, to find the ids of panels in. */
export function alertRules(dashboards: Readonly<Record<DashboardName, BuiltDashboard>>) {
  return {
    apiVersion: 1,
    groups: [
      {
        orgId: 1,
        name: 'azimuth',
        folder: FOLDER,
        interval: '1m',
        rules: ALERTS.map((alert) => provisioned(alert, dashboards)),
      },
    ],
  };
}

/** A rule as it stands in a file: folder and group are those of the group around it. */
function provisioned(alert: Alert, dashboards: Readonly<Record<DashboardName, BuiltDashboard>>) {
  const [name, panelTitle] = alert.panel;
  const panel = dashboards[name].panels?.find((one) => 'title' in one && one.title === panelTitle);
  if (panel?.id === undefined) throw new Error(`${name} has no panel "${panelTitle}"`);
  const rule = new RuleBuilder(alert.title)
    .uid(`azimuth-${alert.slug}`)
    .condition('B')
    .withQuery(
      new QueryBuilder('A')
        .datasourceUid(DATASOURCE.uid)
        .relativeTimeRange({ from: 1200, to: 0 })
        .model(clickhouseQuery('A', 'table', alert.sql)),
    )
    .withQuery(
      new QueryBuilder('B')
        .datasourceUid('__expr__')
        .relativeTimeRange({ from: 0, to: 0 })
        .model(
          new TypeThresholdBuilder()
            .refId('B')
            .datasource({ type: '__expr__', uid: '__expr__' })
            .expression('A')
            .conditions([{ evaluator: { type: 'gt', params: [alert.above] } }]),
        ),
    )
    .forDuration(alert.holdsFor)
    // Silence has a rule of its own; a store that cannot be asked is an error in every rule.
    .noDataState('OK')
    .execErrState('Error')
    .labels({ severity: alert.severity, component: 'azimuth' })
    .annotations({
      summary: alert.summary,
      runbook: `docs/OPERATE.md#alert-${alert.slug}`,
      __dashboardUid__: DASHBOARDS[name].uid,
      __panelId__: String(panel.id),
    })
    .build();
  return {
    uid: rule.uid!,
    title: rule.title,
    condition: rule.condition,
    data: rule.data,
    for: rule.for,
    noDataState: rule.noDataState,
    execErrState: rule.execErrState,
    labels: rule.labels!,
    annotations: rule.annotations!,
  };
}
