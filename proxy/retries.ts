/**
 * Whether a failed attempt of one exchange is followed by another: by the rules of the route, by what
 * is kept of the body, and by the budget of the cluster, in this order, so that only a retry that
 * would really go is counted in the budget. One per exchange that needs it, used again.
 */
import type { ProcessLoad } from './admission.ts';
import { Replay } from './replay.ts';
import type { FailureName } from './rescue.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { RetryRules } from './retry-rules.ts';

/** `spent`: the rules cover it, but there were as many attempts, or as many retries, as may be. */
export type RetryVerdict = 'again' | 'spent' | 'never';

export class Retries {
  readonly replay: Replay;
  #rules: RetryRules | undefined;
  #budget!: RetryBudget;
  #method = '';

  constructor(load: ProcessLoad) {
    this.replay = new Replay(load);
  }

  /** A request of a route that retries. */
  start(rules: RetryRules, budget: RetryBudget, method: string, nowMs: number): void {
    this.#rules = rules;
    this.#budget = budget;
    this.#method = method;
    this.replay.start(rules.bodyBytesMax);
    budget.request(nowMs);
  }

  /** After attempt `attempts` failed before any byte of an answer. */
  afterFailure(name: FailureName, attempts: number, nowMs: number): RetryVerdict {
    const rules = this.#rules;
    if (rules?.coversFailure(name, this.#method) !== true) return 'never';
    return this.#take(rules, attempts, nowMs);
  }

  /** After attempt `attempts` was answered with `status`. */
  afterStatus(status: number, attempts: number, nowMs: number): RetryVerdict {
    const rules = this.#rules;
    if (rules?.coversStatus(status, this.#method) !== true) return 'never';
    return this.#take(rules, attempts, nowMs);
  }

  /** Pause before the attempt that follows attempt `attempts`; `chance` from 0 to 1. */
  pauseMs(attempts: number, chance: number): number {
    return this.#rules!.pauseMs(attempts, chance);
  }

  /** The hop ended. Safe to call twice. */
  clear(): void {
    this.#rules = undefined;
    this.replay.clear();
  }

  #take(rules: RetryRules, attempts: number, nowMs: number): RetryVerdict {
    if (!this.replay.isWhole) return 'never';
    return attempts < rules.attemptsMax && this.#budget.take(nowMs) ? 'again' : 'spent';
  }
}
