/**
 * Makes an existing application on npm http-proxy 1.18 write the same hop records as our own
 * gateway: `instrument(proxyServer, settings)`. Imports nothing of http-proxy; it listens to its
 * events and puts three passes of its own between its passes (`before`, public since 1.0):
 *
 *     begin │ deleteLength │ restore framing │ timeout │ XHeaders │ attempt │ stream
 *
 * Own time is an upper bound and says so (`azimuth.own_bound`): what http-proxy's pipes keep waiting
 * for a slow client cannot be told from its own work. Telemetry never holds up or fails a request.
 */
import { randomBytes } from 'node:crypto';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import type { Cluster, Listener, Route } from '../../mesh/part.ts';
import { parseTemplate } from '../../mesh/route-template.ts';
import { clockId } from '../../runtime/clock.ts';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { createLog } from '../../runtime/log.ts';
import { realTimers } from '../../runtime/timers.ts';
import { createExportQueue } from '../../transport/export-queue.ts';
import { createOtlpHttpExporter } from '../../transport/otlp-http-exporter.ts';
import { Deadlines } from '../deadlines.ts';
import { ProcessLoad } from '../admission.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { Credentials } from '../identity/credentials.ts';
import { ListenerContext } from '../listener-context.ts';
import { Recorder } from '../recorder.ts';
import { HttpProxyHop } from './http-proxy-hop.ts';

/** What `instrument` is told. */
export interface HttpProxySettings {
  /** Name of the proxy and of the gateway workload in every record: a DNS label. */
  readonly name: string;
  /** OTLP/HTTP base URL of the collector, such as `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  /** Name of the workload that it calls; one name, or by request from a bounded set. */
  readonly target?: string | ((request: IncomingMessage) => string);
  /**
   * Templates such as `/products/{id}`, the first that fits counts. A path that fits none is
   * recorded as `/*`: never as itself, which a client could make up.
   */
  readonly routes?: readonly string[];
  /** True when a sidecar of the mesh answers at the target: it is then told who calls. */
  readonly meshed?: boolean;
  /** Default `default`. */
  readonly mesh?: string;
  readonly namespace?: string;
  readonly version?: string;
  readonly zone?: string;
}

/** What became of the hops so far. */
export interface HttpProxyAccount {
  readonly finished: number;
  /** Acknowledged by the collector. */
  readonly emitted: number;
  /** Given up, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** A running instrumentation. */
export interface HttpProxyInstrumentation {
  readonly bootId: string;
  account(): HttpProxyAccount;
  /**
   * Sends what is left and the closing ledger, at most 4 s; call it when the last request is
   * answered. Until then its timers keep the process alive. Safe to call twice.
   */
  stop(): Promise<HttpProxyAccount>;
}

type Pass = (
  request: IncomingMessage,
  response: ServerResponse,
  options: { target?: unknown },
) => void;

/** What is used of http-proxy's ProxyServer; its published types leave `before` out. */
interface ProxyServer {
  before(type: 'web', passName: string, pass: Pass): void;
  on(
    event: 'proxyReq',
    listener: (proxyReq: ClientRequest, request: IncomingMessage) => void,
  ): unknown;
  on(
    event: 'proxyRes',
    listener: (proxyRes: IncomingMessage, request: IncomingMessage) => void,
  ): unknown;
}

const FLUSH_INTERVAL_MS = 200;
/** As the defaults of the mesh file. */
const QUEUE_HOPS_MAX = 65_536;
const QUEUE_BYTES_MAX = 33_554_432;
/** More targets than this share one name: they are label values. */
const TARGETS_MAX = 256;
const QUEUE_DRAIN_MS = 3_000;
const LEDGER_DRAIN_MS = 1_000;
/** How often faults of ours are logged. */
const LOG_INTERVAL_MS = 10_000;

/**
 * Records every request that `proxyServer.web` carries from now on, and guards it against two known
 * faults of http-proxy (docs/HTTP-PROXY.md). Throws AZ_USAGE when the server is none of http-proxy,
 * was instrumented before, or a setting cannot be read. Upgrades (`ws`) are carried unrecorded.
 */
export function instrument(
  proxyServer: { readonly web: (...given: never[]) => void },
  settings: HttpProxySettings,
): HttpProxyInstrumentation {
  const server = proxyServer as unknown as ProxyServer;
  if (typeof server.before !== 'function' || typeof server.on !== 'function') {
    throw new AzimuthError('AZ_USAGE', 'instrument: this is no ProxyServer of http-proxy 1.18');
  }
  if (INSTRUMENTED.has(server)) {
    throw new AzimuthError('AZ_USAGE', 'instrument: this ProxyServer is instrumented already');
  }
  const recording = new Recording(settings);
  INSTRUMENTED.add(server);

  const hops = new WeakMap<IncomingMessage, HttpProxyHop>();
  const framing = new WeakMap<IncomingMessage, string>();
  server.before('web', 'deleteLength', (request, response) => {
    const transferEncoding = request.headers['transfer-encoding'];
    if (transferEncoding !== undefined) framing.set(request, transferEncoding);
    recording.quietly(() => {
      // A second `web` for the same request is another attempt of the same hop.
      if (hops.has(request)) return;
      hops.set(request, new HttpProxyHop(recording.context(request), request, response));
    });
  });
  server.before('web', 'timeout', (request) => {
    // http-proxy replaces chunked framing of DELETE and OPTIONS by "content-length: 0" and sends the
    // body all the same: the upstream reads it as the next request (CVE-2026-29057).
    const transferEncoding = framing.get(request);
    if (transferEncoding === undefined || request.headers['transfer-encoding'] !== undefined)
      return;
    delete request.headers['content-length'];
    request.headers['transfer-encoding'] = transferEncoding;
  });
  server.before('web', 'stream', (request, _, { target }) => {
    recording.quietly(() => {
      if (target !== undefined) hops.get(request)?.startAttempt();
    });
  });
  server.on('proxyReq', (proxyReq, request) => {
    recording.quietly(() => hops.get(request)?.sent(proxyReq));
  });
  server.on('proxyRes', (proxyRes, request) => {
    recording.quietly(() => hops.get(request)?.answered(proxyRes));
  });
  return recording;
}

const INSTRUMENTED = new WeakSet<ProxyServer>();

/** Recorder and queue of one instrumented server, and a context for each target that it calls. */
class Recording implements HttpProxyInstrumentation {
  readonly bootId = randomBytes(8).toString('hex');
  readonly #settings: HttpProxySettings;
  readonly #queue: ReturnType<typeof createExportQueue>;
  readonly #exporter: ReturnType<typeof createOtlpHttpExporter>;
  readonly #recorder: Recorder;
  readonly #deadlines = new Deadlines();
  readonly #routes: readonly Pick<Route, 'template' | 'segments'>[];
  readonly #contexts = new Map<string, ListenerContext>();
  readonly #log = createLog();
  #stopping: Promise<HttpProxyAccount> | undefined;
  #complainedAtMs = -Infinity;

  constructor(settings: HttpProxySettings) {
    this.#settings = settings;
    this.#routes = [...(settings.routes ?? []), '/*'].map((template) => {
      const parsed = parseTemplate(template);
      if (!parsed.ok)
        throw new AzimuthError('AZ_USAGE', `instrument: route ${template} ${parsed.fault}`);
      return { template, segments: parsed.segments };
    });
    this.#exporter = exporterOf(settings.endpoint);
    this.#queue = createExportQueue({
      exporter: this.#exporter,
      itemsMax: QUEUE_HOPS_MAX,
      bytesMax: QUEUE_BYTES_MAX,
      log: this.#log,
    });
    const { name, mesh = 'default', namespace = '', version = '', zone = '' } = settings;
    this.#recorder = new Recorder({
      resource: {
        serviceName: name,
        serviceNamespace: namespace,
        serviceVersion: version,
        instanceId: `${name}-${this.bootId}`,
        host: hostname(),
        zone,
        cluster: 'local',
        mesh,
        topology: 'separate',
        proxyName: name,
        proxyRole: 'gateway',
        bootId: this.bootId,
        clockId: clockId(),
      },
      hopFormat: 'packed',
      flushIntervalMs: FLUSH_INTERVAL_MS,
      queue: this.#queue,
      takeLoopDelayMs: () => this.#deadlines.takeLateMaxMs(),
    });
    this.#deadlines.start();
    this.#recorder.start();
  }

  account(): HttpProxyAccount {
    const { hopsFinished, emitted, dropped } = this.#recorder.ledger(false);
    return { finished: hopsFinished, emitted, dropped };
  }

  stop(): Promise<HttpProxyAccount> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Does what belongs to the record; a fault in it is logged, and the request goes on. */
  quietly(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** The context of the target that a request goes to. */
  context(request: IncomingMessage): ListenerContext {
    const { target = 'upstream' } = this.#settings;
    const name = typeof target === 'string' ? target : target(request);
    const kept = this.#contexts.get(name);
    if (kept !== undefined) return kept;
    if (this.#contexts.size >= TARGETS_MAX) return this.#contexts.values().next().value!;
    const context = new ListenerContext(this.#listener(name), {
      limits: DEFAULT_LIMITS,
      // The application has its own connections: nothing is admitted here.
      load: new ProcessLoad(DEFAULT_LIMITS, Infinity),
      deadlines: this.#deadlines,
      timers: realTimers,
      recorder: this.#recorder,
      log: this.#log,
      pathMode: 'template',
      generation: 1,
      functions: 0,
      ownBound: 'upper_bound',
      // It ends no TLS itself; the server around it does.
      credentials: new Credentials(),
      identity: undefined,
      onRefusal: () => undefined,
      onFault: (error) => this.#complain(error),
    });
    this.#contexts.set(name, context);
    return context;
  }

  #complain(error: unknown): void {
    const nowMs = performance.now();
    if (nowMs - this.#complainedAtMs < LOG_INTERVAL_MS) return;
    this.#complainedAtMs = nowMs;
    this.#log.error('a request could not be recorded', { error: messageOf(error) });
  }

  async #stop(): Promise<HttpProxyAccount> {
    this.#deadlines.stop();
    this.#recorder.stop();
    this.#recorder.flush();
    await this.#queue.drain(QUEUE_DRAIN_MS);
    const account = this.account();
    this.#recorder.sendLedger(true);
    await this.#queue.drain(LEDGER_DRAIN_MS);
    this.#queue.close();
    await this.#exporter.close();
    return account;
  }

  #listener(target: string): Listener {
    const { name, namespace = '', version = '', zone = '', meshed = false } = this.#settings;
    // Endpoints are http-proxy's business: none is connected to here.
    const cluster: Cluster = {
      name: target,
      endpoints: [],
      meshed,
      role: 'workload',
      connect_timeout_ms: 0,
    };
    return {
      name: target,
      side: 'ingress',
      host: '',
      port: 0,
      mesh_only: false,
      workload: { name, namespace, version, zone, role: 'gateway' },
      routes: this.#routes.map((route) => ({
        ...route,
        hosts: [],
        methods: [],
        cluster,
        response_timeout_ms: 0,
        upgrades: [],
      })),
    };
  }
}

function exporterOf(endpoint: string): ReturnType<typeof createOtlpHttpExporter> {
  try {
    return createOtlpHttpExporter({ endpoint });
  } catch (error) {
    throw new AzimuthError('AZ_USAGE', `instrument: endpoint ${endpoint} is no URL`, {
      cause: error,
    });
  }
}
