/**
 * What tools/generate.ts writes for Grafana: dashboards and alert rules as JSON, committed, so that
 * Grafana's file provisioning needs no Node.
 */
import { alertRules } from './alerts.ts';
import { attribution } from './attribution.ts';
import { edgesAndRoutes } from './edges-and-routes.ts';
import { gatewayVsMesh } from './gateway-vs-mesh.ts';
import { pipeline } from './pipeline.ts';
import { traces } from './traces.ts';

interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly content: string;
}

const file = (path: string, content: unknown): GeneratedFile => ({
  path: `dashboards/grafana/${path}`,
  content: JSON.stringify(content, null, 2) + '\n',
});

/** The same at each call: no clock, no randomness. */
export function grafanaFiles(): readonly GeneratedFile[] {
  const built = {
    gatewayVsMesh: gatewayVsMesh(),
    attribution: attribution(),
    edgesAndRoutes: edgesAndRoutes(),
    traces: traces(),
    pipeline: pipeline(),
  };
  return [
    file('dashboards/gateway-vs-mesh.json', built.gatewayVsMesh),
    file('dashboards/attribution.json', built.attribution),
    file('dashboards/edges-and-routes.json', built.edgesAndRoutes),
    file('dashboards/traces.json', built.traces),
    file('dashboards/pipeline.json', built.pipeline),
    file('provisioning/alerting/azimuth.json', alertRules(built)),
  ];
}
