/**
 * Sample hops for tests of the record's encodings: one that is worked out by hand in
 * docs/HOP-FORMAT.md, and the settings around it.
 */
import {
  ATTEMPT_BITS,
  createHopRecord,
  FUNCTIONS,
  type HopRecord,
  type HopShape,
  type ProxyFunction,
} from '../../telemetry/hop-record.ts';
import type { ResourceSettings } from '../../telemetry/span-writer.ts';

export const SAMPLE_ANCHOR_NS = 1_795_571_798_368_000_000n;
/** Monotonic reading at which the worked hop starts, milliseconds. */
export const SAMPLE_START_MS = 1000;

export const SAMPLE_RESOURCE: ResourceSettings = {
  serviceName: 'catalog',
  serviceNamespace: 'shop',
  serviceVersion: '1.4.2',
  instanceId: 'catalog-sidecar-1',
  host: 'node-1',
  zone: 'a',
  cluster: 'local',
  mesh: 'shop',
  topology: 'separate',
  proxyName: 'catalog-sidecar',
  proxyRole: 'sidecar',
  bootId: 'b0010203b0010203',
  clockId: 'c0010203c0010203',
};

const functions = (...names: ProxyFunction[]): number =>
  names.reduce((bits, name) => bits | (1 << FUNCTIONS.indexOf(name)), 0);

export const SAMPLE_SHAPE: HopShape = {
  side: 'inbound',
  edgeClass: 'bff_to_workload',
  method: 'GET',
  route: '/products/{id}',
  scheme: 'http',
  protocolVersion: '1.1',
  serverAddress: 'catalog',
  peer: 'web-bff',
  peerRole: 'bff',
  peerKnown: 'configuration',
  target: 'catalog',
  functions: functions('route', 'retry', 'trace_context'),
};

/** The worked example: two attempts, the first answered 503, back-off between, a client slow to read. */
export function workedHop(): HopRecord {
  const at = (offsetNs: number): number => SAMPLE_START_MS + offsetNs / 1e6;
  const record = createHopRecord();
  record.traceId.set([0x5e710985, 0xaa27ac78, 0xc0955c69, 0xa768ad9b]);
  record.spanId.set([0x54b92015, 0xc80bb030]);
  record.parentId.set([0xb69675a2, 0xf9c6fbd1]);
  record.traceFlags = 3;
  record.seq = 4711;
  record.timesMs.set(
    [0, 21_000, 80_000, 5_090_000, 7_500_000, 7_900_000, 7_520_000, 8_000_000].map(at),
  );
  record.waitMs = 0.13;
  record.backoffMs = 2.9;
  record.poolMs = 0.004;
  record.loopDelayMs = 0.02;
  record.bytesIn = 258;
  record.bytesOut = 1935;
  record.status = 200;
  record.answeredBy = 'upstream';
  record.configGeneration = 3;
  record.deadlineMs = 900;
  record.phaseNs[FUNCTIONS.indexOf('route')] = 1200;
  record.phaseNs[FUNCTIONS.indexOf('trace_context')] = 800;
  record.attemptCount = 2;
  record.attempts[0] = {
    startMs: at(80_000),
    endMs: at(2_100_000),
    waitMs: 0,
    connectMs: 0.35,
    status: 503,
    bits: ATTEMPT_BITS.meshed | ATTEMPT_BITS.answered,
  };
  record.attempts[1] = {
    startMs: at(5_000_000),
    endMs: at(7_900_000),
    waitMs: 0.1,
    connectMs: 0,
    status: 200,
    bits: ATTEMPT_BITS.meshed | ATTEMPT_BITS.answered | ATTEMPT_BITS.pooled,
  };
  return record;
}
