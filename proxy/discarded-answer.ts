/**
 * An answer that nobody waits for: read to its end by the same strict rules as any other, so that its
 * connection may be used again, and thrown away as it comes. One per copy of a request (mirror.ts).
 */
import { BodyReader, MALFORMED } from './codec/body.ts';
import { MORE, parsed } from './codec/fields.ts';
import { answerFraming, parseResponseHead, statusLine } from './codec/response-head.ts';
import { CODEC_LIMITS } from './limits.ts';

const SWITCHING_PROTOCOLS = 101;

export class DiscardedAnswer {
  readonly #isHead: boolean;
  readonly #body = new BodyReader();
  #headBytes: Buffer | undefined;
  #interims = 0;
  #keeps = false;
  /** Of the final head; 0 before it. */
  status = 0;
  #headRead = false;

  /** `isHead`: it answers a HEAD, so it has no body. */
  constructor(isHead: boolean) {
    this.#isHead = isHead;
  }

  /** All of it was read. */
  get done(): boolean {
    return this.#headRead && this.#body.done;
  }

  /** Once `done`: its connection may carry another request. */
  get reusable(): boolean {
    return this.#keeps;
  }

  /** Takes b[0, n) and keeps nothing of it that it does not copy. False when it is no valid answer. */
  data(b: Buffer, n: number): boolean {
    let p = 0;
    if (!this.#headRead) {
      if (this.#headBytes !== undefined) {
        b = Buffer.concat([this.#headBytes, b.subarray(0, n)]);
        n = b.length;
        this.#headBytes = undefined;
      }
      while (!this.#headRead) {
        const end = parseResponseHead(b, p, n);
        if (end === MORE) {
          if (p < n) this.#headBytes = Buffer.from(b.subarray(p, n));
          return true;
        }
        if (end < 0 || statusLine.status === SWITCHING_PROTOCOLS) return false;
        if (statusLine.status >= 200) this.#begin();
        else if (++this.#interims > CODEC_LIMITS.interimResponses) return false;
        p = end;
      }
    }
    while (p < n && !this.#body.done) {
      p = this.#body.feed(b, p, n);
      if (p === MALFORMED) return false;
    }
    // Bytes behind its end: one of us is wrong about where that is.
    return p === n;
  }

  /** The other side ended in order: true when that completes the answer. */
  endOfConnection(): boolean {
    return this.#headRead && this.#body.endOfConnection();
  }

  #begin(): void {
    this.#headRead = true;
    this.status = statusLine.status;
    answerFraming.read(this.#isHead);
    this.#keeps = answerFraming.keeps;
    this.#body.start(answerFraming.kind, parsed.bodyBytes);
  }
}
