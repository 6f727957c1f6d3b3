/**
 * The OpenTelemetry SDK as the oracle: for the same hop our bytes decode equal to what its own
 * protobuf exporter posts. Compared, by an independent decoder (protobufjs): trace, span and parent
 * id, name, kind, start, end, trace state, links, status, scope name, every attribute and its type.
 *
 * Different by design and therefore not compared: `azimuth.hop` (the SDK has no bytes attributes),
 * the W3C random flag (the SDK drops it), the order of attributes, and counts of dropped items.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Attributes,
  type AnyValue,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type TraceState,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { computeHopTimes, createHopTimes, type HopTimes } from '../../../telemetry/hop-times.ts';
import { createSpanWriter } from '../../../telemetry/span-writer.ts';
import {
  SAMPLE_ANCHOR_NS,
  SAMPLE_RESOURCE,
  SAMPLE_SHAPE,
  workedHop,
} from '../../helpers/hop-samples.ts';
import { decodeWith, TRACES } from '../../helpers/otlp-oracle.ts';

interface WireSpan {
  traceId?: Buffer;
  spanId?: Buffer;
  parentSpanId?: Buffer;
  name?: string;
  kind?: number;
  startTimeUnixNano?: string;
  endTimeUnixNano?: string;
  traceState?: string;
  status?: { code?: number };
  flags?: number;
  attributes: { key: string; value: Record<string, unknown> }[];
  links?: { traceId: Buffer; spanId: Buffer }[];
}
interface WireTraces {
  resourceSpans: { scopeSpans: { scope: { name: string }; spans: WireSpan[] }[] }[];
}

const TRACE_ID = '5e710985aa27ac78c0955c69a768ad9b';
/** The SDK only reads it; the API's own factory is deprecated. */
const TRACE_STATE: TraceState = {
  get: (key) => (key === 'vendor' ? '1' : undefined),
  set: () => TRACE_STATE,
  unset: () => TRACE_STATE,
  serialize: () => 'vendor=1',
};
const LINK = { traceId: 'c3'.repeat(16), spanId: 'd4'.repeat(8) };

function ourBytes(record = hop()): Buffer {
  const writer = createSpanWriter({
    clock: { anchorNs: SAMPLE_ANCHOR_NS },
    hopFormat: 'attributes',
    bytesMax: 1 << 20,
    onFull: () => assert.fail('one hop fits'),
  });
  writer.write(writer.lane(SAMPLE_RESOURCE), writer.shape(SAMPLE_SHAPE), record);
  return writer.take()!.body;
}

function hop(): ReturnType<typeof workedHop> {
  const record = workedHop();
  record.status = 503;
  record.errorType = '503';
  record.traceState = 'vendor=1';
  record.linkTraceparent = `00-${LINK.traceId}-${LINK.spanId}-01`;
  return record;
}

/** HrTime of a monotonic offset of the hop. */
function hrTime(times: HopTimes, offsetNs: number): [number, number] {
  const unixNs = SAMPLE_ANCHOR_NS + BigInt(times.startNs + offsetNs);
  return [Number(unixNs / 1_000_000_000n), Number(unixNs % 1_000_000_000n)];
}

/** Makes the same two kinds of span with the SDK and returns the body that its exporter posted. */
async function sdkBytes(
  attributesOf: (kind: number, index: number) => Attributes,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const spanIds = ['54b92015c80bb030', '54b92015c80bb031', '54b92015c80bb032'];
  const provider = new TracerProvider({
    idGenerator: { generateTraceId: () => TRACE_ID, generateSpanId: () => spanIds.shift() ?? '' },
    spanProcessors: [
      new SimpleSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `http://127.0.0.1:${port}/v1/traces` }),
      }),
    ],
  });
  const tracer = provider.getTracer('azimuth');
  const record = hop();
  const times = createHopTimes();
  computeHopTimes(record, times);
  const parent = trace.setSpanContext(ROOT_CONTEXT, {
    traceId: TRACE_ID,
    spanId: 'b69675a2f9c6fbd1',
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
    traceState: TRACE_STATE,
  });
  const span = tracer.startSpan(
    'GET /products/{id}',
    {
      kind: SpanKind.SERVER,
      startTime: hrTime(times, 0),
      attributes: attributesOf(2, 0),
      links: [{ context: { ...LINK, traceFlags: TraceFlags.SAMPLED } }],
    },
    parent,
  );
  span.setStatus({ code: SpanStatusCode.ERROR });
  const clients = record.attempts.map((_, i) =>
    tracer.startSpan(
      'GET',
      {
        kind: SpanKind.CLIENT,
        startTime: hrTime(times, times.attemptStartNs[i]!),
        attributes: attributesOf(3, i),
      },
      trace.setSpan(parent, span),
    ),
  );
  clients[0]?.setStatus({ code: SpanStatusCode.ERROR });
  clients.forEach((client, i) =>
    client.end(hrTime(times, times.attemptStartNs[i]! + times.attemptNs[i]!)),
  );
  span.end(hrTime(times, times.durationNs));
  await provider.shutdown();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return Buffer.concat(chunks);
}

/** Spans by id, reduced to what is compared. */
function comparable(body: Buffer): Record<string, unknown> {
  const { resourceSpans } = decodeWith(TRACES, body) as unknown as WireTraces;
  const spans = resourceSpans.flatMap((r) =>
    r.scopeSpans.flatMap((s) => s.spans.map((span) => ({ scope: s.scope.name, ...span }))),
  );
  const hex = (id: Buffer | undefined): string => id?.toString('hex') ?? '';
  return Object.fromEntries(
    spans.map((span) => [
      hex(span.spanId),
      {
        scope: span.scope,
        traceId: hex(span.traceId),
        parent: hex(span.parentSpanId),
        name: span.name,
        kind: span.kind,
        start: span.startTimeUnixNano,
        end: span.endTimeUnixNano,
        // CLIENT spans of ours leave the trace state to their parent.
        traceState: span.kind === 2 ? span.traceState : undefined,
        links: (span.links ?? []).map((l) => [hex(l.traceId), hex(l.spanId)]),
        status: span.status?.code ?? 0,
        sampled: (span.flags ?? 0) & 1,
        remote: (span.flags ?? 0) & 0x300,
        attributes: Object.fromEntries(
          span.attributes.filter((a) => a.key !== 'azimuth.hop').map((a) => [a.key, a.value]),
        ),
      },
    ]),
  );
}

describe('our spans beside those of the OpenTelemetry SDK', () => {
  it('decode equal for the same hop and its attempts', async () => {
    const ours = ourBytes();
    const { resourceSpans } = decodeWith(TRACES, ours) as unknown as WireTraces;
    const spans = resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans));
    /** The values that our bytes hold, handed to the SDK as plain JavaScript values. */
    const attributesOf = (kind: number, index: number): Attributes => {
      const span = spans.filter((s) => s.kind === kind)[index];
      assert.ok(span !== undefined);
      return Object.fromEntries(
        span.attributes
          .filter((a) => a.key !== 'azimuth.hop')
          .map(({ key, value }) => [
            key,
            (value['stringValue'] ?? value['boolValue'] ?? Number(value['intValue'])) as AnyValue,
          ]),
      );
    };
    // Known values, so that the oracle is not fed by the code it judges alone.
    const server = attributesOf(2, 0);
    assert.equal(server['http.request.method'], 'GET');
    assert.equal(server['http.route'], '/products/{id}');
    assert.equal(server['http.response.status_code'], 503);
    assert.equal(server['azimuth.traffic.direction'], 'east_west');
    assert.equal(server['azimuth.edge_class'], 'bff_to_workload');
    assert.equal(server['service.peer.name'], 'web-bff');
    // attempts 2,020,000 + 2,900,000 - 100,000 wait; duration 8,000,000 - 130,000 wait - 2,900,000 back-off
    assert.equal(server['azimuth.upstream_ns'], 4_820_000);
    assert.equal(server['azimuth.own_ns'], 150_000);
    assert.equal(server['azimuth.attempts'], 2);
    assert.deepEqual(comparable(ours), comparable(await sdkBytes(attributesOf)));
  });
});
