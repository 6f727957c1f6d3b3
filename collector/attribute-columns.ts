/**
 * Attributes of a span into columns: the hottest loop of the collector, some 15 attributes a hop.
 *
 * Spans of one writer carry their attributes in one order, and most values are constants of a
 * process. Hence, per position in the list: (1) the whole KeyValue is compared with the last one
 * seen there, and a match is one store into the column; (2) else the key seen last at this position
 * is tried before the key table. Together a quarter of the decoding time (measured). Attributes of
 * others, which go to the Map, profit alike: their key is known by its entry, their text is copied.
 *
 * Does not drop anything: what has no column, or does not fit it exactly, goes to the Map.
 */
import { AttributeView, readAttribute, VALUE } from '../telemetry/otlp-reader.ts';
import type { WireCursor } from '../telemetry/protobuf.ts';
import { sameBytes, sourceOf } from '../store/native/column.ts';
import { Dictionary } from '../store/native/dictionary.ts';
import type { NumberColumn } from '../store/native/fixed-columns.ts';
import { EnumColumn, Uint64Column } from '../store/native/fixed-columns.ts';
import type { TextMapColumn } from '../store/native/nested-columns.ts';
import type { AttributeColumn } from './columns/spans-table.ts';
import { DictionaryColumn, TextColumn } from '../store/native/text-columns.ts';
import { setValueText } from './attribute-text.ts';

/** Positions that have a memory; later attributes of a span share them. */
const POSITIONS = 64;
/** Longest KeyValue that is remembered: route templates and host names fit. */
const REMEMBERED_BYTES = 96;
/** After so many misses in a row a position is only tried now and then: its value keeps changing. */
const MISSES_MAX = 3;

type MemoColumn = DictionaryColumn | EnumColumn | NumberColumn;

/**
 * An attribute that is read but not stored, since another column says the same: its last value, as
 * a position of `names`; -1 when the span does not have it.
 */
export class UnstoredEnum extends EnumColumn {
  value = -1;

  override set(_row: number, value: number): void {
    this.value = value;
  }

  override at(): number {
    return this.value;
  }
}

export class AttributeColumns {
  readonly #extras: TextMapColumn;
  readonly #names = new Dictionary();
  /** By entry of `#names`; undefined for the packed hop. */
  readonly #columns: (AttributeColumn | undefined)[] = [undefined];
  readonly #packedEntry: number;
  readonly #attribute = new AttributeView();

  readonly #expected = new Uint32Array(POSITIONS);
  readonly #memoBytes = new Int32Array(POSITIONS).fill(-1);
  readonly #memoColumn: (MemoColumn | undefined)[] = new Array<undefined>(POSITIONS);
  readonly #memoValue = new Uint32Array(POSITIONS);
  readonly #memoMisses = new Uint32Array(POSITIONS);
  readonly #memory = sourceOf(new Uint8Array(POSITIONS * REMEMBERED_BYTES));
  /** Where the text of an attribute without a column lies in `#memory`. */
  readonly #memoTextStart = new Uint32Array(POSITIONS);
  readonly #memoTextEnd = new Uint32Array(POSITIONS);
  /** Key without a column that was seen last, as an entry of the Map's keys; 0 = none. */
  readonly #expectedExtra = new Uint32Array(POSITIONS);

  /** Range of the packed hop of the span being read; start < 0 without one. */
  packedStart = -1;
  packedEnd = -1;

  /** `packedName` is the attribute that is left to the caller, as bytes. */
  constructor(
    columns: ReadonlyMap<string, AttributeColumn>,
    extras: TextMapColumn,
    packedName: string,
  ) {
    this.#extras = extras;
    for (const [name, column] of columns) this.#columns[this.#names.putText(name)] = column;
    this.#packedEntry = this.#names.putText(packedName);
  }

  /** Must be called when the columns were cleared: remembered dictionary entries are gone. */
  forget(): void {
    this.#memoBytes.fill(-1);
    this.#expectedExtra.fill(0);
  }

  /** Call before the attributes of a span. */
  beginSpan(): void {
    this.packedStart = -1;
  }

  /**
   * Stores the KeyValue bytes[start, end), the `index`-th of its span. Returns the column that has
   * it, undefined when that is the Map, or none. Throws OtlpError.
   */
  set(
    row: number,
    cursor: WireCursor,
    start: number,
    end: number,
    index: number,
  ): AttributeColumn | undefined {
    const position = index % POSITIONS;
    const bytes = end - start;
    if (
      this.#memoBytes[position] === bytes &&
      sameBytes(cursor.view, start, this.#memory.view, position * REMEMBERED_BYTES, bytes)
    ) {
      this.#memoMisses[position] = 0;
      return this.#setRemembered(row, position);
    }
    const attribute = this.#attribute;
    readAttribute(cursor, start, end, attribute);
    if (this.#isExpectedExtra(cursor, position)) {
      this.#toExtras(row, cursor, this.#expectedExtra[position]!);
      this.#rememberExtra(position, cursor, start, bytes);
      return undefined;
    }
    const entry = this.#entryOf(cursor, position);
    const column = this.#columns[entry];
    if (column !== undefined) {
      if (this.#setColumn(column, row, cursor)) {
        this.#remember(position, column, row, cursor, start, bytes);
        return column;
      }
    } else if (entry === this.#packedEntry && attribute.type === VALUE.bytes) {
      this.packedStart = attribute.valueStart;
      this.packedEnd = attribute.valueEnd;
      return undefined;
    }
    const key = this.#extras.keys.dictionary.put(cursor, attribute.keyStart, attribute.keyEnd);
    if (entry === 0) this.#expectedExtra[position] = key;
    this.#toExtras(row, cursor, key);
    return undefined;
  }

  #setRemembered(row: number, position: number): MemoColumn | undefined {
    const column = this.#memoColumn[position];
    const value = this.#memoValue[position]!;
    if (column !== undefined) {
      column.set(row, value);
      return column;
    }
    const extras = this.#extras;
    const index = extras.append(row);
    extras.keys.set(index, value);
    const from = this.#memoTextStart[position]!;
    extras.values.setBytes(index, this.#memory, from, this.#memoTextEnd[position]!);
    return undefined;
  }

  #isExpectedExtra(cursor: WireCursor, position: number): boolean {
    const expected = this.#expectedExtra[position]!;
    const { keyStart, keyEnd } = this.#attribute;
    return expected !== 0 && this.#extras.keys.dictionary.is(expected, cursor, keyStart, keyEnd);
  }

  #entryOf(cursor: WireCursor, position: number): number {
    const { keyStart, keyEnd } = this.#attribute;
    const expected = this.#expected[position]!;
    if (this.#names.is(expected, cursor, keyStart, keyEnd)) return expected;
    const entry = Math.max(0, this.#names.find(cursor, keyStart, keyEnd));
    this.#expected[position] = entry;
    return entry;
  }

  /** False when the column cannot hold the value so that it reads back the same. */
  #setColumn(column: AttributeColumn, row: number, cursor: WireCursor): boolean {
    const { type, valueStart, valueEnd, number } = this.#attribute;
    if (column instanceof DictionaryColumn || column instanceof TextColumn) {
      // An empty text would read as "not there".
      if (type !== VALUE.string || valueEnd === valueStart) return false;
      column.setBytes(row, cursor, valueStart, valueEnd);
      return true;
    }
    if (column instanceof EnumColumn) {
      const found = type === VALUE.string ? column.positionOf(cursor, valueStart, valueEnd) : -1;
      if (found < 0) return false;
      column.set(row, found);
      return true;
    }
    if (type !== VALUE.int || number < 0) return false;
    if (column instanceof Uint64Column) {
      column.setWords(row, this.#attribute.low, this.#attribute.high);
      return true;
    }
    if (!column.fits(number)) return false;
    column.set(row, number);
    return true;
  }

  #remember(
    position: number,
    column: AttributeColumn,
    row: number,
    cursor: WireCursor,
    start: number,
    bytes: number,
  ): void {
    if (column instanceof TextColumn || column instanceof Uint64Column) return;
    if (!this.#copyToMemory(position, cursor, start, bytes)) return;
    this.#memoColumn[position] = column;
    this.#memoValue[position] = column.at(row);
  }

  /** The same for an attribute without a column, if its value is a text. */
  #rememberExtra(position: number, cursor: WireCursor, start: number, bytes: number): void {
    const { type, valueStart, valueEnd } = this.#attribute;
    if (type !== VALUE.string || !this.#copyToMemory(position, cursor, start, bytes)) return;
    const moved = position * REMEMBERED_BYTES - start;
    this.#memoColumn[position] = undefined;
    this.#memoValue[position] = this.#expectedExtra[position]!;
    this.#memoTextStart[position] = valueStart + moved;
    this.#memoTextEnd[position] = valueEnd + moved;
  }

  /** False when the KeyValue is not to be remembered: too long, or always another one. */
  #copyToMemory(position: number, cursor: WireCursor, start: number, bytes: number): boolean {
    if (bytes > REMEMBERED_BYTES) return false;
    const misses = ++this.#memoMisses[position]!;
    if (misses > MISSES_MAX && misses % 64 !== 0) return false;
    cursor.bytes.copy(this.#memory.bytes, position * REMEMBERED_BYTES, start, start + bytes);
    this.#memoBytes[position] = bytes;
    return true;
  }

  #toExtras(row: number, cursor: WireCursor, key: number): void {
    const extras = this.#extras;
    const index = extras.append(row);
    extras.keys.set(index, key);
    setValueText(extras.values, index, cursor, this.#attribute);
  }
}
