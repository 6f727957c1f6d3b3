/**
 * A running proxy of several processes. This one, the primary, holds the listening sockets, the
 * admin address and the configuration, and carries no requests: it hands connections to its workers
 * in turn. One socket for all, because workers that race for connections share them badly, and
 * closing one of several sockets on a port resets what waits in its queue.
 *
 *     clients ─► listening socket (primary) ─connection─► worker 0, 1, … ─► upstream
 *     admin   ─► primary ─question─► every worker
 *
 *   stop: not ready ► no new connections ► every worker drains and ends ► admin
 */
import type { ProxyPart } from '../../mesh/part.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { HttpAppServer } from '../../runtime/http-app.ts';
import type { Log } from '../../runtime/log.ts';
import { createAdminApp } from '../admin/admin-app.ts';
import { ConfigStatus, type ReloadOutcome } from '../config-status.ts';
import { Listening } from '../listening.ts';
import { warnOfOpenFiles } from '../open-files-warning.ts';
import type { RunningProxy } from '../process.ts';
import { planReload } from '../reload-plan.ts';
import { Supervisor } from './supervisor.ts';

export interface PrimarySettings {
  readonly part: ProxyPart;
  /** Module that a worker process runs. */
  readonly script: string;
  /** Folder of the counter files; left out: none is written. */
  readonly stateFolder?: string | undefined;
  readonly log: Log;
}

/** A proxy of `part.workers` worker processes, not yet started. */
export function createPrimary(settings: PrimarySettings): RunningProxy {
  return new Primary(settings);
}

class Primary implements RunningProxy {
  readonly name: string;
  readonly #log: Log;
  readonly #supervisor: Supervisor;
  readonly #listening: Listening;
  readonly #admin: HttpAppServer;
  readonly #configStatus: ConfigStatus;
  #part: ProxyPart;
  #state: 'starting' | 'serving' | 'stopping' = 'starting';
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(settings: PrimarySettings) {
    const { part, script, stateFolder } = settings;
    this.name = part.name;
    this.#part = part;
    this.#log = settings.log.with({ proxy: part.name });
    this.#supervisor = new Supervisor({ part, script, stateFolder, log: this.#log });
    this.#listening = new Listening({
      onConnection: (listener, socket) => this.#supervisor.connection(listener, socket),
      log: this.#log,
    });
    this.#configStatus = new ConfigStatus(part.generation, this.#log);
    const noWorker = (): string | undefined =>
      this.#supervisor.serving > 0 ? undefined : 'no worker is ready';
    this.#admin = createAdminApp({
      part,
      members: this.#supervisor.members,
      configStatus: this.#configStatus,
      workerCounts: () => ({ died: this.#supervisor.died, refused: this.#supervisor.refused }),
      notReady: () => (this.#state === 'serving' ? noWorker() : `not ready: ${this.#state}`),
      unhealthy: () => (this.#state === 'serving' ? noWorker() : undefined),
    });
  }

  async start(): Promise<void> {
    const { role, workers, listeners, limits } = this.#part;
    // Workers first: a listening socket promises that somebody answers.
    await this.#supervisor.start();
    (await this.#listening.prepare(listeners)).commit();
    warnOfOpenFiles(limits, listeners.length, this.#log);
    await this.#admin.start();
    this.#state = 'serving';
    this.#log.info('ready', { role, admin: this.#admin.port(), workers });
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

  reload(part: ProxyPart): Promise<ReloadOutcome> {
    const reloading = this.#reloading.then(async () => {
      const outcome = await this.#reload(part);
      this.#configStatus.note(outcome);
      if (outcome.kind === 'applied' && outcome.restartsWorkers) void this.#supervisor.restart();
      return outcome;
    });
    this.#reloading = reloading;
    return reloading;
  }

  refuse(faults: readonly string[]): void {
    this.#configStatus.note({ kind: 'refused', faults });
  }

  restartWorkers(): Promise<void> {
    return this.#supervisor.restart();
  }

  async #reload(part: ProxyPart): Promise<ReloadOutcome> {
    const { unchanged, needsStart, needsWorker } = planReload(this.#part, part);
    if (unchanged) return { kind: 'unchanged' };
    if (needsStart.length > 0) {
      return {
        kind: 'refused',
        faults: needsStart.map(
          (key) => `${key} cannot change while the proxy runs (start it again)`,
        ),
      };
    }
    if (this.#state !== 'serving') return { kind: 'refused', faults: [`it is ${this.#state}`] };
    const next = { ...part, generation: this.#part.generation + 1 };
    try {
      const prepared = await this.#listening.prepare(next.listeners);
      this.#supervisor.apply(next);
      prepared.commit();
    } catch (error) {
      return { kind: 'refused', faults: [messageOf(error)] };
    }
    this.#part = next;
    const restartsWorkers = needsWorker.length > 0;
    return { kind: 'applied', generation: next.generation, restartsWorkers };
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    await this.#reloading;
    this.#listening.close();
    await this.#supervisor.stop();
    await this.#admin.stop();
  }
}
