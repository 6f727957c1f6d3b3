/**
 * Faults on purpose: a share of the requests is delayed, a share answered by a failure, to see what the
 * callers make of it. The delay is booked as the phase `fault`, so that it is nobody's latency.
 */
import { STATUS_CODES } from 'node:http';
import type { FaultPart } from '../../mesh/functions.ts';
import type { Timers } from '../../runtime/timers.ts';
import { RESPONSE_FLAGS } from '../../telemetry/hop-record.ts';
import { FAILURES } from '../rescue.ts';
import {
  phaseOf,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

const DELAY_INJECTED = 1 << RESPONSE_FLAGS.indexOf('DI');

export class FaultFilter implements Filter {
  readonly phase = phaseOf('fault');
  readonly #part: FaultPart;
  readonly #timers: Timers;
  readonly #abort: Outcome;

  constructor(part: FaultPart, timers: Timers) {
    this.#part = part;
    this.#timers = timers;
    const status = part.abort_status;
    const failure = { ...FAILURES.fault_injected, status, reason: STATUS_CODES[status] ?? '' };
    this.#abort = { kind: 'refuse', failure: 'fault_injected', lines: '', as: failure };
  }

  look(_request: FilteredRequest, changes: RequestChanges): Outcome | Promise<Outcome> {
    const { delay_ms: delayMs, delay_percent: delayed, abort_percent: aborted } = this.#part;
    const outcome = this.#falls(aborted) ? this.#abort : undefined;
    if (delayMs === undefined || !this.#falls(delayed)) return outcome;
    changes.flagBits |= DELAY_INJECTED;
    return new Promise((resolve) => {
      this.#timers.after(delayMs, () => resolve(outcome));
    });
  }

  #falls(percent: number): boolean {
    return this.#timers.random() * 100 < percent;
  }
}
