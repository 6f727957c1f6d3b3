/**
 * The attributes that a writer sends as one piece: spans of one route of one process begin with the
 * same KeyValues, byte for byte (ours copies them from a template). Such a run is remembered with
 * what it means, and where it comes again one comparison takes the place of reading each.
 *
 *     KeyValue KeyValue KeyValue … │ status, times, ids
 *     a run: closed and open sets  │ a number or a text, which keeps changing, ends it
 *
 * Only what was read and checked before is remembered; nothing is taken for equal by its hash alone.
 */
import type { Ranges } from '../telemetry/otlp-reader.ts';
import { sameBytes, sourceOf, type Source } from '../store/native/column.ts';
import { hashOf } from '../store/native/dictionary.ts';
import { EnumColumn } from '../store/native/fixed-columns.ts';
import { DictionaryColumn } from '../store/native/text-columns.ts';

/** Places for runs: those of the processes of a batch, times their routes. A power of two. */
const PLACES = 2048;
/** Longest run, bytes: eleven attributes of ours take some 400. */
const RUN_BYTES = 512;
/** A shorter one is read as fast as it is found. */
const ATTRIBUTES_MIN = 4;
/** After so many misses in a row a place learns only now and then: what comes keeps changing. */
const MISSES_MAX = 3;

/**
 * What a run means: columns whose values are small numbers that mean the same until the columns are
 * cleared. By kind, so that each loop has one kind of column to call.
 */
class Run {
  readonly #words: DictionaryColumn[] = [];
  readonly #entries: number[] = [];
  readonly #enums: EnumColumn[] = [];
  readonly #positions: number[] = [];

  get count(): number {
    return this.#words.length + this.#enums.length;
  }

  clear(): void {
    this.#words.length = this.#entries.length = 0;
    this.#enums.length = this.#positions.length = 0;
  }

  add(column: unknown, row: number): boolean {
    if (column instanceof DictionaryColumn) {
      this.#words.push(column);
      this.#entries.push(column.at(row));
    } else if (column instanceof EnumColumn) {
      this.#enums.push(column);
      this.#positions.push(column.at(row));
    } else return false;
    return true;
  }

  set(row: number): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) words[i]!.set(row, this.#entries[i]!);
    const enums = this.#enums;
    for (let i = 0; i < enums.length; i++) enums[i]!.set(row, this.#positions[i]!);
  }
}

export class AttributeRuns {
  readonly #memory = sourceOf(new Uint8Array(PLACES * RUN_BYTES));
  /** By place: attributes of the run there (0 = none), its bytes, and those of the first attribute. */
  readonly #counts = new Uint8Array(PLACES);
  readonly #bytes = new Uint16Array(PLACES);
  readonly #firstBytes = new Uint16Array(PLACES);
  readonly #misses = new Uint8Array(PLACES);
  readonly #runs = Array.from({ length: PLACES }, () => new Run());

  /** Must be called when the columns were cleared. */
  forget(): void {
    this.#counts.fill(0);
  }

  /** Where the run of spans of this name is kept; `sender` tells those of one Resource from others'. */
  placeOf(sender: number, source: Source, nameStart: number, nameEnd: number): number {
    return (sender ^ hashOf(source, nameStart, nameEnd)) & (PLACES - 1);
  }

  /** Sets the attributes of the run at `place` if `ranges` begins with it. Returns how many it has, or 0. */
  set(place: number, row: number, source: Source, ranges: Ranges): number {
    const count = this.#counts[place]!;
    if (count === 0 || count > ranges.count) return 0;
    const start = ranges.start(0);
    const bytes = this.#bytes[place]!;
    // The length of the first stands before it and is not compared; all others are within.
    if (ranges.end(0) - start !== this.#firstBytes[place]) return 0;
    if (ranges.end(count - 1) - start !== bytes) return 0;
    if (!sameBytes(source.view, start, this.#memory.view, place * RUN_BYTES, bytes)) return 0;
    this.#misses[place] = 0;
    this.#runs[place]!.set(row);
    return count;
  }

  /** False when it is not worth it to learn another run at `place`. */
  mayLearn(place: number): boolean {
    const misses = this.#misses[place]!;
    this.#misses[place] = misses + 1;
    return misses <= MISSES_MAX || misses % 64 === 0;
  }

  /** Begins to learn a run at `place`. */
  begin(place: number): void {
    this.#counts[place] = 0;
    this.#runs[place]!.clear();
  }

  /** Adds what the next attribute was stored as; false when it ends the run. */
  add(place: number, column: unknown, row: number): boolean {
    return this.#runs[place]!.add(column, row);
  }

  /** Remembers the run that the attributes added since `begin` are, the first ones of `ranges`. */
  end(place: number, source: Source, ranges: Ranges): void {
    const { count } = this.#runs[place]!;
    if (count < ATTRIBUTES_MIN || count > 255) return;
    const start = ranges.start(0);
    const bytes = ranges.end(count - 1) - start;
    if (bytes > RUN_BYTES) return;
    source.bytes.copy(this.#memory.bytes, place * RUN_BYTES, start, start + bytes);
    this.#counts[place] = count;
    this.#bytes[place] = bytes;
    this.#firstBytes[place] = ranges.end(0) - start;
  }
}
