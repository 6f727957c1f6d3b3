/**
 * The content of a request body as far as it was sent, kept so that it can be sent once more; up to a
 * bound, past which the request can go only once. Keeps content, not framing: the bytes are framed
 * anew. What it keeps counts in the load of the process. One per exchange, used again.
 */
import type { ProcessLoad } from './admission.ts';
import { content, segments } from './codec/body.ts';

export class Replay {
  readonly #load: ProcessLoad;
  #bytes = Buffer.alloc(0);
  #bytesMax = 0;
  #overflowed = false;
  /** Bytes kept. */
  length = 0;

  constructor(load: ProcessLoad) {
    this.#load = load;
  }

  /** Begins an empty body of at most `bytesMax`. */
  start(bytesMax: number): void {
    this.clear();
    this.#bytesMax = bytesMax;
    this.#overflowed = false;
  }

  /** All that was sent is here. */
  get isWhole(): boolean {
    return !this.#overflowed;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Keeps the content of `b` that the body reader just marked. */
  keep(b: Buffer): void {
    if (this.#overflowed) return;
    const end = this.length + content.bytes;
    if (end > this.#bytesMax) {
      this.#overflowed = true;
      this.clear();
      return;
    }
    if (end > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#bytesMax, Math.max(1_024, end * 2)));
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#load.hold(grown.length - this.#bytes.length);
      this.#bytes = grown;
    }
    for (let i = 0; i < content.pairs; i += 2) {
      this.length += b.copy(this.#bytes, this.length, segments[i], segments[i + 1]);
    }
  }

  /** Forgets what it keeps. Safe to call twice. */
  clear(): void {
    if (this.#bytes.length > 0) {
      this.#load.hold(-this.#bytes.length);
      this.#bytes = Buffer.alloc(0);
    }
    this.length = 0;
  }
}
