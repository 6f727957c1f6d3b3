/** Paths that stand in a mesh file, as a process opens them. Pure: reads no file. */
import { dirname, resolve } from 'node:path';
import type { Mesh } from '../load.ts';

/** Paths in a mesh file start at its own folder, wherever a process is started. */
export const pathFrom = (mesh: Mesh, path: string): string => resolve(dirname(mesh.file), path);

/** Keys of `tls` that are paths of files. */
const TLS_FILES = ['ca', 'cert', 'key', 'client_ca'];

export function withFiles<T extends { readonly tls?: object | undefined }>(
  mesh: Mesh,
  owner: T,
): T {
  if (owner.tls === undefined) return owner;
  const tls = Object.fromEntries(
    Object.entries(owner.tls as Record<string, string | undefined>).map(([key, value]) => [
      key,
      value === undefined || !TLS_FILES.includes(key) ? value : pathFrom(mesh, value),
    ]),
  );
  return { ...owner, tls };
}
