/**
 * The request body on its way upstream: read strictly, framed anew, streamed. The counterpart of
 * response-relay.ts; one per exchange, made ready for each request by `start`. Decides nothing
 * about failures: it says what is wrong by a negative number.
 */
import type { Socket } from 'node:net';
import { BodyReader, MALFORMED } from './codec/body.ts';
import { BODY_CHUNKED, BODY_NONE } from './codec/fields.ts';
import { writeChunk, writeContent } from './codec/output.ts';

/** The body is longer than the limit. MALFORMED is the other refusal. */
export const TOO_LARGE = -2;

export class RequestBody {
  readonly #reader = new BodyReader();
  readonly #bytesMax: number;

  /** `bytesMax`: longest body, in content bytes. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** All of it was read. */
  get done(): boolean {
    return this.#reader.done;
  }

  /** Makes ready for a request that has no body, until `start` says otherwise. */
  reset(): void {
    this.#reader.start(BODY_NONE, 0);
  }

  /** Begins a body as BodyReader.start does. */
  start(kind: number, lengthBytes: number, trailers: ReadonlySet<string> | undefined): void {
    this.#reader.start(kind, lengthBytes, trailers);
  }

  /**
   * Sends `prefix` and what of b[p, n) belongs to the body, in one write where it can. Returns the
   * position after what was read, MALFORMED or TOO_LARGE; then part of it may have been sent.
   */
  forward(socket: Socket, b: Buffer, p: number, n: number, prefix: string): number {
    const reader = this.#reader;
    // More than one turn only when thousands of tiny chunks came in one read.
    do {
      p = reader.feed(b, p, n);
      if (p === MALFORMED) return MALFORMED;
      if (reader.totalBytes > this.#bytesMax) return TOO_LARGE;
      if (reader.kind === BODY_CHUNKED)
        writeChunk(socket, prefix, b, reader.done, reader.trailerLines);
      else writeContent(socket, prefix, b, '');
      prefix = '';
    } while (p < n && !reader.done);
    return p;
  }
}
