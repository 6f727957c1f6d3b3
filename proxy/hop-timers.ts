/**
 * The timers of one hop that are finer than the ticks of deadlines.ts: how long all of it may take,
 * how long one attempt, and pauses. One per exchange, used again; a hop that needs none of them sets
 * none. What fires is named to the owner, which acts on it.
 *
 *     head read ├──────────────────── whole: route_timeout or deadline_exceeded ───────────────┤
 *               ├── try: try_timeout ──┤ pause ├── try ──┤
 */
import type { Timers } from '../runtime/timers.ts';
import type { FailureName } from './rescue.ts';

const NOTHING = (): void => undefined;

export class HopTimers {
  readonly #timers: Timers;
  readonly #onTimeout: (name: FailureName) => void;
  #endsAtMs = Infinity;
  #cancelWhole = NOTHING;
  #cancelTry = NOTHING;
  #cancelPause = NOTHING;

  constructor(timers: Timers, onTimeout: (name: FailureName) => void) {
    this.#timers = timers;
    this.#onTimeout = onTimeout;
  }

  /** The hop may take `leftMs` from `nowMs` on; then it fails by `name`. */
  limit(leftMs: number, name: FailureName, nowMs: number): void {
    this.#endsAtMs = nowMs + leftMs;
    this.#cancelWhole();
    this.#cancelWhole = this.#timers.after(leftMs, () => this.#onTimeout(name));
  }

  /** Whole milliseconds that are left; -1 where nothing limits the hop. */
  leftMs(nowMs: number): number {
    return this.#endsAtMs === Infinity ? -1 : Math.max(0, Math.floor(this.#endsAtMs - nowMs));
  }

  /** An attempt begins that may take `ms`. */
  tryBegins(ms: number): void {
    this.#cancelTry();
    this.#cancelTry = this.#timers.after(ms, () => this.#onTimeout('try_timeout'));
  }

  /** Its first byte came, or it ended. Safe to call twice. */
  tryEnds(): void {
    this.#cancelTry();
    this.#cancelTry = NOTHING;
  }

  /** Calls `then` after `ms`, unless the hop ends before. */
  pause(ms: number, then: () => void): void {
    this.#cancelPause = this.#timers.after(ms, then);
  }

  /** 0 <= x < 1. */
  chance(): number {
    return this.#timers.random();
  }

  /** The hop ended. Safe to call twice. */
  clear(): void {
    this.#endsAtMs = Infinity;
    this.#cancelWhole();
    this.#cancelPause();
    this.tryEnds();
    this.#cancelWhole = NOTHING;
    this.#cancelPause = NOTHING;
  }
}
