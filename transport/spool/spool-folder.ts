/**
 * The spool folder of one boot of a proxy: numbered segment files of records, written at the end and
 * read from the beginning.
 *
 *     00000001.seg [settled][settled][in flight][waiting …]   00000002.seg [waiting][waiting …
 *                                     ▲ next()                                      append() ▲
 *
 * A segment whose records are all settled is deleted. Nothing here throws for what the disk does:
 * a write that fails says so, a record that cannot be read is reported as damaged, and reading goes
 * on behind it. Calls of append() must not overlap, nor calls of next().
 */
import type { FileHandle } from 'node:fs/promises';
import * as fsPromises from 'node:fs/promises';
import { join } from 'node:path';
import type { OutboundMessage } from '../exporter.ts';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  isIntact,
  MAGIC,
  SETTLED,
  STATE_AT,
  type RecordHeader,
} from './record.ts';

/** What of the file system the spool uses; tests give one that fails. */
export type SpoolFs = Pick<
  typeof fsPromises,
  'mkdir' | 'open' | 'readdir' | 'readFile' | 'rename' | 'rm' | 'stat' | 'writeFile'
>;

export const realFs: SpoolFs = fsPromises;

/** How much is read at once in search of the next record behind a damaged one. */
const SEARCH_BYTES = 65_536;
const SEGMENT_NAME = /^(\d{8})\.seg$/;

interface Segment {
  readonly path: string;
  handle: FileHandle | undefined;
  /** Where valid records end: known for what was written here, else the file's size once opened. */
  endBytes: number | undefined;
  /** Bytes that count against the bound. */
  sizeBytes: number;
  readBytes: number;
  /** Records handed out and not settled. */
  open: number;
  /** A write to it is under way. */
  busy: boolean;
}

/** A record handed out: to be settled once. */
export interface SpooledRecord extends OutboundMessage {
  readonly writtenAtMs: number;
}

export type SpoolReading =
  | { readonly kind: 'message'; readonly record: SpooledRecord }
  /** Something is gone; `items` is 0 where only bytes are known to be. */
  | { readonly kind: 'damaged'; readonly items: number };

class CannotOpen extends Error {}

export class SpoolFolder {
  readonly #fs: SpoolFs;
  readonly #segmentBytesMax: number;
  #path: string;
  #segments: Segment[] = [];
  #writing: Segment | undefined;
  #lastNumber = 0;
  readonly #handedOut = new Map<SpooledRecord, { segment: Segment; at: number }>();

  constructor(path: string, segmentBytesMax: number, fs: SpoolFs) {
    this.#path = path;
    this.#segmentBytesMax = segmentBytesMax;
    this.#fs = fs;
  }

  /** Learns what an earlier process left. Rejects when the folder cannot be listed. */
  async load(): Promise<void> {
    const names = (await this.#fs.readdir(this.#path)).filter((name) => SEGMENT_NAME.test(name));
    for (const name of names.sort()) {
      const path = join(this.#path, name);
      const { size } = await this.#fs.stat(path);
      this.#segments.push(segmentAt(path, size));
      this.#lastNumber = Number(SEGMENT_NAME.exec(name)![1]);
    }
  }

  get path(): string {
    return this.#path;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** True when next() has something to look at. */
  get hasUnread(): boolean {
    return this.#segments.some(
      (segment) => segment.readBytes < (segment.endBytes ?? segment.sizeBytes),
    );
  }

  /** True when nothing is left: neither unread nor handed out. */
  get isEmpty(): boolean {
    return this.#handedOut.size === 0 && !this.hasUnread;
  }

  /** Writes one record at the end. Rejects with the disk's error; nothing is then stored. */
  async append(message: OutboundMessage, nowMs: number): Promise<void> {
    const bytes = HEADER_BYTES + message.body.byteLength;
    if (this.#writing !== undefined && this.#writing.sizeBytes + bytes > this.#segmentBytesMax)
      await this.#closeWriting();
    const segment = (this.#writing ??= await this.#newSegment());
    const at = segment.endBytes!;
    segment.busy = true;
    try {
      const { bytesWritten } = await segment.handle!.writev(
        [encodeHeader(message, nowMs), message.body],
        at,
      );
      if (bytesWritten !== bytes) throw new Error('the disk took only a part of the record');
    } catch (error) {
      // What was written of it is cut off; and if that fails too, readers pass over it.
      await segment.handle?.truncate(at).catch(() => undefined);
      segment.busy = false;
      await this.#closeWriting();
      throw error;
    }
    segment.busy = false;
    segment.endBytes = at + bytes;
    segment.sizeBytes = segment.endBytes;
  }

  /**
   * The next record that was not settled, or what is damaged instead; undefined at the end. Rejects
   * when the file that comes next cannot be opened now: nothing is given up for that.
   */
  async next(): Promise<SpoolReading | undefined> {
    for (;;) {
      const segment = this.#segments.find((one) => one.readBytes < (one.endBytes ?? one.sizeBytes));
      if (segment === undefined) return undefined;
      try {
        segment.handle ??= await this.#openAgain(segment);
        const reading = await this.#readOne(segment);
        if (reading?.kind !== 'message') await this.#deleteIfDone(segment);
        if (reading !== undefined) return reading;
      } catch (error) {
        if (error instanceof CannotOpen) throw error.cause;
        // A file that cannot be read any more: what else is in it is lost, and others may be well.
        segment.readBytes = segment.endBytes ?? segment.sizeBytes;
        await this.#deleteIfDone(segment);
        return { kind: 'damaged', items: 0 };
      }
    }
  }

  /** The record is delivered or given up: it is not handed out again, not even after a crash. */
  async settle(record: SpooledRecord): Promise<void> {
    const place = this.#handedOut.get(record);
    if (place === undefined) return;
    this.#handedOut.delete(record);
    const { segment, at } = place;
    segment.open--;
    // If this fails the record may be sent twice by a successor, and no figure counts it twice.
    await segment.handle?.write(SETTLED, 0, 1, at + STATE_AT).catch(() => undefined);
    await this.#deleteIfDone(segment);
  }

  /** Moves the folder; what is open stays usable. Rejects when another process was faster. */
  async moveTo(path: string): Promise<void> {
    await this.#fs.rename(this.#path, path);
    this.#path = path;
  }

  /** Flushes and closes the files, and leaves them: what is settled from now on changes nothing. */
  async close(): Promise<void> {
    const segments = this.#segments;
    this.#segments = [];
    this.#handedOut.clear();
    await this.#writing?.handle?.datasync().catch(() => undefined);
    this.#writing = undefined;
    for (const segment of segments) await closeQuietly(segment);
  }

  async #openAgain(segment: Segment): Promise<FileHandle> {
    try {
      return await this.#fs.open(segment.path, 'r+');
    } catch (cause) {
      // Somebody deleted it.
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw cause;
      // No descriptor left, no permission: passes, or an operator corrects it.
      throw new CannotOpen('a segment cannot be opened', { cause });
    }
  }

  async #readOne(segment: Segment): Promise<SpoolReading | undefined> {
    const end = segment.endBytes ?? segment.sizeBytes;
    const at = segment.readBytes;
    const head = await readExactly(segment.handle!, at, Math.min(HEADER_BYTES, end - at));
    const header = decodeHeader(head);
    const next = header === undefined ? 0 : at + HEADER_BYTES + header.bodyBytes;
    if (header === undefined || next > end) {
      segment.readBytes = await findMagic(segment.handle!, at + 1, end);
      return { kind: 'damaged', items: header?.settled === false ? header.items : 0 };
    }
    segment.readBytes = next;
    if (header.settled) return undefined;
    const body = await readExactly(segment.handle!, at + HEADER_BYTES, header.bodyBytes);
    if (!isIntact(header, body)) {
      // Counted once: a successor passes over it.
      await segment.handle!.write(SETTLED, 0, 1, at + STATE_AT).catch(() => undefined);
      return { kind: 'damaged', items: header.items };
    }
    return { kind: 'message', record: this.#handOut(segment, at, header, body) };
  }

  #handOut(segment: Segment, at: number, header: RecordHeader, body: Buffer): SpooledRecord {
    const { signal, items, writtenAtMs } = header;
    const record: SpooledRecord = { signal, body, items, writtenAtMs };
    segment.open++;
    this.#handedOut.set(record, { segment, at });
    return record;
  }

  async #newSegment(): Promise<Segment> {
    const name = `${String(this.#lastNumber + 1).padStart(8, '0')}.seg`;
    const path = join(this.#path, name);
    const segment = segmentAt(path, 0);
    segment.handle = await this.#fs.open(path, 'wx+');
    segment.endBytes = 0;
    this.#lastNumber++;
    this.#segments.push(segment);
    return segment;
  }

  async #closeWriting(): Promise<void> {
    const segment = this.#writing;
    this.#writing = undefined;
    if (segment === undefined) return;
    // Opened again when it is read: a large spool must not hold a file open for each segment.
    if (segment.readBytes === 0) await closeQuietly(segment);
    await this.#deleteIfDone(segment);
  }

  async #deleteIfDone(segment: Segment): Promise<void> {
    const unread = segment.readBytes < (segment.endBytes ?? segment.sizeBytes);
    if (unread || segment.open > 0 || segment.busy || !this.#segments.includes(segment)) return;
    if (this.#writing === segment) this.#writing = undefined;
    this.#segments = this.#segments.filter((one) => one !== segment);
    await closeQuietly(segment);
    await this.#fs.rm(segment.path, { force: true }).catch(() => undefined);
  }
}

const segmentAt = (path: string, sizeBytes: number): Segment => ({
  path,
  handle: undefined,
  endBytes: undefined,
  sizeBytes,
  readBytes: 0,
  open: 0,
  busy: false,
});

async function closeQuietly(segment: Segment): Promise<void> {
  const { handle } = segment;
  segment.handle = undefined;
  await handle?.close().catch(() => undefined);
}

async function readExactly(handle: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await handle.read(buffer, 0, bytes, at);
  return buffer.subarray(0, bytesRead);
}

/** Where the next record may begin, from `at` on; `end` when nowhere. */
async function findMagic(handle: FileHandle, at: number, end: number): Promise<number> {
  for (let from = at; from < end; from += SEARCH_BYTES - MAGIC.length + 1) {
    const bytes = await readExactly(handle, from, Math.min(SEARCH_BYTES, end - from));
    const found = bytes.indexOf(MAGIC);
    if (found >= 0) return from + found;
  }
  return end;
}
