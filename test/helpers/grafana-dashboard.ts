/**
 * The committed dashboards as tests read them: panels with their targets, in the order of the file.
 */
import { readFileSync } from 'node:fs';

export interface Target {
  readonly refId: string;
  readonly format: number;
  readonly queryType: string;
  readonly rawSql: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly overrides: readonly {
      readonly matcher: { readonly id: string; readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly query: string | { readonly rawSql: string };
  readonly current: { readonly value: string | readonly string[] };
  readonly options?: readonly { readonly value: string }[];
}

export interface DashboardFile {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly links: readonly Link[];
}

export interface Link {
  readonly title: string;
  readonly url: string;
  readonly keepTime?: boolean;
  readonly includeVars?: boolean;
}

export const GATEWAY_VS_MESH = 'dashboards/grafana/dashboards/gateway-vs-mesh.json';
export const ATTRIBUTION = 'dashboards/grafana/dashboards/attribution.json';
export const EDGES_AND_ROUTES = 'dashboards/grafana/dashboards/edges-and-routes.json';
export const TRACES = 'dashboards/grafana/dashboards/traces.json';
export const PIPELINE = 'dashboards/grafana/dashboards/pipeline.json';
export const ALL_DASHBOARDS = [GATEWAY_VS_MESH, ATTRIBUTION, EDGES_AND_ROUTES, TRACES, PIPELINE];

export function readDashboard(path: string): DashboardFile {
  const url = new URL(`../../${path}`, import.meta.url);
  const file = JSON.parse(readFileSync(url, 'utf8')) as Omit<DashboardFile, 'templating'> & {
    readonly templating: { readonly list?: readonly Variable[] };
  };
  // A dashboard without variables has no list.
  return { ...file, templating: { list: file.templating.list ?? [] } };
}

/** Links of the values of columns. */
export function dataLinks(panel: Panel): readonly Link[] {
  return (panel.fieldConfig?.overrides ?? [])
    .flatMap(({ properties }) => properties)
    .flatMap(({ id, value }) => (id === 'links' ? (value as Link[]) : []));
}

/** Panels that show data: all but the rows that head them. */
export function dataPanels(dashboard: DashboardFile): readonly Panel[] {
  return dashboard.panels.filter((panel) => panel.type !== 'row');
}
