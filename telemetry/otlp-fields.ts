/**
 * Resource, scope, span, event, link and log record, each read into a reusable view of offsets. Part
 * of the reader (otlp-reader.ts). Known fields with another wire type are refused, unknown fields
 * stepped over; throws nothing but OtlpError.
 */
import { Ranges, readRange } from './otlp-values.ts';
import type { WireCursor } from './protobuf.ts';

/** Attributes of a Resource or an InstrumentationScope, and the scope's name and version. */
export class HeaderView {
  readonly attributes = new Ranges();
  nameStart = 0;
  nameEnd = 0;
  versionStart = 0;
  versionEnd = 0;
}

/** Reads a Resource message: only its attributes. Throws OtlpError. */
export function readResource(
  cursor: WireCursor,
  start: number,
  end: number,
  view: HeaderView,
): void {
  view.attributes.clear();
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x0a) readRange(cursor, end, view.attributes);
    else if (tag === 0x10)
      cursor.varint(end); // dropped_attributes_count
    else cursor.skipUnknown(tag, end, 2);
  }
}

/** Reads an InstrumentationScope message. Throws OtlpError. */
export function readScope(cursor: WireCursor, start: number, end: number, view: HeaderView): void {
  view.attributes.clear();
  view.nameStart = view.nameEnd = view.versionStart = view.versionEnd = start;
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x0a) {
      view.nameEnd = cursor.lengthDelimited(end);
      view.nameStart = cursor.position;
      cursor.position = view.nameEnd;
    } else if (tag === 0x12) {
      view.versionEnd = cursor.lengthDelimited(end);
      view.versionStart = cursor.position;
      cursor.position = view.versionEnd;
    } else if (tag === 0x1a) readRange(cursor, end, view.attributes);
    else if (tag === 0x20)
      cursor.varint(end); // dropped_attributes_count
    else cursor.skipUnknown(tag, end, 4);
  }
}

/**
 * Offsets of one span's fields; reused from span to span. An absent text is an empty range. Times
 * are unsigned 64-bit nanoseconds in two words, below 2^63. The content of names and texts is not
 * checked to be UTF-8: whoever keeps it does that.
 */
export class SpanView {
  /** 16 bytes. */
  traceId = 0;
  /** 8 bytes. */
  spanId = 0;
  /** 8 bytes, or -1: a root. */
  parentId = -1;
  traceStateStart = 0;
  traceStateEnd = 0;
  nameStart = 0;
  nameEnd = 0;
  /** 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer; any other number reads as 0. */
  kind = 0;
  startLow = 0;
  startHigh = 0;
  /** End of the span; before the start in bytes of a confused clock. */
  endLow = 0;
  endHigh = 0;
  /** 0 unset, 1 ok, 2 error; any other number reads as 0. */
  statusCode = 0;
  statusMessageStart = 0;
  statusMessageEnd = 0;
  /** Bits 0-7 W3C trace flags, 8 has_is_remote, 9 is_remote. */
  flags = 0;
  readonly attributes = new Ranges();
  readonly events = new Ranges();
  readonly links = new Ranges();
}

/**
 * Reads the Span in the cursor's bytes[start, end). Throws OtlpError: malformed bytes, ids missing
 * or of a wrong length or all zero, no start time. Does not look into attributes, events, links.
 */
export function readSpan(cursor: WireCursor, start: number, end: number, view: SpanView): void {
  view.traceId = view.spanId = view.parentId = -1;
  view.traceStateStart = view.traceStateEnd = start;
  view.nameStart = view.nameEnd = start;
  view.statusMessageStart = view.statusMessageEnd = start;
  view.kind = view.statusCode = view.flags = 0;
  view.startLow = view.startHigh = view.endLow = view.endHigh = 0;
  view.attributes.clear();
  view.events.clear();
  view.links.clear();
  cursor.position = start;
  while (cursor.position < end) {
    if (readShortAttribute(cursor, end, view.attributes)) continue;
    const tag = cursor.tag(end);
    switch (tag) {
      case 0x4a: // attributes: first, for they are most of the fields
        readRange(cursor, end, view.attributes);
        break;
      case 0x0a:
        view.traceId = readId(cursor, end, 16);
        break;
      case 0x12:
        view.spanId = readId(cursor, end, 8);
        break;
      case 0x1a:
        view.traceStateEnd = cursor.lengthDelimited(end);
        view.traceStateStart = cursor.position;
        cursor.position = view.traceStateEnd;
        break;
      case 0x22:
        view.parentId = readId(cursor, end, 8);
        break;
      case 0x2a:
        view.nameEnd = cursor.lengthDelimited(end);
        view.nameStart = cursor.position;
        cursor.position = view.nameEnd;
        break;
      case 0x30: {
        const kind = cursor.varint(end);
        view.kind = kind <= 5 ? kind : 0;
        break;
      }
      case 0x39:
        cursor.fixed64(end);
        view.startLow = cursor.low;
        view.startHigh = cursor.high;
        break;
      case 0x41:
        cursor.fixed64(end);
        view.endLow = cursor.low;
        view.endHigh = cursor.high;
        break;
      case 0x5a:
        readRange(cursor, end, view.events);
        break;
      case 0x6a:
        readRange(cursor, end, view.links);
        break;
      case 0x7a: {
        const statusEnd = cursor.lengthDelimited(end);
        readStatus(cursor, statusEnd, view);
        break;
      }
      case 0x85: // flags, field 16: fixed32
        view.flags = cursor.fixed32(end);
        break;
      case 0x50: // dropped attributes
      case 0x60: // dropped events
      case 0x70: // dropped links
        cursor.varint(end);
        break;
      default:
        cursor.skipUnknown(tag, end, 16);
    }
  }
  const { bytes } = cursor;
  if (view.traceId < 0 || allZero(bytes, view.traceId, 16)) {
    cursor.fail('id', start, 'a span has no trace id');
  }
  if (view.spanId < 0 || allZero(bytes, view.spanId, 8)) {
    cursor.fail('id', start, 'a span has no span id');
  }
  if (view.parentId >= 0 && allZero(bytes, view.parentId, 8)) view.parentId = -1;
  if ((view.startLow === 0 && view.startHigh === 0) || view.startHigh > 0x7fffffff) {
    cursor.fail('time', start, 'a span has no start time');
  }
  if (view.endHigh > 0x7fffffff) cursor.fail('time', start, "a span's end is past 2^63 ns");
}

/** Most fields are attributes whose tag and length take a byte each: true when the next one was that. */
function readShortAttribute(cursor: WireCursor, end: number, into: Ranges): boolean {
  const { bytes, position } = cursor;
  if (end - position < 2 || bytes[position] !== 0x4a) return false;
  const attributeEnd = position + 2 + bytes[position + 1]!;
  if (bytes[position + 1]! > 127 || attributeEnd > end) return false;
  into.add(position + 2, attributeEnd);
  cursor.position = attributeEnd;
  return true;
}

/** An id of `length` bytes, or of none (a root's parent in a stock Collector's bytes): -1. */
function readId(cursor: WireCursor, end: number, length: number): number {
  const at = cursor.position;
  const idEnd = cursor.lengthDelimited(end);
  const found = idEnd - cursor.position;
  if (found !== length && found !== 0) {
    cursor.fail('id', at, `an id has ${found} bytes instead of ${length}`);
  }
  const start = cursor.position;
  cursor.position = idEnd;
  return found === 0 ? -1 : start;
}

function allZero(bytes: Buffer, start: number, length: number): boolean {
  for (let i = start; i < start + length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function readStatus(cursor: WireCursor, end: number, view: SpanView): void {
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x12) {
      view.statusMessageEnd = cursor.lengthDelimited(end);
      view.statusMessageStart = cursor.position;
      cursor.position = view.statusMessageEnd;
    } else if (tag === 0x18) {
      const code = cursor.varint(end);
      view.statusCode = code <= 2 ? code : 0;
    } else if (tag === 0x08)
      cursor.varint(end); // deprecated_code of old senders
    else cursor.skipUnknown(tag, end, 3);
  }
}

/** An event of a span (`name`, time) or a link (ids, trace state); both with attributes. */
export class SpanDetailView {
  /** 16 and 8 bytes of a link, or -1. */
  traceId = -1;
  spanId = -1;
  timeLow = 0;
  timeHigh = 0;
  /** Name of an event, or trace state of a link. */
  textStart = 0;
  textEnd = 0;
  flags = 0;
  readonly attributes = new Ranges();
}

/** Reads one Span.Event. Throws OtlpError. */
export function readEvent(
  cursor: WireCursor,
  start: number,
  end: number,
  view: SpanDetailView,
): void {
  view.attributes.clear();
  view.timeLow = view.timeHigh = 0;
  view.textStart = view.textEnd = start;
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x09) {
      cursor.fixed64(end);
      view.timeLow = cursor.low;
      view.timeHigh = cursor.high;
    } else if (tag === 0x12) {
      view.textEnd = cursor.lengthDelimited(end);
      view.textStart = cursor.position;
      cursor.position = view.textEnd;
    } else if (tag === 0x1a) readRange(cursor, end, view.attributes);
    else if (tag === 0x20) cursor.varint(end);
    else cursor.skipUnknown(tag, end, 4);
  }
}

/** Reads one Span.Link. Throws OtlpError; absent ids are -1. */
export function readLink(
  cursor: WireCursor,
  start: number,
  end: number,
  view: SpanDetailView,
): void {
  view.attributes.clear();
  view.traceId = view.spanId = -1;
  view.textStart = view.textEnd = start;
  view.flags = 0;
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === 0x0a) view.traceId = readId(cursor, end, 16);
    else if (tag === 0x12) view.spanId = readId(cursor, end, 8);
    else if (tag === 0x1a) {
      view.textEnd = cursor.lengthDelimited(end);
      view.textStart = cursor.position;
      cursor.position = view.textEnd;
    } else if (tag === 0x22) readRange(cursor, end, view.attributes);
    else if (tag === 0x28) cursor.varint(end);
    else if (tag === 0x35) view.flags = cursor.fixed32(end);
    else cursor.skipUnknown(tag, end, 6);
  }
}

/** Offsets of one log record's fields that Azimuth has a use for; reused. */
export class LogRecordView {
  timeLow = 0;
  timeHigh = 0;
  observedLow = 0;
  observedHigh = 0;
  eventNameStart = 0;
  eventNameEnd = 0;
  severity = 0;
  readonly attributes = new Ranges();
}

/** Reads the LogRecord in the cursor's bytes[start, end). Throws OtlpError. */
export function readLogRecord(
  cursor: WireCursor,
  start: number,
  end: number,
  view: LogRecordView,
): void {
  view.timeLow = view.timeHigh = view.observedLow = view.observedHigh = 0;
  view.eventNameStart = view.eventNameEnd = start;
  view.severity = 0;
  view.attributes.clear();
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    switch (tag) {
      case 0x09:
        cursor.fixed64(end);
        view.timeLow = cursor.low;
        view.timeHigh = cursor.high;
        break;
      case 0x59:
        cursor.fixed64(end);
        view.observedLow = cursor.low;
        view.observedHigh = cursor.high;
        break;
      case 0x10:
        view.severity = cursor.varint(end);
        break;
      case 0x32:
        readRange(cursor, end, view.attributes);
        break;
      case 0x62:
        view.eventNameEnd = cursor.lengthDelimited(end);
        view.eventNameStart = cursor.position;
        cursor.position = view.eventNameEnd;
        break;
      case 0x4a:
        readId(cursor, end, 16);
        break;
      case 0x52:
        readId(cursor, end, 8);
        break;
      case 0x1a: // severity text
      case 0x22: // name: withdrawn in 2022, old senders may still write it
      case 0x2a: // body
      case 0x38: // dropped attributes
      case 0x45: // flags
        cursor.skip(tag, end);
        break;
      default:
        cursor.skipUnknown(tag, end, 12);
    }
  }
}
