/**
 * OTLP bytes as trees of plain objects, for people, tests and tools: `azimuth decode`, benchmarks.
 * Names follow OTLP/JSON; ids are hex, 64-bit integers bigint. Built on the same walk and views as
 * the collector's decoder, so what passes here passes there. Never on a hot path.
 */
import { isUtf8 } from 'node:buffer';
import {
  AttributeView,
  HeaderView,
  LogRecordView,
  type OtlpVisitor,
  Ranges,
  readAnyValue,
  readAttribute,
  readElements,
  readEvent,
  readLink,
  readLogRecord,
  readResource,
  readScope,
  readSpan,
  SpanDetailView,
  SpanView,
  VALUE,
  walkLogs,
  walkTraces,
} from './otlp-reader.ts';
import { OtlpError, WireCursor } from './protobuf.ts';

/** A value: int as bigint, double as number, absent as null; a map keeps the last of equal keys. */
export type AttributeValue =
  string | boolean | bigint | number | Uint8Array | null | AttributeValue[] | Attributes;
/** A Map and no object, since keys come from outside (`__proto__`). */
export type Attributes = Map<string, AttributeValue>;

export interface SpanEvent {
  timeUnixNano: bigint;
  name: string;
  attributes: Attributes;
}

export interface SpanLink {
  traceId: string;
  spanId: string;
  traceState: string;
  flags: number;
  attributes: Attributes;
}

export interface Span {
  /** 32 and 16 lower-case hex characters; parentSpanId is '' for a root. */
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  name: string;
  /** 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  startTimeUnixNano: bigint;
  endTimeUnixNano: bigint;
  attributes: Attributes;
  events: SpanEvent[];
  links: SpanLink[];
  /** Code: 0 unset, 1 ok, 2 error. */
  status: { code: number; message: string };
  flags: number;
}

export interface Scope {
  name: string;
  version: string;
  attributes: Attributes;
}

export interface Traces {
  resourceSpans: {
    resource: { attributes: Attributes };
    scopeSpans: { scope: Scope; spans: Span[] }[];
  }[];
}

export interface LogRecord {
  timeUnixNano: bigint;
  observedTimeUnixNano: bigint;
  severityNumber: number;
  eventName: string;
  attributes: Attributes;
}

export interface Logs {
  resourceLogs: {
    resource: { attributes: Attributes };
    scopeLogs: { scope: Scope; logRecords: LogRecord[] }[];
  }[];
}

/** Decodes TracesData. Throws OtlpError: as walkTraces and readSpan do, and `utf8` for a text that is none. */
export function readTraces(bytes: Uint8Array): Traces {
  const resourceSpans: Traces['resourceSpans'] = [];
  const objects = new ObjectReader(bytes);
  const view = new SpanView();
  walkTraces(
    bytes,
    objects.visitor(
      (resource) => resourceSpans.push({ resource, scopeSpans: [] }),
      (scope) => resourceSpans.at(-1)!.scopeSpans.push({ scope, spans: [] }),
      (start, end) => {
        readSpan(objects.cursor, start, end, view);
        resourceSpans.at(-1)!.scopeSpans.at(-1)!.spans.push(objects.span(view));
      },
    ),
  );
  return { resourceSpans };
}

/** All spans of a message, whatever resource and scope they stand under. Throws as readTraces. */
export const readSpans = (bytes: Uint8Array): Span[] =>
  readTraces(bytes).resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans));

/** Decodes LogsData; of each record what LogRecord names (no body). Throws OtlpError. */
export function readLogs(bytes: Uint8Array): Logs {
  const resourceLogs: Logs['resourceLogs'] = [];
  const objects = new ObjectReader(bytes);
  const view = new LogRecordView();
  walkLogs(
    bytes,
    objects.visitor(
      (resource) => resourceLogs.push({ resource, scopeLogs: [] }),
      (scope) => resourceLogs.at(-1)!.scopeLogs.push({ scope, logRecords: [] }),
      (start, end) => {
        readLogRecord(objects.cursor, start, end, view);
        resourceLogs
          .at(-1)!
          .scopeLogs.at(-1)!
          .logRecords.push({
            timeUnixNano: join(view.timeHigh, view.timeLow),
            observedTimeUnixNano: join(view.observedHigh, view.observedLow),
            severityNumber: view.severity,
            eventName: objects.text(view.eventNameStart, view.eventNameEnd),
            attributes: objects.attributes(view.attributes),
          });
      },
    ),
  );
  return { resourceLogs };
}

const join = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);

class ObjectReader {
  readonly cursor: WireCursor;
  readonly #header = new HeaderView();
  readonly #detail = new SpanDetailView();

  constructor(bytes: Uint8Array) {
    this.cursor = new WireCursor().reset(bytes);
  }

  visitor(
    onResource: (resource: { attributes: Attributes }) => void,
    onScope: (scope: Scope) => void,
    onItem: (start: number, end: number) => void,
  ): OtlpVisitor {
    const header = this.#header;
    return {
      resource: (_bytes, start, end) => {
        readResource(this.cursor, start, end, header);
        onResource({ attributes: this.attributes(header.attributes) });
      },
      scope: (_bytes, start, end) => {
        readScope(this.cursor, start, end, header);
        onScope({
          name: this.text(header.nameStart, header.nameEnd),
          version: this.text(header.versionStart, header.versionEnd),
          attributes: this.attributes(header.attributes),
        });
      },
      item: (_bytes, start, end) => onItem(start, end),
    };
  }

  span(view: SpanView): Span {
    return {
      traceId: this.hex(view.traceId, 16),
      spanId: this.hex(view.spanId, 8),
      parentSpanId: this.hex(view.parentId, 8),
      traceState: this.text(view.traceStateStart, view.traceStateEnd),
      name: this.text(view.nameStart, view.nameEnd),
      kind: view.kind,
      startTimeUnixNano: join(view.startHigh, view.startLow),
      endTimeUnixNano: join(view.endHigh, view.endLow),
      attributes: this.attributes(view.attributes),
      events: this.#each(view.events, (start, end) => {
        readEvent(this.cursor, start, end, this.#detail);
        return {
          timeUnixNano: join(this.#detail.timeHigh, this.#detail.timeLow),
          name: this.text(this.#detail.textStart, this.#detail.textEnd),
          attributes: this.attributes(this.#detail.attributes),
        };
      }),
      links: this.#each(view.links, (start, end) => {
        readLink(this.cursor, start, end, this.#detail);
        return {
          traceId: this.hex(this.#detail.traceId, 16),
          spanId: this.hex(this.#detail.spanId, 8),
          traceState: this.text(this.#detail.textStart, this.#detail.textEnd),
          flags: this.#detail.flags,
          attributes: this.attributes(this.#detail.attributes),
        };
      }),
      status: {
        code: view.statusCode,
        message: this.text(view.statusMessageStart, view.statusMessageEnd),
      },
      flags: view.flags,
    };
  }

  attributes(ranges: Ranges, depth = 0): Attributes {
    const view = new AttributeView();
    const found: Attributes = new Map();
    for (let i = 0; i < ranges.count; i++) {
      readAttribute(this.cursor, ranges.start(i), ranges.end(i), view);
      const key = this.text(view.keyStart, view.keyEnd);
      found.set(key, this.#value(view, depth));
    }
    return found;
  }

  #value(view: AttributeView, depth: number): AttributeValue {
    switch (view.type) {
      case VALUE.none:
        return null;
      case VALUE.string:
        return this.text(view.valueStart, view.valueEnd);
      case VALUE.bool:
        return view.number !== 0;
      case VALUE.int:
        return BigInt.asIntN(64, join(view.high, view.low));
      case VALUE.double:
        return view.number;
      case VALUE.bytes:
        return new Uint8Array(this.cursor.bytes.subarray(view.valueStart, view.valueEnd));
      case VALUE.array: {
        const elements = new Ranges();
        readElements(this.cursor, view.valueStart, view.valueEnd, depth, elements);
        const element = new AttributeView();
        return this.#each(elements, (start, end) => {
          this.cursor.position = start;
          readAnyValue(this.cursor, end, element);
          return this.#value(element, depth + 1);
        });
      }
      case VALUE.map: {
        const entries = new Ranges();
        readElements(this.cursor, view.valueStart, view.valueEnd, depth, entries);
        return this.attributes(entries, depth + 1);
      }
    }
  }

  #each<Item>(ranges: Ranges, read: (start: number, end: number) => Item): Item[] {
    const items: Item[] = [];
    for (let i = 0; i < ranges.count; i++) items.push(read(ranges.start(i), ranges.end(i)));
    return items;
  }

  text(start: number, end: number): string {
    const bytes = this.cursor.bytes.subarray(start, end);
    if (!isUtf8(bytes)) throw new OtlpError('utf8', start, 'a text is not UTF-8');
    return bytes.toString('utf8');
  }

  hex(start: number, length: number): string {
    return start < 0 ? '' : this.cursor.bytes.toString('hex', start, start + length);
  }
}
