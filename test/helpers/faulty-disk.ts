/**
 * The file system as the spool uses it, on a disk that can be told to fail: full after so many
 * bytes (the last write is then a torn one), or closed to everything.
 */
import type { FileHandle } from 'node:fs/promises';
import { realFs, type SpoolFs } from '../../transport/spool/spool-folder.ts';

export interface FaultyDisk {
  readonly fs: SpoolFs;
  /** Bytes that segments may still take. */
  freeBytes: number;
  /** Everything fails with EIO. */
  broken: boolean;
}

const diskError = (code: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: the disk says no`), { code });

export function faultyDisk(): FaultyDisk {
  const disk = { freeBytes: Infinity, broken: false };
  const check = (): void => {
    if (disk.broken) throw diskError('EIO');
  };
  const writev = async (
    handle: FileHandle,
    buffers: readonly NodeJS.ArrayBufferView[],
    at?: number | null,
  ): Promise<{ bytesWritten: number }> => {
    check();
    const whole = Buffer.concat(
      buffers.map((b) => Buffer.from(b.buffer, b.byteOffset, b.byteLength)),
    );
    const bytes = Math.min(whole.length, disk.freeBytes);
    disk.freeBytes -= bytes;
    if (bytes === 0) throw diskError('ENOSPC');
    return handle.write(whole, 0, bytes, at ?? null);
  };
  const guarded = <K extends keyof SpoolFs>(name: K): SpoolFs[K] =>
    (async (...args: unknown[]) => {
      check();
      return (realFs[name] as (...a: unknown[]) => Promise<unknown>)(...args);
    }) as SpoolFs[K];
  const fs: SpoolFs = {
    mkdir: guarded('mkdir'),
    readdir: guarded('readdir'),
    readFile: guarded('readFile'),
    rename: guarded('rename'),
    rm: guarded('rm'),
    stat: guarded('stat'),
    writeFile: guarded('writeFile'),
    open: async (...args) => {
      check();
      const handle = await realFs.open(...args);
      return new Proxy(handle, {
        get: (target, key) => {
          if (key === 'writev')
            return (buffers: NodeJS.ArrayBufferView[], at?: number) => writev(target, buffers, at);
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  };
  return Object.assign(disk, { fs });
}
