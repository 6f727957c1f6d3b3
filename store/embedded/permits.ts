/**
 * How many statements run at once. Queries and inserts have their own, so that dashboards never
 * hold the pipeline up. Whoever finds none waits in order; the line itself is bounded.
 */
import { ClickHouseFault } from './clickhouse-fault.ts';

export interface Permits {
  readonly running: number;
  readonly waiting: number;
  /**
   * Resolves when a permit is free; give it back by calling the result (once; again does nothing).
   * Rejects with ClickHouseFault 202 when the line is full, or with the signal's reason.
   */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createPermits(name: string, count: number, waitingMax: number): Permits {
  let running = 0;
  const line: (() => void)[] = [];
  const give = (): (() => void) => {
    let mine = true;
    return () => {
      if (!mine) return;
      mine = false;
      const next = line.shift();
      if (next === undefined) running -= 1;
      else next();
    };
  };
  return {
    get running() {
      return running;
    },
    get waiting() {
      return line.length;
    },
    take(signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (running < count) {
        running += 1;
        return Promise.resolve(give());
      }
      if (line.length >= waitingMax) {
        return Promise.reject(
          new ClickHouseFault(202, `too many ${name} at once: ${count} run, ${waitingMax} wait`, {
            retryAfterS: 1,
          }),
        );
      }
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          line.splice(line.indexOf(enter), 1);
          reject(signal.reason as Error);
        };
        const enter = (): void => {
          signal.removeEventListener('abort', leave);
          resolve(give());
        };
        line.push(enter);
        signal.addEventListener('abort', leave, { once: true });
      });
    },
  };
}
