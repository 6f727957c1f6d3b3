/**
 * Where the processes of a proxy leave their counter files: the folder that the mesh file names,
 * else one in memory. Memory outlives a killed process, costs no disk, and may be lost with the
 * machine; two mesh files do not share a folder.
 */
import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { ProxyPart } from '../mesh/part.ts';

const SHARED_MEMORY = '/dev/shm';

/** Absolute; need not exist. */
export function stateFolder(part: ProxyPart, meshFile: string): string {
  const file = realpathSync(meshFile);
  const named = part.telemetry.state_dir;
  if (named !== undefined) return resolve(dirname(file), named);
  const base = existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir();
  // The path as given: a ConfigMap's real path is another after each change.
  const mesh = createHash('sha256').update(resolve(meshFile)).digest('hex').slice(0, 12);
  return join(base, `azimuth-${userInfo().uid}`, mesh);
}
