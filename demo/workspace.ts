/**
 * The demo's folder: mesh file, .env with a random password, logs, data. One demo at a time may
 * hold it; what a killed one left running is ended first.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { requireSpace } from './measure.ts';
import { commandLineOf, DemoFailure, endLeftovers, isAlive } from './processes.ts';

export interface Workspace {
  readonly meshFile: string;
  readonly logsFolder: string;
  readonly dataFolder: string;
  readonly pidsFile: string;
  readonly password: string;
  /** Processes of a killed demo that were ended. */
  readonly leftovers: number;
  /** Lets the next demo have the folder. */
  release(): void;
}

/** What half a minute of load needs many times over, with the engine's own files. */
const DATA_BYTES_MIN = 256 * 2 ** 20;
/** Where rows of inserts wait, and what the engine writes besides. */
const TEMPORARY_BYTES_MIN = 64 * 2 ** 20;

/**
 * Takes the folder. Throws AZ_DISK_FULL where there is no room, with the fix, and DemoFailure when
 * another demo runs in it.
 */
export async function openWorkspace(folder: string, data: string | undefined): Promise<Workspace> {
  const lockFile = join(folder, 'demo.pid');
  const pidsFile = join(folder, 'pids.json');
  const meshFile = join(folder, 'mesh.yaml');
  const logsFolder = join(folder, 'logs');
  const dataFolder = data ?? join(folder, 'data');
  const password = randomBytes(18).toString('base64url');
  try {
    mkdirSync(folder, { recursive: true });
    refuseSecond(folder, lockFile);
    writeFileSync(lockFile, String(process.pid));
    const leftovers = await endLeftovers(pidsFile, [
      meshFile,
      'demo/shop/service.ts',
      'kafka.Kafka',
    ]);
    if (data === undefined) rmSync(dataFolder, { recursive: true, force: true });
    // Certificates of a demo before, and its authority: each has its own.
    rmSync(join(folder, 'certs'), { recursive: true, force: true });
    rmSync(logsFolder, { recursive: true, force: true });
    mkdirSync(dataFolder, { recursive: true });
    mkdirSync(logsFolder, { recursive: true });
    requireSpace(dataFolder, DATA_BYTES_MIN, 'free some, or name another folder with --data DIR');
    requireSpace(
      tmpdir(),
      TEMPORARY_BYTES_MIN,
      'free some, or set TMPDIR to another folder (TMPDIR=DIR npm run demo)',
    );
    // Nobody else may read the password, not even while the file is written.
    rmSync(join(folder, '.env'), { force: true });
    writeFileSync(join(folder, '.env'), `AZIMUTH_STORE_PASSWORD=${password}\n`, { mode: 0o600 });
    return {
      meshFile,
      logsFolder,
      dataFolder,
      pidsFile,
      password,
      leftovers,
      release: () => rmSync(lockFile, { force: true }),
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new AzimuthError(
      'AZ_DISK_FULL',
      `no space is left in ${folder} (${messageOf(error)}): free some, or name another folder with --dir DIR`,
      { cause: error },
    );
  }
}

function refuseSecond(folder: string, lockFile: string): void {
  let pid: number;
  try {
    pid = Number(readFileSync(lockFile, 'utf8'));
  } catch {
    return;
  }
  if (pid > 0 && pid !== process.pid && isAlive(pid) && commandLineOf(pid).includes('demo/run')) {
    throw new DemoFailure(
      `another demo (process ${pid}) runs in ${resolve(folder)}: end it with Ctrl-C or ` +
        `\`kill ${pid}\`, or run this one beside it with --dir DIR`,
    );
  }
}
