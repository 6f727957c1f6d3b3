/**
 * OTLP trace bytes into the columns of table `spans`, without an object or a string per span.
 *
 *     message ─► walkTraces ─► resource, scope: once, as (column, entry) pairs
 *                          └─► span: ids, times, attributes, events, links ─► one row
 *
 * The unit of refusal is the message: the caller marks the table before `decode` and rolls it back
 * when it throws, so that no half message is ever stored. A single span outside the time window is
 * left out and reported, the rest of its message is stored. Scope attributes, schema URLs and
 * dropped counts are not kept, as in the Collector's own ClickHouse exporter.
 */
import { AzimuthError } from '../runtime/errors.ts';
import { DIRECTIONS, directionOf, EDGE_CLASSES } from '../telemetry/edge-class.ts';
import { ATTR } from '../telemetry/names.ts';
import {
  AttributeView,
  HeaderView,
  readAttribute,
  readEvent,
  readLink,
  readResource,
  readScope,
  readSpan,
  SpanDetailView,
  SpanView,
  VALUE,
  walkTraces,
  type OtlpVisitor,
  type Ranges,
} from '../telemetry/otlp-reader.ts';
import { WireCursor } from '../telemetry/protobuf.ts';
import { AttributeColumns, UnstoredEnum } from './attribute-columns.ts';
import { AttributeRuns } from './attribute-runs.ts';
import { setValueText, valueText } from './attribute-text.ts';
import { sourceOf, type Source } from '../store/native/column.ts';
import { hashOf } from '../store/native/dictionary.ts';
import { EnumColumn } from '../store/native/fixed-columns.ts';
import type { TextMapColumn } from '../store/native/nested-columns.ts';
import {
  KIND_SERVER,
  resourceAttributeColumns,
  spanAttributeColumns,
  type SpanColumns,
  type SpansTable,
} from './columns/spans-table.ts';
import type { DictionaryColumn } from '../store/native/text-columns.ts';
import { HopColumns } from './hop-columns.ts';
import { LateSpans } from './late-spans.ts';
import type { MessageSource } from './message.ts';
import type { TimeWindow } from './time-window.ts';

/** Most spans of one message: more would fill memory with rows before anything could be stored. */
const SPANS_PER_MESSAGE_MAX = 250_000;
/** Most bytes that one message may grow to, since a Resource is stored with each of its spans. */
const EXPANDED_BYTES_MAX = 128 * 1024 * 1024;
/** What an element of a Map costs besides its text. */
const MAP_ELEMENT_BYTES = 16;

const TWO_32 = 4294967296;
/** Direction in the split reading by position of EDGE_CLASSES. */
const DIRECTION_OF_EDGE = EDGE_CLASSES.map((edge) =>
  DIRECTIONS.indexOf(directionOf(edge, 'split')),
);

export class SpanDecoder implements OtlpVisitor {
  readonly #table: SpansTable;
  readonly #c: SpanColumns;
  readonly #cursor = new WireCursor();
  readonly #attributes: AttributeColumns;
  readonly #runs = new AttributeRuns();
  readonly #hop: HopColumns;
  /** `azimuth.traffic.direction` of the span being read: on a hop it follows from the edge class. */
  readonly #direction = new UnstoredEnum('', DIRECTIONS);
  readonly #resourceColumns: ReadonlyMap<string, DictionaryColumn | EnumColumn>;

  readonly #span = new SpanView();
  readonly #header = new HeaderView();
  readonly #detail = new SpanDetailView();
  readonly #attribute = new AttributeView();

  // What all spans of the current Resource and scope share.
  #sharedColumns: (DictionaryColumn | EnumColumn)[] = [];
  #sharedValues: number[] = [];
  /** First row that does not have them yet. */
  #sharedFrom = 0;
  /** How many of them belong to the Resource; the rest are the scope's. */
  #resourceShared = 0;
  #extraKeys: number[] = [];
  #extraValues: Source[] = [];
  #extraBytes = 0;
  /** A hash of the Resource: whose spans these are. */
  #sender = 0;
  #resourceStart = 0;
  #resourceEnd = 0;
  #scopeStart = 0;
  #scopeEnd = 0;

  #source = 0;
  #window: TimeWindow | undefined;
  #ingestedAtS = 0;
  #spans = 0;

  /** Spans of the last message that were outside the time window. */
  late = new LateSpans();
  /** Bytes that the last message took beyond its own: a Resource is repeated for each span. */
  expandedBytes = 0;

  constructor(table: SpansTable) {
    this.#table = table;
    this.#c = table.column;
    this.#attributes = new AttributeColumns(
      spanAttributeColumns(this.#c).set(ATTR.direction, this.#direction),
      this.#c.spanAttributes,
      ATTR.hop,
    );
    this.#hop = new HopColumns(this.#c);
    this.#resourceColumns = resourceAttributeColumns(this.#c);
  }

  /** Must be called when the table was cleared. */
  forget(): void {
    this.#attributes.forget();
    this.#runs.forget();
  }

  /**
   * Appends the message's spans to the table and returns how many rows that made. Throws OtlpError
   * (malformed) or AzimuthError AZ_OTLP_TOO_LARGE; the caller then rolls the table back.
   */
  decode(bytes: Uint8Array, source: MessageSource, window: TimeWindow): number {
    this.#source = this.#c.source.dictionary.putText(source.name);
    this.#window = window;
    this.#ingestedAtS = Math.floor(window.nowMs / 1000);
    this.#spans = 0;
    this.late = new LateSpans();
    this.expandedBytes = 0;
    const before = this.#table.rows;
    this.#sharedFrom = before;
    walkTraces(bytes, this);
    this.#fillShared();
    const { source: sources, sourcePartition, sourceOffset, ingestedAt } = this.#c;
    const { rows } = this.#table;
    sources.fill(before, rows, this.#source);
    sourcePartition.fill(before, rows, source.partition);
    sourceOffset.fill(before, rows, source.offset);
    ingestedAt.fill(before, rows, this.#ingestedAtS);
    return rows - before;
  }

  resource(bytes: Buffer, start: number, end: number): void {
    this.#fillShared();
    this.#sharedColumns = [];
    this.#sharedValues = [];
    this.#extraKeys = [];
    this.#extraValues = [];
    this.#extraBytes = 0;
    this.#resourceStart = start;
    this.#resourceEnd = end;
    const cursor = this.#cursor.reset(bytes);
    this.#sender = hashOf(cursor, start, end);
    const { attributes } = this.#header;
    readResource(cursor, start, end, this.#header);
    for (let i = 0; i < attributes.count; i++) {
      readAttribute(cursor, attributes.start(i), attributes.end(i), this.#attribute);
      this.#resourceAttribute(cursor);
    }
    this.#resourceShared = this.#sharedColumns.length;
  }

  #resourceAttribute(cursor: WireCursor): void {
    const { keyStart, keyEnd, type, valueStart, valueEnd } = this.#attribute;
    const column = this.#resourceColumns.get(cursor.bytes.toString('latin1', keyStart, keyEnd));
    if (column !== undefined && type === VALUE.string && valueEnd > valueStart) {
      const value =
        column instanceof EnumColumn
          ? column.positionOf(cursor, valueStart, valueEnd)
          : column.dictionary.put(cursor, valueStart, valueEnd);
      if (value >= 0) {
        this.#sharedColumns.push(column);
        this.#sharedValues.push(value);
        return;
      }
    }
    const keys = this.#c.resourceAttributes.keys.dictionary;
    this.#extraKeys.push(keys.put(cursor, keyStart, keyEnd));
    const value = sourceOf(Buffer.from(valueText(cursor, this.#attribute)));
    this.#extraValues.push(value);
    this.#extraBytes += value.bytes.length + MAP_ELEMENT_BYTES;
  }

  scope(bytes: Buffer, start: number, end: number): void {
    this.#fillShared();
    this.#sharedColumns.length = this.#resourceShared;
    this.#sharedValues.length = this.#resourceShared;
    this.#scopeStart = start;
    this.#scopeEnd = end;
    const cursor = this.#cursor.reset(bytes);
    const view = this.#header;
    readScope(cursor, start, end, view);
    const { scopeName, scopeVersion } = this.#c;
    this.#sharedColumns.push(scopeName, scopeVersion);
    this.#sharedValues.push(
      scopeName.dictionary.put(cursor, view.nameStart, view.nameEnd),
      scopeVersion.dictionary.put(cursor, view.versionStart, view.versionEnd),
    );
  }

  item(bytes: Buffer, start: number, end: number): void {
    const cursor = this.#cursor.reset(bytes);
    const span = this.#span;
    readSpan(cursor, start, end, span);
    if (++this.#spans > SPANS_PER_MESSAGE_MAX) {
      throw new AzimuthError(
        'AZ_OTLP_TOO_LARGE',
        `one message holds more than ${SPANS_PER_MESSAGE_MAX} spans; send smaller batches`,
      );
    }
    if (this.#window?.holds(span.startLow, span.startHigh) === false) {
      this.#addLate(cursor, start, end);
      return;
    }
    const row = this.#table.openRow();
    this.#setOwnFields(row, cursor, span);
    this.#setExtras(row);
    this.#setAttributes(row, cursor, span);
    for (let i = 0; i < span.events.count; i++) this.#event(row, cursor, span.events, i);
    for (let i = 0; i < span.links.count; i++) this.#link(row, cursor, span.links, i);
    this.#table.finishRow();
  }

  #setOwnFields(row: number, cursor: WireCursor, span: SpanView): void {
    const c = this.#c;
    c.timestamp.setWords(row, span.startLow, span.startHigh);
    const durationNs = (span.endHigh - span.startHigh) * TWO_32 + (span.endLow - span.startLow);
    c.durationNs.set(row, durationNs > 0 ? durationNs : 0);
    c.traceId.set(row, cursor, span.traceId, span.traceId + 16);
    c.spanId.set(row, cursor, span.spanId, span.spanId + 8);
    if (span.parentId >= 0) c.parentSpanId.set(row, cursor, span.parentId, span.parentId + 8);
    c.spanKind.set(row, span.kind);
    c.statusCode.set(row, span.statusCode);
    if (span.traceStateEnd > span.traceStateStart) {
      c.traceState.setBytes(row, cursor, span.traceStateStart, span.traceStateEnd);
    }
    if (span.statusMessageEnd > span.statusMessageStart) {
      c.statusMessage.setBytes(row, cursor, span.statusMessageStart, span.statusMessageEnd);
    }
  }

  /** Stores what the spans since the last call have in common: their Resource and their scope. */
  #fillShared(): void {
    const { rows } = this.#table;
    const columns = this.#sharedColumns;
    for (let i = 0; i < columns.length; i++)
      columns[i]!.fill(this.#sharedFrom, rows, this.#sharedValues[i]!);
    this.#sharedFrom = rows;
  }

  /** Resource attributes without a column: of each row, since rows of a Map are set in order. */
  #setExtras(row: number): void {
    if (this.#extraKeys.length === 0) return;
    this.expandedBytes += this.#extraBytes;
    if (this.expandedBytes > EXPANDED_BYTES_MAX) {
      throw new AzimuthError(
        'AZ_OTLP_TOO_LARGE',
        'the resource attributes, stored with each span, would outgrow the limit; send smaller batches',
      );
    }
    const map = this.#c.resourceAttributes;
    for (let i = 0; i < this.#extraKeys.length; i++) {
      const index = map.append(row);
      const value = this.#extraValues[i]!;
      map.keys.set(index, this.#extraKeys[i]!);
      map.values.setBytes(index, value, 0, value.bytes.length);
    }
  }

  #setAttributes(row: number, cursor: WireCursor, span: SpanView): void {
    const attributes = this.#attributes;
    const { attributes: ranges } = span;
    attributes.beginSpan();
    this.#direction.value = -1;
    for (let i = this.#setRun(row, cursor, span); i < ranges.count; i++) {
      attributes.set(row, cursor, ranges.start(i), ranges.end(i), i);
    }
    const { packedStart, packedEnd } = attributes;
    let isHop = false;
    if (packedStart >= 0) {
      isHop = span.kind === KIND_SERVER && this.#hop.set(row, cursor, packedStart, packedEnd);
      // Not a hop, or of a version from the future: kept as it came.
      if (!isHop)
        this.#keep(row, ATTR.hop, cursor.bytes.toString('base64', packedStart, packedEnd));
    }
    const direction = this.#direction.value;
    if (direction >= 0 && !(isHop && direction === DIRECTION_OF_EDGE[this.#c.edgeClass.at(row)])) {
      this.#keep(row, ATTR.direction, DIRECTIONS[direction]!);
    }
    const { spanName } = this.#c;
    if (isHop && this.#isMethodAndRoute(row, cursor, span)) return;
    spanName.setBytes(row, cursor, span.nameStart, span.nameEnd);
  }

  /** Stores the attributes that the span has in common with others of its name; returns how many. */
  #setRun(row: number, cursor: WireCursor, span: SpanView): number {
    const runs = this.#runs;
    const { attributes: ranges } = span;
    const place = runs.placeOf(this.#sender, cursor, span.nameStart, span.nameEnd);
    const known = runs.set(place, row, cursor, ranges);
    if (known > 0 || !runs.mayLearn(place)) return known;
    runs.begin(place);
    for (let i = 0; i < ranges.count; i++) {
      const column = this.#attributes.set(row, cursor, ranges.start(i), ranges.end(i), i);
      if (runs.add(place, column, row)) continue;
      runs.end(place, cursor, ranges);
      return i + 1;
    }
    runs.end(place, cursor, ranges);
    return ranges.count;
  }

  #keep(row: number, name: string, text: string): void {
    const map = this.#c.spanAttributes;
    const index = map.append(row);
    map.keys.set(index, map.keys.dictionary.putText(name));
    map.values.setText(index, text);
  }

  /** The view builds such a name again, so that a hop need not store it. */
  #isMethodAndRoute(row: number, cursor: WireCursor, span: SpanView): boolean {
    const methods = this.#c.method.dictionary;
    const routes = this.#c.route.dictionary;
    const method = this.#c.method.at(row);
    const route = this.#c.route.at(row);
    const methodEnd = span.nameStart + methods.lengthOf(method);
    if (methodEnd > span.nameEnd) return false;
    if (!methods.is(method, cursor, span.nameStart, methodEnd)) return false;
    if (methodEnd === span.nameEnd) return route === 0;
    const SPACE = 0x20;
    return (
      cursor.bytes[methodEnd] === SPACE &&
      method !== 0 &&
      route !== 0 &&
      routes.is(route, cursor, methodEnd + 1, span.nameEnd)
    );
  }

  #event(row: number, cursor: WireCursor, events: Ranges, i: number): void {
    const c = this.#c;
    const event = this.#detail;
    readEvent(cursor, events.start(i), events.end(i), event);
    // Past 2^63 ns (the year 2262) a DateTime64 has no more room.
    const isPast = event.timeHigh > 0x7fffffff;
    c.eventTime.values.setWords(
      c.eventTime.append(row),
      isPast ? 0xffffffff : event.timeLow,
      isPast ? 0x7fffffff : event.timeHigh,
    );
    c.eventName.values.setBytes(c.eventName.append(row), cursor, event.textStart, event.textEnd);
    this.#detailAttributes(c.eventAttributes.values, c.eventAttributes.append(row), cursor);
  }

  #link(row: number, cursor: WireCursor, links: Ranges, i: number): void {
    const c = this.#c;
    const link = this.#detail;
    readLink(cursor, links.start(i), links.end(i), link);
    const traceAt = c.linkTraceId.append(row);
    if (link.traceId >= 0) {
      c.linkTraceId.values.set(traceAt, cursor, link.traceId, link.traceId + 16);
    }
    const spanAt = c.linkSpanId.append(row);
    if (link.spanId >= 0) c.linkSpanId.values.set(spanAt, cursor, link.spanId, link.spanId + 8);
    const stateAt = c.linkTraceState.append(row);
    c.linkTraceState.values.setBytes(stateAt, cursor, link.textStart, link.textEnd);
    this.#detailAttributes(c.linkAttributes.values, c.linkAttributes.append(row), cursor);
  }

  #detailAttributes(map: TextMapColumn, element: number, cursor: WireCursor): void {
    const { attributes } = this.#detail;
    for (let i = 0; i < attributes.count; i++) {
      readAttribute(cursor, attributes.start(i), attributes.end(i), this.#attribute);
      const index = map.append(element);
      map.keys.setBytes(index, cursor, this.#attribute.keyStart, this.#attribute.keyEnd);
      setValueText(map.values, index, cursor, this.#attribute);
    }
  }

  #addLate(cursor: WireCursor, start: number, end: number): void {
    this.late.add(cursor, this.#span, {
      resource: cursor.bytes.subarray(this.#resourceStart, this.#resourceEnd),
      scope: cursor.bytes.subarray(this.#scopeStart, this.#scopeEnd),
      span: cursor.bytes.subarray(start, end),
    });
  }
}
