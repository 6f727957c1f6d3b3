/** Streams stored rows into open traces: the one way in which attribution reads the store. */
import { NativeReader } from '../../store/native/reader.ts';
import type { StoreClient } from '../../store/client.ts';
import { sql } from '../sql.ts';
import { minuteOf } from '../window.ts';
import type { OpenTraces } from './open-traces.ts';

/**
 * Adds all rows of [fromMs, toMs) to the traces. They come by minutes, and what had come to rest
 * before a minute is closed when its first rows are there, so that a long stretch keeps no more open
 * than a short one; one trace alone (`attribution_trace_rows`) comes in no order and stays open. `query`: `attribution_rows`, or another one of the
 * same columns with its parameters. `pause` is awaited after each block: whoever takes
 * the closed traces can write them out there.
 * @throws AzimuthError of the store's; rows read until then have been added.
 */
export async function readTraces(
  store: StoreClient,
  traces: OpenTraces,
  stretch: { readonly fromMs: number; readonly toMs: number },
  options: {
    readonly query?:
      | 'attribution_rows'
      | 'attribution_late_rows'
      | 'attribution_trace_rows'
      | 'attribution_some_rows';
    readonly params?: Readonly<Record<string, unknown>>;
    readonly pause?: () => Promise<void>;
  } = {},
): Promise<void> {
  const reader = new NativeReader();
  const ordered = options.query !== 'attribution_trace_rows';
  let readUntilMs = stretch.fromMs;
  const pieces = store.stream(sql(options.query ?? 'attribution_rows'), {
    base_ns: (BigInt(traces.baseMs) * 1_000_000n).toString(),
    from_ms: stretch.fromMs,
    to_ms: stretch.toMs,
    copies: 0,
    ...options.params,
  });
  for await (const piece of pieces) {
    for (const block of reader.push(piece)) {
      traces.add(block);
      const minuteMs = minuteOf(traces.newestMs);
      if (ordered && minuteMs > readUntilMs) {
        readUntilMs = minuteMs;
        traces.closeUntil(minuteMs);
      }
      await options.pause?.();
    }
  }
  reader.end();
}
