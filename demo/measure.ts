/**
 * What the demo measures of the machine: memory of its processes and free space. Linux tells the
 * first in /proc; elsewhere it is not known, and the demo says so rather than guess.
 */
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { AzimuthError } from '../runtime/errors.ts';

/**
 * Memory of a process and all its descendants, bytes: the sum of their proportional set sizes, in
 * which a page shared by n processes counts 1/n in each. Undefined without /proc.
 */
export function memoryPssBytes(rootPid: number): number | undefined {
  const parents = new Map<number, number>();
  try {
    for (const name of readdirSync('/proc')) {
      const pid = Number(name);
      if (Number.isInteger(pid)) parents.set(pid, parentOf(pid));
    }
  } catch {
    return undefined;
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid, steps = 0; at > 0 && steps < 64; at = parents.get(at) ?? 0, steps++) {
      if (at === rootPid) return true;
    }
    return false;
  };
  let bytes = 0;
  for (const pid of parents.keys()) if (belongs(pid)) bytes += pssOf(pid);
  return bytes === 0 ? undefined : bytes;
}

/** 0 when the process is gone. */
function parentOf(pid: number): number {
  try {
    // pid (name, which may hold anything) state ppid …
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

function pssOf(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+([0-9]+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Throws AZ_DISK_FULL with `fix` when less than `needBytes` are free where `folder` is. */
export function requireSpace(folder: string, needBytes: number, fix: string): void {
  const { bavail, bsize, files, ffree } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  const megabytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MB`;
  if (freeBytes < needBytes) {
    throw new AzimuthError(
      'AZ_DISK_FULL',
      `${folder} has ${megabytes(freeBytes)} free, the demo needs ${megabytes(needBytes)}: ${fix}`,
    );
  }
  // Some file systems have no bound on files and say 0.
  if (files > 0 && ffree < 1000) {
    throw new AzimuthError('AZ_DISK_FULL', `${folder} has room for ${ffree} files only: ${fix}`);
  }
}
