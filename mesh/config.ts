/**
 * What may stand in a mesh file: one zod schema, the source of the TypeScript type, of the fault
 * messages and of mesh/mesh.schema.json (editors complete from it; `npm run generate`).
 *
 * Checks here concern one value each; what concerns several stands in references.ts. Keys keep
 * their YAML names in code, so that one grep finds every use. Each default says why it is so.
 */
import { z } from 'zod';
import { TOPIC_LOGS, TOPIC_SPANS } from '../telemetry/names.ts';
import { DEFAULT_PORTS } from '../runtime/ports.ts';
import { listenerFunctions, routeFunctions, workloadFunctions } from './functions.ts';
import { limitsSchema } from './limits.ts';
import { clusterKeys, milliseconds, routePolicyKeys } from './resilience.ts';
import { parseTemplate } from './route-template.ts';

/** `file_format` that this version writes; another major is refused, a newer minor is warned of. */
export const FILE_FORMAT = { major: 1, minor: 0 } as const;

export const TOPOLOGIES = ['separate', 'attached', 'shared', 'merged'] as const;

/** Loopback by default everywhere: nothing is open to the network until the file says so. */
const LOOPBACK = '127.0.0.1';

const name = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'is not a name (1 to 63 lower-case letters, digits and "-": it serves as a Host)',
  );

const hostName = z
  .string()
  .regex(
    /^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)$/,
    'is not a host (write a name such as "localhost" or an IP address)',
  );

const NO_PORT = 'is not a port (write a whole number from 1 to 65535)';
const port = z.int(NO_PORT).min(1, NO_PORT).max(65_535, NO_PORT);

/** `host:port`, IPv6 in brackets. */
const address = z
  .string()
  .regex(
    /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?):[0-9]{1,5}$/,
    'is not an address (write "host:port", for example "127.0.0.1:9101")',
  )
  .refine((value) => {
    const number = Number(/:([0-9]{1,5})$/.exec(value)?.[1] ?? 1);
    return number >= 1 && number <= 65_535;
  }, 'has no valid port (write a whole number from 1 to 65535)');

const httpUrl = z
  .string()
  .regex(/^https?:\/\//, 'is not an http:// or https:// URL (write "http://host:port")')
  .refine(
    (value) => !/^https?:\/\//.test(value) || URL.canParse(value),
    'is not a valid URL (write "http://host:port"; a port is 1 to 65535)',
  )
  .refine(
    (value) => !URL.canParse(value) || new URL(value).username + new URL(value).password === '',
    'holds a user or password (put them in their own keys, the password as ${env:NAME})',
  );

const text = z.string().min(1, 'is empty (give it a value or leave the key out)');

const template = z.string().superRefine((value, context) => {
  const parsed = parseTemplate(value);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.fault });
});

const methods = z
  .array(
    z
      .string()
      .regex(/^[A-Z][A-Z0-9_-]*$/, 'is not an HTTP method (write it in capitals, as "GET")'),
  )
  // Empty: a route is about a path first; most services name no methods.
  .default([])
  .describe('Methods in capitals; empty: any.');

const routeHost = z
  .string()
  .regex(
    /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/,
    'is not a host name (lower case, without scheme and port)',
  );

const edgeHost = z
  .string()
  .regex(
    /^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/,
    'is not a host name (lower case, without scheme and port; "*." only in front)',
  );

// 15 s: Envoy's route timeout, which users of a mesh expect.
const responseTimeoutMs = milliseconds(1, 3_600_000)
  .default(15_000)
  .describe('Milliseconds from the end of the request to the first byte of the response.');

// None: as with Envoy, an upgrade is off until a route allows it. A tunnel is past all rules of HTTP.
const upgrades = z
  .array(
    z
      .string()
      .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a protocol (lower case, as "websocket")')
      .refine(
        (protocol) => !/^(h2c|http|tls)$/.test(protocol),
        'cannot be upgraded to (requests inside would pass by the routes)',
      ),
  )
  .default([])
  .describe('Protocols that a connection may be upgraded to, such as websocket; empty: none.');

// 5 s: Envoy's cluster connect_timeout.
const connectTimeoutMs = milliseconds(1, 60_000)
  .default(5_000)
  .describe('Milliseconds until an unanswered connect counts as failed.');

const endpoint = (defaultPort: number) =>
  z
    .strictObject({
      host: hostName.default(LOOPBACK),
      port: port.default(defaultPort),
    })
    .prefault({});

/** Beside `address`. */
const replicas = z
  .array(address)
  .default([])
  .describe('Further addresses where the same is served: requests are shared out among all.');

const identity = {
  // Same as OpenTelemetry's absence of service.namespace: no namespace.
  namespace: z.string().default('').describe('service.namespace of its spans.'),
  version: z.string().default('').describe('service.version of its spans.'),
  zone: z.string().default('').describe('cloud.availability_zone of its spans.'),
};

const machine = hostName
  .optional()
  .describe(
    'Machine, pod or container that it runs on, by the name under which the others reach it. ' +
      'Listeners of two machines may have the same address. Left out: all on one machine.',
  );

/** A secret. load.ts refuses one that is written out; see SECRETS. */
const secret = z
  .string()
  .min(1, 'is empty (set the environment variable that it comes from)')
  .describe('From the environment, as ${env:NAME}; one that is written out is a fault.');

const file = text.describe('A PEM file; relative to the folder of the mesh file.');

const certAndKey = {
  // Both or neither: our own certificate, for another side that asks for one.
  cert: file.optional(),
  key: file.optional(),
};

const bothOrNeither = (tls: { cert?: string | undefined; key?: string | undefined }): boolean =>
  (tls.cert === undefined) === (tls.key === undefined);
const ONE_OF_BOTH = 'has one of cert and key (a client certificate needs both)';

/** TLS of a client of ours. Present, also empty: TLS; the other side is always verified. */
const clientTls = z
  .strictObject({
    // Left out: the authorities that come with Node.
    ca: file.optional(),
    ...certAndKey,
    // Left out: the host that is connected to.
    server_name: hostName.optional().describe('Name that the certificate must hold.'),
  })
  .refine(bothOrNeither, ONE_OF_BOTH);

/** The same for ClickHouse's client, which knows no other name than the host of the url. */
const storeTls = z.strictObject({ ca: file, ...certAndKey }).refine(bothOrNeither, ONE_OF_BOTH);

const workers = z
  .int('is not a whole number (write how many processes share the connections)')
  .min(1, 'is less than 1 (write 1 or more)')
  .max(64, 'is more than 64 (write 64 or less)')
  // One process needs no other to hand it connections; a second pays from one full core on.
  .default(1)
  .describe('Processes that share the connections of its listeners; each needs a core.');

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
const edgeListen = {
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

/** Certificates by which the proxies of the mesh know each other. */
const identityConfig = z.strictObject({
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
const allow = z
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

const telemetry = z
  .strictObject({
    // Works with nothing installed; Kafka where a stack has it.
    transport: z.enum(['otlp', 'kafka']).default('otlp'),
    otlp: z
      .strictObject({
        endpoint: httpUrl.default(`http://${LOOPBACK}:${DEFAULT_PORTS.otlpHttp}`),
        // Left out: none to this machine, where bytes are free and CPU is not, else zstd
        // (docs/adr/014-transport.md has the figures).
        compression: z
          .enum(['none', 'gzip', 'zstd'])
          .optional()
          .describe('Of the bodies; left out: none to a loopback address, else zstd.'),
        tls: clientTls.optional().describe('For an https endpoint.'),
        token: secret.optional().describe('Bearer token, as ${env:NAME}.'),
      })
      .refine((otlp) => otlp.tls === undefined || otlp.endpoint.startsWith('https:'), {
        message: 'has no TLS (write "https://…", or leave tls out)',
        path: ['endpoint'],
      })
      .prefault({}),
    kafka: z
      .strictObject({
        brokers: z
          .array(address)
          .min(1, 'names no broker (write at least one "host:port")')
          .default([`${LOOPBACK}:${DEFAULT_PORTS.kafka}`]),
        // The stock Collector's topics, so that it can read ours and we its.
        topic_spans: text.default(TOPIC_SPANS),
        topic_logs: text.default(TOPIC_LOGS),
        // Kafka keeps what it gets, on every replica: here bytes are paid for over and over
        // (docs/adr/014-transport.md has the figures).
        compression: z.enum(['none', 'gzip', 'zstd']).default('zstd'),
        tls: clientTls.optional().describe('Present, also as {}: TLS to every broker.'),
        sasl: z
          .strictObject({
            mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
            username: text,
            password: secret,
          })
          .optional(),
      })
      .prefault({}),
    // A third of the bytes of plain attributes; `attributes` is for backends that are not ours.
    hop_format: z.enum(['packed', 'attributes']).default('packed'),
    // Raw paths hold personal data and have no bound; the template has both.
    path: z.enum(['template', 'hash', 'keep']).default('template'),
    // A kill -9 of a proxy costs at most this much telemetry; shorter costs CPU in small batches.
    flush_interval_ms: milliseconds(10, 60_000).default(200),
    // 32 MiB: a quarter of a million packed hops, which bridges a collector's restart under load.
    queue_bytes_max: z
      .int()
      .min(65_536, 'is less than 65536 bytes (write 65536 or more)')
      .default(33_554_432),
    // 100,000 hops: 50 s at 2,000 requests/s; whichever bound is met first holds.
    queue_hops_max: z.int().min(100, 'is less than 100 hops (write 100 or more)').default(100_000),
    // A day: what could not be delivered for longer is no news any more, only late rows that make
    // yesterday's figures change.
    age_max_ms: milliseconds(1_000, 30 * 86_400_000)
      .default(86_400_000)
      .describe('Records that could not be delivered for so long are dropped and counted.'),
    spool: z
      .strictObject({
        // Left out: no spool. A proxy writes to no disk that its operator did not name.
        dir: text
          .optional()
          .describe('Folder for what cannot be sent; relative to the folder of the mesh file.'),
        // 1 GiB: about 1.7 million packed hops of some 610 bytes, half an hour at 1,000 hops/s.
        bytes_max: z
          .int()
          .min(1_048_576, 'is less than 1048576 bytes (write 1048576 or more)')
          .default(1_073_741_824)
          .describe('Most bytes on disk for each proxy.'),
      })
      .prefault({}),
    // Left out: memory of this machine, which survives every process but not the machine.
    state_dir: text
      .optional()
      .describe(
        'Folder of the counter files, by which a successor states what a killed process had ' +
          'finished; relative to the folder of the mesh file. Default: in /dev/shm, else $TMPDIR.',
      ),
  })
  .prefault({});

const store = z.strictObject({
  url: httpUrl.default(`http://${LOOPBACK}:${DEFAULT_PORTS.store}`),
  database: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a database name (letters, digits, "_")')
    .default('azimuth'),
  user: text.default('azimuth'),
  password: secret.describe(
    'As ${env:AZIMUTH_STORE_PASSWORD}, with a .env file beside the mesh file.',
  ),
  tls: storeTls.optional().describe('For an https url that Node would not trust by itself.'),
  // A week: what an incident review needs, on a disk of a laptop.
  retention_days: z
    .int('is not a whole number of days (write one without unit)')
    .min(1, 'is less than 1 day (write 1 or more)')
    .max(3_650, 'is more than 3650 days (write 3650 or less)')
    .default(7),
});

/** A port that takes OTLP, with what may protect it. */
const otlpReceiver = (standardPort: number) =>
  z
    .strictObject({
      host: hostName.default(LOOPBACK),
      port: port.default(standardPort),
      tls: z
        .strictObject({
          cert: file,
          key: file,
          // Left out: no client certificate is asked for.
          client_ca: file
            .optional()
            .describe('Only clients with a certificate of this authority are served.'),
        })
        .optional(),
      token: secret.optional().describe('Only requests with this bearer token are served.'),
    })
    .prefault({});

const collector = z
  .strictObject({
    otlp_http: otlpReceiver(DEFAULT_PORTS.otlpHttp),
    otlp_grpc: otlpReceiver(DEFAULT_PORTS.otlpGrpc),
    admin: endpoint(DEFAULT_PORTS.collectorAdmin),
    kafka: z.strictObject({ group_id: text.default('azimuth-collector') }).prefault({}),
  })
  .prefault({});

/** What stands in front of the value of a header or query parameter, which must be equal. */
const fieldMatch = (fieldName: z.ZodString) => z.strictObject({ name: fieldName, value: text });

const match = {
  path: template,
  methods,
  // Empty: a route is about host and path first.
  headers: z
    .array(
      fieldMatch(
        z
          .string()
          .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a header name (write it in lower case)'),
      ),
    )
    .default([])
    .describe('Headers that must all be there with exactly this value; empty: any.'),
  query: z
    .array(fieldMatch(text))
    .default([])
    .describe('Query parameters that must all be there with exactly this value; empty: any.'),
};

/** A route at the edge of the mesh, whoever stands there. */
const edgeRoute = {
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

const gateway = z.strictObject({
  name,
  ...identity,
  machine,
  listen: z.strictObject(edgeListen).prefault({}),
  admin: endpoint(DEFAULT_PORTS.admin),
  workers,
  functions: listenerFunctions.optional(),
  routes: z
    .array(z.strictObject({ ...edgeRoute, to: target }))
    .min(1, 'names no route (a gateway without routes answers 404 to everything)'),
});

const workload = z.strictObject({
  name,
  // Most workloads are plain services; being a BFF changes how its callees are counted.
  kind: z.enum(['service', 'bff']).default('service'),
  ...identity,
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
const ingress = z.strictObject({
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

const sidecar = z.strictObject({
  name,
  machine,
  serves: z.array(served).min(1, 'serves nobody (name at least one workload or gateway)'),
  admin: endpoint(DEFAULT_PORTS.admin),
  workers,
});

const external = z.strictObject({
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
  analytics: endpoint(DEFAULT_PORTS.analytics),
  // Left out: off. Certificates have to be made first.
  identity: identityConfig.optional().describe('Certificates of the proxies: docs/IDENTITY.md.'),
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
