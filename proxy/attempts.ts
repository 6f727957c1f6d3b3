/**
 * The tries upstream of one exchange: takes a permit and a connection from the cluster, gives both
 * back exactly once, and says when a request may go a second time. One per exchange.
 *
 *   first ──► complete            the answer was handed over whole; the connection may be kept
 *     │  ├──► drop                the hop ended otherwise; the connection is closed at once
 *     │  └──► detach              the connection became a tunnel, and keeps the permit with it
 *     └──► again ──► …            nothing of the first can have been acted on
 */
import { ATTEMPT_BITS } from '../telemetry/hop-record.ts';
import type { ProcessLoad } from './admission.ts';
import { Backlog } from './backlog.ts';
import { waitingBytes, writeText } from './codec/output.ts';
import type { HopMeter } from './hop-meter.ts';
import type { CompiledRoute } from './listener-context.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';
import { attemptSpanId } from './upstream-request.ts';

export class Attempts {
  readonly #user: UpstreamUser;
  readonly #meter: HopMeter;
  /** Bytes of the request that the upstream does not take. */
  readonly #backlog: Backlog;
  #route!: CompiledRoute;
  /** Head for upstream, and where in it the parent id stands. */
  #head = '';
  #parentAt = 0;
  #repeatable = false;
  /** The connection of the open attempt is not established. */
  #connecting = false;
  /** The connection of the attempt that is open now. */
  upstream: UpstreamConnection | undefined;

  constructor(user: UpstreamUser, meter: HopMeter, load: ProcessLoad) {
    this.#user = user;
    this.#meter = meter;
    this.#backlog = new Backlog(load);
  }

  /**
   * Begins attempt 1 of a request whose permit was taken (`route.runtime.enter`). `repeatable`: to
   * receive it twice changes nothing, and it has no body. Undefined when too many requests wait for
   * a connection; then the permit was given back.
   */
  first(
    route: CompiledRoute,
    head: string,
    parentAt: number,
    repeatable: boolean,
    nowMs: number,
  ): UpstreamConnection | undefined {
    const upstream = route.runtime.take();
    if (upstream === undefined) {
      route.runtime.leave();
      return undefined;
    }
    this.#route = route;
    this.#head = head;
    this.#parentAt = parentAt;
    this.#repeatable = repeatable;
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
  again(nowMs: number): void {
    const { record } = this.#meter;
    this.#meter.endAttempt(nowMs);
    this.connected();
    this.#backlog.release();
    this.upstream!.release(false);
    const { socket } = this.#start(this.#route.runtime.connect(), nowMs);
    const parentId = attemptSpanId(record.spanId, record.attemptCount);
    const head = this.#head;
    this.#head = head.slice(0, this.#parentAt) + parentId + head.slice(this.#parentAt + 16);
    writeText(socket, this.#head);
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
    this.detach(atMs).release(reusable);
    this.#route.runtime.leave();
  }

  /** Ends what is open, if anything is: the upstream is closed at once. Safe to call twice. */
  drop(nowMs: number): void {
    if (this.upstream === undefined) return;
    this.detach(nowMs).release(false);
    this.#route.runtime.leave();
  }

  /** Ends the attempt and hands its connection out; the caller gives the permit back. */
  detach(atMs: number): UpstreamConnection {
    const upstream = this.upstream!;
    this.upstream = undefined;
    this.connected();
    this.#backlog.release();
    this.#meter.endAttempt(atMs);
    return upstream;
  }

  #start(upstream: UpstreamConnection, nowMs: number): UpstreamConnection {
    this.#meter.startAttempt(nowMs, this.#route.cluster.meshed, upstream.connected);
    this.upstream = upstream;
    if (!upstream.connected) {
      this.#connecting = true;
      this.#route.runtime.connectBegins();
    }
    upstream.use(this.#user);
    return upstream;
  }
}
