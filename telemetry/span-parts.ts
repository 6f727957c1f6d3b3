/**
 * Pieces of a span as bytes: the template of a shape, and the parts that change from hop to hop,
 * each written at a position, returning the position behind it. Used by span-writer.ts only, on the
 * hot path: the caller made the room, nothing here checks bounds or allocates (links excepted).
 */
import { directionOf } from './edge-class.ts';
import type { HopRecord, HopShape } from './hop-record.ts';
import type { HopTimes } from './hop-times.ts';
import { MessageWriter } from './message-writer.ts';
import { ATTR } from './names.ts';
import { encodeHopTimes, PACKED_HOP_BYTES_MAX } from './packed-hop.ts';
import { putVarint, varintLength } from './protobuf.ts';

/** Longest raw path kept, in UTF-16 units; HTTP limits of the proxy are of the same order. */
export const PATH_MAX = 4096;
/** W3C allows a tracestate of 512 characters at least; the proxy cuts at that. */
export const TRACE_STATE_MAX = 1024;
const TEXT_MAX = 256;
/** Room for all that stands behind the template. UTF-8 takes at most 3 bytes per UTF-16 unit. */
export const DYNAMIC_BYTES_MAX =
  PACKED_HOP_BYTES_MAX + 3 * (PATH_MAX + TRACE_STATE_MAX + 2 * TEXT_MAX) + 512;
/** Bounds the caches of encoded texts: client networks and error types are few. */
const CACHED_TEXTS_MAX = 4096;

export const STATUS_ERROR = new MessageWriter().begin(15).varint(3, 2).end().finish();

/** `9: {1: key, 2: {` of an attribute whose value follows: tag of the KeyValue is put before it. */
function keyBytes(key: string): Uint8Array {
  return new Uint8Array(new MessageWriter().string(1, key).finish());
}
export const KEY_OWN_NS = keyBytes(ATTR.ownNs);
export const KEY_UPSTREAM_NS = keyBytes(ATTR.upstreamNs);
export const KEY_ATTEMPTS = keyBytes(ATTR.attempts);
const KEY_HOP = keyBytes(ATTR.hop);
export const KEY_PATH = keyBytes(ATTR.path);

/** Attributes with few distinct values, encoded whole and kept. */
function cachedAttribute(key: string): (value: string) => Uint8Array {
  const cache = new Map<string, Uint8Array>();
  return (value) => {
    const text = value.length > TEXT_MAX ? value.slice(0, TEXT_MAX) : value;
    let encoded = cache.get(text);
    if (encoded === undefined) {
      encoded = new Uint8Array(new MessageWriter().attribute(9, key, text).finish());
      if (cache.size >= CACHED_TEXTS_MAX) cache.clear();
      // A copy: the text may be a slice that keeps a whole request head alive.
      cache.set(Buffer.from(text).toString(), encoded);
    }
    return encoded;
  };
}
export const clientAddressAttribute = cachedAttribute(ATTR.clientAddress);
export const errorTypeAttribute = cachedAttribute(ATTR.errorType);
export const STATUS_ATTRIBUTES: Uint8Array[] = Array.from(
  { length: 1000 },
  (_, status) =>
    new Uint8Array(new MessageWriter().attribute(9, ATTR.status, BigInt(status)).finish()),
);

/** `METHOD template`, or the method alone without a route. */
export const spanName = (shape: HopShape): string =>
  shape.route === '' ? shape.method : `${shape.method} ${shape.route}`;

export function encodeTemplate(
  shape: HopShape,
  withParent: boolean,
): { bytes: Uint8Array; time: number } {
  const writer = new MessageWriter();
  writer.bytes(1, new Uint8Array(16)).bytes(2, new Uint8Array(8));
  if (withParent) writer.bytes(4, new Uint8Array(8));
  writer.string(5, spanName(shape)).varint(6, 2);
  const time = writer.length + 1;
  writer.fixed64(7, 0n).fixed64(8, 0n);
  const attributes: readonly (readonly [string, string])[] = [
    [ATTR.method, shape.method],
    [ATTR.route, shape.route],
    [ATTR.scheme, shape.scheme],
    [ATTR.protocolVersion, shape.protocolVersion],
    [ATTR.serverAddress, shape.serverAddress],
    [ATTR.peerName, shape.peer],
    [ATTR.proxySide, shape.side],
    [ATTR.edgeClass, shape.edgeClass],
    [ATTR.direction, directionOf(shape.edgeClass, 'split')],
    [ATTR.target, shape.target],
    [ATTR.consumer, shape.consumer ?? ''],
    [ATTR.ownBound, shape.ownBound ?? ''],
  ];
  for (const [key, value] of attributes) if (value !== '') writer.attribute(9, key, value);
  if (shape.mirrored === true) writer.attribute(9, ATTR.mirrored, true);
  return { bytes: new Uint8Array(writer.finish()), time };
}

export function putBytes(out: Uint8Array, at: number, bytes: Uint8Array): number {
  out.set(bytes, at);
  return at + bytes.length;
}

/** An int attribute: KeyValue { key, AnyValue { int_value } }. All lengths stay below 128. */
export function putInt(out: Uint8Array, at: number, key: Uint8Array, value: number): number {
  out[at] = 0x4a;
  out.set(key, at + 2);
  const valueAt = at + 2 + key.length;
  const end = putVarint(out, valueAt + 3, value);
  out[valueAt] = 0x12;
  out[valueAt + 1] = end - valueAt - 2;
  out[valueAt + 2] = 0x18;
  out[at + 1] = end - at - 2;
  return end;
}

/** `azimuth.hop`: encoded where it stands when all lengths take one byte, else moved behind longer ones. */
export function putHop(
  out: Buffer,
  at: number,
  shape: HopShape,
  record: HopRecord,
  times: HopTimes,
): number {
  const assumedAt = at + KEY_HOP.length + 6;
  const end = encodeHopTimes(record, times, shape, out, assumedAt);
  const hopBytes = end - assumedAt;
  const value = 1 + varintLength(hopBytes) + hopBytes;
  const whole = KEY_HOP.length + 1 + varintLength(value) + value;
  const hopAt = at + 1 + varintLength(whole) + whole - hopBytes;
  if (hopAt !== assumedAt) out.copyWithin(hopAt, assumedAt, end);
  out[at] = 0x4a;
  let p = putVarint(out, at + 1, whole);
  p = putBytes(out, p, KEY_HOP);
  out[p++] = 0x12;
  p = putVarint(out, p, value);
  out[p++] = 0x3a;
  return putVarint(out, p, hopBytes) + hopBytes;
}

export function putText(out: Buffer, at: number, key: Uint8Array, text: string): number {
  const textBytes = Buffer.byteLength(text);
  const value = 1 + varintLength(textBytes) + textBytes;
  const whole = key.length + 1 + varintLength(value) + value;
  let p = at;
  out[p++] = 0x4a;
  p = putVarint(out, p, whole);
  p = putBytes(out, p, key);
  out[p++] = 0x12;
  p = putVarint(out, p, value);
  out[p++] = 0x0a;
  p = putVarint(out, p, textBytes);
  return p + out.write(text, p, textBytes, 'utf8');
}

export function putTraceState(out: Buffer, at: number, text: string): number {
  const textBytes = Buffer.byteLength(text);
  out[at] = 0x1a;
  const p = putVarint(out, at + 1, textBytes);
  return p + out.write(text, p, textBytes, 'utf8');
}

export function putFlags(view: DataView, at: number, flags: number): number {
  view.setUint16(at, 0x8501); // tag of field 16, fixed32: 85 01
  view.setUint32(at + 2, flags, true);
  return at + 6;
}

/** Span.Link { trace_id, span_id, flags } from a traceparent; one that is malformed is left out. */
export function putLink(out: Buffer, at: number, traceparent: string): number {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(traceparent);
  if (match === null) return at;
  const link = new MessageWriter()
    .begin(13)
    .bytes(1, Buffer.from(match[1]!, 'hex'))
    .bytes(2, Buffer.from(match[2]!, 'hex'))
    // The trace flags, and that this context was known to be remote.
    .fixed32(6, Number.parseInt(match[3]!, 16) | 0x300)
    .end()
    .finish();
  return putBytes(out, at, link);
}
