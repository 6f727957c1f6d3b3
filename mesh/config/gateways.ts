/** Section `gateways` of a mesh file: proxies between clients outside and the mesh. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { listenerFunctions } from '../functions.ts';
import { edgeListen, edgeRoute } from './edge.ts';
import { endpoint, machine, name, resourceIdentity, workers } from './values.ts';

/** Where a route leads: one name, or several with the share of each (a canary). */
const target = z.union([
  name.describe('A workload, or an external.'),
  z
    .array(
      z.strictObject({
        service: name.describe('A workload, or an external.'),
        // 1: all that name none get equal shares.
        weight: z
          .int('is not a whole number (write a share such as 9 and 1)')
          .min(0, 'is less than 0 (write 0 for none)')
          .max(1_000_000, 'is more than 1000000 (write smaller shares)')
          .default(1)
          .describe('Share of the requests relative to the sum of all.'),
      }),
    )
    .min(1, 'names no target (write at least one service)')
    .refine(
      (targets) => targets.length === 0 || targets.some(({ weight }) => weight > 0),
      'gives every target the weight 0 (give one of them more)',
    ),
]);

export const gateway = z.strictObject({
  name,
  ...resourceIdentity,
  machine,
  listen: z.strictObject(edgeListen).prefault({}),
  admin: endpoint(DEFAULT_PORTS.admin),
  workers,
  functions: listenerFunctions.optional(),
  routes: z
    .array(z.strictObject({ ...edgeRoute, to: target }))
    .min(1, 'names no route (a gateway without routes answers 404 to everything)'),
});
