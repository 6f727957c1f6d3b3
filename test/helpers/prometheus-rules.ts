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

/** Files of rules in dashboards/prometheus, as the scrape configuration must name them. */
export const PROMETHEUS_RULE_FILES = ['azimuth-rules.yaml', 'azimuth-traffic-rules.yaml'] as const;

/** The rules of all files. */
export function readPrometheusRules(): readonly PrometheusRule[] {
  return PROMETHEUS_RULE_FILES.flatMap((name) => {
    const url = new URL(`../../dashboards/prometheus/${name}`, import.meta.url);
    const file = parse(readFileSync(url, 'utf8')) as { groups: { rules: PrometheusRule[] }[] };
    return file.groups.flatMap((group) => group.rules);
  });
}
