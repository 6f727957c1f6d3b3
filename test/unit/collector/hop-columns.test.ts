import assert from 'node:assert/strict';
import { SpansTable } from '../../../collector/columns/spans-table.ts';
import { SpanDecoder } from '../../../collector/span-decoder.ts';
import { TimeWindow } from '../../../collector/time-window.ts';
import {
  EDGE_CLASSES,
  PEER_KNOWN,
  PEER_ROLES,
  PROXY_ROLES,
  PROXY_SIDES,
} from '../../../telemetry/edge-class.ts';
import { ANSWERED_BY } from '../../../telemetry/hop-record.ts';
import { computeHopTimes, createHopTimes } from '../../../telemetry/hop-times.ts';
import { hopMessage, type HopMessageSettings } from '../../helpers/hop-messages.ts';
import {
  SAMPLE_RESOURCE,
  SAMPLE_SHAPE,
  SAMPLE_START_MS,
  workedHop,
} from '../../helpers/hop-samples.ts';
import { nativeCell, readNativeBlock, type NativeBlock } from '../../helpers/native-block.ts';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const SOURCE = { name: 'otlp_spans', partition: 0, offset: 0 };

function decode(body: Buffer): NativeBlock {
  const table = new SpansTable();
  new SpanDecoder(table).decode(body, SOURCE, new TimeWindow(NOW_MS, 7));
  return readNativeBlock(table.block());
}

function stored(settings: Partial<HopMessageSettings> = {}): (column: string) => unknown {
  const block = decode(hopMessage({ startUnixMs: NOW_MS, ...settings }));
  return (column) => nativeCell(block, column, 0);
}

/** One attempt that is all of upstream's time. */
const oneAttempt: Partial<HopMessageSettings> = {
  change: (record) => {
    record.attemptCount = 1;
    record.backoffMs = 0;
    const [attempt] = record.attempts;
    attempt!.startMs = SAMPLE_START_MS + 0.08;
    attempt!.endMs = record.timesMs[5]!;
    attempt!.waitMs = 0.1;
    attempt!.status = record.status;
    attempt!.bits = 7;
  },
};

describe('HopColumns', () => {
  it('stores every fact of the worked hop in its column', () => {
    const cell = stored({ seq: 4711 });
    const times = createHopTimes();
    computeHopTimes(workedHop(), times);
    const big = (value: number): bigint => BigInt(value);
    const expected: Record<string, unknown> = {
      Timestamp: BigInt(NOW_MS) * 1_000_000n,
      TraceId: '5e710985aa27ac78c0955c69a768ad9b',
      ParentSpanId: 'b69675a2f9c6fbd1',
      SpanKind: 2,
      ServiceName: SAMPLE_RESOURCE.serviceName,
      ServiceNamespace: SAMPLE_RESOURCE.serviceNamespace,
      ServiceVersion: SAMPLE_RESOURCE.serviceVersion,
      Instance: SAMPLE_RESOURCE.instanceId,
      Host: SAMPLE_RESOURCE.host,
      Zone: SAMPLE_RESOURCE.zone,
      Cluster: SAMPLE_RESOURCE.cluster,
      Mesh: SAMPLE_RESOURCE.mesh,
      Topology: SAMPLE_RESOURCE.topology,
      Proxy: SAMPLE_RESOURCE.proxyName,
      Role: PROXY_ROLES.indexOf(SAMPLE_RESOURCE.proxyRole),
      BootId: SAMPLE_RESOURCE.bootId,
      ClockId: SAMPLE_RESOURCE.clockId,
      HopVersion: 1,
      Side: PROXY_SIDES.indexOf(SAMPLE_SHAPE.side),
      EdgeClass: EDGE_CLASSES.indexOf(SAMPLE_SHAPE.edgeClass),
      Peer: SAMPLE_SHAPE.peer,
      PeerRole: PEER_ROLES.indexOf(SAMPLE_SHAPE.peerRole),
      PeerKnown: PEER_KNOWN.indexOf(SAMPLE_SHAPE.peerKnown),
      Target: SAMPLE_SHAPE.target,
      Route: SAMPLE_SHAPE.route,
      Method: SAMPLE_SHAPE.method,
      Scheme: SAMPLE_SHAPE.scheme,
      Protocol: SAMPLE_SHAPE.protocolVersion,
      ServerAddress: SAMPLE_SHAPE.serverAddress,
      HttpStatus: 200,
      Seq: 4711n,
      Duration: big(times.durationNs),
      OwnNs: big(times.ownNs),
      UpstreamNs: big(times.upstreamNs),
      WaitNs: big(times.waitNs),
      WaitAttemptsNs: big(times.waitAttemptsNs),
      BackoffNs: big(times.backoffNs),
      PoolNs: 4_000n,
      ConnectNs: 350_000n,
      LoopNs: 20_000n,
      TReqLast: 21_000n,
      TUpFirst: 80_000n,
      // Distances: from TUpFirst, and back from the duration of 8 ms.
      TUpLast: 5_010_000n,
      TResFirst: 7_500_000n,
      TResLast: 100_000n,
      TDownFirst: 480_000n,
      BytesIn: 258n,
      BytesOut: 1935n,
      Functions: SAMPLE_SHAPE.functions,
      'Phases.Function': [0, 10],
      'Phases.Ns': [1200n, 800n],
      AnsweredBy: ANSWERED_BY.indexOf('upstream'),
      ConfigGeneration: 3,
      DeadlineMs: 901,
      Attempts: 2,
      AttemptBits: 7,
      'AttemptList.StartNs': [80_000n, 5_000_000n],
      'AttemptList.Ns': [2_020_000n, 2_900_000n],
      'AttemptList.WaitNs': [0n, 100_000n],
      'AttemptList.Status': [503, 200],
      'AttemptList.Bits': [3, 7],
    };
    for (const [column, value] of Object.entries(expected)) {
      assert.deepEqual(cell(column), value, column);
    }
    const sum = ['WaitNs', 'UpstreamNs', 'BackoffNs', 'OwnNs'].map((c) => cell(c) as bigint);
    assert.equal(
      sum.reduce((a, b) => a + b),
      cell('Duration'),
    );
  });

  it('leaves out the name, the direction and the packed bytes: other columns say the same', () => {
    const cell = stored();
    assert.equal(cell('SpanName'), undefined);
    assert.equal(cell('SpanAttributes'), undefined);
  });

  it('stores a name that is not method and route', () => {
    const shape = { ...SAMPLE_SHAPE, method: 'GET', route: '' };
    assert.equal(stored({ shape })('SpanName'), undefined);
    const body = hopMessage({ startUnixMs: NOW_MS });
    const at = body.indexOf('GET /products/{id}');
    body.write('PUT', at, 'latin1');
    assert.equal(nativeCell(decode(body), 'SpanName', 0), 'PUT /products/{id}');
  });

  it('leaves out a single attempt exactly when it follows from the other columns', () => {
    const cell = stored(oneAttempt);
    assert.equal(cell('AttemptList.Ns'), undefined);
    assert.equal(cell('Attempts'), 1);
    assert.equal(cell('AttemptBits'), 7);
    // It ended at the response's last byte and lasted UpstreamNs + WaitAttemptsNs.
    const end = (cell('Duration') as bigint) - (cell('TResLast') as bigint);
    const lasted = (cell('UpstreamNs') as bigint) + (cell('WaitAttemptsNs') as bigint);
    assert.equal(end - lasted, 80_000n);

    const differs = (change: (attempt: ReturnType<typeof workedHop>['attempts'][0]) => void) =>
      stored({
        change: (record) => {
          oneAttempt.change!(record);
          change(record.attempts[0]!);
        },
      })('AttemptList.Ns');
    assert.notEqual(
      differs((attempt) => (attempt.status = 503)),
      undefined,
    );
    assert.notEqual(
      differs((attempt) => (attempt.endMs -= 0.001)),
      undefined,
    );
  });

  it('marks time points that were not reached by -1', () => {
    const cell = stored({
      change: (record) => {
        record.timesMs.fill(NaN, 2, 7);
        record.attemptCount = 0;
        record.backoffMs = 0;
      },
    });
    assert.equal(cell('TUpLast'), -1n);
    assert.equal(cell('TResLast'), -1n);
    assert.equal(cell('TDownFirst'), -1n);
    assert.equal(cell('TUpFirst'), undefined);
    assert.equal(cell('AttemptList.Ns'), undefined);
  });

  it('reads hops of format attributes too, and their CLIENT spans as spans', () => {
    const block = decode(hopMessage({ startUnixMs: NOW_MS, hopFormat: 'attributes' }));
    assert.equal(block.rows, 3);
    assert.deepEqual(block.columns.get('HopVersion')!.values, [1, 0, 0]);
    assert.deepEqual(block.columns.get('SpanKind')!.values, [2, 3, 3]);
    assert.equal(nativeCell(block, 'BytesOut', 0), 1935n);
    assert.deepEqual(block.columns.get('Attempts')!.values, [2, 0, 0]);
  });

  it('keeps the packed bytes of a version from the future, and counts the hop', () => {
    const body = hopMessage({ startUnixMs: NOW_MS });
    const key = 'azimuth.hop';
    const versionAt = body.indexOf(key) + key.length + 4;
    assert.equal(body[versionAt - 2], 0x3a, 'layout of the attribute');
    const at = body[versionAt] === 1 ? versionAt : versionAt + 3;
    body[at] = 9;
    const block = decode(body);
    assert.equal(nativeCell(block, 'HopVersion', 0), 9);
    const extras = nativeCell(block, 'SpanAttributes', 0) as [string, string][];
    assert.deepEqual(
      extras.map(([name]) => name),
      [key, 'azimuth.traffic.direction'],
    );
    assert.equal(Buffer.from(extras[0]![1], 'base64')[0], 9);
  });
});
