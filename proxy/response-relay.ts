/**
 * Upstream's answer → downstream: reads heads and body strictly, frames them anew, streams. One per
 * exchange, made ready for each attempt by `start`. Decides nothing about failures; it names them.
 *
 *   head of 1xx ──► passed on (HTTP/1.1 clients), again head
 *   head of 101 ──► a tunnel, where the request asked for that protocol; else no valid answer
 *   final head  ──► body: none | Content-Length | chunked | until close ──► complete
 *
 * A body that the upstream did not finish is never given an end that looks clean. Nor is one behind
 * which more bytes came in the same read: where upstream and proxy do not agree on the end of an
 * answer, one of them is wrong about its content. (Bytes in a later read only end the connection.)
 */
import type { Socket } from 'node:net';
import { BodyReader, MALFORMED } from './codec/body.ts';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  isNominated,
  isPresent,
  joinedValue,
  keptLines,
  MORE,
  parsed,
  valueBegins,
} from './codec/fields.ts';
import { writeChunk, writeContent, writeText, writtenBytes } from './codec/output.ts';
import { answerFraming, parseResponseHead, statusLine } from './codec/response-head.ts';
import { FIELD } from './codec/tables.ts';
import { announcedTrailers, trailerLine } from './codec/trailers.ts';
import { CODEC_LIMITS } from './limits.ts';

const FORBIDDEN = 403;

/** What the relay needs of the exchange it belongs to. */
export interface RelayOwner {
  readonly request: {
    readonly isHead: boolean;
    readonly isHttp10: boolean;
    /** Protocols, lower case, that the request asked to change to. */
    readonly protocols: readonly string[];
  };
  readonly downstream: Socket;
  readonly stripResponse: number;
  /** The answer leaves the mesh. */
  readonly isEdge: boolean;
  /** What the route's filters change of the final head: names in lower case, and lines. */
  readonly filters:
    | {
        readonly responseTakenOut: ReadonlySet<string> | undefined;
        readonly responseLines: string;
      }
    | undefined;
  /**
   * A final head arrived; called before anything of it is sent. `endsByClose`: only the end of the
   * connection can end this answer. True when the connection must end after it, for whatever reason.
   */
  responseBegins(status: number, isStream: boolean, endsByClose: boolean): boolean;
  /**
   * A final head with this status came, of which nothing was sent: true when the request goes again
   * instead. `reusable`: the answer is all here, and its connection ended exactly with it.
   */
  triesAgain(status: number, reusable: boolean): boolean;
  /** An interim head (1xx) was passed on, or left out for an HTTP/1.0 client. */
  interimPassed(): void;
  /** `bytes` were handed to the client; `taken` is false when its socket wants a pause. */
  sentDownstream(bytes: number, taken: boolean): void;
  /** The whole answer was handed over. `reusable`: the upstream connection ended exactly with it. */
  responseComplete(reusable: boolean): void;
  /**
   * A 101 that the request asked for: `head` is all that goes to the client before the tunnel, and
   * b[p, n) the first that came through it.
   */
  protocolSwitched(head: string, b: Buffer, p: number, n: number): void;
  /** A sidecar says that it does not know us. True when it was one, and not an application. */
  refusedBySidecar(): boolean;
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
        const isRefusal = statusLine.status === FORBIDDEN && isPresent(FIELD.azimuthRefused);
        if (isRefusal && this.#owner.refusedBySidecar()) return;
        const head = b.toString('latin1', p, end);
        if (statusLine.status < 200) {
          if (statusLine.status === 101) {
            this.#switch(b, head, p, end, n, prefix);
            return;
          }
          if (++this.#interims > CODEC_LIMITS.interimResponses) {
            this.#owner.responseInvalid();
            return;
          }
          prefix += this.#lines(b, head, p) + '\r\n';
        } else {
          const { isHead } = this.#owner.request;
          const restBytes = isHead || parsed.bodyKind !== BODY_LENGTH ? 0 : parsed.bodyBytes;
          const isWhole = n - end === restBytes && (isHead || parsed.bodyKind === BODY_LENGTH);
          if (this.#owner.triesAgain(statusLine.status, isWhole && !parsed.close)) return;
          prefix = (this.#owner.request.isHttp10 ? '' : prefix) + this.#finalHead(b, head, p);
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

  /** A tunnel to a protocol that nobody asked for would be one past all rules: that is nonsense. */
  #switch(b: Buffer, head: string, p: number, end: number, n: number, prefix: string): void {
    const owner = this.#owner;
    const protocol = isNominated('upgrade') ? joinedValue(b, FIELD.upgrade) : '';
    if (!owner.request.protocols.includes(protocol.toLowerCase())) {
      owner.responseInvalid();
      return;
    }
    const lines = this.#lines(b, head, p) + `upgrade: ${protocol}\r\nconnection: upgrade\r\n\r\n`;
    this.begun = true;
    owner.protocolSwitched(prefix + lines, b, end, n);
  }

  #sendInterim(heads: string): void {
    if (!this.#owner.request.isHttp10) {
      const taken = writeText(this.#owner.downstream, heads);
      this.#owner.sentDownstream(writtenBytes, taken);
    }
    this.#owner.interimPassed();
  }

  #sendBody(b: Buffer, p: number, n: number, prefix: string): void {
    const body = this.#body;
    if (body.done && p < n) {
      this.#owner.responseInvalid();
      return;
    }
    if (body.done) {
      // No body, so the head is all there is.
      writeText(this.#owner.downstream, prefix);
      this.begun = true;
      this.#owner.sentDownstream(writtenBytes, true);
      this.#owner.responseComplete(this.#keepUpstream);
      return;
    }
    if (!this.#forwardBody(b, p, n, prefix)) this.#owner.responseInvalid();
    else if (this.#body.done) this.#owner.responseComplete(this.#keepUpstream);
  }

  /** False when b[p, n) is not of this body, or not all of it; then part of it may have been sent. */
  #forwardBody(b: Buffer, p: number, n: number, prefix: string): boolean {
    const { downstream } = this.#owner;
    const body = this.#body;
    // More than one turn only when thousands of tiny chunks came in one read.
    do {
      const at = body.feed(b, p, n);
      if (at === MALFORMED || (body.done && at < n)) return false;
      p = at;
      const taken = this.#chunkedOut
        ? writeChunk(downstream, prefix, b, body.done, body.trailerLines)
        : writeContent(downstream, prefix, b, '');
      prefix = '';
      this.begun = true;
      // What is not taken of a complete answer is waited for at its end.
      this.#owner.sentDownstream(writtenBytes, taken || body.done);
    } while (p < n && !body.done);
    return true;
  }

  /** Status line in our version with the reason as received, and the fields that go on. */
  #lines(b: Buffer, head: string, base: number, takenOut?: ReadonlySet<string>): string {
    const end = statusLine.end - base;
    // `HTTP/1.1 200` CR LF: without the blank that RFC 9112 4 asks for.
    const status = end === 14 ? head.slice(9, 12) + ' \r\n' : head.slice(9, end);
    return 'HTTP/1.1 ' + status + keptLines(b, head, base, this.#owner.stripResponse, takenOut);
  }

  #finalHead(b: Buffer, head: string, base: number): string {
    const { status } = statusLine;
    const { isHead, isHttp10 } = this.#owner.request;
    this.#headRead = true;
    answerFraming.read(isHead);
    const { kind } = answerFraming;
    const isEmpty = status === 204 || status === 205;
    this.#keepUpstream = answerFraming.keeps;
    // HTTP/1.0 knows no chunks: there such a body ends with the connection.
    const unsized = kind === BODY_CHUNKED || kind === BODY_UNTIL_CLOSE;
    this.#chunkedOut = unsized && !isHttp10;
    const isStream =
      !answerFraming.isBodiless &&
      isPresent(FIELD.contentType) &&
      valueBegins(b, FIELD.contentType, 'text/event-stream');
    const close = this.#owner.responseBegins(status, isStream, unsized && isHttp10);
    let framing = '';
    // A 204 has no length (RFC 9110 8.6), a 205 one of 0; HEAD and 304 tell that of the answer they
    // stand for.
    if (status === 205) framing = 'content-length: 0\r\n';
    else if (parsed.bodyKind === BODY_LENGTH && status !== 204) {
      framing = `content-length: ${parsed.bodyBytes}\r\n`;
    } else if (
      this.#chunkedOut ||
      (isHead && !isEmpty && parsed.bodyKind === BODY_CHUNKED && !isHttp10)
    ) {
      framing = 'transfer-encoding: chunked\r\n';
    }
    let trailers: ReadonlySet<string> | undefined;
    if (this.#chunkedOut && kind === BODY_CHUNKED) {
      trailers = announcedTrailers(b, this.#owner.isEdge);
      framing += trailerLine(trailers);
    }
    this.#body.start(kind, parsed.bodyBytes, trailers);
    let connection = '';
    if (close) connection = 'connection: close\r\n';
    else if (isHttp10) connection = 'connection: keep-alive\r\n';
    const { filters } = this.#owner;
    const lines = this.#lines(b, head, base, filters?.responseTakenOut);
    return lines + (filters?.responseLines ?? '') + framing + connection + '\r\n';
  }
}
