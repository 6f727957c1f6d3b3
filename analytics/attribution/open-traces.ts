/**
 * Gathers streamed rows into traces and splits each when it has come to rest.
 *
 *     Native blocks, by minute and trace ──► add ──► open traces ──► closeUntil(instant) ──► onTrace
 *
 * Rows come minute by minute, the rows of a trace side by side within a minute, so a trace that
 * fits into a minute is looked up once. A trace is closed when the stream has passed the end of all
 * its rows by IDLE_MS: its root is stored then, and so is all that it waited for. What is open is
 * bounded: past the bound the oldest are closed as they stand, and say so. A trace id that a client
 * sends with every request never comes to rest: what was read of it is closed at each closeUntil.
 */
import type { NativeBlock } from '../../store/native/reader.ts';
import { NameTable, RowColumns, type AttemptTimes, type RowData } from './row-columns.ts';
import { INCOMPLETE } from './segments.ts';
import {
  ROWS_MAX,
  TraceSplitter,
  type PlacedHop,
  type Segments,
  type Split,
} from './trace-splitter.ts';
import { PROXY_SIDES } from '../../telemetry/edge-class.ts';
import { FUNCTIONS } from '../../telemetry/hop-record.ts';

/** A trace without rows for this long has come to rest. Milliseconds of stream time. */
export const IDLE_MS = 30_000;

/** Rows open at once, at most: about 180 bytes each. */
const OPEN_ROWS_MAX = 2_000_000;

const INGRESS = PROXY_SIDES.indexOf('ingress');

/** One trace, as it is handed out. Valid during the call only. */
export interface ClosedTrace {
  /** Sixteen raw bytes as a latin1 string. */
  readonly traceKey: string;
  readonly split: Split;
  readonly segments: Segments;
  /** Its hops with their callers: dearer, for display. */
  readonly hops: () => PlacedHop[];
  readonly columns: RowColumns;
  readonly names: NameTable;
  /** Instant that the columns' `start` counts from, Unix milliseconds. */
  readonly baseMs: number;
}

interface OpenTrace {
  head: number;
  tail: number;
  rows: number;
  /** Start of its first row, and the end of its last, nanoseconds since the base. */
  firstNs: number;
  endNs: number;
  /** Row of the first hop that may be an entrance; -1 before. */
  entrance: number;
  /** A second hop may be one too. */
  mayBeShared: boolean;
}

export class OpenTraces {
  readonly names = new NameTable();
  readonly columns = new RowColumns();
  /** Instant that the reader's `start` counts from, Unix milliseconds. */
  readonly baseMs: number;
  /** Hops split so far. */
  hops = 0;
  /** Start of the row added last, Unix milliseconds. */
  newestMs = 0;
  /** Rows that were dropped since their trace had more than ROWS_MAX. */
  rowsLeftOut = 0;
  readonly #open = new Map<string, OpenTrace>();
  #rows = 0;
  readonly #splitter: TraceSplitter;
  readonly #onTrace: (trace: ClosedTrace) => void;

  constructor(baseMs: number, onTrace: (trace: ClosedTrace) => void) {
    this.baseMs = baseMs;
    this.#onTrace = onTrace;
    this.#splitter = new TraceSplitter(this.columns, this.names);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Start of the earliest row of an open trace, Unix milliseconds; Infinity when none is open. */
  get oldestMs(): number {
    let firstNs = Infinity;
    for (const trace of this.#open.values()) firstNs = Math.min(firstNs, trace.firstNs);
    return this.baseMs + firstNs / 1e6;
  }

  /** Takes the rows of a block of attribution_rows.sql. */
  add(block: NativeBlock): void {
    const reader = new BlockReader(block, this.names);
    let key = '';
    let trace: OpenTrace | undefined;
    for (let i = 0; i < block.rows; i++) {
      if (trace === undefined || !reader.sameTrace(i)) {
        key = reader.traceKey(i);
        trace = this.#open.get(key);
        if (trace === undefined) {
          trace = newTrace();
          this.#open.set(key, trace);
        }
      }
      // One more than is looked at, so that the splitter sees that there are more.
      if (trace.rows > ROWS_MAX) {
        this.rowsLeftOut++;
        continue;
      }
      const row = this.columns.allocate();
      reader.copy(i, row, this.columns);
      const { data } = this.columns;
      if (trace.tail >= 0) data.next[trace.tail] = row;
      else trace.head = row;
      trace.tail = row;
      trace.rows++;
      this.#rows++;
      trace.firstNs = Math.min(trace.firstNs, data.start[row]!);
      trace.endNs = Math.max(trace.endNs, data.start[row]! + data.duration[row]!);
      if (data.isHop[row] === 1) noteEntrance(trace, row, data);
    }
    if (block.rows > 0) this.newestMs = this.baseMs + reader.startNs(block.rows - 1) / 1e6;
    if (this.#rows > OPEN_ROWS_MAX) this.#closeOldest();
  }

  /**
   * Closes what had come to rest before an instant up to which all rows were read, and what waiting
   * can make no better: traces that are too large, and trace ids that several requests share.
   */
  closeUntil(readUntilMs: number): void {
    const beforeNs = (readUntilMs - IDLE_MS - this.baseMs) * 1e6;
    for (const [key, trace] of this.#open) {
      if (trace.endNs < beforeNs || trace.rows > ROWS_MAX) this.#close(key, trace, 0);
      else if (trace.mayBeShared) this.#closeIfShared(key, trace);
    }
  }

  /** Closes every trace that began before an instant, as it stands. */
  closeBegunBefore(ms: number): void {
    const beforeNs = (ms - this.baseMs) * 1e6;
    for (const [key, trace] of this.#open) {
      if (trace.firstNs < beforeNs) this.#close(key, trace, INCOMPLETE.closed_early);
    }
  }

  /** Closes all: the reader knows that nothing more comes, or wants what there is. */
  closeAll(): void {
    for (const [key, trace] of this.#open) this.#close(key, trace, 0);
  }

  #closeOldest(): void {
    // The map is in the order in which traces were first seen.
    for (const [key, trace] of this.#open) {
      if (this.#rows < OPEN_ROWS_MAX / 2) return;
      this.#close(key, trace, INCOMPLETE.closed_early);
    }
  }

  #closeIfShared(key: string, trace: OpenTrace): void {
    const split = this.#splitter.split(trace.head);
    if (split.roots > 1) this.#handOut(key, trace, split, 0);
  }

  #close(key: string, trace: OpenTrace, flags: number): void {
    this.#handOut(key, trace, this.#splitter.split(trace.head), flags);
  }

  #handOut(key: string, trace: OpenTrace, split: Split, flags: number): void {
    this.#open.delete(key);
    this.#rows -= trace.rows;
    this.hops += split.hops;
    // An application's spans alone are no request through the mesh.
    if (split.hops > 0) {
      this.#onTrace({
        traceKey: key,
        split: flags === 0 ? split : { ...split, incomplete: split.incomplete | flags },
        segments: this.#splitter.segments,
        hops: () => this.#splitter.hops(),
        columns: this.columns,
        names: this.names,
        baseMs: this.baseMs,
      });
    }
    this.columns.release(trace.head);
  }
}

const newTrace = (): OpenTrace => ({
  head: -1,
  tail: -1,
  rows: 0,
  firstNs: Infinity,
  endNs: 0,
  entrance: -1,
  mayBeShared: false,
});

/** Remembers where a request may have entered, and whether a second one may have. */
function noteEntrance(trace: OpenTrace, row: number, data: RowData): void {
  const hasParent = data.parentLow[row] !== 0 || data.parentHigh[row] !== 0;
  if (hasParent && data.side[row] !== INGRESS) return;
  const first = trace.entrance;
  if (first < 0) trace.entrance = row;
  else if (
    data.spanLow[first] !== data.spanLow[row] ||
    data.spanHigh[first] !== data.spanHigh[row]
  ) {
    trace.mayBeShared = true;
  }
}

/** One block's columns by name of the SELECT in analytics/queries/attribution_rows.sql. */
class BlockReader {
  readonly #trace: Uint32Array;
  readonly #traceBytes: Buffer;
  readonly #block: NativeBlock;
  readonly #names: NameTable;
  /**
   * Numbers in the NameTable of the texts that hops use. Those that only spans of applications have
   * are left out: nothing bounds them.
   */
  readonly #texts: readonly (number | undefined)[][] = TEXTS.map(() => []);

  constructor(block: NativeBlock, names: NameTable) {
    this.#block = block;
    const trace = block.columns[COLUMN.trace]!;
    this.#trace = trace.words;
    this.#traceBytes = Buffer.from(trace.bytes.buffer);
    this.#names = names;
  }

  /** Start of row i, nanoseconds since the base. */
  startNs(i: number): number {
    return double(this.#block.columns[COLUMN.start]!.words, i);
  }

  /** True when row i belongs to the trace of the row before it. */
  sameTrace(i: number): boolean {
    const words = this.#trace;
    const at = 4 * i;
    return (
      words[at] === words[at - 4] &&
      words[at + 1] === words[at - 3] &&
      words[at + 2] === words[at - 2] &&
      words[at + 3] === words[at - 1]
    );
  }

  traceKey(i: number): string {
    return this.#traceBytes.toString('latin1', 16 * i, 16 * i + 16);
  }

  copy(i: number, row: number, columns: RowColumns): void {
    const c = this.#block.columns;
    const { data } = columns;
    const span = c[COLUMN.span]!.words;
    const parent = c[COLUMN.parent]!.words;
    data.spanLow[row] = span[2 * i]!;
    data.spanHigh[row] = span[2 * i + 1]!;
    data.parentLow[row] = parent[2 * i]!;
    data.parentHigh[row] = parent[2 * i + 1]!;
    data.start[row] = double(c[COLUMN.start]!.words, i);
    data.isHop[row] = c[COLUMN.isHop]!.bytes[i]!;
    data.duration[row] = double(c[COLUMN.duration]!.words, i);
    data.attempts[row] = 0;
    if (data.isHop[row] === 0) return;
    data.role[row] = c[COLUMN.role]!.bytes[i]!;
    data.side[row] = c[COLUMN.side]!.bytes[i]!;
    data.edgeClass[row] = c[COLUMN.edgeClass]!.bytes[i]!;
    data.streamClass[row] = c[COLUMN.streamClass]!.bytes[i]!;
    data.status[row] = c[COLUMN.status]!.halves[i]!;
    data.generation[row] = c[COLUMN.generation]!.words[i]!;
    data.service[row] = this.#text(0, i);
    data.clock[row] = this.#text(1, i);
    data.mesh[row] = this.#text(2, i);
    data.topology[row] = this.#text(3, i);
    data.route[row] = this.#text(4, i);
    data.method[row] = this.#text(5, i);
    data.own[row] = double(c[COLUMN.own]!.words, i);
    data.wait[row] = double(c[COLUMN.wait]!.words, i);
    data.backoff[row] = double(c[COLUMN.backoff]!.words, i);
    data.attempts[row] = c[COLUMN.attempts]!.bytes[i]!;
    this.#copyAttempts(i, row, columns);
    this.#copyPhases(i, row, columns);
  }

  #text(text: number, i: number): number {
    const { keys, texts } = this.#block.columns[TEXTS[text]!]!;
    const key = keys[i]!;
    return (this.#texts[text]![key] ??= this.#names.numberOf(texts[key]!));
  }

  #copyAttempts(i: number, row: number, columns: RowColumns): void {
    const c = this.#block.columns;
    const { data } = columns;
    const { ends } = c[COLUMN.listStart]!;
    const from = i === 0 ? 0 : ends[2 * i - 2]!;
    const to = ends[2 * i]!;
    if (from === to) {
      // A row may state more attempts than it lists, as one of a later version does: the one that the
      // columns describe is all that is known of them.
      data.attempts[row] = Math.min(1, data.attempts[row]!);
      data.attemptStart[row] = double(c[COLUMN.attemptStart]!.words, i);
      data.attemptNs[row] = double(c[COLUMN.attemptNs]!.words, i);
      data.attemptWait[row] = double(c[COLUMN.attemptWait]!.words, i);
      data.attemptBits[row] = c[COLUMN.attemptBits]!.bytes[i]!;
      return;
    }
    const at = (k: number): AttemptTimes => ({
      startNs: double(c[COLUMN.listStart]!.words, k),
      ns: double(c[COLUMN.listNs]!.words, k),
      waitNs: double(c[COLUMN.listWait]!.words, k),
      bits: c[COLUMN.listBits]!.bytes[k]!,
    });
    const first = at(from);
    data.attempts[row] = to - from;
    data.attemptStart[row] = first.startNs;
    data.attemptNs[row] = first.ns;
    data.attemptWait[row] = first.waitNs;
    data.attemptBits[row] = first.bits;
    if (to - from === 1) return;
    columns.moreAttempts.set(
      row,
      Array.from({ length: to - from - 1 }, (_, k) => at(from + 1 + k)),
    );
  }

  #copyPhases(i: number, row: number, columns: RowColumns): void {
    const functions = this.#block.columns[COLUMN.phaseFunction]!;
    const from = i === 0 ? 0 : functions.ends[2 * i - 2]!;
    const to = functions.ends[2 * i]!;
    if (from === to) return;
    const phases = new Float64Array(FUNCTIONS.length);
    const times = this.#block.columns[COLUMN.phaseNs]!.words;
    for (let k = from; k < to; k++) {
      const id = functions.bytes[k]!;
      if (id < phases.length) phases[id] = double(times, k);
    }
    columns.phases.set(row, phases);
  }
}

/** Order of the columns in attribution_rows.sql. */
const COLUMN = {
  trace: 0,
  span: 1,
  parent: 2,
  start: 3,
  isHop: 4,
  duration: 5,
  role: 6,
  side: 7,
  edgeClass: 8,
  streamClass: 9,
  status: 10,
  generation: 11,
  service: 12,
  clock: 13,
  mesh: 14,
  topology: 15,
  route: 16,
  method: 17,
  own: 18,
  wait: 19,
  backoff: 20,
  attempts: 21,
  attemptStart: 22,
  attemptNs: 23,
  attemptWait: 24,
  attemptBits: 25,
  listStart: 26,
  listNs: 27,
  listWait: 28,
  listBits: 29,
  phaseFunction: 30,
  phaseNs: 31,
} as const;

const TEXTS = [
  COLUMN.service,
  COLUMN.clock,
  COLUMN.mesh,
  COLUMN.topology,
  COLUMN.route,
  COLUMN.method,
] as const;

const double = (words: Uint32Array, i: number): number =>
  words[2 * i]! + words[2 * i + 1]! * 4294967296;
