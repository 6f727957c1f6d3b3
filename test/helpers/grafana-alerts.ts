/** The committed alert rules as tests read them. */
import { readFileSync } from 'node:fs';

export interface AlertRule {
  readonly uid: string;
  readonly title: string;
  readonly condition: string;
  readonly data: readonly {
    readonly refId: string;
    readonly datasourceUid: string;
    readonly model: {
      readonly refId: string;
      readonly datasource: unknown;
      readonly format?: number;
      readonly rawSql?: string;
      readonly expression?: string;
      readonly conditions?: readonly { evaluator: { type: string; params: number[] } }[];
    };
  }[];
  readonly annotations: Readonly<Record<string, string>>;
}

export const ALERTS_PATH = 'dashboards/grafana/provisioning/alerting/azimuth.json';

export function readAlertRules(): readonly AlertRule[] {
  const url = new URL(`../../${ALERTS_PATH}`, import.meta.url);
  const { groups } = JSON.parse(readFileSync(url, 'utf8')) as { groups: { rules: AlertRule[] }[] };
  return groups.flatMap((group) => group.rules);
}
