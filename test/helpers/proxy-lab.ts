/**
 * A proxy over loopback with a scripted upstream and raw clients: what goes over each socket is
 * plain text, what was recorded comes back decoded. Time does not pass by itself: deadlines are
 * moved by `advance`, the clock of the record by `elapse`.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { FunctionsPart } from '../../mesh/functions.ts';
import type { Cluster, Listener, ProxyPart, Route } from '../../mesh/part.ts';
import { DEFAULT_LIMITS_PART } from '../../mesh/limits.ts';
import { parseTemplate } from '../../mesh/route-template.ts';
import { Deadlines } from '../../proxy/deadlines.ts';
import { DEFAULT_LIMITS, type Limits } from '../../proxy/limits.ts';
import { createProxy, type Proxy } from '../../proxy/process.ts';
import type { Issued } from '../../runtime/certificate-authority.ts';
import { silentLog, type Log } from '../../runtime/log.ts';
import { RESPONSE_FLAGS } from '../../telemetry/hop-record.ts';
import { TUNNEL } from '../../telemetry/names.ts';
import { readSpans, type Span } from '../../telemetry/otlp-objects.ts';
import { decodeHop, type PackedHop } from '../../telemetry/packed-hop.ts';
import type { Exporter, OutboundMessage } from '../../transport/exporter.ts';
import { ManualTimers } from './manual-timers.ts';
import { RawPeer, Signal } from './raw-peer.ts';
import { until } from './until.ts';

/** What an upstream does with what it received: called after each packet and each new connection. */
export type Script = (peer: RawPeer, index: number) => void;

export class FakeUpstream {
  readonly peers: RawPeer[] = [];
  readonly server: net.Server;
  readonly #signal = new Signal();

  /** `keepsHalfOpen`: does not end its side when the other has ended. */
  constructor(script: Script, keepsHalfOpen = false) {
    this.server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const index = this.peers.length;
      const peer = new RawPeer(socket, () => {
        script(peer, index);
        this.#signal.fire();
      });
      this.peers.push(peer);
      if (!keepsHalfOpen) socket.on('end', () => socket.end());
      this.#signal.fire();
    });
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  async until(condition: (upstream: this) => boolean): Promise<void> {
    await this.#signal.until(() => condition(this));
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  stop(): void {
    for (const { socket } of this.peers) socket.destroy();
    this.server.close();
  }
}

/** Answers each complete head with the same bytes. For requests without a body. */
export const answering = (answer: string): Script => {
  const answered = new WeakMap<RawPeer, number>();
  return (peer) => {
    const heads = peer.received.split('\r\n\r\n').length - 1;
    for (let done = answered.get(peer) ?? 0; done < heads; done++) peer.send(answer);
    answered.set(peer, heads);
  };
};

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A hop as it was recorded. */
export interface RecordedHop {
  readonly span: Span;
  readonly hop: PackedHop;
  readonly durationNs: number;
  readonly ownNs: number;
  readonly upstreamNs: number;
  readonly status: number;
  readonly flags: readonly string[];
  readonly answeredBy: string;
  readonly attribute: (name: string) => unknown;
}

export interface LimitsState {
  readonly connections: number;
  readonly connections_max: number;
  readonly requests_in_flight: number;
  readonly held_bytes: number;
  readonly held_peak_bytes: number;
  readonly listener: {
    readonly connections: number;
    readonly refused: Readonly<Record<string, number>>;
    readonly tls?: { readonly handshakes: number };
  };
}

/** The state of a proxy with one process and one listener from the answer of `/limits`. */
export function limitsState(answer: unknown): LimitsState {
  const { workers } = answer as {
    workers: [LimitsState & { listeners: [LimitsState['listener']] }];
  };
  return { ...workers[0], listener: workers[0].listeners[0] };
}

/** Whatever a route may say beside its path; the cluster is the scripted upstream. */
type LabRoute = Partial<Route> & { readonly path: string };

export interface LabSettings {
  readonly script?: Script;
  readonly side?: Listener['side'];
  readonly meshOnly?: boolean;
  readonly meshed?: boolean;
  /** Role of the target; `external` makes an egress. */
  readonly targetRole?: Cluster['role'];
  readonly routes?: readonly LabRoute[];
  /** Functions of the only route `/*`; with `routes` each names its own. */
  readonly functions?: FunctionsPart;
  /** The ingress of a merged BFF instead of a gateway. */
  readonly merged?: boolean;
  /** The scripted upstream does not end its side when the other has ended. */
  readonly keepsHalfOpen?: boolean;
  readonly responseTimeoutMs?: number;
  readonly limits?: Partial<Limits>;
  /** Endpoints instead of the scripted upstream. */
  readonly endpoints?: Cluster['endpoints'];
  readonly balance?: 'least_load' | 'round_robin';
  readonly pathMode?: 'template' | 'hash' | 'keep';
  readonly exporter?: Exporter;
  readonly telemetry?: Partial<ProxyPart['telemetry']>;
  /** TLS of the listener, of calls, and the content of the files that they name. */
  readonly tls?: Listener['tls'];
  readonly clusterTls?: Cluster['tls'];
  readonly identity?: ProxyPart['identity'];
  readonly files?: Readonly<Record<string, string>>;
  readonly log?: Log;
  readonly trustedHops?: number;
}

export class ProxyLab {
  readonly upstream: FakeUpstream;
  readonly deadlines = new Deadlines();
  /** Of timeouts and pauses that are finer than deadlines. */
  readonly timers = new ManualTimers();
  proxy!: Proxy;
  readonly messages: OutboundMessage[] = [];
  readonly #hops: RecordedHop[] = [];
  readonly #tunnels: Span[] = [];
  readonly #signal = new Signal();
  readonly #clients: RawPeer[] = [];
  readonly #settings: LabSettings;
  #elapsedMs = 0;
  #realNow: (() => number) | undefined;

  constructor(settings: LabSettings) {
    this.#settings = settings;
    this.upstream = new FakeUpstream(settings.script ?? answering(OK), settings.keepsHalfOpen);
  }

  async start(): Promise<this> {
    await this.upstream.start();
    this.proxy = createProxy({
      part: this.part,
      exporter: this.#settings.exporter ?? this.#exporter(),
      log: this.#settings.log ?? silentLog,
      deadlines: this.deadlines,
      timers: this.timers,
      ...(this.#settings.limits === undefined ? {} : { limits: this.#settings.limits }),
    });
    await this.proxy.start();
    return this;
  }

  async stop(): Promise<void> {
    if (this.#realNow !== undefined) performance.now = this.#realNow;
    for (const { socket } of this.#clients) socket.destroy();
    await this.stopProxy();
    this.upstream.stop();
  }

  /** Lets the proxy drain, and the time pass that idle connections get. */
  async stopProxy(): Promise<void> {
    const stopped = this.proxy.stop();
    await new Promise((resolve) => setImmediate(resolve));
    this.advance(DEFAULT_LIMITS.drainIdleTimeoutMs);
    await stopped;
  }

  get port(): number {
    return this.proxy.port('main');
  }

  /** What `/limits` of the admin application says of the process and its one listener. */
  async limits(): Promise<LimitsState> {
    const answer = await fetch(`http://127.0.0.1:${this.proxy.adminPort()}/limits`);
    return limitsState(await answer.json());
  }

  /** Resolves when what `limits` tells meets the condition. */
  async until(condition: (state: LimitsState) => boolean): Promise<LimitsState> {
    return until(async () => {
      const state = await this.limits();
      return condition(state) && state;
    });
  }

  async connect(): Promise<RawPeer> {
    const socket = net.connect({ port: this.port, host: '127.0.0.1' });
    const client = new RawPeer(socket);
    this.#clients.push(client);
    await once(socket, 'connect');
    return client;
  }

  /** As `connect`, over TLS, with a certificate and the authority of the proxy's. */
  async connectTls(own: Issued, authority: Issued): Promise<RawPeer> {
    const socket = tls.connect({
      port: this.port,
      host: '127.0.0.1',
      cert: own.cert,
      key: own.key,
      ca: authority.cert,
      // Its name is an id; who it is concerns other tests.
      rejectUnauthorized: false,
    });
    const client = new RawPeer(socket);
    this.#clients.push(client);
    await once(socket, 'secureConnect');
    return client;
  }

  /** Sends on a new connection and returns what comes back once it holds `until`. */
  async exchange(request: string, until: string): Promise<string> {
    const client = await this.connect();
    return client.send(request).until(until);
  }

  /** Lets deadlines and timers pass. */
  advance(ms: number): void {
    this.deadlines.advance(ms);
    this.timers.advance(ms);
  }

  /** Resolves when as many timers wait as `count`. */
  async untilTimers(count: number): Promise<void> {
    await until(() => this.timers.waiting === count);
  }

  /** Lets the clock of the record go on by `ms`, at once. */
  elapse(ms: number): void {
    if (this.#realNow === undefined) {
      const realNow = performance.now.bind(performance);
      this.#realNow = realNow;
      performance.now = () => realNow() + this.#elapsedMs;
    }
    this.#elapsedMs += ms;
  }

  /** The first `count` hops in the order of their sequence. */
  async hops(count: number): Promise<readonly RecordedHop[]> {
    await this.#signal.until(() => this.#hops.length >= count);
    return [...this.#hops].sort((a, b) => a.hop.seq - b.hop.seq);
  }

  /** The first `count` intervals of tunnels, in the order in which they were written. */
  async tunnelIntervals(count: number): Promise<readonly Span[]> {
    await this.#signal.until(() => this.#tunnels.length >= count);
    return this.#tunnels;
  }

  /** The first hop that meets the condition. */
  async hopWhere(condition: (hop: RecordedHop) => boolean): Promise<RecordedHop> {
    await this.#signal.until(() => this.#hops.some(condition));
    return this.#hops.find(condition)!;
  }

  async hop(): Promise<RecordedHop> {
    return (await this.hops(1))[0]!;
  }

  #exporter(): Exporter {
    return {
      name: 'recording',
      concurrency: 1,
      send: (message) => {
        this.messages.push(message);
        if (message.signal === 'traces') {
          const spans = readSpans(message.body);
          this.#hops.push(...spans.filter((s) => s.attributes.has('azimuth.hop')).map(recordedHop));
          this.#tunnels.push(...spans.filter((s) => s.attributes.has(TUNNEL.interval)));
        }
        this.#signal.fire();
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
  }

  get part(): ProxyPart {
    return this.partAt();
  }

  /** The part of the proxy; with the port of an upstream, also of a lab that was not started. */
  partAt(upstreamPort?: number): ProxyPart {
    const { side = 'ingress', meshed = true, targetRole = 'workload' } = this.#settings;
    const cluster: Cluster = {
      name: 'catalog',
      endpoints: this.#settings.endpoints ?? [
        { host: '127.0.0.1', port: upstreamPort ?? this.upstream.port },
      ],
      meshed,
      role: targetRole,
      connect_timeout_ms: 1_000,
      balance: this.#settings.balance ?? 'least_load',
      tls: this.#settings.clusterTls,
    };
    const { functions: only } = this.#settings;
    const all: LabRoute = { path: '/*', ...(only === undefined ? {} : { functions: only }) };
    const routes = (this.#settings.routes ?? [all]).map(({ path, ...rest }): Route => {
      const parsed = parseTemplate(path);
      if (!parsed.ok) throw new Error(parsed.fault);
      return {
        template: path,
        segments: parsed.segments,
        hosts: [],
        methods: [],
        cluster,
        response_timeout_ms: this.#settings.responseTimeoutMs ?? 15_000,
        upgrades: [],
        ...rest,
      };
    });
    const isMerged = this.#settings.merged ?? false;
    const isGateway = side === 'ingress' && !isMerged;
    return {
      mesh: 'test',
      topology: 'separate',
      cluster: 'local',
      name: 'proxy-under-test',
      role: isGateway ? 'gateway' : 'sidecar',
      generation: 7,
      workers: 1,
      limits: DEFAULT_LIMITS_PART,
      admin: { host: '127.0.0.1', port: 0 },
      telemetry: {
        transport: 'otlp',
        otlp: { endpoint: '', compression: 'none' },
        kafka: { brokers: [], topic_spans: '', topic_logs: '', compression: 'none' },
        hop_format: 'packed',
        path: this.#settings.pathMode ?? 'template',
        flush_interval_ms: 2,
        queue_bytes_max: 10_000_000,
        queue_hops_max: 100_000,
        age_max_ms: 86_400_000,
        spool: { bytes_max: 0 },
        ...this.#settings.telemetry,
      },
      listeners: [
        {
          name: 'main',
          side,
          host: '127.0.0.1',
          port: 0,
          mesh_only: this.#settings.meshOnly ?? false,
          workload: {
            name: isGateway ? 'edge' : 'orders',
            namespace: 'shop',
            version: '1.0.0',
            zone: 'a',
            role: isMerged ? 'gateway_bff' : isGateway ? 'gateway' : 'workload',
          },
          routes,
          tls: this.#settings.tls,
          trusted_hops: this.#settings.trustedHops,
        },
      ],
      identity: this.#settings.identity,
      files: this.#settings.files,
    };
  }
}

export function recordedHop(span: Span): RecordedHop {
  const hop = decodeHop(span.attributes.get('azimuth.hop') as Uint8Array);
  const attribute = (name: string): unknown => span.attributes.get(name);
  const number = (name: string): number => Number(span.attributes.get(name) ?? 0);
  return {
    span,
    hop,
    durationNs: Number(span.endTimeUnixNano - span.startTimeUnixNano),
    ownNs: number('azimuth.own_ns'),
    upstreamNs: number('azimuth.upstream_ns'),
    status: number('http.response.status_code'),
    flags: RESPONSE_FLAGS.filter((_, bit) => (hop.flags >> bit) & 1),
    answeredBy: ['', 'upstream', 'proxy', 'client_gone'][hop.answeredBy] ?? '?',
    attribute,
  };
}

/** Runs `body` with a started lab and stops it afterwards. */
export async function withLab(
  settings: LabSettings,
  body: (lab: ProxyLab) => Promise<void>,
): Promise<void> {
  const lab = await new ProxyLab(settings).start();
  try {
    await body(lab);
  } finally {
    await lab.stop();
  }
}

/** GET with a Host, more header lines in front of the empty one. */
export const get = (path: string, ...lines: string[]): string =>
  [`GET ${path} HTTP/1.1`, 'Host: shop.example', ...lines, '', ''].join('\r\n');
