/**
 * How a connection came in, as the request path sees it: its socket, whether that is TLS, and who is
 * at the other end by certificate.
 */
import type { Socket } from 'node:net';
import type { Failure } from '../rescue.ts';

export interface Arrival {
  /** Carries the requests. */
  readonly socket: Socket;
  /** The TCP socket below TLS; `socket` itself without. */
  readonly raw: Socket;
  readonly isTls: boolean;
  /** SPIFFE id that the client proved, of our trust domain; '' when it proved none. */
  readonly id: string;
  /** What the first request is answered with, when this client is not served. */
  readonly refusal: Failure | undefined;
}

export const plainArrival = (socket: Socket, refusal?: Failure): Arrival => ({
  socket,
  raw: socket,
  isTls: false,
  id: '',
  refusal,
});
