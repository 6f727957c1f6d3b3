/**
 * An independent view of OTLP bytes for tests: protobufjs with the protocol's own definitions
 * (test/fixtures/otlp). Nothing of telemetry/ is used here, so that agreement means something.
 */
import { basename, join } from 'node:path';
import protobuf from 'protobufjs';

const DIRECTORY = join(import.meta.dirname, '../fixtures/otlp');
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => join(DIRECTORY, basename(target));
root.loadSync(['trace.proto', 'logs.proto']);

export const TRACES = root.lookupType('opentelemetry.proto.trace.v1.TracesData');
export const LOGS = root.lookupType('opentelemetry.proto.logs.v1.LogsData');

/** A decoded message: names as in OTLP/JSON, 64-bit integers as strings, bytes as Uint8Array. */
export type Decoded = Record<string, unknown>;

/** Decodes with protobufjs; only the fields that are present. Throws what protobufjs throws. */
export const decodeWith = (type: protobuf.Type, bytes: Uint8Array): Decoded =>
  type.toObject(type.decode(bytes), { longs: String, bytes: Buffer, arrays: false });

/** Encodes an object of OTLP/JSON's shape (ids hex, bytes base64) with protobufjs, fields ascending. */
export const encodeWith = (type: protobuf.Type, request: unknown): Buffer =>
  Buffer.from(type.encode(type.fromObject(idsToBytes(request) as Decoded)).finish());

function idsToBytes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(idsToBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) =>
      /^(traceId|spanId|parentSpanId)$/.test(key) && typeof part === 'string'
        ? [key, Buffer.from(part, 'hex')]
        : [key, idsToBytes(part)],
    ),
  );
}

/**
 * The same message with the fields of every level sorted by number, as `order` says: descending is
 * what a stock Collector writes. Repeated fields keep their own order.
 */
export function reorderFields(
  type: protobuf.Type,
  bytes: Uint8Array,
  order: 'ascending' | 'descending',
): Buffer {
  const reader = protobuf.Reader.create(bytes);
  const fields: { number: number; bytes: Uint8Array }[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const tag = reader.uint32();
    const number = tag >>> 3;
    const field = type.fieldsById[number]?.resolve();
    if ((tag & 7) === 2 && field?.resolvedType instanceof protobuf.Type) {
      const inner = reorderFields(field.resolvedType, reader.bytes(), order);
      const writer = protobuf.Writer.create().uint32(tag).bytes(inner);
      fields.push({ number, bytes: writer.finish() });
    } else {
      reader.skipType(tag & 7);
      fields.push({ number, bytes: bytes.subarray(start, reader.pos) });
    }
  }
  const sign = order === 'ascending' ? 1 : -1;
  return Buffer.concat(fields.sort((a, b) => sign * (a.number - b.number)).map((f) => f.bytes));
}
