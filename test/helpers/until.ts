/** Waiting for something to be so, never for a time: and an end with a name when it never is. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

/**
 * Resolves with the first value of `probe` that is neither undefined nor false. Rejects after
 * `withinMs`, below the limit of a test: it then says where it stood, and what it started is ended.
 */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  withinMs = 40_000,
): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() - startMs > withinMs) {
      throw new Error(`not within ${withinMs} ms: ${String(probe)}`);
    }
    await sleep(POLL_MS);
  }
}
