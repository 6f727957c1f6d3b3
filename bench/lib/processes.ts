/**
 * Processes of a benchmark: started on one core each - 0 for the proxy under test, 1 for all that
 * surrounds it - measured through /proc, and ended with the benchmark, however that ends.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** True where processes can be bound to cores. */
export const pinned =
  process.platform === 'linux' && cpus().length > 1 && spawnSync('taskset', ['-V']).status === 0;

/** Absolute path of a file named as seen from bench/. */
export const benchFile = (path: string): string =>
  fileURLToPath(new URL(`../${path}`, import.meta.url));

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** Starts a program on a core, or on any. Its stdout is ours to read, its stderr goes to the terminal. */
export function start(
  core: 0 | 1 | 'any',
  command: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const argv = pinned && core !== 'any' ? ['taskset', '-c', String(core), ...command] : command;
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  children.add(child);
  child.on('exit', () => children.delete(child));
  child.on('error', () => children.delete(child));
  return child;
}

/** As `start`, for a program of ours in bench/. */
export const startNode = (
  core: 0 | 1 | 'any',
  script: string,
  args: readonly (string | number)[],
): ChildProcess => start(core, [process.execPath, benchFile(script), ...args.map(String)]);

/** First line that a program of ours prints, as JSON. Throws when it ends before. */
export async function firstLine<T>(child: ChildProcess): Promise<T> {
  if (child.stdout === null) throw new Error('the child has no stdout');
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    // Not 'exit', which can come before what the process printed.
    once(child, 'close').then(() => {
      throw new Error('a process of the benchmark ended at once; its message stands above');
    }),
  ])) as [string];
  return JSON.parse(line) as T;
}

/** All that a program prints, once it has ended. Throws when its exit code is not 0. */
export async function output(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${child.spawnargs.join(' ')} ended with ${code}:\n${text}`);
  return text;
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const hurry = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(hurry);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** GET on a connection of its own. */
export function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

export const getJson = async <T>(port: number, path: string): Promise<T> =>
  JSON.parse((await get(port, path)).body) as T;

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `done` says so. Throws after `seconds`. */
export async function until(
  what: string,
  done: () => Promise<boolean>,
  seconds = 20,
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await done().catch(() => false))) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(50);
  }
}

/** Waits until something listens, without sending a request: those are counted. */
export const listening = (what: string, port: number): Promise<void> =>
  until(what, () => {
    const socket = connect({ host: '127.0.0.1', port });
    return once(socket, 'connect').then(() => {
      socket.destroy();
      return true;
    });
  });

const TICKS_PER_S = Number(spawnSync('getconf', ['CLK_TCK']).stdout.toString()) || 100;

/** User + system CPU of processes, microseconds (resolution: one clock tick, 10 ms). */
export function cpuUs(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '');
    const fields = stat.split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks / TICKS_PER_S) * 1e6;
}

/** Largest resident memory of a process until now, MiB. */
export function peakMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

/** Resident memory of processes, MiB. */
export function rssMib(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    kib += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  }
  return kib / 1024;
}
