import assert from 'node:assert/strict';
import { readSpans } from '../../../telemetry/otlp-objects.ts';
import { createSpanWriter, type FinishedMessage } from '../../../telemetry/span-writer.ts';
import type { TunnelRecord } from '../../../telemetry/tunnel-span.ts';
import {
  SAMPLE_ANCHOR_NS,
  SAMPLE_RESOURCE,
  SAMPLE_SHAPE,
  workedHop,
} from '../../helpers/hop-samples.ts';
import { decodeWith, TRACES } from '../../helpers/otlp-oracle.ts';

const intervalRecord = (ended: TunnelRecord['ended'] = ''): TunnelRecord => ({
  traceId: new Uint32Array([1, 2, 3, 4]),
  hopSpanId: new Uint32Array([5, 0x60]),
  spanId: new Uint32Array([7, 8]),
  traceFlags: 1,
  startMs: 1000,
  endMs: 61_000.5,
  interval: 3,
  bytesIn: 2 ** 40,
  bytesOut: 0,
  totalBytesIn: 2 ** 41,
  totalBytesOut: 9,
  ended,
});

describe('Tunnel span', () => {
  const full: FinishedMessage[] = [];
  const create = (bytesMax = 1 << 20) =>
    createSpanWriter({
      clock: { anchorNs: SAMPLE_ANCHOR_NS },
      hopFormat: 'packed',
      bytesMax,
      onFull: (message) => full.push(message),
    });
  beforeEach(() => {
    full.length = 0;
  });

  it('is an INTERNAL span below the hop that an independent reader takes, and no item', () => {
    const writer = create();
    writer.writeTunnel(
      writer.lane(SAMPLE_RESOURCE),
      writer.shape(SAMPLE_SHAPE),
      intervalRecord('idle'),
    );
    const message = writer.take()!;
    assert.equal(message.items, 0);
    decodeWith(TRACES, message.body);
    const [span] = readSpans(message.body);
    assert.equal(span!.name, 'tunnel interval');
    assert.equal(span!.kind, 1);
    assert.equal(span!.parentSpanId, '0000000500000060');
    assert.equal(span!.endTimeUnixNano - span!.startTimeUnixNano, 60_000_500_000n);
    assert.equal(span!.startTimeUnixNano, SAMPLE_ANCHOR_NS + 1_000_000_000n);
    assert.equal(span!.attributes.get('azimuth.tunnel.bytes_in'), BigInt(2 ** 40));
    assert.equal(span!.attributes.get('azimuth.tunnel.total_bytes_in'), BigInt(2 ** 41));
    assert.equal(span!.attributes.get('azimuth.tunnel.ended'), 'idle');
    assert.equal(span!.attributes.get('http.route'), SAMPLE_SHAPE.route);
    assert.equal(span!.attributes.has('azimuth.hop'), false);
  });

  it('lies beside hops in one message, which counts the hops alone', () => {
    const writer = create();
    const lane = writer.lane(SAMPLE_RESOURCE);
    const shape = writer.shape(SAMPLE_SHAPE);
    writer.writeTunnel(lane, shape, intervalRecord());
    writer.write(lane, shape, workedHop());
    writer.writeTunnel(lane, shape, intervalRecord());
    const message = writer.take()!;
    assert.equal(message.items, 1);
    assert.equal(readSpans(message.body).length, 3);
    assert.equal(writer.take(), undefined);
  });

  it('fills messages to their limit like hops do, and loses none', () => {
    const writer = create(4_000);
    const lane = writer.lane(SAMPLE_RESOURCE);
    const shape = writer.shape(SAMPLE_SHAPE);
    for (let n = 0; n < 50; n++) writer.writeTunnel(lane, shape, intervalRecord());
    full.push(writer.take()!);
    assert.ok(full.length > 1);
    for (const { body } of full) assert.ok(body.length <= 4_000);
    assert.equal(full.flatMap(({ body }) => readSpans(body)).length, 50);
  });
});
