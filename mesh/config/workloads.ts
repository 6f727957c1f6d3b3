/** Section `workloads` of a mesh file: services of the mesh, each behind a sidecar. */
import { z } from 'zod';
import { workloadFunctions } from '../functions.ts';
import { clusterKeys, routePolicyKeys } from '../resilience.ts';
import { allow } from './identity.ts';
import { match, responseTimeoutMs, upgrades } from './routes.ts';
import { address, connectTimeoutMs, name, replicas, resourceIdentity } from './values.ts';

export const workload = z.strictObject({
  name,
  // Most workloads are plain services; being a BFF changes how its callees are counted.
  kind: z.enum(['service', 'bff']).default('service'),
  ...resourceIdentity,
  address: address.describe('Where the application itself listens, as its sidecar reaches it.'),
  connect_timeout_ms: connectTimeoutMs,
  ...clusterKeys,
  replicas,
  allow,
  // Only names for http.route: a path that matches none is carried all the same, as "/*".
  routes: z
    .array(
      z.strictObject({
        ...match,
        response_timeout_ms: responseTimeoutMs,
        ...routePolicyKeys,
        upgrades,
        allow: allow.describe('As allow of the workload, which it replaces for this route.'),
        functions: workloadFunctions.optional(),
      }),
    )
    .default([]),
});
