/**
 * Reads OTLP protobuf without making objects or strings: a walk calls a visitor with byte ranges,
 * and views pick a span, a log record or an attribute apart into offsets. The collector goes from
 * here straight to columns; otlp-objects.ts makes trees for people from the same calls.
 *
 *     walkTraces(bytes, visitor)       here: resource(range) → scope(range) → item(range) …
 *       readSpan(cursor, range, view)  otlp-fields.ts: offsets of ids, name, attributes, events, links
 *         readAttribute(…)             otlp-values.ts: key range, value type, value range or number
 *
 * Fields come in any order: a stock Collector writes them descending, so that in its bytes the
 * resource follows the spans that it belongs to. Hence two passes per ResourceSpans, and per
 * ScopeSpans whose header is not first: lengths and the header first, then the items.
 *
 * Hostile input is refused as a whole with an OtlpError (reason, byte offset). A visitor that has
 * already taken items in must therefore be able to take them back.
 */
import { WireCursor } from './protobuf.ts';

// One door for readers: they import the walk, the views and the values from here.
export * from './otlp-fields.ts';
export * from './otlp-values.ts';

/** Called in this order: resource, then for each scope: scope, then its items. Ranges are valid until the bytes change. */
export interface OtlpVisitor {
  /** A Resource message in bytes[start, end); empty (start = end) where none was given. Once per ResourceSpans or ResourceLogs. */
  resource(bytes: Buffer, start: number, end: number): void;
  /** An InstrumentationScope message, likewise. Once per ScopeSpans or ScopeLogs. */
  scope(bytes: Buffer, start: number, end: number): void;
  /** One Span or LogRecord message. */
  item(bytes: Buffer, start: number, end: number): void;
}

// Tags as numbers: field * 8 + wire type.
const RESOURCE_ITEMS = 0x0a; // TracesData.resource_spans, LogsData.resource_logs
const HEADER = 0x0a; // resource of ResourceX, scope of ScopeX
const CHILDREN = 0x12; // scope_spans or scope_logs of ResourceX; spans or log_records of ScopeX
const SCHEMA_URL = 0x1a;

/**
 * Walks TracesData (the same bytes as ExportTraceServiceRequest). Returns the number of spans.
 * Throws OtlpError; an empty message is valid and holds none. Does not look into spans: readSpan does.
 */
export function walkTraces(bytes: Uint8Array, visitor: OtlpVisitor): number {
  return walk(bytes, visitor);
}

/** Walks LogsData (ExportLogsServiceRequest). Its outer shape is that of traces; readLogRecord tells them apart. */
export function walkLogs(bytes: Uint8Array, visitor: OtlpVisitor): number {
  return walk(bytes, visitor);
}

function walk(input: Uint8Array, visitor: OtlpVisitor): number {
  const cursor = new WireCursor().reset(input);
  const end = input.length;
  let items = 0;
  let known = 0;
  let unknown = 0;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === RESOURCE_ITEMS) {
      known++;
      items += walkResource(cursor, cursor.lengthDelimited(end), visitor);
    } else {
      unknown++;
      cursor.skipUnknown(tag, end, 1);
    }
  }
  // Fields of the future are stepped over, but a message of nothing else is of another protocol:
  // Jaeger's span, for one, begins with the same byte and would read as "no spans".
  if (unknown > 0 && items === 0) {
    cursor.fail('not_otlp', 0, `${known} known and ${unknown} unknown fields, and no item in them`);
  }
  return items;
}

function walkResource(cursor: WireCursor, end: number, visitor: OtlpVisitor): number {
  const start = cursor.position;
  announceHeader(cursor, start, end, (s, e) => visitor.resource(cursor.bytes, s, e));
  let items = 0;
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.tag(end);
    if (tag === CHILDREN) items += walkScope(cursor, cursor.lengthDelimited(end), visitor);
    else cursor.skip(tag, end);
  }
  return items;
}

function walkScope(cursor: WireCursor, end: number, visitor: OtlpVisitor): number {
  const start = cursor.position;
  // Ascending fields, as most write them: one pass does, which saves reading each length twice.
  const headerFirst = start < end && cursor.bytes[start] === HEADER;
  if (headerFirst) {
    cursor.position = start + 1;
    const headerEnd = cursor.lengthDelimited(end);
    visitor.scope(cursor.bytes, cursor.position, headerEnd);
    cursor.position = headerEnd;
  } else {
    announceHeader(cursor, start, end, (s, e) => visitor.scope(cursor.bytes, s, e));
    cursor.position = start;
  }
  let items = 0;
  while (cursor.position < end) {
    const at = cursor.position;
    const tag = cursor.tag(end);
    if (tag === CHILDREN) {
      const itemEnd = cursor.lengthDelimited(end);
      visitor.item(cursor.bytes, cursor.position, itemEnd);
      cursor.position = itemEnd;
      items++;
    } else if (!headerFirst || tag === SCHEMA_URL) cursor.skip(tag, end);
    else if (tag === HEADER) failTwice(cursor, at);
    else cursor.skipUnknown(tag, end, 3);
  }
  return items;
}

/** Protobuf would merge the two. Nobody writes them, and a wrong service is worse than a refusal. */
function failTwice(cursor: WireCursor, at: number): never {
  return cursor.fail('repeated_field', at, 'a resource or scope is given twice');
}

/** First pass: finds the one header among the fields and checks all lengths at this level. */
function announceHeader(
  cursor: WireCursor,
  start: number,
  end: number,
  found: (start: number, end: number) => void,
): void {
  let headerStart = -1;
  let headerEnd = -1;
  cursor.position = start;
  while (cursor.position < end) {
    const at = cursor.position;
    const tag = cursor.tag(end);
    if (tag === HEADER) {
      if (headerStart >= 0) failTwice(cursor, at);
      headerEnd = cursor.lengthDelimited(end);
      headerStart = cursor.position;
      cursor.position = headerEnd;
    } else if (tag === CHILDREN || tag === SCHEMA_URL) cursor.skip(tag, end);
    else cursor.skipUnknown(tag, end, 3);
  }
  if (headerStart < 0) headerStart = headerEnd = start;
  found(headerStart, headerEnd);
}
