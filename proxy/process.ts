/**
 * A running proxy from its part of the mesh file: listeners, recorder, export queue, admin
 * application, and the order in which they stop:
 *
 *     no new connections ► requests in flight finish (bounded) ► flush ► queue drained, the rest
 *     spooled ► closing ledger sent ► spool left to the next process of this name
 *
 * Opens no socket before `start`. Gateway and sidecar are the same process with other listeners.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { hostname } from 'node:os';
import type { ProxyPart } from '../mesh/part.ts';
import { clockId } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import { createHttpApp, listen, type HttpAppServer } from '../runtime/http-app.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { ResourceSettings } from '../telemetry/resource.ts';
import type { Exporter } from '../transport/exporter.ts';
import { createExportQueue, type ExportQueue } from '../transport/export-queue.ts';
import { Spool } from '../transport/spool/spool.ts';
import { Deadlines } from './deadlines.ts';
import { DownstreamConnection } from './downstream.ts';
import { CORE_FUNCTIONS } from './exchange.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { ListenerContext, type ProxyShared } from './listener-context.ts';
import { Recorder } from './recorder.ts';

/** Time that the last spans get to be acknowledged when the process stops. */
const QUEUE_DRAIN_MS = 3_000;
/** Time that the closing ledger gets; with all that comes before it below the 15 s of a Lifecycle. */
const LEDGER_DRAIN_MS = 1_000;
/** How often faults and accept errors are logged. */
const LOG_INTERVAL_MS = 10_000;

export interface ProxySettings {
  readonly part: ProxyPart;
  readonly exporter: Exporter;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
  /** Given by tests that let time pass by hand; the process then starts no clock for it. */
  readonly deadlines?: Deadlines;
}

export interface Proxy extends Part {
  start(): Promise<void>;
  /** Resolves when the closing ledger was sent or given up. Safe to call twice. */
  stop(): Promise<void>;
  /** Port of a listener by its name, once started. */
  port(listenerName: string): number;
  adminPort(): number;
  ledger(): Ledger;
  readonly bootId: string;
  /** The last ledger; there after `stop`. */
  readonly closingLedger: Ledger | undefined;
}

/** A proxy, not yet started. */
export function createProxy(settings: ProxySettings): Proxy {
  return new ProxyProcess(settings);
}

interface OpenListener {
  readonly context: ListenerContext;
  readonly server: Server;
}

class ProxyProcess implements Proxy {
  readonly name: string;
  readonly bootId = randomBytes(8).toString('hex');
  closingLedger: Ledger | undefined;
  readonly #settings: ProxySettings;
  readonly #log: Log;
  readonly #limits: Limits;
  readonly #deadlines: Deadlines;
  readonly #queue: ExportQueue;
  readonly #spool: Spool | undefined;
  readonly #recorder: Recorder;
  readonly #shared: ProxyShared;
  readonly #listeners: OpenListener[];
  readonly #connections = new Set<DownstreamConnection>();
  readonly #admin: HttpAppServer;
  #listening = false;
  #onDrained: (() => void) | undefined;
  #stopping: Promise<void> | undefined;
  #faults = 0;
  #complainedAtMs = -Infinity;

  constructor(settings: ProxySettings) {
    const { part, exporter, log } = settings;
    this.name = part.name;
    this.#settings = settings;
    this.#log = log.with({ proxy: part.name });
    this.#limits = { ...DEFAULT_LIMITS, ...settings.limits };
    this.#deadlines = settings.deadlines ?? new Deadlines();
    const resource: ResourceSettings = {
      serviceName: part.name,
      serviceNamespace: part.listeners[0]?.workload.namespace ?? '',
      serviceVersion: part.listeners[0]?.workload.version ?? '',
      instanceId: `${part.name}-${this.bootId}`,
      host: hostname(),
      zone: part.listeners[0]?.workload.zone ?? '',
      cluster: part.cluster,
      mesh: part.mesh,
      topology: part.topology,
      proxyName: part.name,
      proxyRole: part.role,
      bootId: this.bootId,
      clockId: clockId(),
    };
    const { dir, bytes_max: bytesMax } = part.telemetry.spool;
    this.#spool =
      dir === undefined ? undefined : new Spool({ dir, bytesMax, resource, log: this.#log });
    this.#queue = createExportQueue({
      exporter,
      itemsMax: part.telemetry.queue_hops_max,
      bytesMax: part.telemetry.queue_bytes_max,
      ageMaxMs: part.telemetry.age_max_ms,
      spool: this.#spool,
      log: this.#log,
    });
    this.#recorder = new Recorder({
      resource,
      hopFormat: part.telemetry.hop_format,
      flushIntervalMs: part.telemetry.flush_interval_ms,
      queue: this.#queue,
      takeLoopDelayMs: () => this.#deadlines.takeLateMaxMs(),
      onLedger: (ledger) => this.#spool?.keepLedger(ledger),
    });
    this.#shared = {
      limits: this.#limits,
      deadlines: this.#deadlines,
      recorder: this.#recorder,
      pathMode: part.telemetry.path,
      generation: part.generation,
      functions: CORE_FUNCTIONS,
      draining: false,
      onFault: (error) => {
        this.#faults++;
        this.#complain('fault on the data path, the request was ended', error);
      },
    };
    this.#listeners = part.listeners.map((listener) => this.#createListener(listener));
    this.#admin = createHttpApp(`${part.name}-admin`, {
      ...part.admin,
      notReady: () => (this.#listening && !this.#shared.draining ? undefined : 'not listening'),
      routes: (app) => {
        app.get('/ledger', (_, res) => {
          res.json({ proxy: part.name, boot_id: this.bootId, ...ledgerJson(this.ledger()) });
        });
      },
    });
  }

  async start(): Promise<void> {
    const { exporter, deadlines, part } = this.#settings;
    if (deadlines === undefined) this.#deadlines.start();
    this.#recorder.start();
    this.#spool?.start({
      ledger: () => this.#recorder.ledger(false),
      offerLedger: (body, bootId, onDelivered) =>
        this.#queue.offerLatest({ signal: 'logs', body, items: 1 }, bootId, onDelivered),
      onFound: () => this.#queue.wake(),
    });
    // The pipe may be away: requests are carried all the same, and the queue keeps trying.
    exporter.start?.().catch((error: unknown) => {
      this.#log.warn('exporter did not start', { error: messageOf(error) });
    });
    for (const { context, server } of this.#listeners) {
      const { host, port, name } = context.listener;
      await listen(server, host, port);
      server.on('error', (error) => this.#complain('accepting connections failed', error));
      this.#log.info('listening', { listener: name, host, port: portOf(server) });
    }
    await this.#admin.start();
    this.#listening = true;
    this.#log.info('ready', { role: part.role, admin: this.#admin.port(), boot_id: this.bootId });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  port(listenerName: string): number {
    const found = this.#listeners.find((l) => l.context.listener.name === listenerName);
    if (found === undefined) throw new Error(`no listener is called ${listenerName}`);
    return portOf(found.server);
  }

  adminPort(): number {
    return this.#admin.port();
  }

  ledger(): Ledger {
    return this.#recorder.ledger(false);
  }

  #createListener(listener: ProxyPart['listeners'][number]): OpenListener {
    const context = new ListenerContext(listener, this.#shared);
    // allowHalfOpen: we decide what the end of the client's side means, see downstream.ts.
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      this.#connections.add(
        new DownstreamConnection(socket, context, (connection) => {
          this.#connections.delete(connection);
          if (this.#connections.size === 0) this.#onDrained?.();
        }),
      );
    });
    return { context, server };
  }

  async #stop(): Promise<void> {
    this.#shared.draining = true;
    const closed = this.#listeners.map(
      ({ server }) =>
        new Promise<void>((resolve) => {
          if (server.listening) server.close(() => resolve());
          else resolve();
        }),
    );
    for (const connection of this.#connections) connection.drain();
    await this.#requestsFinished();
    for (const connection of this.#connections) connection.cutOff();
    await Promise.all(closed);
    for (const { context } of this.#listeners) for (const c of context.clusters) c.close();
    this.#deadlines.stop();
    this.#recorder.stop();
    this.#recorder.flush();
    await this.#queue.drain(QUEUE_DRAIN_MS);
    let ledgerDelivered = false;
    this.closingLedger = this.#recorder.sendLedger(true, () => (ledgerDelivered = true));
    await this.#queue.drain(LEDGER_DRAIN_MS);
    this.#queue.close();
    await this.#spool?.close(this.closingLedger, ledgerDelivered);
    await this.#settings.exporter.close();
    await this.#admin.stop();
  }

  async #requestsFinished(): Promise<void> {
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#limits.drainTimeoutMs);
      this.#onDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #complain(message: string, error: unknown): void {
    const nowMs = performance.now();
    if (nowMs - this.#complainedAtMs < LOG_INTERVAL_MS) return;
    this.#complainedAtMs = nowMs;
    const stack = error instanceof Error ? error.stack : undefined;
    this.#log.error(message, { error: messageOf(error), faults: this.#faults, stack });
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo | null)?.port ?? 0;

/** A ledger as it crosses process borders. */
export function ledgerJson(ledger: Ledger): Record<string, unknown> {
  return {
    last_seq: ledger.lastSeq,
    hops_finished: ledger.hopsFinished,
    emitted: ledger.emitted,
    dropped: ledger.dropped,
    spooled: ledger.spooled,
    attempts: ledger.attempts,
    cpu_ns: ledger.cpuNs,
    rss_bytes: ledger.rssBytes,
    loop_delay_ns: ledger.loopDelayNs,
    in_flight: ledger.inFlight,
    closing: ledger.closing,
  };
}
