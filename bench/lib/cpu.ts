/**
 * CPU as Linux accounts it: of processes to the nanosecond, of whole cores in ticks of 10 ms. What a
 * core did beyond the benchmark's own processes was done by others, and a slice in which they did
 * much is no measurement.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { cpuUs } from './processes.ts';

const TICK_S = 0.01;

/**
 * User + system CPU of processes, microseconds. By the scheduler's own sum over all threads, which
 * has no ticks; where the kernel keeps none, by ticks.
 */
export function exactCpuUs(pids: readonly number[]): number {
  try {
    let ns = 0;
    for (const pid of pids) {
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
      }
    }
    if (ns > 0) return ns / 1000;
  } catch {
    // No schedstat in this kernel.
  }
  return cpuUs(pids);
}

/** Seconds that a core was not idle since the start of the machine; 0 where nobody can say. */
export function coreBusyS(core: number): number {
  let text: string;
  try {
    text = readFileSync('/proc/stat', 'latin1');
  } catch {
    return 0;
  }
  const line = text.split('\n').find((l) => l.startsWith(`cpu${core} `)) ?? '';
  const ticks = line.trim().split(/ +/).slice(1, 9).map(Number);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return (ticks.reduce((sum, n) => sum + n, 0) - idle) * TICK_S;
}

/** CPU of children of this process that have ended, seconds: the load generators. */
export function endedChildrenS(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_S;
}

/** Established TCP connections of a process at a local port. */
export function connectionsOf(pid: number, port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set(
    readFileSync(`/proc/${pid}/net/tcp`, 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${hex}`) && state === '01')
      .map((fields) => `socket:[${fields[9]}]`),
  );
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  return links.filter((link) => inodes.has(link)).length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
