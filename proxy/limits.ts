/**
 * Every limit of the data plane, each with its reason and its relation to the others. Nothing a
 * peer sends may make the proxy hold more than these allow; past one of them the peer gets the
 * status that proxy/rescue.ts names, and the hop is recorded with flag RH, DT or UO.
 */

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

/** Limits of connections and clusters. Tests make them small. */
export interface Limits {
  /** First byte to end of a request head: a slow-loris holds a connection no longer. 408. */
  readonly headTimeoutMs: number;
  /** Longest pause within a request body. 408. */
  readonly bodyIdleTimeoutMs: number;
  /** Longest pause within a response body, and for a client to take bytes that wait. Envoy's stream idle. */
  readonly streamIdleTimeoutMs: number;
  /** An answer that flows for longer than this is a stream and enters no latency quantile. */
  readonly streamAfterMs: number;
  /** Longest time without a byte in either direction of a tunnel. Envoy's stream idle timeout. */
  readonly tunnelIdleTimeoutMs: number;
  /** How often a tunnel's bytes are recorded: the minute that the rollups count in. */
  readonly tunnelIntervalMs: number;
  /** A kept downstream connection without a request. Above a browser's usual think time. */
  readonly clientIdleTimeoutMs: number;
  /** A pooled upstream connection. Below the 5 s after which Node's servers close theirs. */
  readonly upstreamIdleTimeoutMs: number;
  /** After an early answer: how long, and how much, unread request is swallowed before the close. */
  readonly lingerTimeoutMs: number;
  readonly lingerBytes: number;
  /** Idle connections kept per upstream endpoint. Four times the usual load generator's 64. */
  readonly poolPerEndpoint: number;
  /** Requests in flight per cluster (Envoy's circuit breaker default). 503 UO. */
  readonly requestsPerCluster: number;
  /** Request body, Content-Length or chunked. 413. */
  readonly requestBodyBytes: number;
  /** Time that requests in flight get to finish when the process stops. */
  readonly drainTimeoutMs: number;
  /**
   * A kept connection without a request while its listener ends. Long enough for a request that is
   * on its way, far below drainTimeoutMs.
   */
  readonly drainIdleTimeoutMs: number;
  /** Distinct callers believed per mesh_only listener; their names are label values. */
  readonly peersPerListener: number;
  /** Host values and shapes remembered per listener: caches that a client can fill. */
  readonly cacheEntries: number;
}

export const DEFAULT_LIMITS: Limits = {
  headTimeoutMs: 10_000,
  bodyIdleTimeoutMs: 30_000,
  streamIdleTimeoutMs: 300_000,
  streamAfterMs: 60_000,
  tunnelIdleTimeoutMs: 300_000,
  tunnelIntervalMs: 60_000,
  clientIdleTimeoutMs: 60_000,
  upstreamIdleTimeoutMs: 4_000,
  lingerTimeoutMs: 2_000,
  lingerBytes: 1_048_576,
  poolPerEndpoint: 256,
  requestsPerCluster: 1_024,
  requestBodyBytes: CODEC_LIMITS.contentLengthMax,
  drainTimeoutMs: 10_000,
  drainIdleTimeoutMs: 1_000,
  peersPerListener: 256,
  cacheEntries: 1_000,
};
