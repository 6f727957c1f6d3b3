/**
 * Speaks for processes of the same proxy that cannot speak any more: finds their counter files,
 * sends the figures as ledgers, and removes each file once its ledger was acknowledged. A killed
 * process so gets the bounds of its end; one that closed while its collector was away, its closing
 * ledger. Not on the request path; a failure is tried again and never ends anything.
 *
 *   file of a process that lives  ► left alone
 *   … that is gone                ► ledger with `endedByMs`, or its own closing ledger
 *   … of which nobody can tell    ► looked at again: a living one writes every ledger interval
 */
import { readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clockId } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { LEDGER_INTERVAL_MS } from '../telemetry/ledger.ts';
import { encodeLedger } from '../telemetry/ledger-log.ts';
import type { Exporter } from '../transport/exporter.ts';
import {
  counterFileName,
  processIdentity,
  type CounterStatement,
  type ProcessIdentity,
} from './counter-file.ts';

/** A process that did not write for three ledgers is gone; below that it may be slow. */
const SILENT_MS = 3 * LEDGER_INTERVAL_MS;
/** Pause after a look that left something open, or a ledger that was not acknowledged. */
const AGAIN_MS = LEDGER_INTERVAL_MS;

/** A counter file with what the primary adds when it saw the process end. */
type LeftStatement = CounterStatement & { readonly ended_by_ms?: number };

export interface EndedBootsSettings {
  readonly folder: string;
  readonly proxy: string;
  readonly mesh: string;
  readonly ownBootId: string;
  /** Gets at most one send at a time more than its concurrency says. */
  readonly exporter: Exporter;
  readonly log: Log;
  /** Unix milliseconds; tests bring their own. */
  readonly nowMs?: () => number;
}

export class EndedBoots {
  readonly #settings: EndedBootsSettings;
  readonly #nowMs: () => number;
  readonly #stopped = new AbortController();

  constructor(settings: EndedBootsSettings) {
    this.#settings = settings;
    this.#nowMs = settings.nowMs ?? Date.now;
  }

  /** Looks until nothing is left to say. */
  start(): void {
    void this.#run();
  }

  /** Gives up; what was not said is left for the next successor. */
  stop(): void {
    this.#stopped.abort();
  }

  /** One look: states what can be stated. True when it must look again. */
  async look(): Promise<boolean> {
    const { folder, log } = this.#settings;
    let again = false;
    for (const file of await this.#files()) {
      const path = join(folder, file);
      try {
        const left = readStatement(await readFile(path, 'utf8'));
        if (left === undefined) {
          // Just opened, or being written; only one that stays so is damaged.
          if (this.#nowMs() - (await stat(path)).mtimeMs > SILENT_MS) {
            log.warn('counter file is damaged, and removed', { file: path });
            await unlink(path);
          } else again = true;
        } else if (left.resource.mesh !== this.#settings.mesh) continue;
        else if (this.#isGone(left)) {
          await this.#state(left);
          await unlink(path);
        } else if (!isAlive(left)) again = true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        log.debug('end of another process not stated yet', { file: path, error: messageOf(error) });
        again = true;
      }
    }
    return again;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted && (await this.look())) {
      await sleep(AGAIN_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async #files(): Promise<string[]> {
    const { folder, proxy, ownBootId } = this.#settings;
    const own = counterFileName(proxy, ownBootId);
    const names = await readdir(folder).catch(() => []);
    return names.filter((n) => n.startsWith(`${proxy}.`) && n.endsWith('.counters') && n !== own);
  }

  #isGone(left: LeftStatement): boolean {
    if (left.ledger.closing || left.ended_by_ms !== undefined) return true;
    const seen = seenHere(left);
    if (seen !== undefined) return seen === 'gone';
    return Math.abs(this.#nowMs() - writtenMs(left)) > SILENT_MS;
  }

  async #state(left: LeftStatement): Promise<void> {
    const { exporter, log } = this.#settings;
    const { resource, ledger } = left;
    const endedByMs = left.ended_by_ms ?? this.#nowMs();
    const stated = ledger.closing ? ledger : { ...ledger, endedByMs };
    const body = encodeLedger(stated, resource, BigInt(left.unix_ns));
    await exporter.send({ signal: 'logs', body, items: 1 });
    if (ledger.closing) return;
    log.warn('stated the end of a process that left no closing ledger', {
      ended_boot_id: resource.bootId,
      after: new Date(writtenMs(left)).toISOString(),
      before: new Date(endedByMs).toISOString(),
      last_seq: ledger.lastSeq,
    });
  }
}

/**
 * Notes in the counter file of a process when it was seen to have ended. Nothing is done for one
 * that closed in order or left no file. Never throws.
 */
export async function noteEnd(
  folder: string,
  proxy: string,
  bootId: string,
  endedByMs: number,
): Promise<void> {
  const path = join(folder, counterFileName(proxy, bootId));
  try {
    const left = readStatement(await readFile(path, 'utf8'));
    if (left === undefined || left.ledger.closing) return;
    await writeFile(`${path}.new`, JSON.stringify({ ...left, ended_by_ms: endedByMs }));
    await rename(`${path}.new`, path);
  } catch {
    // Without the note the successor's own time is the bound.
  }
}

/** Undefined when the file is torn or is none of ours. */
function readStatement(text: string): LeftStatement | undefined {
  try {
    const left = JSON.parse(text) as LeftStatement;
    const whole =
      left.write === left.write_end &&
      typeof left.resource.bootId === 'string' &&
      typeof left.ledger.lastSeq === 'number' &&
      BigInt(left.unix_ns) > 0n;
    return whole ? left : undefined;
  } catch {
    return undefined;
  }
}

const writtenMs = (left: LeftStatement): number => Number(BigInt(left.unix_ns) / 1_000_000n);

const isAlive = (left: LeftStatement): boolean => seenHere(left) === 'alive';

/** Undefined when this process cannot see that one. */
function seenHere(left: LeftStatement): 'alive' | 'gone' | undefined {
  const ours: ProcessIdentity | undefined = processIdentity(process.pid);
  const { pid, started, pid_namespace } = left.process;
  if (ours === undefined || started === '') return undefined;
  if (left.resource.clockId !== clockId() || pid_namespace !== ours.pid_namespace) return undefined;
  return processIdentity(pid)?.started === started ? 'alive' : 'gone';
}
