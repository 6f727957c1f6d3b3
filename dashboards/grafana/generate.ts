/**
 * What tools/generate.ts writes for Grafana: the dashboards as JSON, committed, so that Grafana's
 * file provisioning needs no Node.
 */
import { attribution } from './attribution.ts';
import { edgesAndRoutes } from './edges-and-routes.ts';
import { gatewayVsMesh } from './gateway-vs-mesh.ts';
import { pipeline } from './pipeline.ts';
import { traces } from './traces.ts';

/** By the name of their files. */
const DASHBOARD_FILES = {
  'gateway-vs-mesh': gatewayVsMesh,
  attribution,
  'edges-and-routes': edgesAndRoutes,
  traces,
  pipeline,
};

/** Generated files, path from the root of the repository and content. */
export function grafanaFiles(): readonly { readonly path: string; readonly content: string }[] {
  return Object.entries(DASHBOARD_FILES).map(([name, build]) => ({
    path: `dashboards/grafana/dashboards/${name}.json`,
    content: JSON.stringify(build(), null, 2) + '\n',
  }));
}
