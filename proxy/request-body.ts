/**
 * The request on its way upstream: its body is read strictly, framed anew and streamed, held back
 * where the upstream does not take it. The counterpart of response-relay.ts; one per exchange, made
 * ready for each request by `start`. Decides nothing about failures: it says what is wrong by a
 * negative number.
 */
import type { Socket } from 'node:net';
import { monotonicMs } from '../runtime/clock.ts';
import { T } from '../telemetry/hop-record.ts';
import { BodyReader, content, MALFORMED, segments } from './codec/body.ts';
import { BODY_CHUNKED, BODY_NONE } from './codec/fields.ts';
import { isBlocked, writeChunk, writeContent, writeText } from './codec/output.ts';
import type { Downstream } from './downstream-port.ts';
import type { HopMeter } from './hop-meter.ts';
import type { Replay } from './replay.ts';
import type { UpstreamConnection } from './upstream.ts';
import type { Waits } from './waits.ts';

/** The body is longer than the limit. MALFORMED is the other refusal. */
export const TOO_LARGE = -2;

export class RequestBody {
  readonly #reader = new BodyReader();
  readonly #down: Downstream;
  readonly #meter: HopMeter;
  readonly #waits: Waits;
  readonly #limitBytes: number;
  #bytesMax: number;
  /** The upstream does not take more, so nothing more is read from the client. */
  #blocked = false;
  /** Keeps what is sent, where the request may go again; else undefined. */
  replay: Replay | undefined;
  /** Keeps what is sent for a copy of the request; else undefined. */
  copy: Replay | undefined;

  /** `bytesMax`: longest body, in content bytes. */
  constructor(down: Downstream, meter: HopMeter, waits: Waits, bytesMax: number) {
    this.#down = down;
    this.#meter = meter;
    this.#waits = waits;
    this.#limitBytes = bytesMax;
    this.#bytesMax = bytesMax;
  }

  /** All of it was read. */
  get done(): boolean {
    return this.#reader.done;
  }

  /** Makes ready for a request that has no body, until `start` says otherwise. */
  reset(): void {
    this.#blocked = false;
    this.replay = undefined;
    this.copy = undefined;
    this.#bytesMax = this.#limitBytes;
    this.#reader.start(BODY_NONE, 0);
  }

  /** Allows this request no longer body than `bytesMax`, if that is less than the limit. */
  limitTo(bytesMax: number): void {
    this.#bytesMax = Math.min(this.#limitBytes, bytesMax);
  }

  /** Begins a body as BodyReader.start does. */
  start(kind: number, lengthBytes: number, trailers: ReadonlySet<string> | undefined): void {
    this.#reader.start(kind, lengthBytes, trailers);
  }

  /**
   * Sends `prefix` and what of b[p, n), read at `nowMs`, belongs to the body; then waits for whoever
   * moves the request on. Returns the position after what was read, MALFORMED or TOO_LARGE.
   */
  send(
    upstream: UpstreamConnection,
    b: Buffer,
    p: number,
    n: number,
    nowMs: number,
    prefix: string,
  ): number {
    const { record } = this.#meter;
    const { socket, connected } = upstream;
    if (this.done) writeText(socket, prefix);
    else {
      const at = this.#forward(socket, b, p, n, prefix);
      record.bytesIn += (at < 0 ? n : at) - p;
      if (at < 0) return at;
      p = at;
    }
    const sentMs = monotonicMs();
    if (connected) record.timesMs[T.upstreamLast] = sentMs;
    if (this.done) record.timesMs[T.requestLast] = nowMs;
    else if (isBlocked(socket)) {
      this.#blocked = true;
      this.#down.pauseRequest();
    }
    if (connected) this.goOn(sentMs);
    return p;
  }

  /** Reads what of b[p, n) belongs to the body into `replay` alone. Returns as `send` does. */
  keep(b: Buffer, p: number, n: number, nowMs: number): number {
    const at = this.done ? p : this.#forward(undefined, b, p, n, '');
    this.#meter.record.bytesIn += (at < 0 ? n : at) - p;
    if (this.done) this.#meter.record.timesMs[T.requestLast] = nowMs;
    return at;
  }

  /** Sends `head` and all that was read of the body so far, from `kept`, on a new connection. */
  sendAgain({ socket, connected }: UpstreamConnection, head: string, kept: Replay): void {
    this.writeWhole(socket, head, kept);
    this.#blocked = !this.done && isBlocked(socket);
    if (this.#blocked) this.#down.pauseRequest();
    else if (!this.done) this.#down.resumeRequest();
    const sentMs = monotonicMs();
    if (!connected) return;
    this.#meter.record.timesMs[T.upstreamLast] = sentMs;
    this.goOn(sentMs);
  }

  /** Writes `head` and what `kept` holds of this body, framed anew. */
  writeWhole(socket: Socket, head: string, { bytes, length }: Replay): void {
    segments[0] = 0;
    segments[1] = length;
    content.pairs = length > 0 ? 2 : 0;
    content.bytes = length;
    if (this.#reader.kind === BODY_CHUNKED) {
      writeChunk(socket, head, bytes, this.done, this.#reader.trailerLines);
    } else writeContent(socket, head, bytes, '');
  }

  /** Waits for whoever is to move the request on, as long as there is no answer. */
  goOn(nowMs: number): void {
    // It is the upstream that does not read, so it is the upstream that is late.
    if (this.done || this.#blocked) this.#waits.response();
    else this.#waits.request(nowMs);
  }

  /** The upstream takes bytes again. */
  upstreamDrained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#down.resumeRequest();
    if (!this.done) this.#waits.request(monotonicMs());
  }

  /**
   * In one write where it can; without a socket it is only kept. Returns as `send` does; then part of
   * it may have been sent.
   */
  #forward(socket: Socket | undefined, b: Buffer, p: number, n: number, prefix: string): number {
    const reader = this.#reader;
    // More than one turn only when thousands of tiny chunks came in one read.
    do {
      p = reader.feed(b, p, n);
      if (p === MALFORMED) return MALFORMED;
      if (reader.totalBytes > this.#bytesMax) return TOO_LARGE;
      this.replay?.keep(b);
      this.copy?.keep(b);
      if (socket === undefined) continue;
      if (reader.kind === BODY_CHUNKED) {
        writeChunk(socket, prefix, b, reader.done, reader.trailerLines);
      } else writeContent(socket, prefix, b, '');
      prefix = '';
    } while (p < n && !reader.done);
    return p;
  }
}
