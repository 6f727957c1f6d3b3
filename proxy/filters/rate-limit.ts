/**
 * Local rate limit: 429 with Retry-After for whoever comes faster than allowed. Counts in this process
 * alone; with several workers each has counters of its own.
 */
import type { RateLimitPart } from '../../mesh/functions.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { clientOf } from '../admission.ts';
import { phaseOf, refusal, type Filter, type FilteredRequest, type Outcome } from './filter.ts';
import { Gcra } from './gcra.ts';

/** The counters of one limit; kept while the limit stays in the mesh file as it is. */
export const countersOf = (limit: RateLimitPart): Gcra =>
  new Gcra({
    emissionMs: (limit.per_s * 1000) / limit.requests,
    burst: limit.burst ?? limit.requests,
    keysMax: limit.keys_max,
  });

export class RateLimitFilter implements Filter {
  readonly phase = phaseOf('rate_limit');
  readonly #by: RateLimitPart['by'];
  readonly #counters: Gcra;
  readonly #nowMs: () => number;

  constructor(limit: RateLimitPart, counters: Gcra, nowMs = monotonicMs) {
    this.#by = limit.by;
    this.#counters = counters;
    this.#nowMs = nowMs;
  }

  look(request: FilteredRequest): Outcome {
    const waitMs = this.#counters.take(this.#keyOf(request), this.#nowMs());
    if (waitMs === 0) return undefined;
    // Whole seconds is all that the header knows; rounded up, so that who waits is let in.
    return refusal('rate_limited', `retry-after: ${Math.ceil(waitMs / 1000)}\r\n`);
  }

  #keyOf(request: FilteredRequest): string {
    if (this.#by === 'client') return clientOf(request.address);
    return this.#by === 'consumer' ? request.consumer : '';
  }
}
