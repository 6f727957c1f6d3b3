/**
 * What an exchange and a tunnel need of the downstream connection they belong to, and what that needs
 * of a tunnel. Apart, so that downstream.ts, exchange.ts and tunnel.ts do not import each other.
 */
import type { Socket } from 'node:net';
import type { TunnelEnd } from '../telemetry/tunnel-span.ts';

/** What a deadline of the downstream connection is for. */
export type DeadlineFor =
  | 'idle'
  | 'head'
  | 'filter'
  | 'body'
  | 'connect'
  | 'response'
  | 'stream'
  | 'flush'
  | 'tunnel'
  | 'linger';

/** What the exchange needs of the connection it belongs to. */
export interface Downstream {
  readonly socket: Socket;
  readonly isTls: boolean;
  /** SPIFFE id that the client proved; ''. */
  readonly id: string;
  /** Ends with the answer in hand: it was let in by certificates that no longer count. */
  readonly retiring: boolean;
  /** Client address as text, and as it may be recorded. */
  readonly address: string;
  readonly truncatedAddress: string;
  /** `x-forwarded-for` and `-proto` lines of this connection; '' inside the mesh. */
  readonly forwardedLines: string;
  setDeadline(kind: DeadlineFor, ms: number): void;
  /** Nobody is waited for: the hop pauses. */
  clearDeadline(): void;
  /** Bytes for the client wait in its socket. */
  answerWaits(): void;
  /** Stops and resumes reading of the request body. */
  pauseRequest(): void;
  resumeRequest(): void;
  /** Ends so that the client cannot take what it got for complete. */
  reset(): void;
  /** What was held of a request was read up to `next`; b[next, …) is not of it. */
  requestRead(b: Buffer, next: number): void;
  /** The hop is recorded; what becomes of the connection. */
  exchangeFinished(outcome: Outcome): void;
  /** The hop is recorded, and the connection is a tunnel from now on. */
  tunnelBegins(tunnel: DownstreamUser): void;
}

/** Who takes the bytes of the connection once it is a tunnel; tunnel.ts is the only implementation. */
export interface DownstreamUser {
  /** Takes b[0, n), valid during the call only. */
  downstreamData(b: Buffer, n: number): void;
  /** The client takes bytes again after its socket asked for a pause. */
  downstreamDrained(): void;
  /** The client ended its direction. */
  downstreamEnded(): void;
  downstreamClosed(): void;
  /** The process stops: both directions end in order; what is under way still arrives. */
  drain(): void;
  /** Ends both sides now. Safe to call twice. */
  cut(why: TunnelEnd): void;
}

/**
 * `keep`: may carry the next request. `close`: ends in order. `abort`: ends so that the client
 * cannot take what it got for complete.
 */
export type Outcome = 'keep' | 'close' | 'abort';
