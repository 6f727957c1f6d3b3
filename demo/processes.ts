/**
 * The demo's child processes: started with a log file each, awaited by their readiness route,
 * stopped in order. Children get a process group of their own, so that Ctrl-C on the terminal
 * reaches the demo alone and it can stop them in the order that loses nothing. None is left behind:
 * they are killed when the demo exits, and after a kill -9 of the demo by the next one that starts.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What ends the demo with a message for people, not with a stack. */
export class DemoFailure extends Error {}

interface ChildSettings {
  readonly name: string;
  /** Arguments of node. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Answers 200 when the process may get work. */
  readonly readyUrl: string;
}

export interface Processes {
  start(settings: ChildSettings): void;
  /** Notes a process that somebody else starts and stops, for the next demo to find. */
  note(pid: number): void;
  /** Resolves when the process answers ready; rejects with the end of its log when it ended. */
  ready(name: string): Promise<void>;
  /** SIGTERM to all of `names` at once, SIGKILL after the grace time; resolves when all are gone. */
  stop(names: readonly string[]): Promise<void>;
  /** kill -9, and no complaint about it. */
  kill(name: string): Promise<void>;
  /** Process id while it runs. */
  pid(name: string): number | undefined;
  /** Rejects when a process ended that nobody stopped. */
  readonly failure: Promise<never>;
}

/** Proxies flush for up to 15 s when the next is away. */
const STOP_GRACE_MS = 20_000;
const READY_WITHIN_MS = 60_000;
/** Short against the seconds that a start takes, long against the cost of a poll. */
const POLL_MS = 50;

interface Child {
  readonly process: ChildProcess;
  readonly readyUrl: string;
  readonly ended: Promise<void>;
  expectedToEnd: boolean;
}

export function createProcesses(settings: {
  readonly logsFolder: string;
  /** Where the ids of running children are kept for the next demo. */
  readonly pidsFile: string;
}): Processes {
  const children = new Map<string, Child>();
  const noted: number[] = [];
  const failure = Promise.withResolvers<never>();
  // Whoever awaits it sees the rejection; without a waiter it must not end the process.
  failure.promise.catch(() => undefined);
  const logOf = (name: string): string => join(settings.logsFolder, `${name}.log`);
  const writePids = (): void => {
    const pids = [...children.values()].map((child) => child.process.pid);
    writeFileSync(settings.pidsFile, JSON.stringify([...pids, ...noted]));
  };
  process.on('exit', () => {
    for (const child of children.values()) child.process.kill('SIGKILL');
    if (children.size === 0) rmSync(settings.pidsFile, { force: true });
  });

  return {
    failure: failure.promise,
    note(pid) {
      noted.push(pid);
      writePids();
    },
    start({ name, args, env, readyUrl }) {
      const log = openSync(logOf(name), 'a');
      const spawned = spawn(process.execPath, args, {
        stdio: ['ignore', log, log],
        detached: true,
        env: { ...process.env, ...env },
      });
      closeSync(log);
      const ended = new Promise<void>((resolve) => {
        const end = (how: string): void => {
          if (children.get(name)?.process === spawned) children.delete(name);
          resolve();
          if (!child.expectedToEnd) {
            failure.reject(
              new DemoFailure(
                `${name} ended (${how}); the end of ${logOf(name)}:\n${tail(logOf(name))}`,
              ),
            );
          }
        };
        spawned.once('exit', (code, signal) => end(signal ?? `exit code ${code ?? 0}`));
        spawned.once('error', (error) => end(error.message));
      });
      const child: Child = { process: spawned, readyUrl, ended, expectedToEnd: false };
      children.set(name, child);
      writePids();
    },
    async ready(name) {
      const child = children.get(name);
      const deadlineMs = performance.now() + READY_WITHIN_MS;
      let last = 'no answer';
      while (child !== undefined && performance.now() < deadlineMs) {
        const answer = await Promise.race([poll(child.readyUrl), failure.promise]);
        if (answer === undefined) return;
        last = answer;
        await Promise.race([sleep(POLL_MS), failure.promise]);
      }
      // It may have ended: then its own failure says more.
      await Promise.race([failure.promise, sleep(0)]);
      throw new DemoFailure(
        `${name} is not ready after ${READY_WITHIN_MS / 1000} s (${last}); the end of its log:\n` +
          tail(logOf(name)),
      );
    },
    async stop(names) {
      await Promise.all(
        names.map(async (name) => {
          const child = children.get(name);
          if (child === undefined) return;
          child.expectedToEnd = true;
          child.process.kill('SIGTERM');
          const patience = new AbortController();
          await Promise.race([
            child.ended,
            sleep(STOP_GRACE_MS, undefined, { signal: patience.signal }).catch(() => undefined),
          ]);
          patience.abort();
          child.process.kill('SIGKILL');
          await child.ended;
        }),
      );
      writePids();
    },
    pid: (name) => children.get(name)?.process.pid,
    async kill(name) {
      const child = children.get(name);
      if (child === undefined) return;
      child.expectedToEnd = true;
      child.process.kill('SIGKILL');
      await child.ended;
    },
  };
}

/** Undefined when ready, else why not. */
async function poll(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    const text = await response.text();
    return response.ok ? undefined : `${response.status} ${text.trim()}`;
  } catch (error) {
    return String((error as { cause?: unknown }).cause ?? error);
  }
}

/** The last lines of a file, indented. */
function tail(file: string): string {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-12);
    return lines.map((line) => `    ${line.slice(0, 400)}`).join('\n');
  } catch {
    return '    (nothing)';
  }
}

/**
 * Ends what a demo that was killed left running, as its pids file says. Only processes whose
 * command line holds one of `marks` are touched: ids are used again.
 * Resolves with how many were ended.
 */
export async function endLeftovers(pidsFile: string, marks: readonly string[]): Promise<number> {
  let pids: unknown;
  try {
    pids = JSON.parse(readFileSync(pidsFile, 'utf8'));
  } catch {
    return 0;
  }
  const ours = (Array.isArray(pids) ? pids : []).filter(
    (pid): pid is number =>
      typeof pid === 'number' && marks.some((mark) => commandLineOf(pid).includes(mark)),
  );
  for (const pid of ours) killQuietly(pid, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < 5_000 && ours.some(isAlive); waitedMs += POLL_MS) {
    await sleep(POLL_MS);
  }
  for (const pid of ours) killQuietly(pid, 'SIGKILL');
  return ours.length;
}

/** True while a process of this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** '' where it cannot be told; then the process is left alone. */
export function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
