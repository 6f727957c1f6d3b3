/**
 * Spans outside the time window, kept for a dead letter: their bytes as a message of its own that
 * any OTLP reader can read, and boot id and sequence of each hop, so that reconciliation counts it
 * as dropped and not as unexplained. A cold path: clarity over speed.
 */
import { ATTR } from '../telemetry/names.ts';
import { decodeHop, HOP_VERSION } from '../telemetry/packed-hop.ts';
import {
  AttributeView,
  HeaderView,
  rangeEquals,
  readAttribute,
  readResource,
  VALUE,
  type Ranges,
  type SpanView,
} from '../telemetry/otlp-reader.ts';
import { MessageWriter } from '../telemetry/message-writer.ts';
import { WireCursor } from '../telemetry/protobuf.ts';
import { DEAD_BODY_BYTES_MAX } from './columns/dead-letters-table.ts';
import { KIND_SERVER } from './columns/spans-table.ts';

/** Protobuf messages of one span. */
export interface SpanBytes {
  readonly resource: Uint8Array;
  readonly scope: Uint8Array;
  readonly span: Uint8Array;
}

export class LateSpans {
  count = 0;
  readonly hops: { bootId: string; seq: number }[] = [];
  /** Earliest and latest start among them, Unix milliseconds. */
  earliestMs = Infinity;
  latestMs = -Infinity;
  /** TracesData as far as DEAD_BODY_BYTES_MAX allows; `bodyBytes` counts all. */
  readonly #parts: Uint8Array[] = [];
  #keptBytes = 0;
  bodyBytes = 0;

  /** Adds the span that `view` was just read from. Copies its bytes. Throws OtlpError. */
  add(cursor: WireCursor, view: SpanView, bytes: SpanBytes): void {
    this.count++;
    const startMs = (view.startHigh * 4294967296 + view.startLow) / 1e6;
    this.earliestMs = Math.min(this.earliestMs, startMs);
    this.latestMs = Math.max(this.latestMs, startMs);
    const packed = view.kind === KIND_SERVER ? find(cursor, view.attributes, ATTR.hop) : undefined;
    if (packed?.type === VALUE.bytes && cursor.bytes[packed.valueStart] === HOP_VERSION) {
      const { seq } = decodeHop(cursor.bytes, packed.valueStart, packed.valueEnd);
      this.hops.push({ bootId: bootIdOf(bytes.resource), seq });
    }
    const framed = new MessageWriter()
      .begin(1)
      .bytes(1, bytes.resource)
      .begin(2)
      .bytes(1, bytes.scope)
      .bytes(2, bytes.span)
      .end()
      .end()
      .finish();
    this.bodyBytes += framed.length;
    if (this.#keptBytes + framed.length > DEAD_BODY_BYTES_MAX) return;
    this.#keptBytes += framed.length;
    this.#parts.push(framed);
  }

  get body(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get detail(): string {
    const day = (ms: number): string => {
      const date = new Date(ms);
      return Number.isNaN(date.getTime()) ? 'no date' : date.toISOString();
    };
    return `${this.count} of its spans start outside of what is kept: ${day(this.earliestMs)} to ${day(this.latestMs)}`;
  }
}

function find(cursor: WireCursor, attributes: Ranges, name: string): AttributeView | undefined {
  const view = new AttributeView();
  for (let i = 0; i < attributes.count; i++) {
    readAttribute(cursor, attributes.start(i), attributes.end(i), view);
    if (rangeEquals(cursor.bytes, view.keyStart, view.keyEnd, name)) return view;
  }
  return undefined;
}

function bootIdOf(resource: Uint8Array): string {
  const cursor = new WireCursor().reset(resource);
  const header = new HeaderView();
  readResource(cursor, 0, resource.length, header);
  const found = find(cursor, header.attributes, ATTR.bootId);
  return found?.type === VALUE.string
    ? cursor.bytes.toString('utf8', found.valueStart, found.valueEnd)
    : '';
}
