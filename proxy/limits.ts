/**
 * Every limit of the data plane. Nothing a peer sends may make the proxy hold more than these allow;
 * past one of them the peer gets the status that proxy/rescue.ts names, the refusal is counted
 * (admission.ts) and recorded as a hop with its flag. The whole table with statuses: docs/LIMITS.md.
 *
 * Three kinds: of the codec (its buffers are cut to them), of the process (below), and those that an
 * operator may set, whose defaults, reasons and relations stand in mesh/limits.ts.
 */
import { DEFAULT_LIMITS_PART, LIMITS, type LimitName, type LimitsPart } from '../mesh/limits.ts';

/** Limits that belong to the codec: fixed, because its buffers are cut to them. */
export const CODEC_LIMITS = {
  /** Head of a message, start line included. Node's and Apache-class default; a browser's is 1-2 kB. 431. */
  headBytes: 16_384,
  /** Start line alone, half the head. RFC 9112 3 asks for at least 8,000 octets. 414. */
  requestLineBytes: 8_192,
  /** Envoy's default; 2,000 tiny fields would fit in the bytes and cost time at every hop. 431. */
  fieldCount: 100,
  /** The longest registered method has 17 letters. */
  methodBytes: 32,
  /** A body of 1 TiB still counts exactly in a double; beyond it a length is nonsense. 413. */
  contentLengthMax: 2 ** 40,
  /** Hexadecimal digits of one chunk size: 4 GiB a chunk. */
  chunkSizeDigits: 8,
  /** Chunk extensions mean nothing to us; the longest seen in the wild are signatures of ~85 bytes. */
  chunkExtensionBytes: 256,
  /** Trailer section; a quarter of a head. */
  trailerBytes: 4_096,
  /** Distinct trailer fields forwarded. gRPC and checksums use at most four; the rest is dropped. */
  trailerNames: 32,
  /** Interim responses (1xx) before a final one. Two (100, 103) are in use; more is a loop. */
  interimResponses: 16,
} as const;

type CamelCase<T extends string> = T extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : T;

/** Limits of the mesh file under their names in code, and those that only tests change. */
export interface Limits extends Readonly<Record<CamelCase<LimitName>, number>>, FixedLimits {}

interface FixedLimits {
  /** An answer that flows for longer than this is a stream and enters no latency quantile. */
  readonly streamAfterMs: number;
  /** How often a tunnel's bytes are recorded: the minute that the rollups count in. */
  readonly tunnelIntervalMs: number;
  /** After an early answer: how long, and how much, unread request is swallowed before the close. */
  readonly lingerTimeoutMs: number;
  readonly lingerBytes: number;
  /**
   * Connections past connections_per_listener or _per_client that still get their 503, one request
   * each within lingerTimeoutMs; any more are reset. About a hundredth of the
   * listener's default.
   */
  readonly turnedAwayPerListener: number;
  /**
   * Idle connections are kept no longer than this while nine tenths of a listener's connections
   * are taken, so that idle ones make room. The keep-alive of Node's and Apache's servers.
   */
  readonly crowdedIdleTimeoutMs: number;
  /** Time that requests in flight get to finish when the process stops. */
  readonly drainTimeoutMs: number;
  /**
   * A kept connection without a request while its listener ends. Long enough for a request that is
   * on its way, far below drainTimeoutMs.
   */
  readonly drainIdleTimeoutMs: number;
  /**
   * Distinct callers believed per mesh_only listener, and by certificate beyond those of the mesh
   * file; their names are label values.
   */
  readonly peersPerListener: number;
  /** Distinct consumers named in the records of a listener; all others are `other` there. */
  readonly consumersPerListener: number;
  /** Host values and shapes remembered per listener: caches that a client can fill. */
  readonly cacheEntries: number;
}

const FIXED_LIMITS: FixedLimits = {
  streamAfterMs: 60_000,
  tunnelIntervalMs: 60_000,
  lingerTimeoutMs: 2_000,
  lingerBytes: 1_048_576,
  turnedAwayPerListener: 128,
  crowdedIdleTimeoutMs: 5_000,
  drainTimeoutMs: 10_000,
  drainIdleTimeoutMs: 1_000,
  peersPerListener: 256,
  consumersPerListener: 100,
  cacheEntries: 1_000,
};

/** All limits of a process from its part of the mesh file. */
export function limitsOf(part: LimitsPart): Limits {
  const settable = Object.keys(LIMITS).map((name) => [
    name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    part[name as LimitName],
  ]);
  return { ...FIXED_LIMITS, ...(Object.fromEntries(settable) as Omit<Limits, keyof FixedLimits>) };
}

/** Where there is no mesh file. */
export const DEFAULT_LIMITS: Limits = limitsOf(DEFAULT_LIMITS_PART);

/** Files that the process opens beside connections: libraries, log, listeners, exporter, admin. */
const RESERVED_FILES = 256;

/**
 * Client connections that a process may hold with `filesMax` open files: each may need a second one
 * for its upstream.
 */
export const connectionsWithin = (filesMax: number): number =>
  Math.max(1, Math.floor((filesMax - RESERVED_FILES) / 2));

/** Open files that let a process hold so many client connections. */
export const filesFor = (connections: number): number => connections * 2 + RESERVED_FILES;
