/**
 * The hot path of telemetry: writes a finished hop as an OTLP span into a preallocated buffer. No
 * span object, no string, no array is made per hop; a hop costs one to two CPU-microseconds.
 *
 *     write(lane, shape, record) ──► lane's buffer: span span span …        one lane per local workload
 *     take() ──► TracesData: [Resource, scope, spans of lane 0][… lane 1]   one copy, caller owns it
 *
 * What is the same for all hops of a shape is encoded once, as a template with holes: a hop is one
 * copy of it, numbers patched into the holes (ids, times), and the few attributes of changing length
 * behind. Lengths are written in place. The order of fields is ascending but for a trace state.
 *
 * `write` never throws and never waits: a record that cannot be encoded is counted and left out.
 */
import { attemptSpans, plainHopAttributes } from './attribute-spans.ts';
import type { HopRecord, HopShape } from './hop-record.ts';
import { computeHopTimes, createHopTimes } from './hop-times.ts';
import { MessageWriter } from './message-writer.ts';
import { SCOPE_NAME } from './names.ts';
import { putVarint, varintLength } from './protobuf.ts';
import { type ResourceSettings, writeResource } from './resource.ts';
import {
  clientAddressAttribute,
  DYNAMIC_BYTES_MAX,
  encodeTemplate,
  errorTypeAttribute,
  KEY_ATTEMPTS,
  KEY_OWN_NS,
  KEY_PATH,
  KEY_UPSTREAM_NS,
  PATH_MAX,
  putBytes,
  putFlags,
  putHop,
  putInt,
  putLink,
  putText,
  putTraceState,
  STATUS_ATTRIBUTES,
  STATUS_ERROR,
  TRACE_STATE_MAX,
} from './span-parts.ts';
import { tunnelSpan, type TunnelRecord } from './tunnel-span.ts';

export type { ResourceSettings } from './resource.ts';

/** `packed`: SERVER spans with `azimuth.hop`. `attributes`: also every fact plainly, and a CLIENT span per attempt. */
export type HopFormat = 'packed' | 'attributes';

export interface SpanWriterSettings {
  /** Wall nanoseconds at monotonic 0; read at each write. */
  readonly clock: { readonly anchorNs: bigint };
  readonly hopFormat: HopFormat;
  /** A message is handed over before it would grow past this; one hop that is larger goes alone. */
  readonly bytesMax: number;
  /** Gets each message that `bytesMax` cut off, within `write`. Owns its body. Must not throw. */
  readonly onFull: (message: FinishedMessage) => void;
}

export interface FinishedMessage {
  /** A TracesData message. */
  readonly body: Buffer;
  /** Hops in it: SERVER spans. CLIENT spans of attempts and intervals of tunnels are not counted. */
  readonly items: number;
}

/** A HopShape, encoded. Made by `shape`, good for the writer that made it and its whole life. */
export interface EncodedShape {
  readonly shape: HopShape;
  /** Template of a span without and with a parent. */
  readonly root: Uint8Array;
  readonly child: Uint8Array;
  /** Where the holes of each are: the value of start_time; end_time follows 9 bytes later. */
  readonly rootStartTime: number;
  readonly childStartTime: number;
}

export interface SpanWriter {
  /** Opens a lane: one Resource in every message that has hops of it. Returns its number. */
  lane(resource: ResourceSettings): number;
  /** Encodes what is constant. Not for the hot path: cache the result per route, method, peer. */
  shape(shape: HopShape): EncodedShape;
  /** Writes one hop; keeps nothing of `record`. Never throws. */
  write(lane: number, shape: EncodedShape, record: HopRecord): void;
  /** Writes an interval of a tunnel, which is no item. Never throws. */
  writeTunnel(lane: number, shape: EncodedShape, record: TunnelRecord): void;
  /** The message so far, or undefined when there is none; the writer starts a new one. The caller owns it. */
  take(): FinishedMessage | undefined;
  /** Hops and bytes since the last message. */
  readonly pendingItems: number;
  readonly pendingBytes: number;
  /** Records that could not be encoded since the start: for the ledger, reason encode_failed. */
  readonly encodeFailures: number;
}

const LANE_BYTES_FIRST = 65536;
/** Tags and lengths around a lane's Resource and spans. */
const LANE_FRAME_BYTES = 16;
const TWO_32 = 4294967296;
const SCOPE = new MessageWriter().begin(1).string(1, SCOPE_NAME).end().finish();
const NO_BYTES = new Uint8Array(0);

class Lane {
  readonly header: Buffer;
  bytes = Buffer.allocUnsafeSlow(LANE_BYTES_FIRST);
  view = new DataView(this.bytes.buffer);
  length = 0;

  constructor(resource: ResourceSettings) {
    const writer = new MessageWriter();
    writeResource(writer, resource);
    this.header = writer.finish();
  }

  /** Makes room for `bytes` more. */
  room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return;
    const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + bytes));
    this.bytes.copy(wider, 0, 0, this.length);
    this.bytes = wider;
    this.view = new DataView(wider.buffer);
  }
}

/**
 * Creates a writer. Lanes are opened at start; memory is one growing buffer per lane, at most about
 * `bytesMax` each.
 */
export function createSpanWriter(settings: SpanWriterSettings): SpanWriter {
  return new BufferedSpanWriter(settings);
}

class BufferedSpanWriter implements SpanWriter {
  readonly #settings: SpanWriterSettings;
  readonly #plain: boolean;
  readonly #lanes: Lane[] = [];
  readonly #times = createHopTimes();
  /** Bytes of all Resources and scopes, so that a whole message stays below bytesMax. */
  #headerBytes = 0;
  #anchorNs = -1n;
  #anchorLow = 0;
  #anchorHigh = 0;
  pendingItems = 0;
  pendingBytes = 0;
  encodeFailures = 0;

  constructor(settings: SpanWriterSettings) {
    this.#settings = settings;
    this.#plain = settings.hopFormat === 'attributes';
  }

  lane(resource: ResourceSettings): number {
    const lane = new Lane(resource);
    this.#headerBytes += lane.header.length + SCOPE.length + LANE_FRAME_BYTES;
    return this.#lanes.push(lane) - 1;
  }

  shape(shape: HopShape): EncodedShape {
    const root = encodeTemplate(shape, false);
    const child = encodeTemplate(shape, true);
    return {
      shape: { ...shape },
      root: root.bytes,
      child: child.bytes,
      rootStartTime: root.time,
      childStartTime: child.time,
    };
  }

  write(laneNumber: number, encoded: EncodedShape, record: HopRecord): void {
    const lane = this.#lanes[laneNumber];
    if (lane === undefined) {
      this.encodeFailures++;
      return;
    }
    let before = lane.length;
    try {
      if (!computeHopTimes(record, this.#times)) {
        this.encodeFailures++;
        return;
      }
      this.#writeHop(lane, encoded, record);
      const written = lane.length - before;
      const wouldBe = this.#headerBytes + this.pendingBytes + written;
      if (this.pendingBytes > 0 && wouldBe > this.#settings.bytesMax) {
        // The hop that did not fit any more waits while the message before it is handed over.
        lane.length = before;
        const message = this.take();
        lane.bytes.copyWithin(0, before, before + written);
        lane.length = written;
        before = 0;
        this.pendingBytes = written;
        this.pendingItems = 1;
        if (message !== undefined) this.#settings.onFull(message);
        return;
      }
      this.pendingBytes += written;
      this.pendingItems++;
    } catch {
      lane.length = before;
      this.encodeFailures++;
    }
  }

  writeTunnel(laneNumber: number, encoded: EncodedShape, record: TunnelRecord): void {
    const lane = this.#lanes[laneNumber];
    if (lane === undefined) return;
    const span = tunnelSpan(record, encoded.shape, this.#settings.clock.anchorNs);
    if (this.#headerBytes + this.pendingBytes + span.length > this.#settings.bytesMax) {
      const message = this.take();
      if (message !== undefined) this.#settings.onFull(message);
    }
    lane.room(span.length);
    lane.bytes.set(span, lane.length);
    lane.length += span.length;
    this.pendingBytes += span.length;
  }

  #writeHop(lane: Lane, encoded: EncodedShape, record: HopRecord): void {
    const times = this.#times;
    const { traceId, spanId, parentId } = record;
    const hasParent = parentId[0] !== 0 || parentId[1] !== 0;
    const template = hasParent ? encoded.child : encoded.root;
    const extra = this.#plain ? plainHopAttributes(record, times, encoded.shape) : NO_BYTES;
    lane.room(template.length + DYNAMIC_BYTES_MAX + extra.length);
    const { bytes, view } = lane;

    // Tag of ScopeSpans.spans, two bytes for the length, then the template.
    const spanAt = lane.length;
    const bodyAt = spanAt + 3;
    bytes.set(template, bodyAt);
    view.setUint32(bodyAt + 2, traceId[0]!);
    view.setUint32(bodyAt + 6, traceId[1]!);
    view.setUint32(bodyAt + 10, traceId[2]!);
    view.setUint32(bodyAt + 14, traceId[3]!);
    view.setUint32(bodyAt + 20, spanId[0]!);
    view.setUint32(bodyAt + 24, spanId[1]!);
    if (hasParent) {
      view.setUint32(bodyAt + 30, parentId[0]!);
      view.setUint32(bodyAt + 34, parentId[1]!);
    }
    const timeAt = bodyAt + (hasParent ? encoded.childStartTime : encoded.rootStartTime);
    this.#putTime(view, timeAt, times.startNs);
    this.#putTime(view, timeAt + 9, times.startNs + times.durationNs);

    let p = bodyAt + template.length;
    const { status } = record;
    if (status > 0 && status < 1000) p = putBytes(bytes, p, STATUS_ATTRIBUTES[status]!);
    p = putInt(bytes, p, KEY_OWN_NS, times.ownNs);
    p = putInt(bytes, p, KEY_UPSTREAM_NS, times.upstreamNs);
    p = putInt(bytes, p, KEY_ATTEMPTS, times.attemptCount);
    if (record.path !== '') p = putText(bytes, p, KEY_PATH, record.path.slice(0, PATH_MAX));
    if (record.clientAddress !== '') {
      p = putBytes(bytes, p, clientAddressAttribute(record.clientAddress));
    }
    if (record.errorType !== '') p = putBytes(bytes, p, errorTypeAttribute(record.errorType));
    p = putBytes(bytes, p, extra);
    p = putHop(bytes, p, encoded.shape, record, times);
    if (record.linkTraceparent !== '') p = putLink(bytes, p, record.linkTraceparent);
    if (status === 0 || status >= 500) p = putBytes(bytes, p, STATUS_ERROR);
    p = putFlags(view, p, (record.traceFlags & 0xff) | 0x100 | (hasParent ? 0x200 : 0));
    if (record.traceState !== '') {
      p = putTraceState(bytes, p, record.traceState.slice(0, TRACE_STATE_MAX));
    }

    const length = p - bodyAt;
    bytes[spanAt] = 0x12;
    if (length < 128 || length > 16383) {
      // Another number of length bytes than the two that nearly every span needs.
      const lengthBytes = varintLength(length);
      bytes.copyWithin(spanAt + 1 + lengthBytes, bodyAt, p);
      p += lengthBytes - 2;
      putVarint(bytes, spanAt + 1, length);
    } else {
      bytes[spanAt + 1] = (length & 127) | 128;
      bytes[spanAt + 2] = length >>> 7;
    }
    lane.length = p;

    if (this.#plain && times.attemptCount > 0) {
      const spans = attemptSpans(record, times, encoded.shape, this.#settings.clock.anchorNs);
      lane.room(spans.length);
      lane.bytes.set(spans, lane.length);
      lane.length += spans.length;
    }
  }

  /** Unix nanoseconds do not fit a double exactly, so the anchor is kept as two words and added by hand. */
  #putTime(view: DataView, at: number, monotonicNs: number): void {
    const anchorNs = this.#settings.clock.anchorNs;
    if (anchorNs !== this.#anchorNs) {
      this.#anchorNs = anchorNs;
      this.#anchorLow = Number(anchorNs & 0xffffffffn);
      this.#anchorHigh = Number(anchorNs >> 32n);
    }
    const low = this.#anchorLow + monotonicNs;
    const carry = Math.floor(low / TWO_32);
    view.setUint32(at, low - carry * TWO_32, true);
    view.setUint32(at + 4, this.#anchorHigh + carry, true);
  }

  take(): FinishedMessage | undefined {
    if (this.pendingBytes === 0) return undefined;
    let total = 0;
    for (const lane of this.#lanes) if (lane.length > 0) total += messageLength(lane);
    const body = Buffer.allocUnsafeSlow(total);
    let p = 0;
    for (const lane of this.#lanes) {
      if (lane.length === 0) continue;
      const scopeSpans = SCOPE.length + lane.length;
      body[p++] = 0x0a;
      p = putVarint(body, p, resourceSpansLength(lane));
      p = putBytes(body, p, lane.header);
      body[p++] = 0x12;
      p = putVarint(body, p, scopeSpans);
      p = putBytes(body, p, SCOPE);
      lane.bytes.copy(body, p, 0, lane.length);
      p += lane.length;
      lane.length = 0;
    }
    const items = this.pendingItems;
    this.pendingItems = 0;
    this.pendingBytes = 0;
    return { body, items };
  }
}

function resourceSpansLength(lane: Lane): number {
  const scopeSpans = SCOPE.length + lane.length;
  return lane.header.length + 1 + varintLength(scopeSpans) + scopeSpans;
}

function messageLength(lane: Lane): number {
  const length = resourceSpansLength(lane);
  return 1 + varintLength(length) + length;
}
