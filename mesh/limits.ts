/**
 * The limits of the data plane that an operator may set (`limits:` of the mesh file): one table with
 * default, range and reason of each, and how they relate to each other. What belongs to the codec or
 * to the process itself is fixed and stands in proxy/limits.ts, which takes these from its part.
 *
 * config.ts makes the schema from this table, docs/LIMITS.md is held against it by a test.
 */
import { z } from 'zod';

interface SettableLimit {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** What it bounds, and why the default is what it is. */
  readonly why: string;
}

/** 1 TiB: counts exactly in a double; beyond it a length is nonsense, and the codec refuses it. */
const BODY_BYTES_MAX = 2 ** 40;
/** One read of a socket, the most that a permitted request holds while its next side is slow. */
const READ_BYTES = 65_536;

/** Timeouts of an hour and more are none. */
const timeoutMs = (defaultMs: number, min: number, why: string): SettableLimit => ({
  default: defaultMs,
  min,
  max: 3_600_000,
  why,
});

export const LIMITS = {
  connections_per_listener: {
    default: 10_000,
    min: 1,
    max: 1_000_000,
    why:
      'Open client connections of one listener, idle ones too. An idle one costs about 10 kB, so all ' +
      'of them some 100 MB; twice as many file descriptors are reserved, one for each upstream.',
  },
  connections_per_client: {
    default: 2_500,
    min: 1,
    max: 1_000_000,
    why:
      'Of those, by one client address (IPv6: /64), on listeners for the outside only. A quarter: one ' +
      'client alone cannot shut the others out, and a load balancer in front still has enough.',
  },
  requests_per_cluster: {
    default: 1_024,
    min: 1,
    max: 1_000_000,
    why: 'Requests in flight to one cluster, tunnels too. The default of Envoy’s circuit breaker.',
  },
  pending_per_cluster: {
    default: 512,
    min: 1,
    max: 1_000_000,
    why:
      'Of those, requests that wait for a connection to be established. Half: an endpoint that does ' +
      'not accept cannot take all permits away from those that do.',
  },
  mirrors_per_cluster: {
    default: 128,
    min: 1,
    max: 1_000_000,
    why:
      'Copies of requests in flight to one cluster, beside its requests; one more is not sent. An eighth ' +
      'of those: a target that hangs cannot hold more of the proxy than that.',
  },
  pool_per_endpoint: {
    default: 256,
    min: 0,
    max: 1_000_000,
    why: 'Idle connections kept to one endpoint. Four times the usual load generator’s 64.',
  },
  memory_in_flight_bytes: {
    default: 67_108_864,
    min: READ_BYTES,
    max: 2 ** 40,
    why:
      'Bytes of messages that the process holds because somebody does not take them or has not sent ' +
      'the rest. 64 MiB: one read (64 KiB) for each permitted request of a cluster.',
  },
  request_body_bytes: {
    default: BODY_BYTES_MAX,
    min: 0,
    max: BODY_BYTES_MAX,
    why: 'Longest request body. 1 TiB, in effect none: bodies are streamed, so a long one costs nothing.',
  },
  head_timeout_ms: timeoutMs(
    10_000,
    100,
    'First byte of a request head to its last. A browser needs one round trip; 10 s forgive a bad link.',
  ),
  body_idle_timeout_ms: timeoutMs(
    30_000,
    100,
    'Longest pause within a request body, and all the delay that its minimum rate forgives.',
  ),
  body_min_bytes_per_s: {
    default: 240,
    min: 1,
    max: 1_000_000_000,
    why:
      'Rate at which a request body must come and waiting bytes of an answer must be taken. That of ' +
      'IIS and Kestrel: slower than any modem, and a byte every 29 s no longer holds a request open.',
  },
  client_idle_timeout_ms: timeoutMs(
    60_000,
    100,
    'A kept client connection without a request. Above a browser’s usual think time.',
  ),
  upstream_idle_timeout_ms: timeoutMs(
    4_000,
    100,
    'A kept upstream connection. Below the 5 s after which Node’s servers close theirs.',
  ),
  stream_idle_timeout_ms: timeoutMs(
    300_000,
    100,
    'Longest pause within an answer, and for a client to take what waits for it. Envoy’s default.',
  ),
  tunnel_idle_timeout_ms: timeoutMs(
    300_000,
    100,
    'Longest time without a byte in either direction of a tunnel. Envoy’s stream idle timeout.',
  ),
} as const satisfies Readonly<Record<string, SettableLimit>>;

export type LimitName = keyof typeof LIMITS;
export type LimitsPart = Readonly<Record<LimitName, number>>;

/** What a mesh file without limits says. */
export const DEFAULT_LIMITS_PART = Object.fromEntries(
  Object.entries(LIMITS).map(([name, limit]) => [name, limit.default]),
) as LimitsPart;

interface LimitRelation {
  /** `times` × this … */
  readonly less: LimitName;
  readonly times: number;
  /** … must not be more than this. */
  readonly most: LimitName;
  readonly why: string;
}

/** Pairs that only make sense in one order. */
export const LIMIT_RELATIONS: readonly LimitRelation[] = [
  {
    less: 'connections_per_client',
    times: 1,
    most: 'connections_per_listener',
    why: 'else it can never be met',
  },
  {
    less: 'pending_per_cluster',
    times: 1,
    most: 'requests_per_cluster',
    why: 'each pending request is one in flight',
  },
  {
    less: 'pool_per_endpoint',
    times: 1,
    most: 'requests_per_cluster',
    why: 'more connections than that are never in use at once',
  },
  {
    less: 'requests_per_cluster',
    times: READ_BYTES,
    most: 'memory_in_flight_bytes',
    why: 'each permitted request may hold one read of 65536 bytes',
  },
  {
    less: 'head_timeout_ms',
    times: 1,
    most: 'client_idle_timeout_ms',
    why: 'else who sends half a head is kept longer than who sends nothing',
  },
  {
    less: 'upstream_idle_timeout_ms',
    times: 1,
    most: 'client_idle_timeout_ms',
    why: 'else the next proxy of the mesh closes connections that this one still uses',
  },
];

/** The group `limits:`; every key may be left out. */
export const limitsSchema = z
  .strictObject(
    Object.fromEntries(
      Object.entries(LIMITS).map(([key, { default: value, min, max, why }]) => [
        key,
        z
          .int('is not a whole number (write one without unit)')
          .min(min, `is less than ${min} (write ${min} or more)`)
          .max(max, `is more than ${max} (write ${max} or less)`)
          .default(value)
          .describe(why),
      ]),
    ) as Record<LimitName, z.ZodDefault<z.ZodInt>>,
  )
  .prefault({});

/** What `limits` as written, over the defaults, contradicts; `set` is read tolerantly. */
export function limitContradictions(
  set: Readonly<Record<string, unknown>>,
): { readonly at: LimitName; readonly message: string }[] {
  const value = (name: LimitName): number => {
    const written = set[name];
    return typeof written === 'number' ? written : LIMITS[name].default;
  };
  return LIMIT_RELATIONS.flatMap(({ less, times, most, why }) => {
    const needed = value(less) * times;
    if (needed <= value(most)) return [];
    const default_ = (name: LimitName): string => (set[name] === undefined ? ', its default' : '');
    const factor = times === 1 ? '' : ` times ${times}`;
    return [
      {
        at: set[less] === undefined ? most : less,
        message:
          `${less} (${value(less)}${default_(less)})${factor} is more than ${most} ` +
          `(${value(most)}${default_(most)}): ${why} (lower ${less}, or raise ${most} to ${needed})`,
      },
    ];
  });
}
