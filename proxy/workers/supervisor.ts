/**
 * Keeps N workers: hands them connections in turn, replaces one that dies, restarts them one at a
 * time. Between the death of a worker and its replacement the others carry on; with none left,
 * connections wait, in bounds.
 *
 *   died ► reported with its boot id ► (back-off, when it died young) ► replacement
 *   restart: replacement ready ► old one drains ► next place
 */
import type { Socket } from 'node:net';
import type { ProxyPart } from '../../mesh/part.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import { noteEnd } from '../ended-boots.ts';
import { WorkerMembers, type Members } from './snapshots.ts';
import { WorkerProcess, type Connection } from './worker-process.ts';

/** Pause before a replacement of a worker that died young; doubles each time. */
const BACKOFF_MS = { least: 100, most: 10_000 };
/** A worker that lived so long had no fault of its own: its replacement starts at once. */
const STEADY_MS = 10_000;
/** Connections that wait while there is no worker; more are closed. As Linux's accept queues. */
const WAITING_MAX = 4_096;

export interface SupervisorSettings {
  /** Module that a worker runs. */
  readonly script: string;
  readonly part: ProxyPart;
  readonly stateFolder: string | undefined;
  readonly log: Log;
}

/** One of the N: the worker that serves there, and one that is about to. */
interface Place {
  readonly worker: number;
  current: WorkerProcess | undefined;
  next: WorkerProcess | undefined;
  diedYoung: number;
  timer: NodeJS.Timeout | undefined;
}

export class Supervisor {
  readonly members: Members;
  readonly #members = new WorkerMembers();
  readonly #settings: SupervisorSettings;
  readonly #places: Place[];
  readonly #waiting: Connection[] = [];
  #part: ProxyPart;
  #turn = 0;
  #stopping = false;
  #restarting: Promise<void> | undefined;
  #restartAgain = false;
  /** Workers that died unasked. */
  died = 0;
  /** Connections closed because no worker could take them. */
  refused = 0;
  #onBegin: ((error?: AzimuthError) => void) | undefined;

  constructor(settings: SupervisorSettings) {
    this.#settings = settings;
    this.#part = settings.part;
    this.members = this.#members;
    this.#places = Array.from({ length: settings.part.workers }, (_, worker) => ({
      worker,
      current: undefined,
      next: undefined,
      diedYoung: 0,
      timer: undefined,
    }));
  }

  /** Workers that take connections now. */
  get serving(): number {
    return this.#places.filter(({ current }) => current?.serves).length;
  }

  /** Resolves when all workers are ready; rejects when one of the first cannot begin. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onBegin = (error) => {
        if (error !== undefined) reject(error);
        else if (this.serving === this.#places.length) resolve();
        else return;
        this.#onBegin = undefined;
      };
      for (const place of this.#places) this.#fork(place);
    });
  }

  /** Hands a connection to the next worker in turn; one that lags is passed over. */
  connection(listener: string, socket: Socket): void {
    const worker = this.#nextInTurn();
    if (worker !== undefined) worker.take({ listener, socket });
    else if (this.#stopping || this.#waiting.length >= WAITING_MAX) {
      this.refused++;
      socket.destroy();
    } else {
      socket.on('error', () => socket.destroy());
      this.#waiting.push({ listener, socket });
    }
  }

  /** Hands a configuration to all workers, and to those to come. */
  apply(part: ProxyPart): void {
    this.#part = part;
    for (const { current, next } of this.#places) {
      current?.apply(part);
      next?.apply(part);
    }
  }

  /**
   * Replaces all workers, one at a time: the old one ends when the new one is ready. Resolves when
   * it is done or the process stops. A call while one is under way makes it go round once more.
   */
  restart(): Promise<void> {
    this.#restartAgain = true;
    this.#restarting ??= this.#restart().finally(() => {
      this.#restarting = undefined;
    });
    return this.#restarting;
  }

  /** Lets all workers drain and end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
    for (const { timer } of this.#places) clearTimeout(timer);
    const workers = this.#places.flatMap(({ current, next }) => [current, next]);
    await Promise.all(workers.map(async (worker) => worker?.retire()));
  }

  #nextInTurn(): WorkerProcess | undefined {
    const count = this.#places.length;
    let lagging: WorkerProcess | undefined;
    for (let i = 0; i < count; i++) {
      const { current } = this.#places[this.#turn]!;
      this.#turn = (this.#turn + 1) % count;
      if (current === undefined || !current.serves) continue;
      if (current.isPrompt) return current;
      lagging ??= current;
    }
    return lagging;
  }

  #fork(place: Place): WorkerProcess {
    const { script, stateFolder } = this.#settings;
    const worker = new WorkerProcess({
      script,
      worker: place.worker,
      part: this.#part,
      stateFolder,
      onReady: (ready) => this.#ready(place, ready),
      onLeaving: (leaving) => this.#replace(place, leaving),
      onReply: ({ member }, reply) => {
        if (member !== undefined) this.#members.receive(member, reply);
      },
      onExit: (gone, why, returned) => {
        this.#exited(place, gone, why);
        for (const { listener, socket } of returned) this.connection(listener, socket);
      },
    });
    place.next = worker;
    return worker;
  }

  #ready(place: Place, worker: WorkerProcess): void {
    const old = place.current;
    place.next = undefined;
    place.current = worker;
    this.#members.add(worker.member!, (question) => worker.ask(question));
    void old?.retire();
    for (const { listener, socket } of this.#waiting.splice(0)) this.connection(listener, socket);
    this.#onBegin?.();
  }

  /** A worker wants to end, or shall: its replacement comes first. */
  #replace(place: Place, worker: WorkerProcess): void {
    if (this.#stopping || place.current !== worker || place.next !== undefined) return;
    this.#fork(place);
  }

  #exited(place: Place, worker: WorkerProcess, why: string): void {
    const { log, stateFolder } = this.#settings;
    if (worker.member !== undefined) this.#members.remove(worker.member);
    const asked = place.current !== worker && place.next !== worker;
    if (place.current === worker) place.current = undefined;
    if (place.next === worker) place.next = undefined;
    if (asked || this.#stopping) return;
    this.died++;
    const livedMs = performance.now() - worker.startedMs;
    place.diedYoung = livedMs < STEADY_MS ? place.diedYoung + 1 : 0;
    const waitMs =
      place.diedYoung <= 1
        ? 0
        : Math.min(BACKOFF_MS.most, BACKOFF_MS.least * 2 ** (place.diedYoung - 2));
    log.error('worker died; it is replaced', {
      worker: worker.worker,
      pid: worker.pid,
      boot_id: worker.bootId,
      why,
      wait_ms: waitMs,
    });
    this.#onBegin?.(new AzimuthError('AZ_WORKER_FAILED', `worker ${worker.worker} did not begin: ${why}`)); // prettier-ignore
    const endedByMs = Date.now();
    // The note first: the replacement looks for it when it begins.
    const noted =
      stateFolder === undefined || worker.bootId === ''
        ? Promise.resolve()
        : noteEnd(stateFolder, this.#part.name, worker.bootId, endedByMs);
    void noted.then(() => {
      // One that was to replace a worker which lives needs no replacement itself.
      if (this.#stopping || place.current !== undefined) return;
      place.timer = setTimeout(() => {
        if (!this.#stopping && place.current === undefined && place.next === undefined) {
          this.#fork(place);
        }
      }, waitMs);
    });
  }

  /** Asked anew after each wait. */
  #isStopping(): boolean {
    return this.#stopping;
  }

  async #restart(): Promise<void> {
    while (this.#restartAgain && !this.#isStopping()) {
      this.#restartAgain = false;
      for (const place of this.#places) {
        const old = place.current;
        if (old === undefined || this.#isStopping()) continue;
        this.#replace(place, old);
        const replacement = place.next;
        // Ready, or dead: then the old one goes on, and so do the others.
        await Promise.race([old.gone, replacement?.gone]);
        if (place.current === old && !this.#isStopping()) {
          this.#settings.log.error('restart of the workers is given up: a new one did not begin', {
            worker: place.worker,
          });
          return;
        }
      }
      this.#settings.log.info('workers restarted', { workers: this.#places.length });
    }
  }
}
