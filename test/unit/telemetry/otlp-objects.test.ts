/**
 * The reader against real bytes, an independent implementation and hostile input. The fixtures come
 * from real products (test/fixtures/kafka/README.md); beside each foreign one stands the same
 * message as JSON, as the Collector printed it.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { jsonToProtobuf } from '../../../telemetry/otlp-json.ts';
import { readLogs, readSpans, readTraces } from '../../../telemetry/otlp-objects.ts';
import { OtlpError } from '../../../telemetry/protobuf.ts';
import { anyTracesJson } from '../../helpers/otlp-arbitraries.ts';
import { encodeWith, LOGS, reorderFields, TRACES } from '../../helpers/otlp-oracle.ts';

const KAFKA = new URL('../../fixtures/kafka/', import.meta.url);
const FOREIGN = new URL('../../fixtures/foreign/', import.meta.url);
const kafka = (name: string): Buffer => readFileSync(new URL(name, KAFKA));

interface JsonSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind?: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: { key: string }[];
  status?: { code?: number };
}
interface JsonTraces {
  resourceSpans?: { scopeSpans?: { spans?: JsonSpan[] }[] }[];
}

const jsonSpans = (text: string): JsonSpan[] =>
  text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => (JSON.parse(line) as JsonTraces).resourceSpans ?? [])
    .flatMap((r) => r.scopeSpans ?? [])
    .flatMap((s) => s.spans ?? []);

/** What both forms of a message must tell. */
const essence = (span: JsonSpan): unknown => ({
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId ?? '',
  name: span.name,
  kind: span.kind ?? 0,
  start: BigInt(span.startTimeUnixNano),
  end: BigInt(span.endTimeUnixNano),
  keys: (span.attributes ?? []).map((a) => a.key),
  status: span.status?.code ?? 0,
});

describe('OTLP reader on real bytes', () => {
  const messages = ['proto_none', 'proto_bytrace', 'proto_headers'].flatMap((kind) =>
    [0, 1, 2].map((n) => `${kind}-${n}.bin`),
  );

  for (const name of messages) {
    it(`reads ${name} of a stock Collector, which writes fields in descending order`, () => {
      const spans = readSpans(kafka(name));
      // One message per trace holds a server span and its child; else three traces.
      assert.equal(spans.length, name.includes('bytrace') ? 2 : 6);
      for (const span of spans) {
        assert.match(span.traceId, /^[0-9a-f]{32}$/);
        assert.match(span.spanId, /^[0-9a-f]{16}$/);
      }
      const [resource] = readTraces(kafka(name)).resourceSpans;
      assert.equal(typeof resource?.resource.attributes.get('service.name'), 'string');
      const server = spans.find((span) => span.kind === 2);
      assert.equal(server?.name, 'GET /cart/:id');
      const integers = [...server.attributes.values()].filter((v) => typeof v === 'bigint');
      assert.ok(integers.includes(2n ** 53n - 1n), 'an integer of 2^53 - 1 is exact');
    });
  }

  it('reads JSON and protobuf of the SDK to the same spans', () => {
    const fromJson = readSpans(jsonToProtobuf('traces', kafka('sdk-otlp-http-json.bin')));
    assert.equal(fromJson.length, 6);
    assert.deepEqual(
      jsonSpans(kafka('sdk-otlp-http-json.bin').toString()).map(essence),
      jsonSpans(kafka('sdk-otlp-http-json.bin').toString()).map((_, i) => {
        const span = fromJson[i]!;
        return {
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId,
          name: span.name,
          kind: span.kind,
          start: span.startTimeUnixNano,
          end: span.endTimeUnixNano,
          keys: [...span.attributes.keys()],
          status: span.status.code,
        };
      }),
    );
    const protobuf = readSpans(kafka('sdk-otlp-http-protobuf.bin'));
    assert.deepEqual(
      protobuf.map((s) => [s.name, s.kind, s.attributes.size, s.events.length, s.links.length]),
      fromJson.map((s) => [s.name, s.kind, s.attributes.size, s.events.length, s.links.length]),
    );
    assert.deepEqual(
      readSpans(gunzipSync(kafka('sdk-otlp-http-protobuf.gzip.bin'))).map((s) => s.name),
      protobuf.map((s) => s.name),
    );
  });

  for (const file of readdirSync(FOREIGN).filter((f) => f.endsWith('.binpb'))) {
    const bytes = readFileSync(new URL(file, FOREIGN));
    if (file.includes('.logs.')) {
      it(`refuses ${file} as traces: a log record has no span id where a span has one`, () => {
        assert.ok(readLogs(bytes).resourceLogs.length > 0);
        assert.throws(() => readTraces(bytes), OtlpError);
      });
      continue;
    }
    it(`reads ${file} as its JSON says`, () => {
      const json = readFileSync(new URL(file.replace('.binpb', '.json'), FOREIGN), 'utf8');
      // Enums stand there by name, as protobuf's own JSON has them; OTLP/JSON has numbers.
      const expected = readSpans(encodeWith(TRACES, JSON.parse(json)));
      assert.ok(expected.length > 0);
      assert.deepEqual(readSpans(bytes), expected);
    });
  }

  it('refuses Jaeger and Zipkin, which begin like OTLP', () => {
    for (const name of ['jaeger_proto-0.bin', 'jaeger_proto-1.bin']) {
      assert.throws(() => readTraces(kafka(name)), OtlpError, name);
    }
    assert.throws(() => jsonToProtobuf('traces', kafka('zipkin_json-0.bin')), OtlpError);
  });
});

describe('OTLP reader against protobufjs', () => {
  it('reads what it writes, in either order of fields, as it reads our own bytes of the JSON', () => {
    fc.assert(
      fc.property(anyTracesJson, (request) => {
        const theirs = encodeWith(TRACES, request);
        const expected = readTraces(jsonToProtobuf('traces', JSON.stringify(request)));
        assert.deepEqual(readTraces(reorderFields(TRACES, theirs, 'ascending')), expected);
        assert.deepEqual(readTraces(reorderFields(TRACES, theirs, 'descending')), expected);
      }),
      { numRuns: 200 },
    );
  });

  it('throws nothing but OtlpError on mutated and on cut bytes, and always ends', () => {
    const whole = [kafka('proto_none-0.bin'), kafka('sdk-otlp-http-protobuf.bin')];
    fc.assert(
      fc.property(
        fc.constantFrom(...whole),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        (original, flips, cut) => {
          const bytes = Buffer.from(original);
          for (const [at, value] of flips) bytes[at % bytes.length] = value;
          for (const input of [bytes, bytes.subarray(0, cut % bytes.length)]) {
            for (const read of [readTraces, readLogs]) {
              try {
                read(input);
              } catch (error) {
                assert.ok(error instanceof OtlpError, String(error));
                assert.ok(error.byteOffset >= 0 && error.byteOffset <= input.length);
              }
            }
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('reads log records with the event name of either form', () => {
    const logs = encodeWith(LOGS, {
      resourceLogs: [
        {
          scopeLogs: [
            { logRecords: [{ timeUnixNano: '7', eventName: 'azimuth.ledger', severityNumber: 9 }] },
          ],
        },
      ],
    });
    const [record] = readLogs(logs).resourceLogs[0]!.scopeLogs[0]!.logRecords;
    assert.equal(record?.eventName, 'azimuth.ledger');
    assert.equal(record.timeUnixNano, 7n);
    assert.equal(record.severityNumber, 9);
  });

  it('reads an empty message as no spans', () => {
    assert.deepEqual(readTraces(Buffer.alloc(0)), { resourceSpans: [] });
  });
});
