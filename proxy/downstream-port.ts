/**
 * What an exchange needs of the downstream connection it belongs to; downstream.ts is the only
 * implementation. Apart, so that the two files do not import each other.
 */
import type { Socket } from 'node:net';
import type { Tunnel } from './tunnel.ts';

/** What a deadline of the downstream connection is for. */
export type DeadlineFor =
  'idle' | 'head' | 'body' | 'connect' | 'response' | 'stream' | 'flush' | 'tunnel' | 'linger';

/** What the exchange needs of the connection it belongs to. */
export interface Downstream {
  readonly socket: Socket;
  /** Client address as text, and as it may be recorded. */
  readonly address: string;
  readonly truncatedAddress: string;
  /** `x-forwarded-for` and `-proto` lines of this connection; '' inside the mesh. */
  readonly forwardedLines: string;
  setDeadline(kind: DeadlineFor, ms: number): void;
  /** Stops and resumes reading of the request body. */
  pauseRequest(): void;
  resumeRequest(): void;
  /** The hop is recorded; what becomes of the connection. */
  exchangeFinished(outcome: Outcome): void;
  /** The hop is recorded, and the connection is a tunnel from now on. */
  tunnelBegins(tunnel: Tunnel): void;
}

/**
 * `keep`: may carry the next request. `close`: ends in order. `abort`: ends so that the client
 * cannot take what it got for complete.
 */
export type Outcome = 'keep' | 'close' | 'abort';
