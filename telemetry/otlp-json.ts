/**
 * OTLP/JSON to OTLP protobuf, so that behind it there is one way of decoding. Strict where OTLP is:
 * ids are hex, 64-bit integers are strings or numbers, enums are numbers, names are lowerCamelCase.
 * Unknown fields are stepped over and null is absent, as the OTLP and protobuf specifications ask.
 *
 * The messages are tables (field name → number and type) and one function writes them all; adding a
 * field is one line. Input is refused whole with an OtlpError that names the field.
 */
import { isUtf8 } from 'node:buffer';
import { MessageWriter } from './message-writer.ts';
import { NESTING_MAX, OtlpError } from './protobuf.ts';

type ScalarType =
  | 'string'
  | 'traceId'
  | 'spanId'
  | 'fixed64'
  | 'fixed32'
  | 'uint32'
  | 'enum'
  | 'int64'
  | 'bool'
  | 'double'
  | 'bytes';

interface Field {
  readonly number: number;
  readonly type: ScalarType | (() => Message);
  readonly repeated?: boolean;
  /** Member of a oneof: written even when it is the default value. */
  readonly oneof?: boolean;
}
type Message = Readonly<Record<string, Field>>;

const one = (number: number, type: Field['type']): Field => ({ number, type });
const many = (number: number, type: Field['type']): Field => ({ number, type, repeated: true });
const choice = (number: number, type: Field['type']): Field => ({ number, type, oneof: true });

const ANY_VALUE: Message = {
  stringValue: choice(1, 'string'),
  boolValue: choice(2, 'bool'),
  intValue: choice(3, 'int64'),
  doubleValue: choice(4, 'double'),
  arrayValue: choice(5, () => ARRAY_VALUE),
  kvlistValue: choice(6, () => KEY_VALUE_LIST),
  bytesValue: choice(7, 'bytes'),
};
const ARRAY_VALUE: Message = { values: many(1, () => ANY_VALUE) };
const KEY_VALUE: Message = { key: one(1, 'string'), value: one(2, () => ANY_VALUE) };
const KEY_VALUE_LIST: Message = { values: many(1, () => KEY_VALUE) };
const attributes = (number: number): Field => many(number, () => KEY_VALUE);
const RESOURCE: Message = { attributes: attributes(1), droppedAttributesCount: one(2, 'uint32') };
const SCOPE: Message = {
  name: one(1, 'string'),
  version: one(2, 'string'),
  attributes: attributes(3),
  droppedAttributesCount: one(4, 'uint32'),
};
const EVENT: Message = {
  timeUnixNano: one(1, 'fixed64'),
  name: one(2, 'string'),
  attributes: attributes(3),
  droppedAttributesCount: one(4, 'uint32'),
};
const LINK: Message = {
  traceId: one(1, 'traceId'),
  spanId: one(2, 'spanId'),
  traceState: one(3, 'string'),
  attributes: attributes(4),
  droppedAttributesCount: one(5, 'uint32'),
  flags: one(6, 'fixed32'),
};
const STATUS: Message = { message: one(2, 'string'), code: one(3, 'enum') };
const SPAN: Message = {
  traceId: one(1, 'traceId'),
  spanId: one(2, 'spanId'),
  traceState: one(3, 'string'),
  parentSpanId: one(4, 'spanId'),
  name: one(5, 'string'),
  kind: one(6, 'enum'),
  startTimeUnixNano: one(7, 'fixed64'),
  endTimeUnixNano: one(8, 'fixed64'),
  attributes: attributes(9),
  droppedAttributesCount: one(10, 'uint32'),
  events: many(11, () => EVENT),
  droppedEventsCount: one(12, 'uint32'),
  links: many(13, () => LINK),
  droppedLinksCount: one(14, 'uint32'),
  status: one(15, () => STATUS),
  flags: one(16, 'fixed32'),
};
const LOG_RECORD: Message = {
  timeUnixNano: one(1, 'fixed64'),
  severityNumber: one(2, 'enum'),
  severityText: one(3, 'string'),
  body: one(5, () => ANY_VALUE),
  attributes: attributes(6),
  droppedAttributesCount: one(7, 'uint32'),
  flags: one(8, 'fixed32'),
  traceId: one(9, 'traceId'),
  spanId: one(10, 'spanId'),
  observedTimeUnixNano: one(11, 'fixed64'),
  eventName: one(12, 'string'),
};
const schemaUrl = one(3, 'string');
const SCOPE_SPANS: Message = { scope: one(1, () => SCOPE), spans: many(2, () => SPAN), schemaUrl };
const SCOPE_LOGS: Message = {
  scope: one(1, () => SCOPE),
  logRecords: many(2, () => LOG_RECORD),
  schemaUrl,
};
const RESOURCE_SPANS: Message = {
  resource: one(1, () => RESOURCE),
  scopeSpans: many(2, () => SCOPE_SPANS),
  schemaUrl,
};
const RESOURCE_LOGS: Message = {
  resource: one(1, () => RESOURCE),
  scopeLogs: many(2, () => SCOPE_LOGS),
  schemaUrl,
};
const ROOTS = {
  traces: { resourceSpans: many(1, () => RESOURCE_SPANS) },
  logs: { resourceLogs: many(1, () => RESOURCE_LOGS) },
} satisfies Record<string, Message>;

/** Deepest that messages may nest: the fixed ones above, and two levels for each level of values. */
const DEPTH_MAX = 8 + 3 * NESTING_MAX;

/**
 * Turns an OTLP/JSON request into the same request in protobuf. The caller owns the bytes. Throws
 * OtlpError: `json`, `utf8`, or `json_type`, `range`, `id`, `nesting`, `not_otlp` with the field's
 * path in the message. Whether ids and times are there is for the protobuf reader to see.
 */
export function jsonToProtobuf(signal: 'traces' | 'logs', text: string | Uint8Array): Buffer {
  const root = parse(text);
  if (!isObject(root)) throw fault('json_type', '', 'an object', root);
  const message: Message = ROOTS[signal];
  const names = Object.keys(root);
  if (names.length > 0 && !names.some((name) => Object.hasOwn(message, name))) {
    const wanted = Object.keys(message).join();
    throw new OtlpError('not_otlp', 0, `a JSON object without "${wanted}" is no OTLP ${signal}`);
  }
  const writer = new MessageWriter();
  writeMessage(writer, message, root, '', 0);
  return writer.finish();
}

/** Numbers that a double may not hold exactly: 16 digits or more. */
const LONG_NUMBER = /[[:,\s]-?\d{16}/;

function parse(input: string | Uint8Array): unknown {
  let text: string;
  if (typeof input === 'string') text = input;
  else {
    if (!isUtf8(input)) throw new OtlpError('utf8', 0, 'the JSON is not UTF-8');
    text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString('utf8');
  }
  try {
    // Nanoseconds written as numbers are past 2^53: those are kept as written. Most senders write
    // strings, so the slower way is taken only where such a number is in sight.
    return LONG_NUMBER.test(text)
      ? (JSON.parse(text, exactIntegers as Parameters<typeof JSON.parse>[1]) as unknown)
      : (JSON.parse(text) as unknown);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const at = /position (\d+)/.exec(detail)?.[1];
    // Characters equal bytes up to there unless the text is not ASCII; good enough to look at.
    throw new OtlpError('json', at === undefined ? 0 : Number(at), 'the text is not JSON');
  }
}

function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d{1,20}$/.test(source) ? BigInt(source) : value;
}

type JsonObject = Record<string, unknown>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fault(
  reason: 'json_type' | 'range' | 'id',
  path: string,
  wanted: string,
  found: unknown,
): OtlpError {
  const where = path === '' ? 'the request' : path;
  return new OtlpError(reason, 0, `${where}: ${wanted} wanted, got ${shown(found)}`);
}

/** A value for a message. Objects and arrays by name only: they may be deep, or large. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  return String(value);
}

function writeMessage(
  writer: MessageWriter,
  message: Message,
  object: JsonObject,
  path: string,
  depth: number,
): void {
  if (depth > DEPTH_MAX) {
    throw new OtlpError('nesting', 0, `values nest deeper than ${NESTING_MAX}`);
  }
  let chosen = '';
  for (const [name, field] of Object.entries(message)) {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (value === undefined || value === null) continue;
    const fieldPath = path === '' ? name : `${path}.${name}`;
    if (field.oneof === true) {
      if (chosen !== '')
        throw fault('json_type', fieldPath, `no second value beside ${chosen}`, value);
      chosen = name;
    }
    if (field.repeated !== true) {
      writeField(writer, field, value, fieldPath, depth);
      continue;
    }
    if (!Array.isArray(value)) throw fault('json_type', fieldPath, 'an array', value);
    value.forEach((element: unknown, i) => {
      writeField(writer, field, element, `${fieldPath}[${i}]`, depth);
    });
  }
}

function writeField(
  writer: MessageWriter,
  field: Field,
  value: unknown,
  path: string,
  depth: number,
): void {
  const { number, type } = field;
  if (typeof type === 'function') {
    if (!isObject(value)) throw fault('json_type', path, 'an object', value);
    writer.begin(number);
    writeMessage(writer, type(), value, path, depth + 1);
    writer.end();
    return;
  }
  switch (type) {
    case 'string':
      if (typeof value !== 'string') throw fault('json_type', path, 'a string', value);
      if (value !== '' || field.oneof === true) writer.string(number, value);
      return;
    case 'traceId':
    case 'spanId':
      if (value !== '') writer.bytes(number, idBytes(value, type === 'traceId' ? 16 : 8, path));
      return;
    case 'bytes':
      writer.bytes(number, base64Bytes(value, path));
      return;
    case 'bool':
      if (typeof value !== 'boolean') throw fault('json_type', path, 'true or false', value);
      writer.varint(number, value ? 1 : 0);
      return;
    case 'double':
      writer.double(number, toDouble(value, path));
      return;
    case 'int64':
      writer.varint64(number, toInteger(value, path, -(2n ** 63n), 2n ** 63n - 1n));
      return;
    case 'fixed64':
      writer.fixed64(number, toInteger(value, path, 0n, 2n ** 64n - 1n));
      return;
    case 'fixed32':
      writer.fixed32(number, Number(toInteger(value, path, 0n, 2n ** 32n - 1n)));
      return;
    case 'uint32':
      writer.varint(number, Number(toInteger(value, path, 0n, 2n ** 32n - 1n)));
      return;
    case 'enum':
      // OTLP: names of enum values are not allowed, numbers only. Numbers of the future are kept.
      if (typeof value === 'string') throw fault('json_type', path, 'a number', value);
      writer.varint64(number, toInteger(value, path, -(2n ** 31n), 2n ** 31n - 1n));
      return;
  }
}

function idBytes(value: unknown, bytes: number, path: string): Buffer {
  if (typeof value !== 'string') throw fault('json_type', path, 'a string', value);
  if (value.length !== 2 * bytes || !/^[0-9a-fA-F]*$/.test(value)) {
    throw fault('id', path, `${2 * bytes} hex characters`, value);
  }
  return Buffer.from(value, 'hex');
}

function base64Bytes(value: unknown, path: string): Buffer {
  // Protobuf's JSON takes the standard and the URL alphabet, with or without padding.
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) {
    throw fault('json_type', path, 'base64', value);
  }
  return Buffer.from(value, 'base64');
}

function toDouble(value: unknown, path: string): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value === 'NaN') return NaN;
  if (value === 'Infinity') return Infinity;
  if (value === '-Infinity') return -Infinity;
  if (typeof value === 'string' && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value)) {
    return Number(value);
  }
  throw fault('json_type', path, 'a number', value);
}

function toInteger(value: unknown, path: string, least: bigint, most: bigint): bigint {
  let integer: bigint;
  if (typeof value === 'bigint') integer = value;
  else if (typeof value === 'number' && Number.isInteger(value)) integer = BigInt(value);
  else if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) integer = BigInt(value);
  else throw fault('json_type', path, 'an integer', value);
  if (integer < least || integer > most) {
    throw fault('range', path, `an integer from ${least} to ${most}`, value);
  }
  return integer;
}
