/**
 * The bounded spool on disk behind an export queue: what the queue cannot keep, and what is left
 * when a process ends, waits here until the next takes it - in this process or in its successor.
 *
 *     <dir>/<proxy>/<boot>/          00000001.seg …, alive, ledger.json     one folder for each boot
 *     <dir>/<proxy>/<boot>~<heir>/   the same, taken over by another process of that proxy
 *
 * Only one process uses a folder. Its owner writes `alive` anew every few seconds; a folder without
 * it (closed in order), or whose `alive` stands still (killed), is taken over by renaming it, which
 * succeeds for one process alone. No lock, no process id: it works between containers too.
 *
 * A disk that is full or a folder that cannot be written costs the spool, never the process: the
 * messages stay in the queue, whose bounds then decide.
 */
import { join } from 'node:path';
import { monotonicMs } from '../../runtime/clock.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { DropReason, Ledger } from '../../telemetry/ledger.ts';
import type { ResourceSettings } from '../../telemetry/resource.ts';
import type { OutboundMessage } from '../exporter.ts';
import {
  book,
  bookRest,
  encodeBootLedger,
  readBootLedger,
  writeBootLedger,
  type BootLedger,
} from './boot-ledger.ts';
import { realFs, SpoolFolder, type SpooledRecord, type SpoolFs } from './spool-folder.ts';

/** How often an owner shows that it lives, and looks for folders without one. */
const TICK_MS = 5_000;
/** An `alive` that did not change for so long has no owner any more: four signs were missed. */
const STALE_MS = 4 * TICK_MS;
/** A segment is deleted as a whole; small ones give room back early. */
const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
/** Folder in the making: not to be looked at. */
const NEW = '.new-';
const ALIVE = 'alive';
const LEDGER = 'ledger.json';
/** Time for the last writes of a process. */
const CLOSE_WITHIN_MS = 2_000;
/** How often a lasting fault of the disk is logged. */
const LOG_INTERVAL_MS = 10_000;

const every = (intervalMs: number, run: () => void): (() => void) => {
  const timer = setInterval(run, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
};

export interface SpoolSettings {
  /** Shared by all proxies of this machine; made when it is needed. */
  readonly dir: string;
  /** Of this process; `proxyName` and `bootId` name its folder. */
  readonly resource: ResourceSettings;
  /** Most bytes on disk, of this process and what it took over. */
  readonly bytesMax: number;
  readonly log: Log;
  /** For tests. */
  readonly fs?: SpoolFs;
  /** Unix milliseconds. */
  readonly wallMs?: () => number;
  readonly nowMs?: () => number;
  readonly every?: typeof every;
}

/** What the spool needs of those around it, once they are there. */
export interface SpoolHooks {
  /** The ledger of this process as it stands. */
  readonly ledger: () => Ledger;
  /** Sends LogsData; a newer one of the same boot replaces it. */
  readonly offerLedger: (body: Buffer, bootId: string, onDelivered: () => void) => void;
  /** There is something to take that was not there before. */
  readonly onFound: () => void;
}

/** What was taken. Everything of other boots is accounted for here, only `own` by the taker. */
export type Taken =
  | { readonly kind: 'message'; readonly record: SpooledRecord; readonly own: boolean }
  /** So many of our own hops are lost. */
  | { readonly kind: 'damaged'; readonly items: number }
  /** Another process took our folder over while we stood still: it delivers so many of our hops. */
  | { readonly kind: 'handed_on'; readonly items: number };

/** A folder of an earlier process. */
interface TakenOver {
  readonly bootId: string;
  readonly folder: SpoolFolder;
  readonly boot: BootLedger | undefined;
  /** The ledger changed since it was offered. */
  changed: boolean;
  /** Everything in it is settled, and its last ledger was offered. */
  finished: boolean;
}

export class Spool {
  readonly #settings: SpoolSettings;
  readonly #fs: SpoolFs;
  readonly #home: string;
  readonly #nowMs: () => number;
  readonly #wallMs: () => number;
  #hooks: SpoolHooks | undefined;
  #stopTicking: (() => void) | undefined;
  #ticking: Promise<void> | undefined;
  #keeping: Promise<void> | undefined;
  #removing: Promise<void> = Promise.resolve();
  #own: SpoolFolder | undefined;
  #takenOver: TakenOver[] = [];
  readonly #ownerOf = new Map<SpooledRecord, TakenOver>();
  /** Content of `alive` in folders of others, and since when it is the same. */
  readonly #signs = new Map<string, { content: string; sinceMs: number }>();
  #shownAliveAtMs = -Infinity;
  #handedOn = 0;
  /** Of our own, taken and not settled. */
  #ownOpenItems = 0;
  #loggedAtMs = -Infinity;
  /** Until then nothing is read: it failed just now. */
  #restsUntilMs = -Infinity;

  /** Hops of this boot that lie on disk. */
  items = 0;

  constructor(settings: SpoolSettings) {
    this.#settings = settings;
    this.#fs = settings.fs ?? realFs;
    this.#home = join(settings.dir, settings.resource.proxyName);
    this.#nowMs = settings.nowMs ?? monotonicMs;
    this.#wallMs = settings.wallMs ?? Date.now;
  }

  /** Bytes on disk, of this process and what it took over. */
  get bytes(): number {
    return this.#takenOver.reduce((sum, { folder }) => sum + folder.bytes, this.#own?.bytes ?? 0);
  }

  /** True when take() has something to look at. */
  get hasUnread(): boolean {
    if (this.#nowMs() < this.#restsUntilMs) return false;
    return (
      this.#handedOn > 0 ||
      this.#ownIsShort ||
      this.#own?.hasUnread === true ||
      this.#takenOver.some(({ folder }) => folder.hasUnread)
    );
  }

  /** Our own folder is exhausted, and not everything that went in came out. */
  get #ownIsShort(): boolean {
    return this.items > this.#ownOpenItems && this.#own?.isEmpty === true;
  }

  /** Begins to show signs of life and to look for what earlier processes left. */
  start(hooks: SpoolHooks): void {
    this.#hooks = hooks;
    this.#stopTicking = (this.#settings.every ?? every)(TICK_MS, () => void this.tick());
  }

  /**
   * Keeps the newest ledger of this process beside what it spooled, for the process that delivers
   * it should this one be killed. Never throws, waits for nothing.
   */
  keepLedger(ledger: Ledger): void {
    const own = this.#own;
    if (own === undefined || this.#keeping !== undefined) return;
    this.#keeping = this.#writeLedger(own, this.#ownLedger(ledger))
      .catch(() => undefined)
      .finally(() => (this.#keeping = undefined));
  }

  /** One round of what is done every few seconds. Never rejects; rounds do not overlap. */
  tick(): Promise<void> {
    this.#ticking ??= this.#tick().finally(() => (this.#ticking = undefined));
    return this.#ticking;
  }

  /**
   * Stores a message; false when it is not stored (bound reached, disk full or not writable). Never
   * rejects. Calls must not overlap.
   */
  async append(message: OutboundMessage): Promise<boolean> {
    if (this.bytes + message.body.byteLength > this.#settings.bytesMax) return false;
    try {
      // A process that stood still for long must look first whether its folder is still its own.
      if (this.#own !== undefined && this.#nowMs() - this.#shownAliveAtMs > STALE_MS / 2)
        await this.#showAlive();
      this.#own ??= await this.#createOwn();
      await this.#own.append(message, this.#wallMs());
      this.items += message.items;
      return true;
    } catch (error) {
      this.#complain('the spool cannot be written; telemetry waits in memory', error);
      return false;
    }
  }

  /** The oldest message that was not taken. Never rejects. Calls must not overlap. */
  async take(): Promise<Taken | undefined> {
    try {
      return await this.#take();
    } catch (error) {
      this.#restsUntilMs = this.#nowMs() + TICK_MS;
      this.#complain('the spool cannot be read; what is in it waits there', error);
      return undefined;
    }
  }

  async #take(): Promise<Taken | undefined> {
    for (const one of this.#takenOver) {
      for (;;) {
        const reading = await one.folder.next();
        if (reading === undefined) break;
        if (reading.kind === 'message') {
          this.#ownerOf.set(reading.record, one);
          return { kind: 'message', record: reading.record, own: false };
        }
        this.#book(one, 'spool_damaged', reading.items);
      }
    }
    if (this.#handedOn > 0) {
      const items = this.#handedOn;
      this.#handedOn = 0;
      return { kind: 'handed_on', items };
    }
    const reading = await this.#own?.next();
    if (reading?.kind === 'message') {
      this.#ownOpenItems += reading.record.items;
      return { kind: 'message', record: reading.record, own: true };
    }
    // Of a header that is damaged the items are known once everything else came out.
    const missing = this.items - this.#ownOpenItems;
    const lost = reading?.items ?? (this.#ownIsShort ? missing : undefined);
    if (lost === undefined) return undefined;
    const items = Math.min(lost, missing);
    this.items -= items;
    return { kind: 'damaged', items };
  }

  /** Says what became of a message that was taken: `dropped` of its items were, for `reason`. */
  async settle(record: SpooledRecord, dropped: number, reason: DropReason): Promise<void> {
    const owner = this.#ownerOf.get(record);
    if (owner === undefined) {
      this.items -= record.items;
      this.#ownOpenItems -= record.items;
      await this.#own?.settle(record);
      return;
    }
    this.#ownerOf.delete(record);
    this.#book(owner, 'emitted', record.items - dropped);
    this.#book(owner, reason, dropped);
    await owner.folder.settle(record);
  }

  /**
   * Leaves everything to the next process of this proxy. `delivered`: the closing ledger arrived.
   * Never rejects; a disk that stands still is waited for at most CLOSE_WITHIN_MS.
   */
  async close(closing: Ledger, delivered: boolean): Promise<void> {
    this.#stopTicking?.();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_WITHIN_MS);
    });
    await Promise.race([this.#close(closing, delivered), late]);
    clearTimeout(timer);
  }

  async #close(closing: Ledger, delivered: boolean): Promise<void> {
    await this.#ticking;
    await this.#keeping;
    await this.#removing;
    try {
      const left = this.items > 0 || !delivered;
      if (left) this.#own ??= await this.#createOwn();
      if (this.#own !== undefined) {
        await this.#own.close();
        if (left) await this.#writeLedger(this.#own, this.#ownLedger(closing));
        await this.#leave(this.#own, left);
      }
      for (const one of this.#takenOver) {
        await one.folder.close();
        if (one.boot !== undefined) await this.#writeLedger(one.folder, one.boot);
        await this.#leave(one.folder, true);
      }
    } catch (error) {
      this.#settings.log.warn('the spool could not be closed in order', {
        error: messageOf(error),
      });
    }
  }

  async #tick(): Promise<void> {
    await this.#showAlive();
    for (const one of this.#takenOver) await this.#tend(one);
    await this.#takeOverOrphans();
    if (this.hasUnread) this.#hooks?.onFound();
  }

  /** Writes `alive`. When our folder is gone, another process took it while we stood still. */
  async #showAlive(): Promise<void> {
    const own = this.#own;
    if (own === undefined) return;
    try {
      await this.#writeAlive(own.path);
      this.#shownAliveAtMs = this.#nowMs();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
      this.#own = undefined;
      this.#handedOn += this.items - this.#ownOpenItems;
      this.items = this.#ownOpenItems;
      await own.close();
      this.#hooks?.onFound();
    }
  }

  /** Keeps a folder that we took over, states its ledger, and deletes it when all is done. */
  async #tend(one: TakenOver): Promise<void> {
    await this.#writeAlive(one.folder.path).catch(() => undefined);
    if (one.finished) return;
    if (one.folder.isEmpty) {
      one.finished = true;
      if (one.boot === undefined) {
        await this.#remove(one);
        return;
      }
      bookRest(one.boot.ledger);
      one.changed = true;
    }
    if (!one.changed || one.boot === undefined) return;
    one.changed = false;
    await this.#writeLedger(one.folder, one.boot).catch(() => undefined);
    const last = one.finished;
    this.#hooks?.offerLedger(encodeBootLedger(one.boot, this.#wallMs()), one.bootId, () => {
      if (last) this.#removing = this.#removing.then(() => this.#remove(one));
    });
  }

  async #remove(one: TakenOver): Promise<void> {
    this.#takenOver = this.#takenOver.filter((other) => other !== one);
    await one.folder.close();
    await this.#fs.rm(one.folder.path, { recursive: true, force: true }).catch(() => undefined);
  }

  async #takeOverOrphans(): Promise<void> {
    const { bootId } = this.#settings.resource;
    // No folder: nothing was ever spooled here.
    const names = await this.#fs.readdir(this.#home).catch(() => []);
    for (const name of names) {
      const mine = name === bootId || name.endsWith(`~${bootId}`);
      if (mine || name.startsWith(NEW) || !(await this.#isOrphan(name))) continue;
      this.#signs.delete(name);
      const from = join(this.#home, name);
      const boot = name.split('~')[0]!;
      const to = join(this.#home, `${boot}~${bootId}`);
      try {
        // First a sign of life, then the name: nobody else finds it orphaned in between.
        await this.#writeAlive(from);
        await this.#fs.rename(from, to);
        const folder = new SpoolFolder(to, this.#segmentBytesMax, this.#fs);
        await folder.load();
        const text = await this.#fs.readFile(join(to, LEDGER), 'utf8').catch(() => '');
        const found = readBootLedger(text);
        this.#takenOver.push({
          bootId: boot,
          folder,
          boot: found,
          // A closing ledger may never have arrived.
          changed: true,
          finished: false,
        });
        this.#settings.log.info('delivering what an earlier process spooled', {
          boot_id: boot,
          bytes: folder.bytes,
        });
      } catch {
        // Another process was faster.
      }
    }
  }

  async #isOrphan(name: string): Promise<boolean> {
    const file = join(this.#home, name, ALIVE);
    const content = await this.#fs.readFile(file, 'utf8').catch((error: unknown) => {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : '';
    });
    if (content === undefined) return true;
    const sign = this.#signs.get(name);
    if (sign?.content !== content) {
      this.#signs.set(name, { content, sinceMs: this.#nowMs() });
      return false;
    }
    return this.#nowMs() - sign.sinceMs >= STALE_MS;
  }

  /** Made under another name first: a folder appears with its sign of life in it. */
  async #createOwn(): Promise<SpoolFolder> {
    const { bootId } = this.#settings.resource;
    const making = join(this.#home, NEW + bootId);
    // Telemetry names people's addresses: for nobody else's eyes.
    await this.#fs.mkdir(making, { recursive: true, mode: 0o700 });
    await this.#writeAlive(making);
    const folder = new SpoolFolder(making, this.#segmentBytesMax, this.#fs);
    if (this.#hooks !== undefined)
      await this.#writeLedger(folder, this.#ownLedger(this.#hooks.ledger()));
    await folder.moveTo(join(this.#home, bootId));
    this.#shownAliveAtMs = this.#nowMs();
    return folder;
  }

  get #segmentBytesMax(): number {
    return Math.min(SEGMENT_BYTES_MAX, Math.ceil(this.#settings.bytesMax / 8));
  }

  #ownLedger(ledger: Ledger): BootLedger {
    return { resource: this.#settings.resource, ledger };
  }

  #book(owner: TakenOver, outcome: 'emitted' | DropReason, items: number): void {
    if (items === 0) return;
    owner.changed = true;
    if (owner.boot !== undefined) book(owner.boot.ledger, outcome, items);
    else if (outcome !== 'emitted')
      this.#settings.log.warn('spooled hops of a process without a ledger were dropped', {
        boot_id: owner.bootId,
        reason: outcome,
        hops: items,
      });
  }

  #writeAlive(path: string): Promise<void> {
    return this.#fs.writeFile(join(path, ALIVE), `${this.#wallMs()} ${this.#nowMs()}\n`);
  }

  /** Whole or not at all: a process may be killed in between. */
  async #writeLedger(folder: SpoolFolder, boot: BootLedger): Promise<void> {
    const file = join(folder.path, LEDGER);
    await this.#fs.writeFile(`${file}.new`, writeBootLedger(boot));
    await this.#fs.rename(`${file}.new`, file);
  }

  async #leave(folder: SpoolFolder, keep: boolean): Promise<void> {
    const path = keep ? join(folder.path, ALIVE) : folder.path;
    await this.#fs.rm(path, { recursive: true, force: true });
  }

  #complain(message: string, error: unknown): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#loggedAtMs < LOG_INTERVAL_MS) return;
    this.#loggedAtMs = nowMs;
    this.#settings.log.warn(message, { dir: this.#home, error: messageOf(error) });
  }
}
