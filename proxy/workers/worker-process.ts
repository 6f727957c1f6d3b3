/**
 * One worker process as its primary sees it, from fork to exit:
 *
 *   Starting ─ready─► Serving ─retire─► Draining ─exit─► Gone
 *       └──────────────── died ──────────────────────────►
 *
 * Knows nothing of the others and does not replace itself; supervisor.ts does.
 */
import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { ProxyPart } from '../../mesh/part.ts';
import { START_FLAGS } from '../../runtime/young-generation.ts';
import type { ToPrimary, ToWorker } from './messages.ts';
import type { Member, Question, Reply } from './snapshots.ts';

/** Time from fork to ready; a machine under load takes seconds to start Node. */
const START_DEADLINE_MS = 30_000;
/**
 * Time from the word to stop to the exit: the worker's own bounds (10 s for requests, 3 s for
 * spans, 1 s for the ledger) and a little, below the 15 s that the primary itself has.
 */
const STOP_DEADLINE_MS = 14_500;
/** Connections on their way to a worker that does not take them; with more it is passed over. */
const BACKLOG_MAX = 64;

export interface WorkerProcessSettings {
  /** Module that the process runs. */
  readonly script: string;
  /** Place among the workers, from 0. */
  readonly worker: number;
  readonly part: ProxyPart;
  readonly stateFolder: string | undefined;
  readonly onReady: (worker: WorkerProcess) => void;
  /** Asked to end by a signal of its own: it still carries requests. */
  readonly onLeaving: (worker: WorkerProcess) => void;
  readonly onReply: (worker: WorkerProcess, reply: Reply) => void;
  /** `returned`: connections that never left this process. */
  readonly onExit: (worker: WorkerProcess, why: string, returned: readonly Connection[]) => void;
}

/** A connection that is to be handed over. */
export interface Connection {
  readonly listener: string;
  readonly socket: Socket;
}

export class WorkerProcess {
  readonly worker: number;
  readonly pid: number;
  state: 'starting' | 'serving' | 'draining' | 'gone' = 'starting';
  /** '' until it is ready. */
  bootId = '';
  /** Member of the group that the admin application asks; there from `ready` on. */
  member: Member | undefined;
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
  readonly startedMs = performance.now();
  readonly #child: ChildProcess;
  #timer: NodeJS.Timeout;
  /** Connections that wait for their turn on the channel: one at a time crosses it. */
  readonly #backlog = new Set<Connection>();

  constructor(settings: WorkerProcessSettings) {
    const { worker, part, stateFolder } = settings;
    this.worker = worker;
    this.#child = fork(settings.script, [], {
      serialization: 'json',
      // As bin/azimuth.js for this process.
      execArgv: [...process.execArgv, ...START_FLAGS],
    });
    this.pid = this.#child.pid ?? 0;
    this.#timer = setTimeout(() => this.kill(), START_DEADLINE_MS);
    let lastError = '';
    this.gone = new Promise((resolve) => {
      const exited = (why: string): void => {
        if (this.state === 'gone') return;
        this.state = 'gone';
        clearTimeout(this.#timer);
        const returned = [...this.#backlog];
        this.#backlog.clear();
        settings.onExit(this, why, returned);
        resolve();
      };
      this.#child.on('error', (error) => {
        lastError = error.message;
        // A process that could not even be made has no exit.
        if (this.#child.pid === undefined) exited(error.message);
      });
      this.#child.on('exit', (code, signal) => {
        const why = signal ?? `exit code ${String(code)}`;
        exited(lastError === '' ? why : `${why} (${lastError})`);
      });
    });
    this.#child.on('message', (message: ToPrimary) => {
      switch (message.kind) {
        case 'ready':
          if (this.state !== 'starting') return;
          clearTimeout(this.#timer);
          this.bootId = message.bootId;
          this.member = { worker, pid: this.pid, boot_id: message.bootId };
          this.state = 'serving';
          settings.onReady(this);
          return;
        case 'leaving':
          settings.onLeaving(this);
          return;
        default:
          settings.onReply(this, message);
      }
    });
    this.#send({ kind: 'configure', part, worker, stateFolder });
  }

  /** True while connections can be handed to it. */
  get serves(): boolean {
    return this.state === 'serving' && this.#child.connected;
  }

  /** True while it takes connections as they come. */
  get isPrompt(): boolean {
    return this.#backlog.size < BACKLOG_MAX;
  }

  /** Hands a connection over. When the process is just dying, the one on the channel ends with it. */
  take(connection: Connection): void {
    this.#backlog.add(connection);
    const { listener, socket } = connection;
    const message: ToWorker = { kind: 'connection', listener };
    // Kept open, and closed here once it is on the channel: Node would close our end only when the
    // worker confirmed it, and never when that died before. The client would wait for ever.
    this.#child.send(message, socket, { keepOpen: true }, () => {
      // Not in the backlog: returned after the exit, and so another's by now.
      if (this.#backlog.delete(connection)) socket.destroy();
    });
  }

  apply(part: ProxyPart): void {
    this.#send({ kind: 'apply', part });
  }

  ask(question: Question): void {
    this.#send(question);
  }

  /** Lets it drain and end, and ends it when it takes too long. Resolves when it is gone. */
  retire(): Promise<void> {
    if (this.state === 'starting') this.kill();
    else if (this.state === 'serving') {
      this.state = 'draining';
      this.#send({ kind: 'stop' });
      this.#timer = setTimeout(() => this.kill(), STOP_DEADLINE_MS);
    }
    return this.gone;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #send(message: ToWorker): void {
    // A closed channel means that the process ended: its exit says all.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
