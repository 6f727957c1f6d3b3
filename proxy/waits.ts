/**
 * Whom a hop waits for. Each wait has the deadline that belongs to it, and what only the client can
 * end is booked as client wait: so a deadline and a booking never name different parties. One per
 * exchange; exchange.ts says when.
 *
 *   connect ──► request (the client) ──► response (the upstream) ──► stream (both) ──► taken (the client)
 */
import type { Downstream } from './downstream-port.ts';
import type { HopMeter } from './hop-meter.ts';
import type { Limits } from './limits.ts';
import type { CompiledRoute } from './listener-context.ts';
import { Pace } from './pace.ts';

export class Waits {
  readonly #down: Downstream;
  readonly #meter: HopMeter;
  readonly #limits: Limits;
  /** Of the client: how long it may still keep its request waiting. */
  readonly #pace: Pace;
  #route!: CompiledRoute;
  /** Longest pause within an answer. */
  #idleTimeoutMs = 0;
  /** The answer flows: from here on the hop waits for nothing but its next bytes. */
  #flows = false;
  /** The client waits for a 100, so that its silence is not its own. */
  forContinue = false;

  constructor(down: Downstream, meter: HopMeter, limits: Limits) {
    this.#down = down;
    this.#meter = meter;
    this.#limits = limits;
    this.#pace = new Pace(limits.bodyIdleTimeoutMs, limits.bodyMinBytesPerS);
  }

  /** A request that goes to `route`. */
  start(route: CompiledRoute, forContinue: boolean): void {
    this.#route = route;
    this.#idleTimeoutMs = route.policy?.idle_timeout_ms ?? this.#limits.streamIdleTimeoutMs;
    this.#flows = false;
    this.forContinue = forContinue;
    this.#pace.start();
  }

  /** For the connection to the upstream. */
  connect(): void {
    this.#down.setDeadline('connect', this.#route.cluster.connect_timeout_ms);
  }

  /** For more of the request, which the upstream would take. */
  request(nowMs: number): void {
    if (this.#flows) return;
    if (this.forContinue) {
      // The client waits for the upstream's 100, so the upstream is who is waited for.
      this.response();
      return;
    }
    this.#down.setDeadline('body', this.#pace.leftMs);
    this.#meter.waitBegin(nowMs);
  }

  /** `bytes` of the request came at `nowMs`, at last. */
  came(bytes: number, nowMs: number): void {
    const { record } = this.#meter;
    const beforeMs = record.waitMs;
    this.#meter.waitEnd(nowMs);
    this.#pace.moved(record.waitMs - beforeMs, bytes);
    this.forContinue = false;
    if (this.#flows) this.stream();
  }

  /** For the first byte of the answer, or for the upstream to take more of the request. */
  response(): void {
    if (!this.#flows) this.#down.setDeadline('response', this.#route.response_timeout_ms);
  }

  /** For the next bytes of an answer that has begun. */
  stream(): void {
    this.#flows = true;
    this.forContinue = false;
    this.#down.setDeadline('stream', this.#idleTimeoutMs);
  }

  /** For the client to take bytes of the answer: as long as they need at the minimum rate. */
  taken(nowMs: number): void {
    this.#meter.waitBegin(nowMs);
    const allowanceMs = this.#pace.allowanceMs(this.#down.socket.writableLength);
    this.#down.setDeadline('flush', Math.min(this.#limits.streamIdleTimeoutMs, allowanceMs));
  }

  /** For nobody: the hop pauses before it goes again. */
  nobody(): void {
    this.#down.clearDeadline();
  }
}
