/**
 * The committed dashboard as tests read it: panels with their targets, in the order of the file.
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
}

export const DASHBOARD_PATH = 'dashboards/grafana/dashboards/gateway-vs-mesh.json';

export function readDashboard(): DashboardFile {
  const url = new URL(`../../${DASHBOARD_PATH}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as DashboardFile;
}

/** Panels that show data: all but the rows that head them. */
export function dataPanels(dashboard: DashboardFile): readonly Panel[] {
  return dashboard.panels.filter((panel) => panel.type !== 'row');
}
