/** What a rejected send means for its message: whether it may be tried again, and what is lost. */
import { AzimuthError } from '../runtime/errors.ts';
import type { DropReason } from '../telemetry/ledger.ts';

export interface SendFailure {
  readonly retryable: boolean;
  /** Seconds that the other side asks to wait. */
  readonly retryAfterS: number | undefined;
  /** Why `items` of the message are dropped, when it is not retryable; the others arrived. */
  readonly reason: DropReason;
  readonly items: number;
}

/** Judges what `Exporter.send` rejected with, for a message of so many items. */
export function judgeFailure(error: unknown, items: number): SendFailure {
  // What is not an AzimuthError is a fault of the exporter: trying again for ever cannot help.
  const known = error instanceof AzimuthError ? error : undefined;
  return {
    retryable: known?.retryable ?? false,
    retryAfterS: known?.retryAfterS,
    reason: known?.code === 'AZ_EXPORT_TOO_LARGE' ? 'too_large' : 'refused',
    // An exporter may have delivered all but some of them.
    items: Math.min(known?.refusedItems ?? items, items),
  };
}
