/**
 * Files in memory (tmpfs) for the bodies of inserts. A body must reach the engine as a file
 * (`INSERT … FROM INFILE`): handed over as bytes, the engine reads what follows a blank line as SQL
 * and alters binary data. One file a request, removed when the insert ended either way.
 */
import { createWriteStream } from 'node:fs';
import { lstatSync, mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createHash } from 'node:crypto';
import { ClickHouseFault } from './clickhouse-fault.ts';

/** A body over this is refused: it stands in memory. The collector's blocks are under 20 MiB. */
const BODY_BYTES_MAX = 256 * 1024 * 1024;
/** All bodies together. */
const SPOOL_BYTES_MAX = 512 * 1024 * 1024;

interface SpooledBody {
  readonly path: string;
  readonly bytes: number;
  remove(): Promise<void>;
}

export interface Spool {
  readonly folder: string;
  /**
   * Writes `first` and then the whole of `rest` into a file. Throws ClickHouseFault: 307 too large,
   * 202 when other bodies fill the spool, 243 when the disk is full; the stream's own error when it
   * breaks off. Leaves no file behind when it throws.
   */
  write(first: Uint8Array, rest: Readable | undefined): Promise<SpooledBody>;
}

/** /dev/shm where there is one, else the folder for temporary files. */
export function defaultSpoolFolder(dataFolder: string): string {
  const id = createHash('sha256').update(dataFolder).digest('hex').slice(0, 12);
  const name = `azimuth-spool-${process.getuid?.() ?? 'user'}-${id}`;
  try {
    statfsSync('/dev/shm');
    return join('/dev/shm', name);
  } catch {
    return join(tmpdir(), name);
  }
}

/**
 * Opens the folder and removes what an earlier run left in it: call it only while holding the data
 * folder's lock. Refuses a folder that is a link or somebody else's.
 */
export function openSpool(folder: string): Spool {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || (process.getuid !== undefined && found.uid !== process.getuid())) {
    throw new Error(`the spool folder ${folder} is not ours; name another with --spool`);
  }
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.rows')) rmSync(join(folder, name), { force: true });
  }
  let held = 0;
  let sequence = 0;
  return {
    folder,
    async write(first, rest) {
      const path = join(folder, `${process.pid}-${(sequence += 1)}.rows`);
      let bytes = 0;
      const remove = async (): Promise<void> => {
        held -= bytes;
        bytes = 0;
        await unlink(path).catch(() => undefined);
      };
      const take = (chunkBytes: number): void => {
        bytes += chunkBytes;
        held += chunkBytes;
        if (bytes > BODY_BYTES_MAX) {
          throw new ClickHouseFault(
            307,
            `the body is larger than ${BODY_BYTES_MAX} bytes (inflated); send it in parts`,
          );
        }
        if (held > SPOOL_BYTES_MAX) {
          throw new ClickHouseFault(202, 'other inserts fill the spool; send this one again', {
            retryAfterS: 1,
          });
        }
      };
      const counter = new Transform({
        transform(chunk: Buffer, _, done) {
          try {
            take(chunk.length);
            done(null, chunk);
          } catch (error) {
            done(error as Error);
          }
        },
      });
      try {
        const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
        const source = withFirst(first, rest);
        await pipeline(source, counter, file);
      } catch (error) {
        await remove();
        throw diskFault(error, folder);
      }
      return { path, bytes, remove };
    },
  };
}

async function* withFirst(first: Uint8Array, rest: Readable | undefined): AsyncGenerator<Buffer> {
  if (first.length > 0) yield Buffer.from(first.buffer, first.byteOffset, first.length);
  if (rest === undefined) return;
  for await (const chunk of rest) yield chunk as Buffer;
}

function diskFault(error: unknown, folder: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new ClickHouseFault(
    243,
    `no space is left in ${folder}, where the rows of an insert wait in memory: free some, ` +
      'or start the store with --spool FOLDER on a larger disk',
    { retryAfterS: 5 },
  );
}
