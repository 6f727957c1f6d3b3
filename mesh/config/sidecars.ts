/** Section `sidecars` of a mesh file: proxies beside workloads, and whom each of them serves. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { listenerFunctions } from '../functions.ts';
import { edgeListen, edgeRoute } from './edge.ts';
import { address, endpoint, hostName, LOOPBACK, machine, name, port, workers } from './values.ts';

const inbound = z.strictObject({
  host: hostName.default(LOOPBACK),
  port: port.default(DEFAULT_PORTS.inbound),
  // False: nobody is believed until the file vouches that only proxies can connect.
  mesh_only: z
    .boolean()
    .default(false)
    .describe('Only proxies of the mesh can connect: believe their azimuth-peer header.'),
  replicas: z
    .array(address)
    .default([])
    .describe('The same listener of further instances of this sidecar, as others reach them.'),
});

/** The gateway's functions at a BFF's own sidecar. Its routes have one target, the BFF. */
export const ingress = z.strictObject({
  // Host and port that a gateway would have: it stands where the gateway stood.
  ...edgeListen,
  functions: listenerFunctions.optional(),
  routes: z
    .array(z.strictObject(edgeRoute))
    .min(1, 'names no route (an ingress without routes answers 404 to everything)'),
});

/** What a sidecar does for one workload, or for a gateway. serving.ts says what goes together. */
const served = z
  .strictObject({
    workload: name.optional().describe('The workload served; or write gateway.'),
    gateway: name.optional().describe('The gateway served: its requests into the mesh go here.'),
    ingress: ingress
      .optional()
      .describe('Requests from outside, where the sidecar of a BFF does what a gateway would do.'),
    inbound: inbound.optional().describe('Requests of the mesh to the workload.'),
    outbound: endpoint(DEFAULT_PORTS.outbound).describe('Calls of the workload or gateway served.'),
  })
  .transform(({ workload, gateway, ingress, inbound: given, outbound }) =>
    gateway === undefined
      ? { workload: workload ?? '', ingress, inbound: given ?? inbound.parse({}), outbound }
      : { gateway, outbound },
  );

export const sidecar = z.strictObject({
  name,
  machine,
  serves: z.array(served).min(1, 'serves nobody (name at least one workload or gateway)'),
  admin: endpoint(DEFAULT_PORTS.admin),
  workers,
});
