/**
 * Seeded spans of every kind of content, encoded by an independent protobuf implementation, each
 * with the row that must come out of the store. Values as the row is compared: 64-bit integers as
 * decimal text, Maps as objects, enums by name.
 */
import { reorderFields, TRACES } from './otlp-oracle.ts';
import { seededRandom } from './prng.ts';

type Random = () => number;
interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
  doubleValue?: number;
  bytesValue?: Buffer;
  arrayValue?: { values: AnyValue[] };
  kvlistValue?: { values: KeyValue[] };
}
interface KeyValue {
  key: string;
  value: AnyValue;
}
type TextMap = Record<string, string>;

/** What a row must hold; the keys are names of columns. */
export type ExpectedRow = Record<string, unknown>;

export interface GeneratedMessage {
  readonly body: Buffer;
  readonly rows: ExpectedRow[];
}

const KINDS = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'];
const CODES = ['Unset', 'Ok', 'Error'];
const WORDS = [
  'cart',
  'größe',
  '日本',
  'a b',
  '😀',
  "o'clock",
  'x"y',
  'line\nbreak',
  '\n\nDROP TABLE spans',
];
const METHODS = ['GET', 'POST', 'DELETE'];

const pick = <T>(random: Random, list: readonly T[]): T =>
  list[Math.floor(random() * list.length)]!;
const bytesOf = (random: Random, length: number): Buffer =>
  Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
const integer = (random: Random): bigint =>
  BigInt.asIntN(
    64,
    (BigInt(Math.floor(random() * 2 ** 32)) << 32n) | BigInt(Math.floor(random() * 2 ** 32)),
  ) >> BigInt(Math.floor(random() * 64));

/** A random value and the text that a Map holds of it. */
function anyValue(random: Random, depth = 0): { value: AnyValue; text: string; json: string } {
  const kind = Math.floor(random() * (depth < 3 ? 8 : 5));
  switch (kind) {
    case 0: {
      const flag = random() < 0.5;
      return { value: { boolValue: flag }, text: String(flag), json: String(flag) };
    }
    case 1: {
      const number = integer(random);
      return { value: { intValue: String(number) }, text: String(number), json: String(number) };
    }
    case 2: {
      const number = pick(random, [1.5, -0.25, 1e21, 1e-7, 3, random()]);
      return { value: { doubleValue: number }, text: String(number), json: String(number) };
    }
    case 3: {
      const raw = bytesOf(random, Math.floor(random() * 20));
      const base64 = raw.toString('base64');
      return { value: { bytesValue: raw }, text: base64, json: JSON.stringify(base64) };
    }
    case 5: {
      const parts = Array.from({ length: Math.floor(random() * 4) }, () =>
        anyValue(random, depth + 1),
      );
      const json = `[${parts.map((part) => part.json).join(',')}]`;
      return { value: { arrayValue: { values: parts.map((p) => p.value) } }, text: json, json };
    }
    case 6: {
      const parts = Array.from({ length: Math.floor(random() * 4) }, (_, i) => ({
        key: `${pick(random, WORDS)}${i}`,
        ...anyValue(random, depth + 1),
      }));
      const json = `{${parts.map((p) => `${JSON.stringify(p.key)}:${p.json}`).join(',')}}`;
      const values = parts.map(({ key, value }) => ({ key, value }));
      return { value: { kvlistValue: { values } }, text: json, json };
    }
    default: {
      const text = pick(random, WORDS).repeat(random() < 0.05 ? 40 : 1);
      return { value: { stringValue: text }, text, json: JSON.stringify(text) };
    }
  }
}

function extraAttributes(random: Random, most: number, into: KeyValue[], map: TextMap): void {
  const count = Math.floor(random() * (most + 1));
  for (let i = 0; i < count; i++) {
    const key = `extra.${i}.${Math.floor(random() * 5)}`;
    const { value, text } = anyValue(random);
    into.push({ key, value });
    map[key] = text;
  }
}

/** Attributes that have columns, each there or not. */
function columnAttributes(random: Random, into: KeyValue[], row: ExpectedRow): void {
  const text = (key: string, column: string, value: string): void => {
    if (random() < 0.3) return;
    into.push({ key, value: { stringValue: value } });
    row[column] = value;
  };
  text('http.request.method', 'Method', pick(random, METHODS));
  text('http.route', 'Route', `/things/{id}/${Math.floor(random() * 300)}`);
  text('url.scheme', 'Scheme', 'https');
  text('url.path', 'Path', `/things/${Math.floor(random() * 1e9)}/${pick(random, WORDS)}`);
  text('server.address', 'ServerAddress', `host-${Math.floor(random() * 20)}.local`);
  text('client.address', 'ClientAddress', `10.0.${Math.floor(random() * 256)}.0`);
  text('service.peer.name', 'Peer', pick(random, WORDS));
  text('azimuth.proxy.side', 'Side', pick(random, ['ingress', 'inbound', 'outbound']));
  text('azimuth.edge_class', 'EdgeClass', pick(random, ['external_to_gateway', 'loopback']));
  if (random() < 0.7) {
    const status = pick(random, [200, 204, 404, 503]);
    into.push({ key: 'http.response.status_code', value: { intValue: String(status) } });
    row['HttpStatus'] = status;
  }
  if (random() < 0.7) {
    const ownNs = integer(random) & 0x7fffffffffffffffn;
    into.push({ key: 'azimuth.own_ns', value: { intValue: String(ownNs) } });
    row['OwnNs'] = String(ownNs);
  }
}

/** Values that a column cannot hold: they must be found in the Map instead. */
function misfits(random: Random, into: KeyValue[], map: TextMap): void {
  const misfit = (key: string, value: AnyValue, text: string): void => {
    if (random() > 0.05 || into.some((other) => other.key === key)) return;
    into.push({ key, value });
    map[key] = text;
  };
  misfit('http.response.status_code', { stringValue: '200' }, '200');
  misfit('http.response.status_code', { intValue: '70000' }, '70000');
  misfit('azimuth.own_ns', { intValue: '-5' }, '-5');
  misfit('azimuth.edge_class', { stringValue: 'from_the_future' }, 'from_the_future');
  misfit('url.scheme', { stringValue: '' }, '');
  misfit('server.address', { intValue: '7' }, '7');
  misfit('azimuth.traffic.direction', { stringValue: 'east_west' }, 'east_west');
}

export interface GeneratorSettings {
  readonly seed: number;
  readonly messages: number;
  readonly spansPerMessage: number;
  /** Start of the spans, Unix nanoseconds; they spread over the ten minutes after it. */
  readonly startUnixNs: bigint;
}

/** Messages with several resources and scopes each, and what must be stored of them. */
export function* generateMessages(settings: GeneratorSettings): Generator<GeneratedMessage> {
  const random = seededRandom(settings.seed);
  for (let m = 0; m < settings.messages; m++) {
    const rows: ExpectedRow[] = [];
    const resources: unknown[] = [];
    while (rows.length < settings.spansPerMessage) {
      const resource = generateResource(random);
      const scopes: unknown[] = [];
      for (let s = Math.floor(random() * 2); s >= 0; s--) {
        const scope = {
          name: `scope-${Math.floor(random() * 9)}`,
          version: pick(random, ['', '1.2']),
        };
        const spans: unknown[] = [];
        for (let i = 1 + Math.floor(random() * 12); i > 0; i--) {
          const { span, row } = generateSpan(random, settings.startUnixNs);
          spans.push(span);
          rows.push({
            ...resource.row,
            ScopeName: scope.name,
            ScopeVersion: scope.version,
            ...row,
          });
        }
        scopes.push({ scope, spans, schemaUrl: 'https://example.com/schema' });
      }
      resources.push({ resource: { attributes: resource.attributes }, scopeSpans: scopes });
    }
    const message = TRACES.fromObject({ resourceSpans: resources });
    yield { body: Buffer.from(TRACES.encode(message).finish()), rows };
  }
}

function generateResource(random: Random): { attributes: KeyValue[]; row: ExpectedRow } {
  const attributes: KeyValue[] = [];
  const map: TextMap = {};
  const row: ExpectedRow = { ResourceAttributes: map };
  const text = (key: string, column: string, value: string): void => {
    attributes.push({ key, value: { stringValue: value } });
    row[column] = value;
  };
  text('service.name', 'ServiceName', `service-${Math.floor(random() * 40)}`);
  text('azimuth.boot_id', 'BootId', `boot-${Math.floor(random() * 10)}`);
  if (random() < 0.5) text('azimuth.proxy.role', 'Role', pick(random, ['gateway', 'sidecar']));
  if (random() < 0.5) text('host.name', 'Host', pick(random, WORDS));
  extraAttributes(random, 3, attributes, map);
  return { attributes, row };
}

function generateSpan(random: Random, startUnixNs: bigint): { span: unknown; row: ExpectedRow } {
  const traceId = bytesOf(random, 16);
  const spanId = bytesOf(random, 8);
  traceId[0] = spanId[0] = 1; // never all zero
  const parentId = random() < 0.3 ? Buffer.alloc(0) : bytesOf(random, 8);
  if (parentId.length > 0) parentId[0] = 1;
  const start = startUnixNs + BigInt(Math.floor(random() * 6e11));
  const durationNs = BigInt(Math.floor(random() ** 4 * 1e11));
  const kind = Math.floor(random() * 6);
  const code = Math.floor(random() * 3);
  const row: ExpectedRow = {
    Timestamp: String(start),
    TraceId: traceId.toString('hex'),
    SpanId: spanId.toString('hex'),
    ParentSpanId: parentId.toString('hex'),
    TraceState: random() < 0.1 ? `vendor=${Math.floor(random() * 1e6)}` : '',
    SpanName: random() < 0.1 ? '' : `${pick(random, METHODS)} ${pick(random, WORDS)}`,
    SpanKind: KINDS[kind]!,
    Duration: String(durationNs),
    StatusCode: CODES[code]!,
    StatusMessage: random() < 0.1 ? pick(random, WORDS).repeat(30) : '',
  };
  const attributes: KeyValue[] = [];
  const map: TextMap = {};
  columnAttributes(random, attributes, row);
  misfits(random, attributes, map);
  extraAttributes(random, 3, attributes, map);
  row['SpanAttributes'] = map;
  const events = details(random, (detail) => ({
    timeUnixNano: String(detail.time),
    name: detail.text,
  }));
  const links = details(random, (detail) => ({
    traceId: detail.traceId,
    spanId: detail.traceId.subarray(8),
    traceState: detail.text,
    flags: 0x300,
  }));
  row['Events.Timestamp'] = events.details.map((d) => String(d.time));
  row['Events.Name'] = events.details.map((d) => d.text);
  row['Events.Attributes'] = events.details.map((d) => d.map);
  row['Links.TraceId'] = links.details.map((d) => d.traceId.toString('hex'));
  row['Links.SpanId'] = links.details.map((d) => d.traceId.subarray(8).toString('hex'));
  row['Links.TraceState'] = links.details.map((d) => d.text);
  row['Links.Attributes'] = links.details.map((d) => d.map);
  return {
    span: {
      traceId,
      spanId,
      traceState: row['TraceState'],
      parentSpanId: parentId,
      name: row['SpanName'],
      kind,
      startTimeUnixNano: String(start),
      endTimeUnixNano: String(start + durationNs),
      attributes,
      events: events.messages,
      links: links.messages,
      status: { message: row['StatusMessage'], code },
      flags: 0x101,
    },
    row,
  };
}

interface Detail {
  readonly time: bigint;
  readonly text: string;
  readonly traceId: Buffer;
  readonly map: TextMap;
}

function details(
  random: Random,
  shape: (detail: Detail) => Record<string, unknown>,
): { details: Detail[]; messages: unknown[] } {
  const all: Detail[] = [];
  const messages: unknown[] = [];
  for (let n = random() < 0.2 ? 1 + Math.floor(random() * 3) : 0; n > 0; n--) {
    const attributes: KeyValue[] = [];
    const map: TextMap = {};
    extraAttributes(random, 2, attributes, map);
    const traceId = bytesOf(random, 16);
    traceId[0] = traceId[8] = 1;
    const time = 1_700_000_000_000_000_000n + BigInt(Math.floor(random() * 1e15));
    const detail = { time, text: pick(random, WORDS), traceId, map };
    all.push(detail);
    messages.push({ ...shape(detail), attributes });
  }
  return { details: all, messages };
}

/** The same message with fields in descending order at every level, as a stock Collector writes them. */
export const descending = (body: Buffer): Buffer => reorderFields(TRACES, body, 'descending');
