/**
 * Functions that a route may ask of its proxy (`functions:` of a gateway, an ingress or a route): one
 * schema, the same for a gateway and for the sidecar of a merged BFF. What a route writes replaces
 * what its gateway writes, function by function; `off` leaves one out.
 *
 * Checks of one value each; what concerns several stands in function-faults.ts.
 */
import { z } from 'zod';
import { refusedHeader } from './refused-headers.ts';

const headerName = z
  .string()
  .regex(/^[a-z0-9!#$%&'*+.^`|~-]+$/, 'is not a header name (write it in lower case, without "_")');

const changedHeader = headerName.superRefine((name, context) => {
  const why = refusedHeader(name);
  if (why !== undefined) context.addIssue({ code: 'custom', message: why });
});

const headerValue = z
  .string()
  .regex(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/, 'is not a header value (visible ASCII)');

const wholeNumber = (least: number, most: number) =>
  z
    .int('is not a whole number (write one without unit)')
    .min(least, `is less than ${least} (write ${least} or more)`)
    .max(most, `is more than ${most} (write ${most} or less)`);

const cors = z
  .strictObject({
    // No default: who may read answers is for the site to say. `null` is every sandboxed page.
    origins: z
      .array(
        z
          .string()
          .regex(
            /^(\*|https?:\/\/[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?)$/,
            'is not an origin (write "https://shop.example", without a path, or "*")',
          ),
      )
      .min(1, 'names no origin (write at least one)'),
    // Empty: those of the route, so that a method need not be written twice.
    methods: z
      .array(z.string().regex(/^[A-Z][A-Z0-9_-]*$/, 'is not an HTTP method (write it in capitals)'))
      .default([])
      .describe('Methods that a preflight is told of; empty: those of the route.'),
    // Empty: a page may send what it may send without asking.
    headers: z.array(headerName).default([]).describe('Request headers that a page may send.'),
    expose: z.array(headerName).default([]).describe('Response headers that a page may read.'),
    // False: the browser's cookies are the user's, and another site must not use them unasked.
    credentials: z.boolean().default(false),
    // 10 minutes: seldom enough, and a change is seen within a coffee. Chrome keeps at most two hours.
    max_age_s: wholeNumber(0, 86_400).default(600),
  })
  .refine((c) => !c.credentials || !c.origins.includes('*'), {
    message: 'are allowed to every origin (name the origins, or leave credentials out)',
    path: ['credentials'],
  });

/** Asymmetric ones only: with a shared secret, whoever can check a token can also make one. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

const jwt = z
  .strictObject({
    jwks_url: z
      .string()
      .regex(/^https?:\/\/[^/@\s]+(\/\S*)?$/, 'is not a URL (write "https://host/path")')
      .refine((url) => URL.canParse(url), 'is not a valid URL')
      .optional()
      .describe('Where the keys are published; or write jwks_file.'),
    jwks_file: z
      .string()
      .min(1, 'is empty (name a file)')
      .optional()
      .describe('The keys in a file; relative to the folder of the mesh file.'),
    issuer: z.string().min(1, 'is empty (write the iss of the tokens)'),
    // Required: a token that the same issuer made for another service must not open this one.
    audiences: z
      .array(z.string().min(1, 'is empty'))
      .min(1, 'names no audience (write the aud of the tokens)'),
    // What issuers use by default today; the longer hashes only where somebody asks for them.
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1, 'allows no algorithm (write at least one)')
      .default(['RS256', 'PS256', 'ES256', 'EdDSA']),
    // 60 s: Envoy's clock_skew_seconds.
    leeway_s: wholeNumber(0, 300).default(60).describe('How far clocks may differ.'),
    // Left out: a subject is often a person, and persons are no dimension of a report.
    consumer_claim: z
      .string()
      .min(1, 'is empty (name a claim, as "azp")')
      .optional()
      .describe('Claim whose value names the consumer; left out: no consumer is known.'),
    // 5 minutes: a withdrawn key is not believed for longer. Envoy's cache_duration is 5 minutes too.
    refresh_s: wholeNumber(1, 86_400).default(300).describe('How often the keys are read anew.'),
    // 30 s: jose's cooldown. Unknown keys in tokens must not become a load on the issuer.
    refresh_min_s: wholeNumber(1, 3_600)
      .default(30)
      .describe('Least time between two readings that unknown keys ask for.'),
    // 5 s: jose's timeout. A request waits no longer for keys than this.
    timeout_ms: wholeNumber(10, 60_000).default(5_000),
  })
  .refine((j) => (j.jwks_url === undefined) !== (j.jwks_file === undefined), {
    message: 'has not exactly one of jwks_url and jwks_file (write one)',
  });

const apiKeys = z
  .strictObject({
    header: headerName
      .refine((name) => name === 'authorization' || refusedHeader(name) === undefined, {
        message: 'cannot carry a key (it belongs to the connection or to the mesh)',
      })
      .optional()
      .describe('Header that holds the key; x-api-key where neither is written.'),
    query: z
      .string()
      .regex(/^[A-Za-z0-9._~-]+$/, 'is not a parameter name (letters, digits, ". _ ~ -")')
      .optional()
      .describe('Query parameter that holds the key. Prefer a header: paths end in logs.'),
    keys: z
      .array(
        z.strictObject({
          consumer: z
            .string()
            .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/, 'is not a consumer name')
            .describe('Stands on the records of its requests.'),
          sha256: z
            .string()
            .regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 (64 lower-case hexadecimal digits)')
            .describe('SHA-256 of the key: the key itself stands nowhere.'),
        }),
      )
      .min(1, 'names no key (write at least one)'),
    // False: whoever reads the application's logs must not find keys there.
    forward: z.boolean().default(false).describe('Hands the key on to the application.'),
  })
  .refine((k) => k.header === undefined || k.query === undefined, {
    message: 'has both header and query (write one: a key is looked for in one place)',
  });

const rateLimit = z.strictObject({
  by: z
    .enum(['route', 'client', 'consumer'])
    .describe(
      'Who shares it: all requests; those of one address (IPv6: /64); those of one consumer.',
    ),
  requests: wholeNumber(1, 1_000_000_000),
  // 1: a rate is a rate per second unless it says otherwise.
  per_s: wholeNumber(1, 86_400).default(1).describe('Seconds in which so many requests may come.'),
  // Left out: `requests`, since a page that loads comes all at once.
  burst: wholeNumber(1, 1_000_000_000)
    .optional()
    .describe('Requests that may come at once; left out: as many as `requests`.'),
  // 10,000 counters take about 1 MB; past them the one unused for longest is forgotten.
  keys_max: wholeNumber(1, 1_000_000)
    .default(10_000)
    .describe('Addresses or consumers that are remembered.'),
});

const headerChanges = z
  .strictObject({
    set: z.record(changedHeader, headerValue).default({}).describe('Replaces what was there.'),
    add: z.record(changedHeader, headerValue).default({}).describe('Beside what was there.'),
    remove: z.array(changedHeader).default([]),
  })
  .prefault({});

const rewrite = z
  .strictObject({
    prefix: z
      .string()
      .regex(/^\/[^?#\s{}*]*$/, 'is not a path (write "/…", without query and wildcards)')
      .optional()
      .describe('Stands where the part of the path before "/*" stood.'),
    path: z
      .string()
      .regex(/^\/[^?#\s]*$/, 'is not a path (write "/…", without query)')
      .optional()
      .describe('The whole new path; {name} and a trailing /* are those of the route.'),
  })
  .refine((r) => (r.prefix === undefined) !== (r.path === undefined), {
    message: 'has not exactly one of prefix and path (write one)',
  });

/** Names of functions that can be left out again. */
export const FUNCTION_KEYS = [
  'cors',
  'request_size',
  'rate_limits',
  'jwt',
  'api_keys',
  'fault',
  'headers',
  'rewrite',
] as const;

const percent = wholeNumber(0, 100);

/** Faults on purpose. A delay is bounded as every wait of a filter is (proxy/filters/filter-run.ts). */
const fault = z
  .strictObject({
    delay_ms: wholeNumber(1, 60_000).optional().describe('How long a request is held back.'),
    // 100 for a delay that was written: who names one wants to see it. 0 for aborts: they are asked for.
    delay_percent: percent.default(100).describe('Share of the requests that are held back.'),
    abort_percent: percent.default(0).describe('Share of the requests that are answered by us.'),
    // 503: what a service that is away answers.
    abort_status: wholeNumber(400, 599).default(503).describe('With what: 400 to 599.'),
  })
  .refine((f) => f.delay_ms !== undefined || f.abort_percent > 0, {
    message: 'injects nothing (write delay_ms, or abort_percent above 0)',
  });

const anywhere = {
  fault: fault.optional().describe('Delays and aborts on purpose.'),
  request_size: z
    .strictObject({ bytes_max: wholeNumber(0, 2 ** 40) })
    .optional()
    .describe('Longest body of a request.'),
  rate_limits: z.array(rateLimit).min(1, 'names no limit').optional(),
  jwt: jwt.optional(),
  api_keys: apiKeys.optional(),
  headers: z.strictObject({ request: headerChanges, response: headerChanges }).optional(),
};

/** For a listener of the outside as a whole. */
export const listenerFunctions = z
  .strictObject({ ...anywhere, cors: cors.optional() })
  .describe('Functions of all its routes: docs/GATEWAY-FUNCTIONS.md.');

/** For one route at the edge. */
export const routeFunctions = z
  .strictObject({
    ...anywhere,
    cors: cors.optional(),
    rewrite: rewrite.optional(),
    off: z
      .array(z.enum(FUNCTION_KEYS))
      .default([])
      .describe('Functions of its listener that this route does without.'),
  })
  .describe('Functions of this route; each replaces that of its listener.');

/** For one route of a workload, at its sidecar: no browser and no foreign path gets there. */
export const workloadFunctions = z
  .strictObject(anywhere)
  .describe('Functions of the sidecar for this route.');

type ListenerFunctions = z.output<typeof listenerFunctions>;
type RouteFunctions = z.output<typeof routeFunctions>;

export type CorsPart = z.output<typeof cors>;
export type JwtPart = z.output<typeof jwt>;
export type ApiKeysPart = z.output<typeof apiKeys>;
export type HeaderChangesPart = z.output<typeof headerChanges>;
/** A rewrite with the template that it starts from. */
export type FaultPart = z.output<typeof fault>;
export type RewritePart = z.output<typeof rewrite>;

export interface RateLimitPart extends z.output<typeof rateLimit> {
  /** Whose counters these are: two limits of one scope and equal figures are one. */
  readonly scope: string;
}

/** What one route asks for. Absent: the function is not performed. */
export interface FunctionsPart {
  readonly cors?: CorsPart | undefined;
  readonly request_size?: { readonly bytes_max: number } | undefined;
  readonly rate_limits?: readonly RateLimitPart[] | undefined;
  readonly jwt?: JwtPart | undefined;
  readonly fault?: FaultPart | undefined;
  readonly api_keys?: ApiKeysPart | undefined;
  readonly headers?:
    { readonly request: HeaderChangesPart; readonly response: HeaderChangesPart } | undefined;
  readonly rewrite?: RewritePart | undefined;
}

/**
 * What a route asks for in the end: its own functions over those of its listener, less what is off.
 * Undefined when nothing is left. `listener` and `route` name where counters belong; `pathFrom`
 * resolves a path of the mesh file.
 */
export function functionsPart(
  ofListener: ListenerFunctions | undefined,
  ofRoute: Partial<RouteFunctions> | undefined,
  scopes: { readonly listener: string; readonly route: string },
  pathFrom: (path: string) => string,
): FunctionsPart | undefined {
  const off = new Set<string>(ofRoute?.off);
  const part: Record<string, unknown> = {};
  for (const key of FUNCTION_KEYS) {
    const own = ofRoute?.[key];
    const value = own ?? (key === 'rewrite' || off.has(key) ? undefined : ofListener?.[key]);
    if (value === undefined) continue;
    part[key] = value;
    if (key === 'rate_limits') {
      const scope = own === undefined ? scopes.listener : scopes.route;
      part[key] = (value as z.output<typeof rateLimit>[]).map((limit) => ({ ...limit, scope }));
    } else if (key === 'jwt') {
      const { jwks_file: file } = value as JwtPart;
      if (file !== undefined) part[key] = { ...(value as JwtPart), jwks_file: pathFrom(file) };
    }
  }
  return Object.keys(part).length === 0 ? undefined : part;
}
