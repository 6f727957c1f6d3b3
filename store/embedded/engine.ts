/**
 * The child process that holds the database: opens the folder, serves the connections that the
 * supervisor hands to it, and ends when told so or when the supervisor is gone. It may be killed
 * at any time: what was acknowledged is on disk.
 *
 * Messages: parent → {kind: configure | ready | stop}, `connection` with a socket;
 *           child  → {kind: open | failed}.
 */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { createLog, type LogLevel } from '../../runtime/log.ts';
import { messageOf } from '../../runtime/errors.ts';
import { openDatabase, type Database } from './database.ts';
import { writeEngineConfig } from './engine-config.ts';
import { createFront } from './front.ts';
import { openSpool } from './spool.ts';

export interface EngineConfiguration {
  readonly kind: 'configure';
  readonly folder: string;
  readonly spoolFolder: string;
  readonly user: string;
  readonly password: string;
  readonly logLevel: LogLevel;
  readonly ready: boolean;
}
export type ToEngine = EngineConfiguration | { readonly kind: 'ready' | 'stop' | 'connection' };
export type FromEngine =
  | { readonly kind: 'open'; readonly version: string }
  | { readonly kind: 'failed'; readonly error: string };

/** More connections than this are closed at once. */
const CONNECTIONS_MAX = 1024;

const sockets = new Set<Socket>();
let front: ReturnType<typeof createFront> | undefined;
let database: Database | undefined;
let ready = false;
let stopping = false;

const tell = (message: FromEngine): void => void process.send?.(message);

/** `process.exit` waits for running queries, for minutes; nothing on disk needs it. */
const end = (): void => void process.kill(process.pid, 'SIGKILL');

async function configure(configuration: EngineConfiguration): Promise<void> {
  ready = configuration.ready;
  try {
    mkdirSync(configuration.folder, { recursive: true });
    const args = writeEngineConfig(configuration.folder);
    database = await openDatabase(join(configuration.folder, 'clickhouse'), args);
    // Only now: whoever holds the folder's lock owns its spool.
    const spool = openSpool(configuration.spoolFolder);
    front = createFront({
      database,
      spool,
      user: configuration.user,
      password: configuration.password,
      log: createLog({ level: configuration.logLevel, fields: { part: 'store' } }),
      notReady: () =>
        stopping ? 'the store is stopping' : ready ? undefined : 'the schema is not migrated yet',
      stopping: () => stopping,
    });
    tell({ kind: 'open', version: database.version });
  } catch (error) {
    tell({ kind: 'failed', error: messageOf(error) });
  }
}

function serve(socket: Socket | undefined): void {
  // Undefined: it was closed on its way here.
  if (socket === undefined) return;
  if (front === undefined || sockets.size >= CONNECTIONS_MAX) {
    socket.destroy();
    return;
  }
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
  socket.setNoDelay(true);
  front.emit('connection', socket);
  socket.resume();
}

async function stop(): Promise<void> {
  stopping = true;
  await database?.close();
  for (const socket of sockets) socket.destroySoon();
  process.disconnect();
}

process.on('message', (message: ToEngine, socket?: Socket) => {
  switch (message.kind) {
    case 'configure':
      void configure(message);
      break;
    case 'connection':
      serve(socket);
      break;
    case 'ready':
      ready = true;
      break;
    case 'stop':
      void stop();
  }
});
// The supervisor is gone, or `stop` is done.
process.on('disconnect', end);
// Ctrl-C reaches the whole group; the supervisor decides when we end.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
