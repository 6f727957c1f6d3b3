/**
 * Bytes that wait in one socket because its peer does not take them, counted in the load of the
 * process while they wait. Looked at only after a write that the kernel did not take whole, so it
 * costs the usual request one comparison.
 */
import type { Socket } from 'node:net';
import type { ProcessLoad } from './admission.ts';
import { SCRATCH_BYTES } from './codec/output.ts';

const NOTHING = Buffer.alloc(0);

export class Backlog {
  readonly #load: ProcessLoad;
  #bytes = 0;
  #socket: Socket | undefined;

  constructor(load: ProcessLoad) {
    this.#load = load;
  }

  /** Something was written to `socket`, and is not all gone. */
  watch(socket: Socket): void {
    // The first of them may be a few bytes at the end of a whole scratch, which they keep.
    this.#count(Math.max(socket.writableLength, SCRATCH_BYTES));
    if (this.#socket === socket) return;
    this.#socket = socket;
    // Done when all before it is. After an error, or behind the last write, `release` follows.
    socket.write(NOTHING, (error) => {
      if (error || this.#socket !== socket) return;
      this.#socket = undefined;
      if (socket.writableLength === 0) this.#count(0);
      else if (socket.writable) this.watch(socket);
    });
  }

  /** The socket is no longer of interest. Safe to call twice. */
  release(): void {
    this.#socket = undefined;
    this.#count(0);
  }

  #count(bytes: number): void {
    this.#load.hold(bytes - this.#bytes);
    this.#bytes = bytes;
  }
}
