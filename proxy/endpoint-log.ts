/**
 * Says in the log when an endpoint of a cluster gets no more requests, and when it does again, and
 * keeps the last time for `/clusters`. There are few such lines: an endpoint that fails again and again
 * is left alone for longer each time. Not on the request path: an event costs what a log line does.
 */
import type { Endpoint } from '../mesh/part.ts';
import type { Log } from '../runtime/log.ts';
import type { EndpointLoad } from './balancer.ts';

/** The last time that an endpoint was taken out, as it crosses process borders. */
export interface EndpointEjection {
  /** ISO 8601. */
  readonly at: string;
  /** How the last of the attempts that failed ended: an `error.type`, or `status` and a number. */
  readonly reason: string;
  /** Attempts that failed in a row. */
  readonly failures: number;
  /** Until it is asked again, milliseconds. */
  readonly for_ms: number;
}

export class EndpointLog {
  readonly #log: Log;
  readonly #last = new WeakMap<EndpointLoad, EndpointEjection>();

  /** `log`: its lines name the cluster. */
  constructor(log: Log) {
    this.#log = log;
  }

  /** Undefined for one that was never ejected. */
  last(load: EndpointLoad): EndpointEjection | undefined {
    return this.#last.get(load);
  }

  ejected(endpoint: Endpoint, load: EndpointLoad, forMs: number, reason: string): void {
    const { failuresInRow: failures, ejectionsInRow } = load;
    const ejection = { at: new Date().toISOString(), reason, failures, for_ms: Math.round(forMs) };
    this.#last.set(load, ejection);
    this.#log.warn('endpoint ejected', {
      endpoint: addressOf(endpoint),
      reason,
      failures,
      for_ms: ejection.for_ms,
      times_in_row: ejectionsInRow,
    });
  }

  /** Its probe was answered, or no other endpoint is left. */
  returned(endpoint: Endpoint, isWell: boolean): void {
    this.#log.info('endpoint back', {
      endpoint: addressOf(endpoint),
      reason: isWell ? 'it answered' : 'no other endpoint is up',
    });
  }

  /** Active checks say otherwise than before. */
  checked(endpoint: Endpoint, isWell: boolean): void {
    const fields = { endpoint: addressOf(endpoint), reason: 'health_check' };
    if (isWell) this.#log.info('endpoint healthy', fields);
    else this.#log.warn('endpoint unhealthy', fields);
  }
}

const addressOf = ({ host, port }: Endpoint): string => `${host}:${port}`;
