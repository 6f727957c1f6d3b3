/**
 * The ways between the dashboards, and from them to the live page. A link carries the window and what
 * the viewer picked; a test follows each of them.
 */
import { DashboardLinkBuilder, DashboardLinkType } from '@grafana/grafana-foundation-sdk/dashboard';

/** Dashboards by purpose: the uid is part of every link, so it never changes. */
export const DASHBOARDS = {
  gatewayVsMesh: { uid: 'azimuth-gateway-vs-mesh', title: 'Gateway vs mesh' },
  attribution: { uid: 'azimuth-attribution', title: 'Attribution' },
  edgesAndRoutes: { uid: 'azimuth-edges-and-routes', title: 'Edges and routes' },
  traces: { uid: 'azimuth-traces', title: 'Traces' },
  pipeline: { uid: 'azimuth-pipeline', title: 'Pipeline' },
} as const;
export type DashboardName = keyof typeof DASHBOARDS;

/** Links at the head of a dashboard: to all others, with window and variables. */
export const linksFrom = (own: DashboardName): DashboardLinkBuilder[] =>
  (Object.keys(DASHBOARDS) as DashboardName[])
    .filter((name) => name !== own)
    .map((name) =>
      new DashboardLinkBuilder(DASHBOARDS[name].title)
        .type(DashboardLinkType.Link)
        .icon('dashboard')
        .url(`/d/${DASHBOARDS[name].uid}`)
        .keepTime(true)
        .includeVars(true),
    );

/** The property of an override that makes the values of a column links. */
interface LinkProperty {
  readonly id: 'links';
  readonly value: readonly { title: string; url: string; targetBlank: boolean }[];
}

/** What every target of a link knows: window and topology, as a query string. */
const KEPT = '${__url_time_range}&${topology:queryparam}';

/** A trace id opens the trace, and what the analytics say of it. */
export const traceLinks: LinkProperty = {
  id: 'links',
  value: [
    {
      title: 'Trace',
      url: `/d/${DASHBOARDS.traces.uid}?var-trace=\${__value.raw:percentencode}&${KEPT}`,
      targetBlank: false,
    },
    {
      title: 'Where its time went (JSON)',
      url: '${live_page}/api/traces/${__value.raw:percentencode}',
      targetBlank: true,
    },
  ],
};

/** A route opens the dashboards that can be read by route. */
export const routeLinks: LinkProperty = {
  id: 'links',
  value: (['attribution', 'edgesAndRoutes', 'traces'] as const).map((name) => ({
    title: `${DASHBOARDS[name].title} of this route`,
    url: `/d/${DASHBOARDS[name].uid}?var-route=\${__value.raw:percentencode}&${KEPT}`,
    targetBlank: false,
  })),
};
