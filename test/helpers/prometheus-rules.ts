/** The committed Prometheus rules as tests read them. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface PrometheusRule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function readPrometheusRules(): readonly PrometheusRule[] {
  const url = new URL('../../dashboards/prometheus/azimuth-rules.yaml', import.meta.url);
  const file = parse(readFileSync(url, 'utf8')) as { groups: { rules: PrometheusRule[] }[] };
  return file.groups.flatMap((group) => group.rules);
}
