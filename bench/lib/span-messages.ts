/**
 * Messages of spans for the collector benchmark, every span id in them unique and counted:
 *
 *   packed   what our proxies send: hops in `azimuth.hop` and semantic conventions, written by their
 *            own span writer; 24 processes of 12 services, 40 routes, 5 hops a trace, 1 % retries
 *   foreign  HTTP SERVER spans of somebody else's proxies: 20 span and 6 resource attributes
 *
 * Values follow a seeded generator: the same bytes but for the ids' base and the times.
 */
import { ATTEMPT_BITS, createHopRecord, type HopRecord } from '../../telemetry/hop-record.ts';
import { MessageWriter } from '../../telemetry/message-writer.ts';
import {
  createSpanWriter,
  type EncodedShape,
  type SpanWriter,
} from '../../telemetry/span-writer.ts';

export interface SpanMessages {
  /** The next message of `spans` spans; the caller owns it. */
  next(spans: number): Buffer;
}

const SERVICES = 12;
const PROCESSES = 24;
const ROUTES = 40;
const HOPS_PER_TRACE = 5;
const METHODS = ['GET', 'GET', 'GET', 'POST'] as const;
const STATUSES = [...Array<number>(95).fill(200), 201, 204, 404, 404, 503] as const;

/** Small, fast, seeded: [0, 1). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Milliseconds, most near `typical`, some ten times as long. */
const lognormal = (random: () => number, typical: number): number =>
  typical * Math.exp(random() + random() + random() - 1.5);

/** `base`: first word of every span id, so that two sets of messages never share one. */
export function packedMessages(base: number): SpanMessages {
  const random = generator(1);
  const anchorNs = (): bigint => BigInt(Date.now() - 60_000) * 1_000_000n;
  const clock = { anchorNs: anchorNs() };
  const processes = Array.from({ length: PROCESSES }, (_, p) => hopProcess(p, clock));
  const record = createHopRecord();
  record.attempts.push({ startMs: 0, endMs: 0, waitMs: 0, connectMs: 0, status: 0, bits: 0 });
  let messages = 0;
  let n = 0;
  return {
    next(spans) {
      clock.anchorNs = anchorNs();
      const { writer, shapes } = processes[messages++ % PROCESSES]!;
      for (let i = 0; i < spans; i++, n++) {
        const shape = shapes[Math.floor(random() * random() * shapes.length)]!;
        fillHop(record, base, n, random);
        writer.write(0, shape, record);
      }
      const message = writer.take();
      if (message?.items !== spans) throw new Error('the span writer left hops out');
      return message.body;
    },
  };
}

function hopProcess(
  p: number,
  clock: { readonly anchorNs: bigint },
): { writer: SpanWriter; shapes: EncodedShape[] } {
  const service = `service-${p % SERVICES}`;
  const writer = createSpanWriter({
    clock,
    hopFormat: 'packed',
    bytesMax: 16 * 1024 * 1024,
    onFull: () => undefined,
  });
  writer.lane({
    serviceName: service,
    serviceNamespace: 'bench',
    serviceVersion: '1.4.2',
    instanceId: `${service}-${p}`,
    host: `node-${p % 6}`,
    zone: 'a',
    cluster: 'local',
    mesh: 'bench',
    topology: 'separate',
    proxyName: `${service}-sidecar`,
    proxyRole: 'sidecar',
    bootId: `b${String(p).padStart(15, '0')}`,
    clockId: `c${String(p % 6).padStart(15, '0')}`,
  });
  const shapes = Array.from({ length: ROUTES }, (_, r) =>
    writer.shape({
      side: 'inbound',
      edgeClass: r % 5 === 0 ? 'bff_to_workload' : 'workload_to_workload',
      method: METHODS[r % METHODS.length]!,
      route: `/api/v1/things-${r}/{id}`,
      scheme: 'http',
      protocolVersion: '1.1',
      serverAddress: service,
      peer: `service-${(p + r) % SERVICES}`,
      peerRole: 'workload',
      peerKnown: 'configuration',
      target: service,
      functions: 1,
    }),
  );
  return { writer, shapes };
}

function fillHop(record: HopRecord, base: number, n: number, random: () => number): void {
  const trace = Math.floor(n / HOPS_PER_TRACE);
  record.traceId[0] = Math.imul(trace + 1, 0x9e3779b1);
  record.traceId[1] = base;
  record.traceId[2] = Math.imul(trace + 1, 0x85ebca6b);
  record.traceId[3] = trace;
  record.spanId[0] = base;
  record.spanId[1] = n << 4;
  const isRoot = n % HOPS_PER_TRACE === 0;
  record.parentId[0] = isRoot ? 0 : base;
  record.parentId[1] = isRoot ? 0 : ((n - 1) << 4) | 1;
  record.traceFlags = 3;
  record.seq = n + 1;
  const start = random() * 1000;
  const upstreamMs = lognormal(random, 8);
  const sent = start + 0.05 + random() * 0.1;
  const got = sent + upstreamMs;
  const end = got + 0.03 + random() * 0.05;
  record.timesMs.set([start, start + 0.02, sent, sent + 0.01, got - 0.2, got, got - 0.1, end]);
  record.waitMs = 0;
  record.poolMs = 0.004;
  record.loopDelayMs = 0.02;
  record.bytesIn = 200 + Math.floor(random() * 400);
  record.bytesOut = 300 + Math.floor(random() * 4000);
  const status = STATUSES[Math.floor(random() * STATUSES.length)]!;
  record.status = status;
  record.errorType = status >= 500 ? String(status) : '';
  record.answeredBy = 'upstream';
  record.configGeneration = 1;
  record.phaseNs[0] = 800 + Math.floor(random() * 500);
  const bits = ATTEMPT_BITS.meshed | ATTEMPT_BITS.answered | ATTEMPT_BITS.pooled;
  const retried = random() < 0.01;
  record.attemptCount = retried ? 2 : 1;
  record.backoffMs = retried ? upstreamMs * 0.1 : 0;
  const first = record.attempts[0]!;
  const last = record.attempts[retried ? 1 : 0]!;
  Object.assign(first, { startMs: sent, endMs: sent + upstreamMs * 0.4, status: 503, bits });
  Object.assign(last, {
    startMs: retried ? sent + upstreamMs * 0.5 : sent,
    endMs: got,
    status,
    bits,
  });
}

/** A KeyValue with its tag, as an attribute of a span (field 9). */
const textAttribute = (key: string, value: string): Buffer =>
  new MessageWriter().begin(9).string(1, key).begin(2).string(1, value).end().end().finish();
const intAttribute = (key: string, value: number): Buffer =>
  new MessageWriter().begin(9).string(1, key).begin(2).varint(3, value).end().end().finish();

const list = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

export function foreignMessages(base: number): SpanMessages {
  const random = generator(2);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const constant = Buffer.concat([
    textAttribute('url.scheme', 'https'),
    textAttribute('network.protocol.name', 'http'),
    textAttribute('network.protocol.version', '1.1'),
    textAttribute('network.transport', 'tcp'),
    textAttribute('server.address', 'shop.example.com'),
    intAttribute('server.port', 443),
  ]);
  const methods = METHODS.map((method) => textAttribute('http.request.method', method));
  const routes = list(ROUTES, (r) => textAttribute('http.route', `/api/v1/things-${r}/{id}`));
  const names = list(ROUTES, (r) => Buffer.from(`GET /api/v1/things-${r}/{id}`));
  const statuses = STATUSES.map((status) => intAttribute('http.response.status_code', status));
  const clients = list(500, (c) => textAttribute('client.address', `10.1.${c % 200}.${c % 250}`));
  const peers = list(24, (p) => textAttribute('network.peer.address', `10.0.0.${p}`));
  const agents = list(20, (a) =>
    textAttribute('user_agent.original', `Mozilla/5.0 (X11; Linux x86_64) Agent/${a}.0`),
  );
  const clusters = list(SERVICES, (s) =>
    textAttribute('upstream_cluster', `outbound|80||service-${s}`),
  );
  const threads = list(8, (t) =>
    Buffer.concat([intAttribute('thread.id', t), textAttribute('thread.name', `worker-${t}`)]),
  );
  const resources = list(PROCESSES, (p) => {
    const writer = new MessageWriter().begin(1);
    for (const [key, value] of [
      ['service.name', `service-${p % SERVICES}`],
      ['service.version', '2.0.1'],
      ['service.instance.id', `instance-${p}`],
      ['host.name', `node-${p % 6}`],
      ['k8s.namespace.name', 'shop'],
      ['telemetry.sdk.language', 'cpp'],
    ] as const)
      writer.begin(1).string(1, key).begin(2).string(1, value).end().end();
    return writer.end().finish();
  });
  const scope = new MessageWriter().begin(1).string(1, 'envoy').end().finish();
  let messages = 0;
  let n = 0;
  const ids = Buffer.alloc(16);
  const span = (nowNs: bigint): Buffer => {
    const trace = Math.floor(n / HOPS_PER_TRACE);
    ids.writeInt32BE(Math.imul(trace + 1, 0x9e3779b1), 0);
    ids.writeUInt32BE(base, 4);
    ids.writeInt32BE(Math.imul(trace + 1, 0x85ebca6b), 8);
    ids.writeUInt32BE(trace, 12);
    const writer = new MessageWriter().bytes(1, ids);
    ids.writeUInt32BE(base, 0);
    ids.writeUInt32BE(n, 4);
    writer.bytes(2, ids.subarray(0, 8));
    if (n % HOPS_PER_TRACE > 0) {
      ids.writeUInt32BE(n - 1, 4);
      writer.bytes(4, ids.subarray(0, 8));
    }
    const route = Math.floor(random() * random() * ROUTES);
    const startNs = nowNs + BigInt(Math.floor(random() * 1e9));
    writer
      .bytes(5, names[route]!)
      .varint(6, 2)
      .fixed64(7, startNs)
      .fixed64(8, startNs + BigInt(Math.floor(lognormal(random, 8) * 1e6)));
    n++;
    return Buffer.concat([
      writer.finish(),
      pick(methods),
      textAttribute('url.path', `/api/v1/things-${route}/${Math.floor(random() * 1e8)}`),
      routes[route]!,
      pick(statuses),
      constant,
      pick(clients),
      intAttribute('client.port', 30_000 + Math.floor(random() * 30_000)),
      pick(peers),
      intAttribute('network.peer.port', 8000 + Math.floor(random() * 40)),
      pick(agents),
      intAttribute('http.request.body.size', Math.floor(random() * 2000)),
      intAttribute('http.response.body.size', Math.floor(random() * 20_000)),
      pick(clusters),
      pick(threads),
    ]);
  };
  return {
    next(spans) {
      const nowNs = BigInt(Date.now() - 60_000) * 1_000_000n;
      const scopeSpans = new MessageWriter();
      for (let i = 0; i < spans; i++) scopeSpans.bytes(2, span(nowNs));
      const inner = Buffer.concat([scope, scopeSpans.finish()]);
      const resource = resources[messages++ % PROCESSES]!;
      const resourceSpans = Buffer.concat([resource, new MessageWriter().bytes(2, inner).finish()]);
      return new MessageWriter().bytes(1, resourceSpans).finish();
    },
  };
}
