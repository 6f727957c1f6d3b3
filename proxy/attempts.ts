/**
 * The tries upstream of one exchange: takes a permit and a connection from the cluster, gives both
 * back exactly once, and says when a request may go a second time. One per exchange.
 *
 *   prepare ──► next ──► complete      the answer was handed over whole; the connection may be kept
 *                │  ├──► drop          the hop ended otherwise; the connection is closed at once
 *                │  └──► handOver      the connection became a tunnel, and keeps the permit with it
 *                └──► again, or giveUp and then next ──► …     by the rules of the route
 */
import { ATTEMPT_BITS, T } from '../telemetry/hop-record.ts';
import type { ProcessLoad } from './admission.ts';
import { Backlog } from './backlog.ts';
import { waitingBytes } from './codec/output.ts';
import type { HopMeter } from './hop-meter.ts';
import type { CompiledRoute } from './listener-context.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';
import { PARENT_AT, traceparentOf } from './trace-context.ts';
import { upstreamHead } from './upstream-request.ts';

export class Attempts {
  readonly #user: UpstreamUser;
  readonly #meter: HopMeter;
  /** Bytes of the request that the upstream does not take. */
  readonly #backlog: Backlog;
  #route!: CompiledRoute;
  /** Head for upstream, and where in it the parent id and the time that is left stand. */
  #head = '';
  #parentAt = 0;
  #leftAt = 0;
  #leftEnd = 0;
  #repeatable = false;
  #holdsPermit = false;
  /** The open attempt shows whether its endpoint is well again. */
  #isProbe = false;
  /** The connection of the attempt before the next one. */
  #failed: UpstreamConnection | undefined;
  /** The connection of the open attempt is not established. */
  #connecting = false;
  /** The connection of the attempt that is open now. */
  upstream: UpstreamConnection | undefined;

  constructor(user: UpstreamUser, meter: HopMeter, load: ProcessLoad) {
    this.#user = user;
    this.#meter = meter;
    this.#backlog = new Backlog(load);
  }

  /** Head of the attempt begun last. */
  get head(): string {
    return this.#head;
  }

  /**
   * Takes the permit (`route.runtime.enter`) and the head in `upstreamHead` of a request; `drop`
   * gives the permit back, whether an attempt was begun or not. `repeatable`: to receive it twice
   * changes nothing, and it has no body.
   */
  prepare(route: CompiledRoute, repeatable: boolean): void {
    this.#route = route;
    this.#head = upstreamHead.text;
    this.#parentAt = upstreamHead.parentAt;
    this.#leftAt = upstreamHead.leftAt;
    this.#leftEnd = upstreamHead.leftEnd;
    this.#repeatable = repeatable;
    this.#holdsPermit = true;
  }

  /**
   * Begins the next attempt, on a kept connection where there is one; `leftMs` is what it may take.
   * Undefined when too many requests wait for a connection.
   */
  next(nowMs: number, leftMs: number): UpstreamConnection | undefined {
    const upstream = this.#route.runtime.take(nowMs, this.#failed);
    this.#failed = undefined;
    if (upstream === undefined) return undefined;
    if (this.#meter.record.attemptCount > 0) this.#renew(leftMs);
    return this.#start(upstream, nowMs);
  }

  /**
   * True when the request may go once more: its kept connection closed before any byte of an answer
   * (RFC 9112 9.3.1), and it is of a kind that changes nothing where it was received all the same.
   */
  get mayGoAgain(): boolean {
    const pooled = (this.#meter.attempt.bits & ATTEMPT_BITS.pooled) !== 0;
    return pooled && this.#repeatable && !this.#meter.answered;
  }

  /** Goes once more, to a new connection, so that a second stale one is not met. */
  again(nowMs: number, leftMs: number): UpstreamConnection {
    this.giveUp(nowMs, false);
    this.#renew(leftMs);
    return this.#start(this.#route.runtime.connect(nowMs), nowMs);
  }

  /** Bytes were sent: what of them waits counts in the load of the process. */
  sent(): void {
    const socket = this.upstream?.socket;
    if (socket !== undefined && waitingBytes(socket) > 0) this.#backlog.watch(socket);
  }

  /** The connection of the open attempt stands, or is given up. Safe to call twice. */
  connected(): void {
    if (!this.#connecting) return;
    this.#connecting = false;
    this.#route.runtime.connectEnds();
  }

  /** The answer ended at `atMs`. `reusable`: both messages ended exactly on this connection. */
  complete(atMs: number, reusable: boolean): void {
    this.giveUp(atMs, reusable);
    this.#leave();
  }

  /** Ends the attempt that is open; the permit stays for another one. Safe to call twice. */
  giveUp(atMs: number, reusable: boolean): void {
    if (this.upstream === undefined) return;
    this.#failed = this.#detach(atMs);
    this.#failed.release(reusable);
  }

  /** Ends what is open, if anything is: the upstream is closed at once. Safe to call twice. */
  drop(nowMs: number): void {
    this.giveUp(nowMs, false);
    this.#leave();
  }

  /** Ends the attempt and hands its connection out, and the permit: whoever takes it gives it back. */
  handOver(atMs: number): UpstreamConnection {
    this.#holdsPermit = false;
    return this.#detach(atMs);
  }

  #leave(): void {
    this.#failed = undefined;
    if (!this.#holdsPermit) return;
    this.#holdsPermit = false;
    this.#route.runtime.leave();
  }

  #detach(atMs: number): UpstreamConnection {
    const upstream = this.upstream!;
    this.upstream = undefined;
    this.connected();
    this.#backlog.release();
    this.#meter.endAttempt(atMs);
    const { runtime } = this.#route;
    if (runtime.isBalanced) {
      const { attempt, record } = this.#meter;
      const answeredMs = record.timesMs[T.responseFirst]!;
      const latencyMs = (Number.isNaN(answeredMs) ? atMs : answeredMs) - attempt.startMs;
      runtime.attemptEnds(upstream, atMs, latencyMs, attempt, this.#isProbe);
    }
    return upstream;
  }

  #start(upstream: UpstreamConnection, nowMs: number): UpstreamConnection {
    this.#meter.startAttempt(nowMs, this.#route.cluster.meshed, upstream.connected);
    this.upstream = upstream;
    this.#isProbe = this.#route.runtime.attemptBegins(upstream, nowMs);
    if (!upstream.connected) {
      this.#connecting = true;
      this.#route.runtime.connectBegins();
    }
    upstream.use(this.#user);
    return upstream;
  }

  /** The head for the attempt that follows: another parent, and less time. */
  #renew(leftMs: number): void {
    const { traceId, spanId, attemptCount } = this.#meter.record;
    const head = this.#head;
    const parentEnd = this.#parentAt + 16;
    const traceparent = traceparentOf(traceId, spanId, attemptCount + 1, 0);
    const parent = head.slice(0, this.#parentAt) + traceparent.slice(PARENT_AT, PARENT_AT + 16);
    if (this.#leftAt === 0) {
      this.#head = parent + head.slice(parentEnd);
      return;
    }
    const left = String(leftMs);
    this.#head = parent + head.slice(parentEnd, this.#leftAt) + left + head.slice(this.#leftEnd);
    this.#leftEnd = this.#leftAt + left.length;
  }
}
