/**
 * A running proxy in one process: listening sockets, data plane, admin application, and the order
 * in which they stop:
 *
 *     not ready ► no new connections ► data plane (data-plane.ts) ► admin
 *
 * Opens no socket before `start`. Gateway and sidecar are the same process with other listeners;
 * a proxy of several processes is workers/primary.ts.
 */
import type { ProxyPart } from '../mesh/part.ts';
import { messageOf } from '../runtime/errors.ts';
import type { HttpAppServer } from '../runtime/http-app.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import { createAdminApp } from './admin/admin-app.ts';
import { ConfigStatus, type ReloadOutcome } from './config-status.ts';
import { DataPlane, type DataPlaneSettings } from './data-plane.ts';
import { Listening } from './listening.ts';
import { warnOfOpenFiles } from './open-files-warning.ts';
import { planReload } from './reload-plan.ts';
import { snapshotTopics } from './snapshot-topics.ts';
import { createLocalMembers } from './workers/snapshots.ts';

export type ProxySettings = DataPlaneSettings;

/** A proxy as whoever runs it sees it, in one process or several. */
export interface RunningProxy extends Part {
  start(): Promise<void>;
  /** Resolves when the closing ledger was sent or given up. Safe to call twice. */
  stop(): Promise<void>;
  /** Port of a listener by its name, once started. */
  port(listenerName: string): number;
  adminPort(): number;
  /**
   * Takes a changed part without dropping a connection, or leaves all as it is. One after the
   * other: a second call waits for the first.
   */
  reload(part: ProxyPart): Promise<ReloadOutcome>;
  /** Takes note of a mesh file that could not even be read. */
  refuse(faults: readonly string[]): void;
  /** Replaces the workers one at a time; does nothing where there are none. */
  restartWorkers(): Promise<void>;
}

export interface Proxy extends RunningProxy {
  ledger(): Ledger;
  readonly bootId: string;
  /** The last ledger; there after `stop`. */
  readonly closingLedger: Ledger | undefined;
}

/** A proxy, not yet started. */
export function createProxy(settings: ProxySettings): Proxy {
  return new ProxyProcess(settings);
}

class ProxyProcess implements Proxy {
  readonly name: string;
  readonly #log: Log;
  readonly #plane: DataPlane;
  readonly #listening: Listening;
  readonly #admin: HttpAppServer;
  readonly #configStatus: ConfigStatus;
  #part: ProxyPart;
  #state: 'starting' | 'serving' | 'stopping' = 'starting';
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(settings: ProxySettings) {
    const { part } = settings;
    this.name = part.name;
    this.#part = part;
    this.#log = settings.log.with({ proxy: part.name });
    this.#plane = new DataPlane({ ...settings, log: this.#log });
    this.#listening = new Listening({
      onConnection: (listener, socket) => this.#plane.accept(listener, socket),
      log: this.#log,
    });
    this.#configStatus = new ConfigStatus(part.generation, this.#log);
    const member = { worker: 0, pid: process.pid, boot_id: this.bootId };
    this.#admin = createAdminApp({
      part,
      members: createLocalMembers(member, snapshotTopics(this.#plane)),
      configStatus: this.#configStatus,
      notReady: () => (this.#state === 'serving' ? undefined : `not ready: ${this.#state}`),
    });
  }

  get bootId(): string {
    return this.#plane.bootId;
  }

  get closingLedger(): Ledger | undefined {
    return this.#plane.closingLedger;
  }

  async start(): Promise<void> {
    const { role, listeners, limits } = this.#part;
    this.#plane.start();
    (await this.#listening.prepare(listeners)).commit();
    warnOfOpenFiles(limits, listeners.length, this.#log);
    await this.#admin.start();
    this.#state = 'serving';
    this.#log.info('ready', { role, admin: this.#admin.port(), boot_id: this.bootId });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  port(listenerName: string): number {
    return this.#listening.port(listenerName);
  }

  adminPort(): number {
    return this.#admin.port();
  }

  ledger(): Ledger {
    return this.#plane.ledger();
  }

  reload(part: ProxyPart): Promise<ReloadOutcome> {
    const reloading = this.#reloading.then(async () => {
      const outcome = await this.#reload(part);
      this.#configStatus.note(outcome);
      return outcome;
    });
    this.#reloading = reloading;
    return reloading;
  }

  refuse(faults: readonly string[]): void {
    this.#configStatus.note({ kind: 'refused', faults });
  }

  restartWorkers(): Promise<void> {
    this.#log.info('no workers to restart: this proxy is one process');
    return Promise.resolve();
  }

  async #reload(part: ProxyPart): Promise<ReloadOutcome> {
    const { unchanged, needsStart, needsWorker } = planReload(this.#part, part);
    if (unchanged) return { kind: 'unchanged' };
    const fixed = [...needsStart, ...needsWorker];
    if (fixed.length > 0) return { kind: 'refused', faults: fixed.map(needsNewProcess) };
    if (this.#state !== 'serving') return { kind: 'refused', faults: [`it is ${this.#state}`] };
    const next = { ...part, generation: this.#part.generation + 1 };
    try {
      const prepared = await this.#listening.prepare(next.listeners);
      this.#plane.apply(next);
      prepared.commit();
    } catch (error) {
      return { kind: 'refused', faults: [messageOf(error)] };
    }
    this.#part = next;
    return { kind: 'applied', generation: next.generation, restartsWorkers: false };
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    await this.#reloading;
    this.#listening.close();
    await this.#plane.stop();
    await this.#admin.stop();
  }
}

const needsNewProcess = (key: string): string =>
  `${key} cannot change while the proxy runs (start it again)`;
