/**
 * The counter file of one process: its newest statement on a page of its own, so that a successor
 * can say what a process had finished that was killed before its closing ledger (ended-boots.ts).
 *
 *   {"write": n, …the statement…, "write_end": n} and spaces up to 4,096 bytes
 *
 * One positioned write of one page each time, in a thread: the event loop never waits for the disk,
 * and no write is left half done by a kill; a reader tells one torn by a lost machine by the two
 * numbers. Never fails a caller: a folder that cannot be written is logged once.
 */
import { close, mkdirSync, openSync, readFileSync, readlinkSync, write, writeSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { ResourceSettings } from '../telemetry/resource.ts';

/** A page of the kernel's cache: a write inside one is not seen in part. */
const FILE_BYTES = 4_096;

/** A process as its machine knows it, so that another with the same number is not taken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Ticks since the machine's boot at which it started; '' where /proc does not tell. */
  readonly started: string;
  /** Where its number means something: containers have namespaces of their own. */
  readonly pid_namespace: string;
}

/** What stands in a counter file. */
export interface CounterStatement {
  /** Number of the write, from 1; equal to `write_end` in an undamaged file. */
  readonly write: number;
  readonly process: ProcessIdentity;
  readonly resource: ResourceSettings;
  readonly ledger: Ledger;
  /** When the figures stood so, Unix nanoseconds. */
  readonly unix_ns: string;
  readonly write_end: number;
}

/** Name of the file of one boot. */
export const counterFileName = (proxy: string, bootId: string): string =>
  `${proxy}.${bootId}.counters`;

/** Identity of a process of this machine; undefined when there is none of that number. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may hold anything; field 22 is the 20th after it.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    return { pid, started, pid_namespace: readlinkSync('/proc/self/ns/pid') };
  } catch {
    return undefined;
  }
}

export class CounterFile {
  readonly #folder: string;
  readonly #path: string;
  readonly #resource: ResourceSettings;
  readonly #log: Log;
  readonly #process: ProcessIdentity;
  readonly #page = Buffer.alloc(FILE_BYTES);
  #fd = -1;
  #writes = 0;
  #writing: Promise<void> | undefined;
  /** Came while a write was under way; only the newest counts. */
  #next: { ledger: Ledger; unixNs: bigint } | undefined;

  constructor(folder: string, resource: ResourceSettings, log: Log) {
    this.#folder = folder;
    this.#path = join(folder, counterFileName(resource.proxyName, resource.bootId));
    this.#resource = resource;
    this.#log = log;
    const { pid } = process;
    this.#process = processIdentity(pid) ?? { pid, started: '', pid_namespace: '' };
  }

  open(): void {
    try {
      // The figures are nobody else's business.
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      this.#fd = openSync(this.#path, 'wx', 0o600);
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Puts the statement into the file: the first one at once, for a process may be killed young. */
  write(ledger: Ledger, unixNs: bigint): void {
    if (this.#fd < 0) return;
    if (this.#writes === 0) {
      this.#writeFirstPage(ledger, unixNs);
      return;
    }
    if (this.#writing !== undefined) {
      this.#next = { ledger, unixNs };
      return;
    }
    this.#writing = this.#writePage(ledger, unixNs).then(() => {
      this.#writing = undefined;
      const next = this.#next;
      this.#next = undefined;
      if (next !== undefined) this.write(next.ledger, next.unixNs);
    });
  }

  /** Ends the file; `remove` when nobody needs it. Resolves when it is done. */
  async close(remove: boolean): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      await promisify(close)(fd);
      if (remove) await unlink(this.#path);
    } catch (error) {
      this.#complain(error);
    }
  }

  #writeFirstPage(ledger: Ledger, unixNs: bigint): void {
    if (!this.#fillPage(ledger, unixNs)) return;
    try {
      writeSync(this.#fd, this.#page, 0, FILE_BYTES, 0);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  async #writePage(ledger: Ledger, unixNs: bigint): Promise<void> {
    if (!this.#fillPage(ledger, unixNs)) return;
    try {
      await promisify(write)(this.#fd, this.#page, 0, FILE_BYTES, 0);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** False when the statement is larger than the page. */
  #fillPage(ledger: Ledger, unixNs: bigint): boolean {
    const number = ++this.#writes;
    const statement: CounterStatement = {
      write: number,
      process: this.#process,
      resource: this.#resource,
      ledger,
      unix_ns: String(unixNs),
      write_end: number,
    };
    const text = JSON.stringify(statement);
    if (Buffer.byteLength(text) > FILE_BYTES) return false;
    this.#page.fill(0x20);
    this.#page.write(text);
    return true;
  }

  #giveUp(error: unknown): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) close(fd, () => undefined);
    this.#complain(error);
  }

  #complain(error: unknown): void {
    this.#log.warn(
      'no counter file: were this process killed, its end would have no close bounds',
      {
        file: this.#path,
        error: messageOf(error),
      },
    );
  }
}
