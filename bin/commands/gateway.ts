/** `azimuth gateway`: the proxy at the edge. Requests from outside become hops of the mesh here. */
import type { Command } from '../command.ts';
import { runProxy } from '../run-proxy.ts';

export const command: Command = {
  help: `
azimuth gateway: run the gateway that the mesh file describes

Usage: azimuth gateway [--mesh FILE] [--name NAME] [--check]

  --mesh FILE   mesh file (default: $AZIMUTH_MESH, ./mesh.yaml, a running demo's)
  --name NAME   which entry of "gateways"; may be left out when there is one
  --check       validate its part of the file, open nothing

Admin address: /healthz, /readyz, /ledger (what became of every hop so far).
SIGTERM: no new connections, requests in flight finish (10 s), telemetry is delivered, and the
last ledger is one JSON line on stderr.

Examples:
  azimuth gateway --mesh mesh.yaml --name edge
  azimuth gateway --mesh mesh.yaml --name edge --check
`,
  run: (args) => runProxy('gateway', args),
};
