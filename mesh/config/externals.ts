/** Section `externals` of a mesh file: services outside the mesh that workloads call. */
import { z } from 'zod';
import { clusterKeys, routePolicyKeys } from '../resilience.ts';
import { responseTimeoutMs, upgrades } from './routes.ts';
import { address, connectTimeoutMs, name, replicas } from './values.ts';

const routeHost = z
  .string()
  .regex(
    /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/,
    'is not a host name (lower case, without scheme and port)',
  );

export const external = z.strictObject({
  name,
  hosts: z.array(routeHost).min(1, 'names no host (write the Host that callers use)'),
  address,
  connect_timeout_ms: connectTimeoutMs,
  ...clusterKeys,
  replicas,
  response_timeout_ms: responseTimeoutMs,
  ...routePolicyKeys,
  upgrades,
});
