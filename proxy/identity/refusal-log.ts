/**
 * Says in the log who was not let in, without letting clients fill it: one line at once, then at
 * most one each ten seconds with how many there were. The counts by reason are in /metrics.
 */
import type { Log } from '../../runtime/log.ts';

const INTERVAL_MS = 10_000;

export interface Refusal {
  readonly listener: string;
  readonly reason: string;
  /** What OpenSSL or the certificate said; may hold text of the client, and is cut. */
  readonly detail: string;
  readonly address: string;
}

export class RefusalLog {
  readonly #log: Log;
  #saidAtMs = -Infinity;
  #unsaid = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  note(refusal: Refusal): void {
    const nowMs = performance.now();
    if (nowMs - this.#saidAtMs < INTERVAL_MS) {
      this.#unsaid++;
      return;
    }
    this.#saidAtMs = nowMs;
    this.#log.warn('client not let in', { ...refusal, others_since_last: this.#unsaid });
    this.#unsaid = 0;
  }
}
