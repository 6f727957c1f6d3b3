/**
 * What all dashboards have in common: Grafana's classic model, window, refresh, links to the others.
 * The classic model on purpose: every version of Grafana from 11 on reads it from a file; the newer
 * model is not yet accepted everywhere.
 */
import { DashboardBuilder, DashboardCursorSync } from '@grafana/grafana-foundation-sdk/dashboard';
import { DASHBOARDS, linksFrom, type DashboardName } from './links.ts';

// eslint-disable-next-line @typescript-eslint/no-deprecated
export type BuiltDashboard = ReturnType<DashboardBuilder['build']>;

/** An empty dashboard; variables and rows are added to it. */
// eslint-disable-next-line @typescript-eslint/no-deprecated
export function dashboardOf(name: DashboardName, description: string): DashboardBuilder {
  const { uid, title } = DASHBOARDS[name];
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['azimuth', 'generated'])
    .time({ from: 'now-30m', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .links(linksFrom(name));
}
