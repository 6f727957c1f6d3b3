/**
 * The vocabulary of attribution: into which kinds the time of one request is split, and why a
 * trace may be incomplete. The formulas stand in docs/GLOSSARY.md and, as code, in trace-splitter.ts.
 *
 *     duration of the root hop
 *       = client wait + gateway + mesh + backoff + wire + application + upstream
 *         + parallel surplus (0 or negative) + residual
 *
 * to the nanosecond, always: what is not explained is the residual, signed and never clamped away.
 */

/** In the order of the Enum8 and of the totals' columns in store/schema/020_attribution.sql. */
export const SEGMENT_KINDS = [
  'gateway',
  'mesh',
  'backoff',
  'wire',
  'application',
  'upstream',
  'parallel_surplus',
  'client_wait',
  'residual',
] as const;
export type SegmentKind = (typeof SEGMENT_KINDS)[number];

/** Index of a kind in SEGMENT_KINDS. */
export const KIND = Object.fromEntries(SEGMENT_KINDS.map((kind, index) => [kind, index])) as {
  readonly [K in SegmentKind]: number;
};

/** What each kind means, for people: legends, `--help`, the page. */
export const KIND_MEANINGS: Readonly<Record<SegmentKind, string>> = {
  gateway: "the gateways' own time, and gateway functions wherever they run",
  mesh: "the sidecars' own time",
  backoff: 'pauses before a proxy tried again',
  wire: 'between two proxies: network, kernel, connecting, and the event-loop queue of the peer',
  application: 'workloads at work, and the way between a workload and its sidecar',
  upstream: 'called hosts that carry no proxy of the mesh, and attempts that reached nobody',
  parallel_surplus: 'calls that a workload made side by side: what they took less what they lasted',
  client_wait: 'waiting for the client to send its request or to take the response',
  residual: 'not explained; 0 on a complete trace',
};

/** Why a trace is incomplete, as bits of the column `Incomplete`. */
export const INCOMPLETE = {
  /** No hop without a parent in the trace: where the request entered is not stored. */
  missing_root: 1,
  /** A hop names a caller that is not stored. */
  missing_parent: 2,
  /** A meshed target answered, and its hop is not stored. */
  missing_child: 4,
  /** Several calls of a workload may have caused an outbound hop, and nothing tells which did. */
  ambiguous_parent: 8,
  /** Several requests under one trace id. */
  several_roots: 16,
  /** Instants of two clocks, or of one that was set in between, would have to be compared. */
  clock_domains: 32,
  /** More rows than are looked at. */
  too_large: 64,
  /** Closed before it had come to rest: it lasted longer, or too many traces were open. */
  closed_early: 128,
  /** Everything is there and the sum is not the duration: a record is wrong. */
  does_not_add_up: 256,
  /** A hop lasted longer than the attempt that called it: given up, or a clock that runs wrong. */
  outlives_call: 512,
} as const;
export type IncompleteReason = keyof typeof INCOMPLETE;

/** Reasons whose bits are set. */
export function reasonsOf(bits: number): IncompleteReason[] {
  return (Object.keys(INCOMPLETE) as IncompleteReason[]).filter(
    (reason) => (bits & INCOMPLETE[reason]) !== 0,
  );
}
