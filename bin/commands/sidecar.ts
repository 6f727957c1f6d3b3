/** `azimuth sidecar`: the proxy beside one or more workloads, for requests to them and their own. */
import type { Command } from '../command.ts';
import { runProxy } from '../run-proxy.ts';

export const command: Command = {
  help: `
azimuth sidecar: run a sidecar that the mesh file describes

Usage: azimuth sidecar [--mesh FILE] [--name NAME] [--check]

  --mesh FILE   mesh file (default: $AZIMUTH_MESH, ./mesh.yaml, a running demo's)
  --name NAME   which entry of "sidecars"; may be left out when there is one
  --check       validate its part of the file, open nothing

One inbound listener per workload it serves, one outbound listener per local caller. A workload
calls another through its outbound port, either with the workload's name as Host or as its
HTTP proxy:
  curl -H 'Host: catalog' http://127.0.0.1:15001/products/1
  curl -x http://127.0.0.1:15001 http://catalog/products/1

Admin address: /healthz, /readyz, /ledger.

Examples:
  azimuth sidecar --mesh mesh.yaml --name catalog-sidecar
`,
  run: (args) => runProxy('sidecar', args),
};
