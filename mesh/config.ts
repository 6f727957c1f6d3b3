/**
 * What may stand in a mesh file: one zod schema, the source of the TypeScript type, of the fault
 * messages and of mesh/mesh.schema.json (editors complete from it; `npm run generate`). This file
 * puts together the sections of mesh/config/, one file each, functions.ts, limits.ts and
 * resilience.ts.
 *
 * Checks here concern one value each; what concerns several stands in references.ts. Keys keep
 * their YAML names in code, so that one grep finds every use. Each default says why it is so.
 */
import { z } from 'zod';
import { analytics } from './config/analytics.ts';
import { collector } from './config/collector.ts';
import { external } from './config/externals.ts';
import { gateway } from './config/gateways.ts';
import { identity } from './config/identity.ts';
import { sidecar, type ingress } from './config/sidecars.ts';
import { store } from './config/store.ts';
import { telemetry } from './config/telemetry.ts';
import { name, text } from './config/values.ts';
import { workload } from './config/workloads.ts';
import { limitsSchema } from './limits.ts';

/** `file_format` that this version writes; another major is refused, a newer minor is warned of. */
export const FILE_FORMAT = { major: 1, minor: 0 } as const;

export const TOPOLOGIES = ['separate', 'attached', 'shared', 'merged'] as const;

/** The whole mesh file. */
const meshConfigSchema = z.strictObject({
  file_format: z
    .string('is not a text (write it in quotes: "1.0")')
    .regex(/^[0-9]+\.[0-9]+$/, 'is not a format version (write "1.0")'),
  mesh: name.describe('Name of the mesh, on every span.'),
  topology: z
    .enum(TOPOLOGIES)
    // The textbook form: gateway, then the service's own sidecar.
    .default('separate')
    .describe('How gateways and sidecars stand to each other; the file must be as it says.'),
  cluster: text.default('local'),
  telemetry,
  // Of every proxy; each default stands with its reason in limits.ts.
  limits: limitsSchema.describe('Limits of every proxy, each process by itself: docs/LIMITS.md.'),
  store,
  collector,
  analytics,
  // Left out: off. Certificates have to be made first.
  identity: identity.optional().describe('Certificates of the proxies: docs/IDENTITY.md.'),
  gateways: z.array(gateway).default([]),
  workloads: z.array(workload).default([]),
  sidecars: z.array(sidecar).default([]),
  externals: z.array(external).default([]),
});

/** A mesh file with every default filled in. */
export type MeshConfig = z.output<typeof meshConfigSchema>;
export type GatewayConfig = MeshConfig['gateways'][number];
export type WorkloadConfig = MeshConfig['workloads'][number];
export type SidecarConfig = MeshConfig['sidecars'][number];
export type ServedConfig = SidecarConfig['serves'][number];
export type IngressConfig = z.output<typeof ingress>;

/** JSON Schema (draft 2020-12) of what a user may write, for editors. */
export function meshJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(meshConfigSchema, { io: 'input' }),
    title: 'Azimuth mesh file',
  };
}

/** Every fault of one value each, in zod's own form; the typed config when there is none. */
export function parseMeshConfig(raw: unknown): z.ZodSafeParseResult<MeshConfig> {
  return meshConfigSchema.safeParse(raw);
}

/** Places of secrets. Each comes from the environment, and none is ever shown. */
export const SECRETS: readonly (readonly string[])[] = [
  ['store', 'password'],
  ['analytics', 'reader', 'password'],
  ['telemetry', 'otlp', 'token'],
  ['telemetry', 'kafka', 'sasl', 'password'],
  ['collector', 'otlp_http', 'token'],
  ['collector', 'otlp_grpc', 'token'],
];

export const REDACTED = '[REDACTED]';

/** The config as it may be shown to people: secrets replaced. */
export function redactedConfig(config: MeshConfig): MeshConfig {
  const shown = structuredClone(config);
  for (const place of SECRETS) {
    let at: Record<string, unknown> | undefined = shown;
    for (const key of place.slice(0, -1)) at = at?.[key] as Record<string, unknown> | undefined;
    const last = place.at(-1)!;
    if (at?.[last] !== undefined) at[last] = REDACTED;
  }
  return shown;
}
