/** The hot path: what a message of hops holds, by an independent reader and by ours. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { directionOf } from '../../../telemetry/edge-class.ts';
import { computeHopTimes, createHopTimes } from '../../../telemetry/hop-times.ts';
import { readSpans, readTraces, type Span } from '../../../telemetry/otlp-objects.ts';
import { decodeHop } from '../../../telemetry/packed-hop.ts';
import {
  createSpanWriter,
  type FinishedMessage,
  type HopFormat,
  type SpanWriter,
} from '../../../telemetry/span-writer.ts';
import {
  SAMPLE_ANCHOR_NS,
  SAMPLE_RESOURCE,
  SAMPLE_SHAPE,
  workedHop,
} from '../../helpers/hop-samples.ts';
import { anyHopRecord, anyHopShape } from '../../helpers/otlp-arbitraries.ts';
import { decodeWith, TRACES } from '../../helpers/otlp-oracle.ts';

const full: FinishedMessage[] = [];
const create = (hopFormat: HopFormat = 'packed', bytesMax = 1 << 20): SpanWriter =>
  createSpanWriter({
    clock: { anchorNs: SAMPLE_ANCHOR_NS },
    hopFormat,
    bytesMax,
    onFull: (message) => full.push(message),
  });

function written(
  hopFormat: HopFormat,
  change: (record: ReturnType<typeof workedHop>) => void,
): Span[] {
  const writer = create(hopFormat);
  const record = workedHop();
  change(record);
  writer.write(writer.lane(SAMPLE_RESOURCE), writer.shape(SAMPLE_SHAPE), record);
  return readSpans(writer.take()!.body);
}

describe('span writer', () => {
  beforeEach(() => {
    full.length = 0;
  });

  it('writes any record as a span that an independent reader takes, with every fact in it', () => {
    fc.assert(
      fc.property(anyHopRecord, anyHopShape, (record, shape) => {
        const writer = create();
        writer.write(writer.lane(SAMPLE_RESOURCE), writer.shape(shape), record);
        const message = writer.take();
        assert.equal(message?.items, 1);
        decodeWith(TRACES, message.body);
        const [span] = readSpans(message.body);
        const times = createHopTimes();
        computeHopTimes(record, times);
        assert.equal(span?.startTimeUnixNano, SAMPLE_ANCHOR_NS + BigInt(times.startNs));
        assert.equal(span.endTimeUnixNano - span.startTimeUnixNano, BigInt(times.durationNs));
        assert.equal(span.attributes.get('azimuth.own_ns'), BigInt(times.ownNs));
        assert.equal(
          span.attributes.get('azimuth.traffic.direction'),
          directionOf(shape.edgeClass, 'split'),
        );
        const hop = decodeHop(span.attributes.get('azimuth.hop') as Uint8Array);
        assert.equal(hop.seq, record.seq);
        assert.equal(
          times.waitNs + times.upstreamNs + times.backoffNs + times.ownNs,
          times.durationNs,
        );
      }),
      { numRuns: 500 },
    );
  });

  it('puts the hops of each lane under the Resource of its workload, in one message', () => {
    const writer = create();
    const catalog = writer.lane(SAMPLE_RESOURCE);
    const cart = writer.lane({ ...SAMPLE_RESOURCE, serviceName: 'cart' });
    const shape = writer.shape(SAMPLE_SHAPE);
    for (const lane of [catalog, cart, catalog]) writer.write(lane, shape, workedHop());
    assert.equal(writer.pendingItems, 3);
    const message = writer.take();
    assert.equal(message?.items, 3);
    assert.deepEqual(
      readTraces(message.body).resourceSpans.map((r) => [
        r.resource.attributes.get('service.name'),
        r.scopeSpans.flatMap((s) => s.spans).length,
      ]),
      [
        ['catalog', 2],
        ['cart', 1],
      ],
    );
    assert.equal(writer.take(), undefined);
    assert.equal(writer.pendingBytes, 0);
  });

  it('hands a message over before it would grow past its bound, and loses no hop by that', () => {
    const writer = create('packed', 4096);
    const lane = writer.lane(SAMPLE_RESOURCE);
    const shape = writer.shape(SAMPLE_SHAPE);
    for (let seq = 1; seq <= 50; seq++)
      writer.write(lane, shape, Object.assign(workedHop(), { seq }));
    const messages = [...full, writer.take()!];
    assert.ok(full.length > 1);
    assert.ok(messages.every(({ body }) => body.length <= 4096));
    const seqs = messages.flatMap(({ body }) =>
      readSpans(body).map((s) => decodeHop(s.attributes.get('azimuth.hop') as Uint8Array).seq),
    );
    assert.deepEqual(
      seqs,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });

  it('counts a record without a start as one that could not be encoded, and goes on', () => {
    const writer = create();
    const lane = writer.lane(SAMPLE_RESOURCE);
    const shape = writer.shape(SAMPLE_SHAPE);
    const broken = workedHop();
    broken.timesMs[0] = NaN;
    writer.write(lane, shape, broken);
    assert.equal(writer.encodeFailures, 1);
    assert.equal(writer.take(), undefined);
    writer.write(lane, shape, workedHop());
    assert.equal(writer.take()?.items, 1);
  });

  it('marks 5xx and no answer as errors, and nothing else', () => {
    const code = (status: number): number =>
      written('packed', (record) => Object.assign(record, { status }))[0]!.status.code;
    assert.deepEqual([200, 404, 499, 500, 503, 0].map(code), [0, 0, 0, 2, 2, 2]);
  });

  it('says in the flags whether the parent is remote, and keeps the W3C flags', () => {
    const [child] = written('packed', () => undefined);
    assert.equal(child?.flags, 0x303);
    assert.equal(child.parentSpanId, 'b69675a2f9c6fbd1');
    const [root] = written('packed', (record) => record.parentId.fill(0));
    assert.equal(root?.flags, 0x103);
    assert.equal(root.parentSpanId, '');
  });

  it('keeps the trace of an untrusted client as a link, and the trace state', () => {
    const [span] = written('packed', (record) => {
      record.linkTraceparent = `00-${'c3'.repeat(16)}-${'d4'.repeat(8)}-01`;
      record.traceState = 'vendor=1';
    });
    assert.deepEqual(
      span?.links.map((link) => [link.traceId, link.spanId]),
      [['c3'.repeat(16), 'd4'.repeat(8)]],
    );
    assert.equal(span.traceState, 'vendor=1');
  });

  it('sends a CLIENT span per attempt in the format `attributes` only, its id the hop id XOR n', () => {
    assert.equal(written('packed', () => undefined).length, 1);
    const [server, ...clients] = written('attributes', () => undefined);
    assert.equal(server?.kind, 2);
    assert.deepEqual(
      clients.map((c) => [c.kind, c.parentSpanId, c.spanId]),
      [
        [3, '54b92015c80bb030', '54b92015c80bb031'],
        [3, '54b92015c80bb030', '54b92015c80bb032'],
      ],
    );
    assert.equal(clients[0]?.status.code, 2);
    const second = clients[1]!;
    assert.equal(second.endTimeUnixNano - second.startTimeUnixNano, 2_900_000n);
  });
});
