/**
 * Start and stop of one process. Parts are started in the order they were added and stopped in
 * the reverse order, so that whoever produces stops before whoever it hands to. `stop()` may be
 * called before `start()`, and twice.
 */
import type { Log } from './log.ts';

export interface Part {
  readonly name: string;
  start?(): Promise<void> | void;
  /** Must end by itself within `graceMs`; after that the next part is stopped all the same. */
  stop?(): Promise<void> | void;
}

export class Lifecycle {
  readonly #log: Log;
  readonly #parts: Part[] = [];
  #started: Part[] = [];
  #stopping: Promise<void> | undefined;
  /** True between the end of `start()` and the beginning of `stop()`. */
  ready = false;

  constructor(log: Log) {
    this.#log = log;
  }

  add(part: Part): this {
    this.#parts.push(part);
    return this;
  }

  /** Starts all parts; when one fails, those before it are stopped again and its error is thrown. */
  async start(): Promise<void> {
    try {
      for (const part of this.#parts) {
        this.#started.push(part);
        await part.start?.();
      }
      this.ready = true;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  stop(graceMs = 15_000): Promise<void> {
    this.#stopping ??= this.#stopAll(graceMs);
    return this.#stopping;
  }

  async #stopAll(graceMs: number): Promise<void> {
    this.ready = false;
    for (const part of this.#started.reverse()) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), graceMs);
      });
      try {
        const outcome = await Promise.race([Promise.resolve(part.stop?.()), late]);
        if (outcome === 'late') this.#log.warn('part did not stop in time', { part: part.name });
      } catch (error) {
        this.#log.error('part failed while stopping', { part: part.name, error: String(error) });
      } finally {
        clearTimeout(timer);
      }
    }
    this.#started = [];
  }
}

/** EX_TEMPFAIL of sysexits: the process is well advised to be started again. */
export const EXIT_UNHEALTHY = 75;
const LOOK_EVERY_MS = 1_000;

/**
 * Runs a process until SIGTERM or SIGINT: starts, waits, stops, and resolves with the exit code.
 * A second signal stops the waiting. With `unhealthy`, which is also asked each second, it ends by
 * itself with EXIT_UNHEALTHY as soon as there is a reason: a supervisor starts it again.
 */
export async function runUntilSignal(
  lifecycle: Lifecycle,
  log: Log,
  unhealthy: () => string | undefined = () => undefined,
  lookEveryMs = LOOK_EVERY_MS,
): Promise<number> {
  await lifecycle.start();
  const ended = Promise.withResolvers<{ signal?: NodeJS.Signals; reason?: string }>();
  process.once('SIGTERM', (signal) => ended.resolve({ signal }));
  process.once('SIGINT', (signal) => ended.resolve({ signal }));
  const watchdog = setInterval(() => {
    const reason = unhealthy();
    if (reason !== undefined) ended.resolve({ reason });
  }, lookEveryMs);
  const { signal, reason } = await ended.promise;
  clearInterval(watchdog);
  if (reason === undefined) log.info('stopping', { signal });
  else log.error('unhealthy; stopping, to be started again', { reason });
  const impatient = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  await Promise.race([lifecycle.stop(), impatient]);
  return reason === undefined ? 0 : EXIT_UNHEALTHY;
}
