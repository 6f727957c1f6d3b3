/**
 * Values that several sections of a mesh file have: names, hosts, ports, addresses, URLs, secrets and
 * the files of TLS. What only one section knows stands in the file of that section.
 */
import { z } from 'zod';
import { milliseconds } from '../resilience.ts';

/** Loopback by default everywhere: nothing is open to the network until the file says so. */
export const LOOPBACK = '127.0.0.1';

export const name = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'is not a name (1 to 63 lower-case letters, digits and "-": it serves as a Host)',
  );

export const hostName = z
  .string()
  .regex(
    /^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)$/,
    'is not a host (write a name such as "localhost" or an IP address)',
  );

const NO_PORT = 'is not a port (write a whole number from 1 to 65535)';
export const port = z.int(NO_PORT).min(1, NO_PORT).max(65_535, NO_PORT);

/** `host:port`, IPv6 in brackets. */
export const address = z
  .string()
  .regex(
    /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?):[0-9]{1,5}$/,
    'is not an address (write "host:port", for example "127.0.0.1:9101")',
  )
  .refine((value) => {
    const number = Number(/:([0-9]{1,5})$/.exec(value)?.[1] ?? 1);
    return number >= 1 && number <= 65_535;
  }, 'has no valid port (write a whole number from 1 to 65535)');

export const httpUrl = z
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

export const text = z.string().min(1, 'is empty (give it a value or leave the key out)');

// 5 s: Envoy's cluster connect_timeout.
export const connectTimeoutMs = milliseconds(1, 60_000)
  .default(5_000)
  .describe('Milliseconds until an unanswered connect counts as failed.');

export const endpoint = (defaultPort: number) =>
  z
    .strictObject({
      host: hostName.default(LOOPBACK),
      port: port.default(defaultPort),
    })
    .prefault({});

/** Beside `address`. */
export const replicas = z
  .array(address)
  .default([])
  .describe('Further addresses where the same is served: requests are shared out among all.');

export const resourceIdentity = {
  // Same as OpenTelemetry's absence of service.namespace: no namespace.
  namespace: z.string().default('').describe('service.namespace of its spans.'),
  version: z.string().default('').describe('service.version of its spans.'),
  zone: z.string().default('').describe('cloud.availability_zone of its spans.'),
};

export const machine = hostName
  .optional()
  .describe(
    'Machine, pod or container that it runs on, by the name under which the others reach it. ' +
      'Listeners of two machines may have the same address. Left out: all on one machine.',
  );

/** A secret. load.ts refuses one that is written out; see SECRETS. */
export const secret = z
  .string()
  .min(1, 'is empty (set the environment variable that it comes from)')
  .describe('From the environment, as ${env:NAME}; one that is written out is a fault.');

export const file = text.describe('A PEM file; relative to the folder of the mesh file.');

export const certAndKey = {
  // Both or neither: our own certificate, for another side that asks for one.
  cert: file.optional(),
  key: file.optional(),
};

export const bothOrNeither = (tls: {
  cert?: string | undefined;
  key?: string | undefined;
}): boolean => (tls.cert === undefined) === (tls.key === undefined);
export const ONE_OF_BOTH = 'has one of cert and key (a client certificate needs both)';

/** TLS of a client of ours. Present, also empty: TLS; the other side is always verified. */
export const clientTls = z
  .strictObject({
    // Left out: the authorities that come with Node.
    ca: file.optional(),
    ...certAndKey,
    // Left out: the host that is connected to.
    server_name: hostName.optional().describe('Name that the certificate must hold.'),
  })
  .refine(bothOrNeither, ONE_OF_BOTH);

export const workers = z
  .int('is not a whole number (write how many processes share the connections)')
  .min(1, 'is less than 1 (write 1 or more)')
  .max(64, 'is more than 64 (write 64 or less)')
  // One process needs no other to hand it connections; a second pays from one full core on.
  .default(1)
  .describe('Processes that share the connections of its listeners; each needs a core.');
