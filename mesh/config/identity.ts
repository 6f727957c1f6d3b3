/** Section `identity` of a mesh file, and the lists of those who may call, which need it. */
import { z } from 'zod';
import { text } from './values.ts';

/** Certificates by which the proxies of the mesh know each other. */
export const identity = z.strictObject({
  // Strict: whoever writes this block wants it; the others are steps of a change without a gap.
  mode: z
    .enum(['off', 'accept', 'permissive', 'strict'])
    .default('strict')
    .describe(
      'off: plain HTTP. accept: listeners take TLS and plain, calls are plain. permissive: ' +
        'listeners take both, calls are TLS. strict: TLS only.',
    ),
  trust_domain: z
    .string()
    .regex(
      /^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/,
      'is not a trust domain (lower-case letters, digits, ".", "-" and "_", as "shop.example")',
    )
    .describe('Of the SPIFFE ids: spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/NAME.'),
  dir: text.describe(
    'Folder of the certificates, one folder in it for each proxy, as `azimuth ca issue` makes it; ' +
      'relative to the folder of the mesh file.',
  ),
});

/** Who may call: names of workloads and gateways, or SPIFFE ids. */
export const allow = z
  .array(
    z
      .string()
      .regex(
        /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|spiffe:\/\/[a-z0-9._-]+\/([A-Za-z0-9._/-]*\*?))$/,
        'is neither a name nor a SPIFFE id (write "web-bff" or "spiffe://shop.example/ns/shop/*")',
      ),
  )
  .min(1, 'allows nobody (name a caller, or leave the key out to allow everybody)')
  .optional()
  .describe('Callers by identity; left out: every proxy of the mesh.');
