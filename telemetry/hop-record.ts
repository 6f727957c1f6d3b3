/**
 * The record of one hop, as a proxy hands it to the writer.
 *
 * In two halves, because every request is recorded: a HopShape holds what is the same for all
 * requests of one route, method and caller (the writer encodes it once); a HopRecord holds what is
 * measured anew, in numbers and typed arrays that one connection reuses from request to request.
 * The writer reads a record synchronously and keeps nothing of it.
 */
import type { EdgeClass, PeerKnown, PeerRole, ProxySide } from './edge-class.ts';

/** Most attempts of one hop: the span id of attempt n is the hop's XOR n, in its low 4 bits. */
export const ATTEMPTS_MAX = 15;

/** Who answered the downstream. Position = number in the packed form. */
export const ANSWERED_BY = ['', 'upstream', 'proxy', 'client_gone'] as const;
export type AnsweredBy = (typeof ANSWERED_BY)[number];

/** A stream (SSE, long response) or a tunnel (upgrade) never enters a latency quantile. */
export const STREAM_CLASSES = ['', 'stream', 'tunnel'] as const;
export type StreamClass = (typeof STREAM_CLASSES)[number];

/** Envoy's response flags where they fit; bit n of `flags` is the n-th name. Append only. */
export const RESPONSE_FLAGS = [
  'NR', // no route configured
  'UH', // no healthy upstream
  'UF', // upstream connection failure
  'UT', // upstream request timeout
  'UC', // upstream connection termination
  'UR', // upstream remote reset
  'UPE', // upstream protocol error
  'UO', // upstream overflow (circuit breaking, pending limit)
  'URX', // retry limit exceeded
  'DC', // downstream connection termination
  'DPE', // downstream protocol error
  'DT', // downstream request or duration timeout
  'RL', // rate limited
  'UAEX', // denied by authorization
  'DI', // delay injected
  'FI', // fault injected
  'LH', // health check failed
  'OM', // overload
  'SI', // stream idle timeout
  'RH', // request head or body beyond a limit
] as const;
export type ResponseFlag = (typeof RESPONSE_FLAGS)[number];

/** Functions that a proxy performs on a request; position = phase id and bit in `functions`. Append only. */
export const FUNCTIONS = [
  'route',
  'tls',
  'authn',
  'authz',
  'rate_limit',
  'cors',
  'rewrite',
  'retry',
  'fault',
  'mirror',
  'trace_context',
  'hygiene',
  'headers', // headers of request and response set, added, removed
  'request_size',
] as const;
export type ProxyFunction = (typeof FUNCTIONS)[number];

/** Bits of `marks`, by which a hop says that it is not what hops are in general. Append only. */
export const HOP_MARKS = {
  /** Of a copy of a request, or of what was called on its behalf. */
  mirrored: 1,
} as const;

/** Names of the eight time points; the first is the start of the span, the last its end. */
export const TIME_POINTS = [
  'request_first', // first byte of the request received
  'request_last', // last byte of the request received
  'upstream_first', // first byte sent upstream (of the first attempt)
  'upstream_last', // last byte sent upstream (of the last attempt)
  'response_first', // first byte of the response received (of the last attempt)
  'response_last', // last byte of the response received
  'downstream_first', // first byte sent downstream
  'downstream_last', // last byte sent downstream
] as const;
/** Index into HopRecord.timesMs. */
export const T = {
  requestFirst: 0,
  requestLast: 1,
  upstreamFirst: 2,
  upstreamLast: 3,
  responseFirst: 4,
  responseLast: 5,
  downstreamFirst: 6,
  downstreamLast: 7,
} as const;

/** Bits of an attempt. */
export const ATTEMPT_BITS = {
  /** The target is in the mesh, so an inbound hop must exist for it. */
  meshed: 1,
  /** At least one byte of a response came back. */
  answered: 2,
  /** A pooled connection was used, nothing was connected. */
  pooled: 4,
} as const;

/**
 * How an attempt ended that brought no whole answer: `error.type` of its failure. Position = number
 * in bits 3 to 6 of an attempt; '' where an answer came, or nothing is known. Append only, at most 16.
 */
export const ATTEMPT_ENDS = [
  '',
  'upstream_connect_failed',
  'upstream_connect_timeout',
  'upstream_closed',
  'upstream_reset',
  'upstream_protocol_error',
  'upstream_timeout', // response_timeout_ms
  'try_timeout',
  'route_timeout',
  'deadline_exceeded',
  'stream_idle_timeout',
  'client_gone',
  'client_stalled',
  'other',
] as const;
const END_SHIFT = 3;
const END_MASK = 0xf;

/** Bits of an attempt with its end named; a name that is none of the list reads as `other`. */
export function withAttemptEnd(bits: number, end: string): number {
  const known = (ATTEMPT_ENDS as readonly string[]).indexOf(end);
  const number = known < 0 ? ATTEMPT_ENDS.length - 1 : known;
  return (bits & ~(END_MASK << END_SHIFT)) | (number << END_SHIFT);
}

/** How an attempt ended, from its bits; '' for a number that this version does not know. */
export const attemptEnd = (bits: number): string =>
  ATTEMPT_ENDS[(bits >> END_SHIFT) & END_MASK] ?? '';

/** Everything that is the same for all requests of one listener, route, method, caller and target. */
export interface HopShape {
  readonly side: ProxySide;
  readonly edgeClass: EdgeClass;
  readonly method: string;
  /** Matched route template; '' when none matched. */
  readonly route: string;
  readonly scheme: 'http' | 'https';
  /** '1.1' or '1.0'. */
  readonly protocolVersion: string;
  /** Host that the request was for; '' leaves the attribute out. */
  readonly serverAddress: string;
  /** Calling workload; '' when unknown or external. */
  readonly peer: string;
  readonly peerRole: PeerRole;
  readonly peerKnown: PeerKnown;
  /** Target workload or cluster; '' when no route matched. */
  readonly target: string;
  /** Functions performed, bit n = FUNCTIONS[n]. */
  readonly functions: number;
  /** Who sent the request, by a key or token; left out where nobody is known. Of few names. */
  readonly consumer?: string;
  /** Own time is at most what is recorded; left out where it is exact. */
  readonly ownBound?: 'upper_bound';
  /** Of a copy of a request, or of what was called on its behalf: no load; left out on any other. */
  readonly mirrored?: true;
}

/** One try upstream. Times in milliseconds of the monotonic clock. */
export interface AttemptRecord {
  startMs: number;
  endMs: number;
  /** Client wait that fell inside the attempt, milliseconds. */
  waitMs: number;
  /** Milliseconds of it spent connecting (and TLS); 0 on a pooled connection. */
  connectMs: number;
  /** Status that came back; 0 when none did. */
  status: number;
  /** ATTEMPT_BITS, and how it ended: withAttemptEnd. */
  bits: number;
}

/** What is measured anew for each request. NaN marks a time point that was not reached. */
export interface HopRecord {
  /** Trace id as four big-endian 32-bit words. */
  readonly traceId: Uint32Array;
  /** Span id as two words; its low 4 bits are 0. */
  readonly spanId: Uint32Array;
  /** Parent's span id; both words 0 when there is none. */
  readonly parentId: Uint32Array;
  /** W3C trace flags: 1 sampled, 2 random. */
  traceFlags: number;
  traceState: string;
  /** `traceparent` of an untrusted client whose trace was restarted: kept as a span link. */
  linkTraceparent: string;
  /** Gapless per process, from 1. */
  seq: number;
  /** Index of TIME_POINTS, monotonic milliseconds. */
  readonly timesMs: Float64Array;
  /** Client wait in all, milliseconds; the part within attempts stands in each attempt. */
  waitMs: number;
  /** Retry back-off, milliseconds. */
  backoffMs: number;
  /** Waiting for a connection or a permit, milliseconds; lies in own time. */
  poolMs: number;
  /** Event-loop delay seen while the hop lived, milliseconds. */
  loopDelayMs: number;
  /** Bytes received from downstream for this request, head and framing included. */
  bytesIn: number;
  /** Bytes sent to downstream for this request, head and framing included. */
  bytesOut: number;
  /** Status sent downstream; 0 when the client left before one. */
  status: number;
  /** Bit n = RESPONSE_FLAGS[n]. */
  flags: number;
  answeredBy: AnsweredBy;
  streamClass: StreamClass;
  configGeneration: number;
  /** Milliseconds left at the start, of the caller's deadline or the route's own; -1 without any. */
  deadlineMs: number;
  /** Nanoseconds spent in each function, same index as FUNCTIONS; 0 = not performed. */
  readonly phaseNs: Float64Array;
  /** 0..ATTEMPTS_MAX; entries of `attempts` past it are stale. */
  attemptCount: number;
  readonly attempts: AttemptRecord[];
  /** Bounded error type ('' = none): a response flag's long name or the status class. */
  errorType: string;
  /** Raw path without query; '' unless the mesh file asks for it. */
  path: string;
  /** Truncated client address; '' leaves it out. */
  clientAddress: string;
}

/** A record with room for every attempt and phase, all zero. */
export function createHopRecord(): HopRecord {
  return {
    traceId: new Uint32Array(4),
    spanId: new Uint32Array(2),
    parentId: new Uint32Array(2),
    traceFlags: 0,
    traceState: '',
    linkTraceparent: '',
    seq: 0,
    timesMs: new Float64Array(8),
    waitMs: 0,
    backoffMs: 0,
    poolMs: 0,
    loopDelayMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    status: 0,
    flags: 0,
    answeredBy: '',
    streamClass: '',
    configGeneration: 0,
    deadlineMs: -1,
    phaseNs: new Float64Array(FUNCTIONS.length),
    attemptCount: 0,
    attempts: [{ startMs: 0, endMs: 0, waitMs: 0, connectMs: 0, status: 0, bits: 0 }],
    errorType: '',
    path: '',
    clientAddress: '',
  };
}
