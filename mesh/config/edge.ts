/**
 * The edge of the mesh, whoever stands there, a gateway or the sidecar of a BFF: where requests from
 * outside come in, TLS for their clients, and the routes that they find.
 */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { routeFunctions } from '../functions.ts';
import { routePolicyKeys } from '../resilience.ts';
import { match, responseTimeoutMs, upgrades } from './routes.ts';
import { file, hostName, LOOPBACK, port } from './values.ts';

const edgeHost = z
  .string()
  .regex(
    /^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/,
    'is not a host name (lower case, without scheme and port; "*." only in front)',
  );

/** TLS for clients outside the mesh. */
const edgeTls = z
  .strictObject({
    certificates: z
      .array(
        z.strictObject({
          // Empty: the certificate for whoever names no other.
          hosts: z
            .array(
              z
                .string()
                .regex(
                  /^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/,
                  'is not a host name (lower case; "*." in front stands for one label)',
                ),
            )
            .default([])
            .describe('Names by which clients ask for it (SNI).'),
          cert: file,
          key: file,
        }),
      )
      .min(1, 'names no certificate (give it cert and key)')
      .describe('The first is also for clients that name no host, or an unknown one.'),
    // Left out: no client certificate is asked for.
    client_ca: file.optional().describe('Authorities whose client certificates are believed.'),
    // Whoever names authorities means it.
    client_certificate: z
      .enum(['optional', 'required'])
      .optional()
      .describe('With client_ca; default required.'),
    // 1.2: what browsers and libraries of the last ten years speak; 1.3 between proxies, always.
    min_version: z.enum(['1.2', '1.3']).default('1.2'),
  })
  .refine((tls) => tls.client_certificate === undefined || tls.client_ca !== undefined, {
    message: 'has no client_ca (name the authorities of the clients)',
    path: ['client_certificate'],
  });

/** Where requests from outside come in. */
export const edgeListen = {
  host: hostName.default(LOOPBACK),
  port: port.default(DEFAULT_PORTS.gateway),
  // Left out: plain HTTP, as behind a load balancer that ends TLS.
  tls: edgeTls.optional().describe('TLS for clients outside.'),
  // 0: whoever connects is the client. Envoy's default, and the only one that cannot be lied to.
  trusted_hops: z
    .int('is not a whole number (write how many proxies of yours stand in front)')
    .min(0, 'is less than 0 (write 0 or more)')
    .max(16, 'is more than 16 (write 16 or less)')
    .default(0)
    .describe('Proxies of yours in front of it, whose X-Forwarded-* are believed.'),
};

/** A route at the edge of the mesh, whoever stands there. */
export const edgeRoute = {
  // Empty: an edge for one site needs no host.
  hosts: z
    .array(edgeHost)
    .default([])
    .describe('Host names, "*.example.com" for every name below one; empty: any.'),
  ...match,
  response_timeout_ms: responseTimeoutMs,
  ...routePolicyKeys,
  upgrades,
  functions: routeFunctions.optional(),
};
