/**
 * What a mesh file may say about failing and slow services: timeouts, retries and copies of a route. Each
 * default says why it is so. What is left out is not done, and costs a request nothing: so most keys
 * have no default of their own but only inside a group that is written. docs/RESILIENCE.md says what
 * all of it does; proxy/ does it.
 */
import { z } from 'zod';
import type { RetryPart, RoutePolicy } from './part.ts';

export const milliseconds = (least: number, most: number) =>
  z
    .int('is not a whole number of milliseconds (write one without unit)')
    .min(least, `is less than ${least} ms (write ${least} or more)`)
    .max(most, `is more than ${most} ms (write ${most} or less)`);

const HOUR_MS = 3_600_000;

/** What may be retried, by how the attempt ended. */
export const RETRY_CONDITIONS = ['connect_failure', 'reset', 'gateway_error', 'timeout'] as const;
/** Methods that may be received twice (RFC 9110 9.2.2), and QUERY (safe). */
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'];

const retry = z.strictObject({
  // 2: one retry. A second one helps one request in a hundred of a service that fails one in ten,
  // and costs as much load as the first.
  attempts_max: z
    .int('is not a whole number (write how often a request may be tried)')
    .min(2, 'is less than 2 (leave retry out for no retries)')
    .max(10, 'is more than 10 (write 10 or less)')
    .default(2)
    .describe('Attempts of one request, the first one included.'),
  // Not timeout: what was too slow once is most often overloaded, and the try is still running there.
  on: z
    .array(z.enum(RETRY_CONDITIONS))
    .default(['connect_failure', 'reset', 'gateway_error'])
    .describe(
      'connect_failure: no connection came about. reset: the connection ended before any byte of an ' +
        'answer. gateway_error: 502, 503, 504. timeout: no answer within try_timeout_ms or ' +
        'response_timeout_ms.',
    ),
  statuses: z
    .array(
      z
        .int('is not a status (write a whole number from 400 to 599)')
        .min(400, 'is not a failure (write 400 to 599)')
        .max(599, 'is no status (write 400 to 599)'),
    )
    .default([])
    .describe('Statuses that are tried again too, such as 429.'),
  // A connection that never came about carried nothing, so connect_failure counts for every method.
  methods: z
    .array(z.string().regex(/^[A-Z][A-Z0-9_-]*$/, 'is not an HTTP method (write it in capitals)'))
    .default(IDEMPOTENT)
    .describe(
      'Methods that may reach the service twice; connect_failure is retried for all methods.',
    ),
  // 64 KiB: Linkerd's bound, and one read of a socket.
  body_bytes_max: z
    .int('is not a whole number (write bytes without unit)')
    .min(0, 'is less than 0 (write 0 for requests without a body only)')
    .max(1_048_576, 'is more than 1048576 (write 1048576 or less)')
    .default(65_536)
    .describe('A request whose body is longer goes once.'),
  // 25 ms doubling to 250 ms, half of it by chance: Envoy's base, and its factor of ten.
  backoff_ms: milliseconds(1, 60_000).default(25).describe('Pause before the first retry.'),
  backoff_max_ms: milliseconds(1, 60_000)
    .default(250)
    .describe('Longest pause; each one is twice the one before, and half of it is chance.'),
});

/** Copies of requests that go to another service as well: proxy/mirror.ts. */
const mirror = z.strictObject({
  to: z
    .string('is not a name (write a workload or an external)')
    .min(1, 'is empty (write a workload or an external)')
    .describe('A workload, or an external.'),
  // 100: as RequestMirror of the Gateway API, where neither percent nor fraction is given.
  percent: z
    .number('is not a number (write percent)')
    .min(0, 'is less than 0 (write 0 for none)')
    .max(100, 'is more than 100 (write 100 or less)')
    .default(100)
    .describe('Share of the requests that are copied, by chance; 0.1 is one in a thousand.'),
  // 64 KiB: as of retries, and one read of a socket. A copy waits in memory until its body is whole.
  body_bytes_max: z
    .int('is not a whole number (write bytes without unit)')
    .min(0, 'is less than 0 (write 0 for requests without a body only)')
    .max(1_048_576, 'is more than 1048576 (write 1048576 or less)')
    .default(65_536)
    .describe('A request whose body is longer is not copied.'),
  // 15 s: as response_timeout_ms of the route itself.
  timeout_ms: milliseconds(1, HOUR_MS)
    .default(15_000)
    .describe('From the start of a copy to the last byte of its answer.'),
});

/** Keys of a route; each may be left out. */
export const routePolicyKeys = {
  timeout_ms: milliseconds(1, HOUR_MS)
    .optional()
    .describe(
      'From the request head to the last byte of the answer, retries included. Callees are told ' +
        'what is left of it (azimuth-deadline-ms). Left out: none of its own.',
    ),
  try_timeout_ms: milliseconds(1, HOUR_MS)
    .optional()
    .describe('From the start of one attempt to the first byte of its answer.'),
  idle_timeout_ms: milliseconds(1, HOUR_MS)
    .optional()
    .describe('Longest pause within an answer. Left out: limits.stream_idle_timeout_ms.'),
  retry: retry.optional().describe('Left out: nothing is retried.'),
  mirror: mirror
    .optional()
    .describe('Copies go to another service too, which are no load. Left out: none.'),
};

/** Of a service that names none. */
export const DEFAULT_RETRY_BUDGET = { percent: 20, min_per_s: 1 } as const;

/** How much more load retries may put on a service, whatever its routes allow. */
const retryBudget = z
  .strictObject({
    // Linkerd's share; from 20 requests/s on, share and floor together stay below a quarter.
    percent: z
      .int('is not a whole number (write percent)')
      .min(0, 'is less than 0 (write 0 for the floor alone)')
      .max(100, 'is more than 100 (write 100 or less)')
      .default(DEFAULT_RETRY_BUDGET.percent)
      .describe('Retries by percent of the requests of the last 10 s.'),
    // So that a service with little traffic gets any at all.
    min_per_s: z
      .int('is not a whole number (write retries a second)')
      .min(0, 'is less than 0 (write 0 for none)')
      .max(1_000, 'is more than 1000 (write 1000 or less)')
      .default(DEFAULT_RETRY_BUDGET.min_per_s)
      .describe('Retries a second that are always there.'),
  })
  .optional()
  .describe('Bound on the retries of each caller. Left out: 20 percent and one a second.');

const inARow = (most: number) =>
  z
    .int('is not a whole number')
    .min(1, 'is less than 1 (write 1 or more)')
    .max(most, `is more than ${most} (write ${most} or less)`);

/** Of a service that names none. */
export const DEFAULT_OUTLIERS = { failures: 5, eject_ms: 1_000, eject_max_ms: 30_000 } as const;

/** Keys of a workload or an external: what those who call it know of its endpoints. */
export const clusterKeys = {
  retry_budget: retryBudget,
  // Latency and load are known to every proxy; turns are for tests and for endpoints that differ in nothing.
  balance: z
    .enum(['least_load', 'round_robin'])
    .optional()
    .describe(
      'Of several endpoints: the less loaded of two by latency and requests held (left out), or in turn.',
    ),
  outliers: z
    .strictObject({
      // 5: Envoy's consecutive_5xx. Fewer, and a deployment's restart takes endpoints out for long.
      failures: inARow(1_000)
        .default(DEFAULT_OUTLIERS.failures)
        .describe('Attempts in a row without an answer, or with 502, 503, 504.'),
      // 1 s: Linkerd's. A restart of a process takes about as long.
      eject_ms: milliseconds(100, HOUR_MS)
        .default(DEFAULT_OUTLIERS.eject_ms)
        .describe('How long such an endpoint gets nothing, at most; half of it is chance.'),
      // 30 s: what returns is found within that time.
      eject_max_ms: milliseconds(100, HOUR_MS)
        .default(DEFAULT_OUTLIERS.eject_max_ms)
        .describe('The same after it failed again and again: each time is twice as long.'),
    })
    .optional()
    .describe(
      'When one of several endpoints gets no requests for a while. Left out: the defaults.',
    ),
  health_check: z
    .strictObject({
      path: z
        .string()
        .regex(/^\/[^\s#]*$/, 'is not a path (write "/…")')
        .optional()
        .describe(
          'GET this of the application itself, 200 to 399 is well; proxies of the mesh, and all ' +
            'where it is left out, are asked for a connection only.',
        ),
      // 5 s and 1 s: Kubernetes' probes by order of magnitude; a check costs one connection.
      interval_ms: milliseconds(100, HOUR_MS).default(5_000),
      timeout_ms: milliseconds(10, 60_000).default(1_000),
      // 3 and 1: one lost packet takes nobody out, and one good answer is proof.
      unhealthy_after: inARow(100).default(3),
      healthy_after: inARow(100).default(1),
    })
    .optional()
    .describe('Asks endpoints by itself. No hop, no request: checks are not traffic.'),
  dns_refresh_ms: milliseconds(100, HOUR_MS)
    .optional()
    .describe(
      'Every address of a name is an endpoint, looked up anew so often. Left out: a name is looked ' +
        'up at each connect, and its first address taken.',
    ),
};

interface WrittenPolicy {
  readonly timeout_ms?: number | undefined;
  readonly try_timeout_ms?: number | undefined;
  readonly idle_timeout_ms?: number | undefined;
  readonly retry?: RetryPart | undefined;
}

/** What of a route's keys is for a proxy; undefined where nothing was written. */
export function policyOf(written: WrittenPolicy): RoutePolicy | undefined {
  const { timeout_ms, try_timeout_ms, idle_timeout_ms, retry: retried } = written;
  const policy = Object.fromEntries(
    Object.entries({ timeout_ms, try_timeout_ms, idle_timeout_ms, retry: retried }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return Object.keys(policy).length === 0 ? undefined : policy;
}
