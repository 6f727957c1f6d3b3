/**
 * OTLP by an independent protobuf implementation (protobufjs): what our own readers and writers
 * are judged by. Only the fields that tests look at; unknown ones are kept out.
 */
import protobuf from 'protobufjs';

const root = protobuf.parse(
  `syntax = "proto3";
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; bytes bytes_value = 7; } }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message Scope { string name = 1; string version = 2; }
  message Span { bytes trace_id = 1; bytes span_id = 2; string name = 5; int32 kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9; }
  message ScopeSpans { Scope scope = 1; repeated Span spans = 2; string schema_url = 3; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
  message TracesData { repeated ResourceSpans resource_spans = 1; }`,
  { keepCase: true },
).root;
const TracesData = root.lookupType('TracesData');

export interface PlainSpan {
  readonly service: string;
  readonly scope: string;
  readonly name: string;
  /** Lower-case hex. */
  readonly spanId: string;
}

interface Decoded {
  resource_spans: {
    resource?: { attributes: { key: string; value?: { string_value?: string } }[] };
    scope_spans: { scope?: { name: string }; spans: { name: string; span_id: string }[] }[];
  }[];
}

/** All spans of a message, in order. Throws when the bytes are not protobuf. */
export function spansOf(body: Uint8Array): PlainSpan[] {
  const message = TracesData.decode(body);
  const plain = TracesData.toObject(message, { bytes: String, arrays: true }) as Decoded;
  return plain.resource_spans.flatMap((group) =>
    group.scope_spans.flatMap((scope) =>
      scope.spans.map((span) => ({
        service:
          group.resource?.attributes.find((a) => a.key === 'service.name')?.value?.string_value ??
          '',
        scope: scope.scope?.name ?? '',
        name: span.name,
        spanId: Buffer.from(span.span_id, 'base64').toString('hex'),
      })),
    ),
  );
}

export interface SpanSpec {
  readonly service: string;
  readonly scope?: string;
  readonly name: string;
  /** Bytes of padding in one attribute. */
  readonly padding?: number;
  readonly startUnixNs?: bigint;
}

let idCounter = 0;

/** One TracesData message; spans of the same service and scope in a row share their groups. */
export function tracesOf(specs: readonly SpanSpec[]): Buffer {
  const groups: {
    resource: unknown;
    schema_url: string;
    service: string;
    scope_spans: { scope: { name: string; version: string }; spans: unknown[] }[];
  }[] = [];
  for (const spec of specs) {
    const scopeName = spec.scope ?? 'test';
    let group = groups.at(-1);
    if (group?.service !== spec.service) {
      const attributes = [{ key: 'service.name', value: { string_value: spec.service } }];
      group = {
        resource: { attributes },
        schema_url: 'https://s/r',
        service: spec.service,
        scope_spans: [],
      };
      groups.push(group);
    }
    let scope = group.scope_spans.at(-1);
    if (scope?.scope.name !== scopeName) {
      scope = { scope: { name: scopeName, version: '1' }, spans: [] };
      group.scope_spans.push(scope);
    }
    const start = spec.startUnixNs ?? BigInt(Date.now()) * 1_000_000n;
    const id = Buffer.alloc(16);
    id.writeUInt32BE(++idCounter, 12);
    id.writeUInt32BE(0xfeed, 0);
    scope.spans.push({
      trace_id: id,
      span_id: id.subarray(8),
      name: spec.name,
      kind: 2,
      start_time_unix_nano: start.toString(),
      end_time_unix_nano: (start + 1_000_000n).toString(),
      attributes:
        spec.padding === undefined
          ? []
          : [{ key: 'pad', value: { string_value: 'x'.repeat(spec.padding) } }],
    });
  }
  const message = TracesData.fromObject({ resource_spans: groups });
  return Buffer.from(TracesData.encode(message).finish());
}
