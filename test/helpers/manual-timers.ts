/** Timers whose time passes only by `advance`, in order, with seeded chance. */
import type { Timers } from '../../runtime/timers.ts';
import { seededRandom } from './prng.ts';

export class ManualTimers implements Timers {
  #nowMs = 0;
  readonly #waiting: { atMs: number; run: () => void }[] = [];
  readonly #random: () => number;

  constructor(seed = 1) {
    this.#random = seededRandom(seed);
  }

  readonly nowMs = (): number => this.#nowMs;
  readonly random = (): number => this.#random();
  readonly after = (delayMs: number, run: () => void): (() => void) => {
    const entry = { atMs: this.#nowMs + delayMs, run };
    this.#waiting.push(entry);
    return () => {
      const at = this.#waiting.indexOf(entry);
      if (at >= 0) this.#waiting.splice(at, 1);
    };
  };

  /** How many timers wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Lets `ms` pass; what falls due runs at its own time, also what it sets itself. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#waiting.filter(({ atMs }) => atMs <= untilMs);
      if (due.length === 0) break;
      const next = due.reduce((first, one) => (one.atMs < first.atMs ? one : first));
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
    this.#nowMs = untilMs;
  }
}
