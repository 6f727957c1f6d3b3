/**
 * Upstream's answer → downstream: reads heads and body strictly, frames them anew, streams. One per
 * exchange, made ready for each attempt by `start`. Decides nothing about failures; it names them.
 *
 *   head of 1xx ──► passed on (HTTP/1.1 clients), again head
 *   final head  ──► body: none | Content-Length | chunked | until close ──► complete
 *
 * A body that the upstream did not finish is never given an end that looks clean.
 */
import type { Socket } from 'node:net';
import { BodyReader, MALFORMED } from './codec/body.ts';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  isPresent,
  keptLines,
  MORE,
  parsed,
  valueBegins,
} from './codec/fields.ts';
import { writeChunk, writeContent, writeText, writtenBytes } from './codec/output.ts';
import { parseResponseHead, statusLine } from './codec/response-head.ts';
import { FIELD } from './codec/tables.ts';
import { CODEC_LIMITS } from './limits.ts';

/** What the relay needs of the exchange it belongs to. */
export interface RelayOwner {
  readonly isHead: boolean;
  readonly isHttp10: boolean;
  readonly downstream: Socket;
  readonly stripResponse: number;
  /**
   * A final head arrived; called before anything of it is sent. `endsByClose`: only the end of the
   * connection can end this answer. True when the connection must end after it, for whatever reason.
   */
  responseBegins(status: number, isStream: boolean, endsByClose: boolean): boolean;
  /** An interim head (1xx) was passed on, or left out for an HTTP/1.0 client. */
  interimPassed(): void;
  /** `bytes` were handed to the client; `taken` is false when its socket wants a pause. */
  sentDownstream(bytes: number, taken: boolean): void;
  /** The whole answer was handed over. `reusable`: the upstream connection ended exactly with it. */
  responseComplete(reusable: boolean): void;
  /** The upstream sent what is no valid answer. */
  responseInvalid(): void;
}

export class ResponseRelay {
  readonly #owner: RelayOwner;
  readonly #body = new BodyReader();
  #headBytes: Buffer | undefined;
  #interims = 0;
  #chunkedOut = false;
  #keepUpstream = false;
  /** A final head was read; it may not have been sent yet. */
  #headRead = false;
  /** Bytes of a final answer were sent downstream: it can no longer be replaced by another. */
  begun = false;

  constructor(owner: RelayOwner) {
    this.#owner = owner;
  }

  /** Makes ready for an answer. */
  start(): void {
    this.#headBytes = undefined;
    this.#interims = 0;
    this.#headRead = false;
    this.begun = false;
    this.#body.start(BODY_NONE, 0);
  }

  /** Takes b[0, n); keeps nothing of it that it does not copy. */
  data(b: Buffer, n: number): void {
    let p = 0;
    let prefix = '';
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
          if (prefix !== '') this.#sendInterim(prefix);
          return;
        }
        if (end < 0) {
          this.#owner.responseInvalid();
          return;
        }
        const head = b.toString('latin1', p, end);
        if (statusLine.status < 200) {
          // 101 would make a tunnel that nobody asked for: we never send Upgrade.
          if (statusLine.status === 101 || ++this.#interims > CODEC_LIMITS.interimResponses) {
            this.#owner.responseInvalid();
            return;
          }
          prefix += this.#lines(b, head, p) + '\r\n';
        } else {
          prefix = (this.#owner.isHttp10 ? '' : prefix) + this.#finalHead(b, head, p);
        }
        p = end;
      }
    }
    this.#sendBody(b, p, n, prefix);
  }

  /** The upstream ended in order: true when that completes the answer, which is then sent. */
  endOfConnection(): boolean {
    if (!this.#headRead || this.#body.done || !this.#body.endOfConnection()) return false;
    if (this.#chunkedOut) {
      const taken = writeText(this.#owner.downstream, '0\r\n\r\n');
      this.#owner.sentDownstream(writtenBytes, taken);
    }
    this.#owner.responseComplete(false);
    return true;
  }

  #sendInterim(heads: string): void {
    if (!this.#owner.isHttp10) {
      const taken = writeText(this.#owner.downstream, heads);
      this.#owner.sentDownstream(writtenBytes, taken);
    }
    this.#owner.interimPassed();
  }

  #sendBody(b: Buffer, p: number, n: number, prefix: string): void {
    const body = this.#body;
    if (body.done) {
      // No body, so the head is all there is.
      writeText(this.#owner.downstream, prefix);
      this.begun = true;
      this.#owner.sentDownstream(writtenBytes, true);
      this.#owner.responseComplete(this.#keepUpstream && p === n);
      return;
    }
    const at = this.#forwardBody(b, p, n, prefix);
    if (at < 0) this.#owner.responseInvalid();
    else if (this.#body.done) this.#owner.responseComplete(this.#keepUpstream && at === n);
  }

  /** Returns the position after what was sent, or MALFORMED. */
  #forwardBody(b: Buffer, p: number, n: number, prefix: string): number {
    const { downstream } = this.#owner;
    const body = this.#body;
    // More than one turn only when thousands of tiny chunks came in one read.
    do {
      const at = body.feed(b, p, n);
      if (at === MALFORMED) return MALFORMED;
      p = at;
      const taken = this.#chunkedOut
        ? writeChunk(downstream, prefix, b, body.done)
        : writeContent(downstream, prefix, b, '');
      prefix = '';
      this.begun = true;
      // What is not taken of a complete answer is waited for at its end.
      this.#owner.sentDownstream(writtenBytes, taken || body.done);
    } while (p < n && !body.done);
    return p;
  }

  /** Status line in our version with the reason as received, and the fields that go on. */
  #lines(b: Buffer, head: string, base: number): string {
    const statusAndReason = head.slice(9, statusLine.end - base);
    return 'HTTP/1.1 ' + statusAndReason + keptLines(b, head, base, this.#owner.stripResponse);
  }

  #finalHead(b: Buffer, head: string, base: number): string {
    const { status } = statusLine;
    const { isHead, isHttp10 } = this.#owner;
    this.#headRead = true;
    const bodiless = isHead || status === 204 || status === 304;
    let kind = BODY_NONE;
    if (!bodiless) kind = parsed.bodyKind === BODY_NONE ? BODY_UNTIL_CLOSE : parsed.bodyKind;
    this.#keepUpstream = !parsed.close && kind !== BODY_UNTIL_CLOSE;
    // HTTP/1.0 knows no chunks: there such a body ends with the connection.
    const unsized = kind === BODY_CHUNKED || kind === BODY_UNTIL_CLOSE;
    this.#chunkedOut = unsized && !isHttp10;
    const isStream =
      !bodiless &&
      isPresent(FIELD.contentType) &&
      valueBegins(b, FIELD.contentType, 'text/event-stream');
    const close = this.#owner.responseBegins(status, isStream, unsized && isHttp10);
    let framing = '';
    // A 204 has no length (RFC 9110 8.6); HEAD and 304 tell that of the answer they stand for.
    if (parsed.bodyKind === BODY_LENGTH && status !== 204) {
      framing = `content-length: ${parsed.bodyBytes}\r\n`;
    } else if (this.#chunkedOut || (isHead && parsed.bodyKind === BODY_CHUNKED && !isHttp10)) {
      framing = 'transfer-encoding: chunked\r\n';
    }
    this.#body.start(kind, parsed.bodyBytes);
    let connection = '';
    if (close) connection = 'connection: close\r\n';
    else if (isHttp10) connection = 'connection: keep-alive\r\n';
    return this.#lines(b, head, base) + framing + connection + '\r\n';
  }
}
