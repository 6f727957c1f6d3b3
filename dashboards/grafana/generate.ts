/**
 * What tools/generate.ts writes for Grafana: the dashboards as JSON, committed, so that Grafana's
 * file provisioning needs no Node.
 */
import { gatewayVsMesh } from './gateway-vs-mesh.ts';
import { pipeline } from './pipeline.ts';

/** Generated files, path from the root of the repository and content. */
export function grafanaFiles(): readonly { readonly path: string; readonly content: string }[] {
  return [
    {
      path: 'dashboards/grafana/dashboards/gateway-vs-mesh.json',
      content: JSON.stringify(gatewayVsMesh(), null, 2) + '\n',
    },
    {
      path: 'dashboards/grafana/dashboards/pipeline.json',
      content: JSON.stringify(pipeline(), null, 2) + '\n',
    },
  ];
}
