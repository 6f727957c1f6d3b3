/**
 * fast-check arbitraries for telemetry: hop records as a confused proxy might hand them over, and
 * whole OTLP requests in the shape of OTLP/JSON.
 */
import fc from 'fast-check';
import { EDGE_CLASSES, PEER_KNOWN, PEER_ROLES, PROXY_SIDES } from '../../telemetry/edge-class.ts';
import {
  ANSWERED_BY,
  createHopRecord,
  FUNCTIONS,
  type HopRecord,
  type HopShape,
  STREAM_CLASSES,
} from '../../telemetry/hop-record.ts';

const word = fc.nat({ max: 0xffffffff });

/** Milliseconds near the start of a hop, before it, after it, not reached, or absurd. */
const readingMs = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: 1000, max: 1100, noNaN: true }) },
  fc.constant(NaN),
  fc.constantFrom(-1, 0, 1e6, 1e300, Infinity, -Infinity),
);
const spanMs = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: 0, max: 120, noNaN: true }) },
  fc.constantFrom(0, -5, NaN, 1e300, Infinity),
);
const count = fc.oneof(fc.nat(), fc.constantFrom(0, 127, 128, 2 ** 32, 2 ** 53 - 1));

const attempt = fc.record({
  startMs: readingMs,
  endMs: readingMs,
  waitMs: spanMs,
  connectMs: spanMs,
  status: fc.constantFrom(0, 200, 404, 503, 599),
  bits: fc.nat({ max: 7 }),
});

/** Any record whose start is a finite reading; all else may be nonsense. */
export const anyHopRecord: fc.Arbitrary<HopRecord> = fc
  .record({
    startMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    timesMs: fc.array(readingMs, { minLength: 7, maxLength: 7 }),
    ids: fc.array(word, { minLength: 8, maxLength: 8 }),
    seq: count,
    waitMs: spanMs,
    backoffMs: spanMs,
    poolMs: spanMs,
    loopDelayMs: spanMs,
    bytesIn: count,
    bytesOut: count,
    status: fc.constantFrom(0, 100, 200, 404, 500, 503, 999),
    flags: word,
    answeredBy: fc.constantFrom(...ANSWERED_BY),
    streamClass: fc.constantFrom(...STREAM_CLASSES),
    configGeneration: word,
    deadlineMs: fc.constantFrom(-1, 0, 1, 900, 1e12),
    phaseNs: fc.array(count, { minLength: FUNCTIONS.length, maxLength: FUNCTIONS.length }),
    attempts: fc.array(attempt, { maxLength: 15 }),
    traceFlags: fc.nat({ max: 255 }),
    traceState: fc.constantFrom('', 'vendor=abc'),
    errorType: fc.constantFrom('', '503', 'upstream_timeout'),
    path: fc.oneof(fc.constant(''), fc.webPath(), fc.string({ unit: 'binary', maxLength: 300 })),
    clientAddress: fc.constantFrom('', '192.0.2.0', '2001:db8::'),
  })
  .map((r) => {
    const record = createHopRecord();
    record.timesMs.set([r.startMs, ...r.timesMs.map((t) => t - 1000 + r.startMs)]);
    // Ids that are all zero are no ids.
    record.traceId.set([r.ids[0]! | 1, r.ids[1]!, r.ids[2]!, r.ids[3]!]);
    record.spanId.set([r.ids[4]! | 1, (r.ids[5]! & 0xfffffff0) >>> 0]);
    record.parentId.set(r.ids[6]! % 3 === 0 ? [0, 0] : [r.ids[6]!, r.ids[7]!]);
    record.phaseNs.set(r.phaseNs);
    record.attempts.length = 0;
    for (const one of r.attempts) {
      const shift = r.startMs - 1000;
      record.attempts.push({ ...one, startMs: one.startMs + shift, endMs: one.endMs + shift });
    }
    return Object.assign(record, {
      attemptCount: r.attempts.length,
      seq: r.seq,
      waitMs: r.waitMs,
      backoffMs: r.backoffMs,
      poolMs: r.poolMs,
      loopDelayMs: r.loopDelayMs,
      bytesIn: r.bytesIn,
      bytesOut: r.bytesOut,
      status: r.status,
      flags: r.flags,
      answeredBy: r.answeredBy,
      streamClass: r.streamClass,
      configGeneration: r.configGeneration,
      deadlineMs: r.deadlineMs,
      traceFlags: r.traceFlags,
      traceState: r.traceState,
      errorType: r.errorType,
      path: r.path,
      clientAddress: r.clientAddress,
    });
  });

const name = fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 40 }));

export const anyHopShape: fc.Arbitrary<HopShape> = fc.record({
  side: fc.constantFrom(...PROXY_SIDES),
  edgeClass: fc.constantFrom(...EDGE_CLASSES),
  method: fc.constantFrom('GET', 'POST', 'PROPFIND'),
  route: fc.oneof(fc.constantFrom('', '/*', '/products/{id}'), fc.string({ maxLength: 300 })),
  scheme: fc.constantFrom('http', 'https'),
  protocolVersion: fc.constantFrom('1.0', '1.1'),
  serverAddress: name,
  peer: name,
  peerRole: fc.constantFrom(...PEER_ROLES),
  peerKnown: fc.constantFrom(...PEER_KNOWN),
  target: name,
  functions: fc.nat({ max: 2 ** FUNCTIONS.length - 1 }),
});

// ---- OTLP/JSON requests

const hex = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((id) => (id.every((b) => b === 0) ? id.map(() => 1) : id))
    .map((id) => Buffer.from(id).toString('hex'));
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
// JSON has no -0 and no NaN; the texts that stand for them are tested by example.
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((d) => d + 0 || 0);
const unixNano = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map(String);

const { anyValue } = fc.letrec<{ anyValue: object; keyValue: object }>((tie) => ({
  anyValue: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: integer }),
    fc.record({ doubleValue: finite }),
    fc.record({
      bytesValue: fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b).toString('base64')),
    }),
    fc.constant({}),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('anyValue'), { maxLength: 4 }) }) }),
    fc.record({
      kvlistValue: fc.record({ values: fc.array(tie('keyValue'), { maxLength: 4 }) }),
    }),
  ),
  keyValue: fc.record({ key: text, value: tie('anyValue') }),
}));
const attributes = fc.array(fc.record({ key: text, value: anyValue }), { maxLength: 6 });

const optional = { requiredKeys: [] };
const event = fc.record({ timeUnixNano: unixNano, name: text, attributes }, optional);
const link = fc.record(
  { traceId: hex(16), spanId: hex(8), traceState: text, attributes, flags: word },
  optional,
);
const span = fc.record(
  {
    traceId: hex(16),
    spanId: hex(8),
    startTimeUnixNano: unixNano,
    endTimeUnixNano: unixNano,
    parentSpanId: fc.oneof(fc.constant(''), hex(8)),
    traceState: text,
    name: text,
    kind: fc.nat({ max: 5 }),
    attributes,
    events: fc.array(event, { maxLength: 3 }),
    links: fc.array(link, { maxLength: 3 }),
    status: fc.record({ code: fc.nat({ max: 2 }), message: text }, optional),
    flags: word,
    droppedAttributesCount: word,
  },
  { requiredKeys: ['traceId', 'spanId', 'startTimeUnixNano'] },
);
const scope = fc.record({ name: text, version: text, attributes }, optional);
const resource = fc.record({ attributes, droppedAttributesCount: fc.nat() }, optional);

/** Any valid ExportTraceServiceRequest as OTLP/JSON. */
export const anyTracesJson = fc.record({
  resourceSpans: fc.array(
    fc.record(
      {
        resource,
        scopeSpans: fc.array(
          fc.record({ scope, spans: fc.array(span, { maxLength: 4 }), schemaUrl: text }, optional),
          { maxLength: 3 },
        ),
        schemaUrl: text,
      },
      optional,
    ),
    { maxLength: 3 },
  ),
});
