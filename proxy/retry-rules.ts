/**
 * Which failed attempts a route tries again, and after what pause. Pure: says nothing about budgets
 * (retry-budget.ts) or about bytes that were sent already (replay.ts).
 */
import type { RetryPart } from '../mesh/part.ts';
import type { FailureName } from './rescue.ts';

type Condition = RetryPart['on'][number];

/** Failures of an attempt that a condition stands for. */
const CONDITION_OF: Partial<Record<FailureName, Condition>> = {
  upstream_connect_failed: 'connect_failure',
  upstream_connect_timeout: 'connect_failure',
  upstream_closed: 'reset',
  upstream_reset: 'reset',
  upstream_timeout: 'timeout',
  try_timeout: 'timeout',
};
const GATEWAY_ERRORS = [502, 503, 504];

export class RetryRules {
  readonly attemptsMax: number;
  readonly bodyBytesMax: number;
  readonly #on: ReadonlySet<Condition>;
  readonly #statuses: ReadonlySet<number>;
  readonly #methods: ReadonlySet<string>;
  readonly #backoffMs: number;
  readonly #backoffMaxMs: number;

  constructor(part: RetryPart) {
    this.attemptsMax = part.attempts_max;
    this.bodyBytesMax = part.body_bytes_max;
    this.#on = new Set(part.on);
    this.#statuses = new Set([
      ...part.statuses,
      ...(part.on.includes('gateway_error') ? GATEWAY_ERRORS : []),
    ]);
    this.#methods = new Set(part.methods);
    this.#backoffMs = part.backoff_ms;
    this.#backoffMaxMs = part.backoff_max_ms;
  }

  /** True when a request of `method` may go again after this failure, before any byte of an answer. */
  coversFailure(name: FailureName, method: string): boolean {
    const condition = CONDITION_OF[name];
    if (condition === undefined || !this.#on.has(condition)) return false;
    // Nothing was received where there was no connection.
    return condition === 'connect_failure' || this.#methods.has(method);
  }

  coversStatus(status: number, method: string): boolean {
    return this.#statuses.has(status) && this.#methods.has(method);
  }

  /** Pause before retry `retry` (from 1): doubling to the bound, half of it by `chance` (0 to 1). */
  pauseMs(retry: number, chance: number): number {
    const most = Math.min(this.#backoffMaxMs, this.#backoffMs * 2 ** Math.min(retry - 1, 16));
    return most * (0.5 + chance / 2);
  }
}
