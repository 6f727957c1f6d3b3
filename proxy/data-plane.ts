/**
 * What carries requests and records them in one process: recorder, export queue, listeners made
 * ready, their connections. Listens on nothing: connections are handed to it (`accept`), by the
 * listening sockets of the same process or by the primary. The order in which it stops:
 *
 *     requests in flight finish (bounded) ► flush ► queue drained, the rest spooled ► closing
 *     ledger sent ► spool left to the next process of this name
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import type { Listener, ProxyPart } from '../mesh/part.ts';
import { clockId } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { openFilesMax } from '../runtime/open-files.ts';
import { realTimers, type Timers } from '../runtime/timers.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { ResourceSettings } from '../telemetry/resource.ts';
import type { Exporter } from '../transport/exporter.ts';
import { createExportQueue, type ExportQueue } from '../transport/export-queue.ts';
import { Spool } from '../transport/spool/spool.ts';
import { CounterFile } from './counter-file.ts';
import { Deadlines } from './deadlines.ts';
import { Doorway } from './doorway.ts';
import { plainArrival, type Arrival } from './identity/arrival.ts';
import { Credentials } from './identity/credentials.ts';
import { DownstreamConnection } from './downstream.ts';
import { EndedBoots } from './ended-boots.ts';
import { CORE_FUNCTIONS } from './exchange.ts';
import { ProcessLoad } from './admission.ts';
import { limitsOf, type Limits } from './limits.ts';
import { ListenerContext, type ProxyShared } from './listener-context.ts';
import { Recorder } from './recorder.ts';
import { RefusalLog } from './identity/refusal-log.ts';
import { truncateAddress } from './request-rules.ts';

/** Time that the last spans get to be acknowledged when the process stops. */
const QUEUE_DRAIN_MS = 3_000;
/** Time that the closing ledger gets; with the drains before it below the 15 s of a Lifecycle. */
const LEDGER_DRAIN_MS = 1_000;
/** How often faults are logged. */
const LOG_INTERVAL_MS = 10_000;

export interface DataPlaneSettings {
  readonly part: ProxyPart;
  readonly exporter: Exporter;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
  /** Given by tests that let time pass by hand; the process then starts no clock for it. */
  readonly deadlines?: Deadlines;
  /** Given by tests too; else the clock and timers of Node. */
  readonly timers?: Timers;
  /** Folder of the counter files; left out: none is written, and no ended boot is looked for. */
  readonly stateFolder?: string | undefined;
  /** See RecorderSettings. Only bench/ gives it. */
  readonly unrecorded?: boolean;
}

interface OpenListener {
  readonly context: ListenerContext;
  readonly connections: Set<DownstreamConnection>;
}

export class DataPlane {
  readonly bootId = randomBytes(8).toString('hex');
  /** Name of the proxy that it is part of. */
  readonly proxy: string;
  /** What it works by now; `apply` replaces it. */
  part: ProxyPart;
  /** The last ledger; there after `stop`. */
  closingLedger: Ledger | undefined;
  readonly #settings: DataPlaneSettings;
  readonly #log: Log;
  readonly limits: Limits;
  readonly load: ProcessLoad;
  readonly deadlines: Deadlines;
  readonly #exporter: Exporter;
  readonly queue: ExportQueue;
  readonly #spool: Spool | undefined;
  readonly recorder: Recorder;
  readonly #shared: ProxyShared;
  readonly credentials: Credentials;
  readonly #refusals: RefusalLog;
  readonly #listeners = new Map<string, OpenListener>();
  readonly #doorway = new Doorway((listenerName, socket) => this.#enter(listenerName, socket));
  /** Removed by a reload, until their last connection is gone. */
  readonly #leaving = new Set<OpenListener>();
  readonly #counterFile: CounterFile | undefined;
  readonly #endedBoots: EndedBoots | undefined;
  #onDrained: (() => void) | undefined;
  #stopping: Promise<void> | undefined;
  #faults = 0;
  #complainedAtMs = -Infinity;

  constructor(settings: DataPlaneSettings) {
    const { part, log, stateFolder } = settings;
    this.proxy = part.name;
    this.part = part;
    this.#settings = settings;
    this.#log = log;
    this.limits = { ...limitsOf(part.limits), ...settings.limits };
    this.load = new ProcessLoad(this.limits, openFilesMax());
    this.deadlines = settings.deadlines ?? new Deadlines();
    this.#exporter = settings.exporter;
    const resource = this.#resource();
    const { dir, bytes_max: bytesMax } = part.telemetry.spool;
    this.#spool = dir === undefined ? undefined : new Spool({ dir, bytesMax, resource, log });
    this.queue = createExportQueue({
      exporter: this.#exporter,
      itemsMax: part.telemetry.queue_hops_max,
      bytesMax: part.telemetry.queue_bytes_max,
      ageMaxMs: part.telemetry.age_max_ms,
      spool: this.#spool,
      log: this.#log,
    });
    if (stateFolder !== undefined) {
      this.#counterFile = new CounterFile(stateFolder, resource, log);
      this.#endedBoots = new EndedBoots({
        folder: stateFolder,
        proxy: part.name,
        mesh: part.mesh,
        ownBootId: this.bootId,
        exporter: settings.exporter,
        log,
      });
    }
    this.recorder = new Recorder({
      resource,
      hopFormat: part.telemetry.hop_format,
      flushIntervalMs: part.telemetry.flush_interval_ms,
      queue: this.queue,
      takeLoopDelayMs: () => this.deadlines.takeLateMaxMs(),
      onStatement: (ledger, unixNs) => this.#counterFile?.write(ledger, unixNs),
      onLedger: (ledger) => this.#spool?.keepLedger(ledger),
      unrecorded: settings.unrecorded ?? false,
    });
    this.credentials = new Credentials(part.files);
    this.#refusals = new RefusalLog(log);
    this.#shared = {
      limits: this.limits,
      deadlines: this.deadlines,
      timers: settings.timers ?? realTimers,
      load: this.load,
      recorder: this.recorder,
      log,
      pathMode: part.telemetry.path,
      generation: part.generation,
      functions: CORE_FUNCTIONS,
      credentials: this.credentials,
      identity: part.identity,
      onRefusal: (listener, reason, detail, address) =>
        this.#refusals.note({ listener, reason, detail, address: truncateAddress(address) }),
      onFault: (error) => {
        this.#faults++;
        this.#complain('fault on the data path, the request was ended', error);
      },
    };
    for (const listener of part.listeners) this.#open(listener);
  }

  /** Begins to record and to export. Opens the counter file; a failure of it is only logged. */
  start(): void {
    const { deadlines } = this.#settings;
    if (deadlines === undefined) this.deadlines.start();
    this.#counterFile?.open();
    this.recorder.start();
    this.#spool?.start({
      ledger: () => this.recorder.ledger(false),
      offerLedger: (body, bootId, onDelivered) =>
        this.queue.offerLatest({ signal: 'logs', body, items: 1 }, bootId, onDelivered),
      onFound: () => this.queue.wake(),
    });
    // The pipe may be away: requests are carried all the same, and the queue keeps trying.
    this.#exporter.start?.().catch((error: unknown) => {
      this.#log.warn('exporter did not start', { error: messageOf(error) });
    });
    this.#endedBoots?.start();
  }

  /**
   * Takes a connection that came in on a listener; it may be paused. Of many that come at once, most
   * wait for a later turn of the event loop. One of a listener just removed is closed.
   */
  accept(listenerName: string, socket: Socket): void {
    this.#doorway.arrived(listenerName, socket);
  }

  #enter(listenerName: string, socket: Socket): void {
    const listener = this.#listeners.get(listenerName);
    if (listener === undefined) {
      socket.destroy();
      return;
    }
    const { gate } = listener.context;
    if (gate === undefined) this.#serve(listener, plainArrival(socket));
    else gate.take(socket, (arrival) => this.#serve(listener, arrival));
  }

  #serve(listener: OpenListener, arrival: Arrival): void {
    const { context, connections } = listener;
    const connection = new DownstreamConnection(arrival, context, (closed) => {
      connections.delete(closed);
      if (connections.size > 0) return;
      if (this.#leaving.delete(listener)) context.close();
      if (this.#isDrained()) this.#onDrained?.();
    });
    connections.add(connection);
    if (context.draining) connection.drain();
  }

  /**
   * Swaps the configuration: from the next request on, also on open connections, it counts.
   * Listeners that are gone drain; what has not changed keeps its pools. Cannot fail.
   */
  apply(part: ProxyPart): void {
    // Whoever came by the old configuration gets in by it.
    this.#doorway.clear();
    this.part = part;
    this.#shared.generation = part.generation;
    this.#shared.identity = part.identity;
    const changedFiles = this.credentials.apply(part.files);
    const kept = new Set(part.listeners.map((listener) => listener.name));
    for (const [name, listener] of this.#listeners) {
      if (kept.has(name)) continue;
      this.#listeners.delete(name);
      drain(listener);
      if (listener.connections.size === 0) listener.context.close();
      else this.#leaving.add(listener);
    }
    for (const listener of part.listeners) {
      const open = this.#listeners.get(listener.name);
      if (open === undefined) this.#open(listener);
      else {
        open.context.apply(listener, changedFiles);
        // An authority may be gone, so whoever came by it comes again, to be judged anew.
        if (changedFiles.has(listener.tls?.client_ca ?? '')) {
          for (const connection of open.connections) connection.retire();
        }
      }
    }
  }

  /** Resolves when the closing ledger was sent or given up. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  ledger(): Ledger {
    return this.recorder.ledger(false);
  }

  /** Listeners in service, by name. */
  contexts(): ListenerContext[] {
    return [...this.#listeners.values()].map(({ context }) => context);
  }

  get generation(): number {
    return this.#shared.generation;
  }

  #open(listener: Listener): void {
    const context = new ListenerContext(listener, this.#shared);
    this.#listeners.set(listener.name, { context, connections: new Set() });
  }

  async #stop(): Promise<void> {
    this.#doorway.clear();
    const all = [...this.#listeners.values(), ...this.#leaving];
    for (const listener of all) drain(listener);
    await this.#requestsFinished();
    for (const { context } of all) context.gate?.close();
    for (const { connections } of all) for (const connection of connections) connection.cutOff();
    for (const { context } of all) context.close();
    this.deadlines.stop();
    this.recorder.stop();
    this.#endedBoots?.stop();
    this.recorder.flush();
    await this.queue.drain(QUEUE_DRAIN_MS);
    let ledgerDelivered = false;
    this.closingLedger = this.recorder.sendLedger(true, () => (ledgerDelivered = true));
    await this.queue.drain(LEDGER_DRAIN_MS);
    this.queue.close();
    await this.#spool?.close(this.closingLedger, ledgerDelivered);
    // Kept while nobody acknowledged the closing ledger: then the next start states it.
    await this.#counterFile?.close(ledgerDelivered);
    await this.#exporter.close();
  }

  #isDrained(): boolean {
    if (this.#leaving.size > 0) return false;
    for (const { connections } of this.#listeners.values()) if (connections.size > 0) return false;
    return true;
  }

  async #requestsFinished(): Promise<void> {
    if (this.#isDrained()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.limits.drainTimeoutMs);
      this.#onDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #resource(): ResourceSettings {
    const { part } = this.#settings;
    const workload = part.listeners[0]?.workload;
    return {
      serviceName: part.name,
      serviceNamespace: workload?.namespace ?? '',
      serviceVersion: workload?.version ?? '',
      instanceId: `${part.name}-${this.bootId}`,
      host: hostname(),
      zone: workload?.zone ?? '',
      cluster: part.cluster,
      mesh: part.mesh,
      topology: part.topology,
      proxyName: part.name,
      proxyRole: part.role,
      bootId: this.bootId,
      clockId: clockId(),
    };
  }

  #complain(message: string, error: unknown): void {
    const nowMs = performance.now();
    if (nowMs - this.#complainedAtMs < LOG_INTERVAL_MS) return;
    this.#complainedAtMs = nowMs;
    const stack = error instanceof Error ? error.stack : undefined;
    this.#log.error(message, { error: messageOf(error), faults: this.#faults, stack });
  }
}

function drain({ context, connections }: OpenListener): void {
  context.draining = true;
  for (const connection of connections) connection.drain();
}
