/**
 * The ledger of a boot beside its spool, so that whoever delivers what it left can go on writing
 * it: hops move from `spooled` to `emitted` or to a reason of `dropped`, under the boot's own id.
 * The newest ledger of a boot says all, so no reader needs to know who wrote it.
 */
import type { DropReason, Ledger } from '../../telemetry/ledger.ts';
import { encodeLedger } from '../../telemetry/ledger-log.ts';
import type { ResourceSettings } from '../../telemetry/resource.ts';

/** A ledger and the process whose it is. */
export interface BootLedger {
  readonly resource: ResourceSettings;
  readonly ledger: Ledger;
}

/** As it lies on disk. */
export const writeBootLedger = (boot: BootLedger): string => JSON.stringify(boot);

/** Reads what lay on disk; undefined when that is not a ledger. Never throws. */
export function readBootLedger(text: string): BootLedger | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const boot = value as Partial<Record<keyof BootLedger, Record<string, unknown>>> | null;
  const { ledger, resource } = boot ?? {};
  const counts = [ledger?.['hopsFinished'], ledger?.['emitted'], ledger?.['spooled']];
  const whole =
    counts.every((count) => typeof count === 'number' && count >= 0) &&
    typeof ledger?.['dropped'] === 'object' &&
    ledger['dropped'] !== null &&
    typeof resource?.['bootId'] === 'string';
  return whole ? (value as BootLedger) : undefined;
}

/** LogsData with the ledger as it stands now. */
export const encodeBootLedger = ({ ledger, resource }: BootLedger, nowMs: number): Buffer =>
  encodeLedger(ledger, resource, BigInt(Math.trunc(nowMs)) * 1_000_000n);

/**
 * Books what became of spooled hops. A boot that was killed spooled some after its last ledger:
 * those are beyond what the ledger speaks of, so that never more than its `spooled` is moved.
 */
export function book(ledger: Ledger, outcome: 'emitted' | DropReason, items: number): void {
  const moved = Math.min(items, ledger.spooled);
  ledger.spooled -= moved;
  if (outcome === 'emitted') ledger.emitted += moved;
  else ledger.dropped[outcome] = (ledger.dropped[outcome] ?? 0) + moved;
}

/**
 * Closes the account of a spool that is exhausted. What the ledger says lay there and was not found
 * is damaged; but a boot that was killed may have delivered it itself after its last ledger, so
 * there reconciliation decides.
 */
export function bookRest(ledger: Ledger): void {
  if (ledger.closing) book(ledger, 'spool_damaged', ledger.spooled);
  ledger.spooled = 0;
}
