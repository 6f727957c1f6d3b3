/**
 * What a filter is: one function of a proxy (check a token, count a client, change a header) over the
 * head of a request, between routing and the head that goes upstream.
 *
 *   route ──► trace context ──► filter, filter, filter ──► head written ──► upstream
 *                                  │ each: pass, name the consumer, refuse, answer, or wait
 *
 * Filters are made per route when a configuration is taken; what they keep between requests (counters,
 * keys) is bounded. A filter never touches a socket, never reads a body, and never throws for what a
 * client sends. order.ts says which stands where and why; filter-run.ts runs them.
 */
import { FUNCTIONS, type ProxyFunction } from '../../telemetry/hop-record.ts';
import type { Failure, FailureName } from '../rescue.ts';

/** What a filter may know of a request. Valid until the filter returns: read it before waiting. */
export interface FilteredRequest {
  readonly method: string;
  /** Path without query, as the client wrote it. */
  readonly path: string;
  /** With its `?`; '' without one. */
  readonly query: string;
  /** Client address as text. */
  readonly address: string;
  /** SPIFFE id of the caller, where it is beyond doubt; else ''. */
  readonly peerId: string;
  /** Content-Length; 0 without a body, -1 where only the body itself will tell. */
  readonly contentBytes: number;
  /** Named by a filter before; '' while nobody knows. */
  readonly consumer: string;
  /** Values of a header (name in lower case) joined with a comma; undefined when it is not there. */
  header(name: string): string | undefined;
}

/** What a filter may change: of the request on its way upstream and of its answer. */
export interface RequestChanges {
  /** Path that goes upstream; '' leaves it as it is. */
  path: string;
  /** Query that goes upstream, with its `?`; undefined leaves it as it is. */
  query: string | undefined;
  /** Header lines for the upstream, each with its line end. */
  requestLines: string;
  /** Header lines for the client, also of an answer of our own. */
  responseLines: string;
  /** Longest body, in content bytes. */
  bodyBytesMax: number;
  /** Bits of RESPONSE_FLAGS that the record gets, whatever becomes of the request. */
  flagBits: number;
}

/**
 * What becomes of a request after a filter looked at it; undefined: it goes on.
 *
 * - `consumer`: it goes on, and who sent it is known.
 * - `refuse`: answered by the failure, with further header lines; `as`: with another status than its own.
 * - `answer`: answered with 204; no failure.
 */
export type Outcome =
  | undefined
  | { readonly kind: 'consumer'; readonly name: string }
  | {
      readonly kind: 'refuse';
      readonly failure: FailureName;
      readonly lines: string;
      readonly as?: Failure;
    }
  | { readonly kind: 'answer'; readonly lines: string };

export interface Filter {
  /** Index of FUNCTIONS: whose time it is, and which bit. */
  readonly phase: number;
  /** Judges a request. A promise makes the request wait; it must settle by itself, and soon. */
  look(request: FilteredRequest, changes: RequestChanges): Outcome | Promise<Outcome>;
}

export const phaseOf = (name: ProxyFunction): number => FUNCTIONS.indexOf(name);

export const refusal = (failure: FailureName, lines = ''): Outcome => ({
  kind: 'refuse',
  failure,
  lines,
});
