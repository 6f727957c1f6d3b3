/**
 * The embedded ClickHouse as one part of a process: listens on the store's port, runs the engine in
 * a child process, hands it every connection, and starts it again when it dies. While it is away
 * every request is answered 503 with Retry-After, so that clients wait instead of failing.
 *
 *   stopped ─start─► opening ─open─► serving ─exit─► backing off ─► opening …
 *                       └ failed (first time only): start() rejects
 */
import { fork, type ChildProcess } from 'node:child_process';
import { rmdir } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AzimuthError } from '../../runtime/errors.ts';
import type { Log, LogLevel } from '../../runtime/log.ts';
import type { EngineConfiguration, FromEngine, ToEngine } from './engine.ts';
import { THREAD_POOL } from './engine-config.ts';
import { defaultSpoolFolder } from './spool.ts';

export interface EmbeddedStoreSettings {
  /** Folder of the data; created when missing. One engine at a time may hold it. */
  readonly folder: string;
  readonly host: string;
  /** 0 asks for a free port; `url()` tells which. */
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly log: Log;
  readonly logLevel?: LogLevel;
  /** Folder for the rows of inserts on their way; default in /dev/shm. */
  readonly spoolFolder?: string;
}

export interface EmbeddedStore {
  readonly name: string;
  /**
   * Resolves when the engine serves. Rejects with AZ_PORT_IN_USE, or AZ_STORE_UNAVAILABLE when the
   * engine cannot open the folder (held by another process, no room, no such platform).
   */
  start(): Promise<void>;
  /** Stops queries, lets the engine close, kills it after `graceMs` (default 5,000). Twice is safe. */
  stop(graceMs?: number): Promise<void>;
  /** From now on /readyz says yes, also after a restart of the engine. */
  markReady(): void;
  url(): string;
  /** Process id of the engine; undefined while there is none. */
  enginePid(): number | undefined;
}

const RESTART_MS = { least: 100, most: 10_000 };
/** An engine that served so long had no fault of its own: back-off starts anew. */
const STEADY_MS = 30_000;
const OPEN_MS_MAX = 60_000;

const ENGINE = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './engine.ts' : './engine.js', import.meta.url),
);

/** Opens nothing before `start()`. */
export function createEmbeddedStore(settings: EmbeddedStoreSettings): EmbeddedStore {
  const { log } = settings;
  const folder = resolve(settings.folder);
  const spoolFolder = settings.spoolFolder ?? defaultSpoolFolder(folder);
  let child: ChildProcess | undefined;
  let serving = false;
  let ready = false;
  let stopping = false;
  let failures = 0;
  let openedMs = 0;
  let restartTimer: NodeJS.Timeout | undefined;

  // Answers while there is no engine. It never listens itself.
  const away = createHttpServer((req, res) => {
    const alive = req.url === '/healthz';
    res.writeHead(alive ? 200 : 503, {
      'Content-Type': 'text/plain; charset=UTF-8',
      Connection: 'close',
      ...(alive ? {} : { 'Retry-After': '1', 'X-ClickHouse-Exception-Code': '210' }),
    });
    res.end(
      alive
        ? 'ok\n'
        : 'Code: 210. DB::NetException: the store is starting; try again in a second. (NETWORK_ERROR)\n',
    );
  });
  const listener: Server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (!serving || child === undefined) {
      answerAway(socket);
      return;
    }
    handOver(child, socket);
  });
  // Handed over, but not yet surely with the engine. We keep our end until the message is written:
  // a connection that dies with the engine on its way must be closed, not forgotten.
  const onTheWay = new Set<Socket>();
  const handOver = (engine: ChildProcess, socket: Socket): void => {
    const message: ToEngine = { kind: 'connection' };
    onTheWay.add(socket);
    engine.send(message, socket, { keepOpen: true }, () => {
      onTheWay.delete(socket);
      socket.destroy();
    });
  };
  const answerAway = (socket: Socket): void => {
    away.emit('connection', socket);
    socket.resume();
  };

  /** Starts the engine; resolves when it is open, rejects with why it is not. */
  const openEngine = (): Promise<void> =>
    new Promise((done, fail) => {
      const engine = fork(ENGINE, {
        // All times are UTC, wherever the host is.
        env: { ...process.env, UV_THREADPOOL_SIZE: String(THREAD_POOL), TZ: 'UTC' },
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      });
      child = engine;
      // The engine's library writes why it could not open there, and nowhere else.
      let lastWords = '';
      engine.stderr?.setEncoding('utf8').on('data', (text: string) => {
        if (serving) process.stderr.write(text);
        else lastWords = (lastWords + text).slice(-4000);
      });
      const late = setTimeout(() => {
        engine.kill('SIGKILL');
      }, OPEN_MS_MAX);
      engine.on('error', (error) => {
        log.error('the store engine cannot be started', { error: error.message });
      });
      engine.on('message', (message: FromEngine) => {
        if (message.kind === 'open') {
          clearTimeout(late);
          serving = true;
          openedMs = performance.now();
          log.info('store engine is open', { clickhouse: message.version, folder });
          done();
        } else {
          lastWords += message.error;
          engine.kill('SIGKILL');
        }
      });
      engine.once('close', (code, signal) => {
        clearTimeout(late);
        const served = serving;
        serving = false;
        child = undefined;
        for (const socket of onTheWay) socket.destroy();
        onTheWay.clear();
        if (!served) fail(openFault(folder, lastWords, code, signal));
        else if (!stopping) restart(signal ?? `exit code ${String(code)}`);
      });
      const configuration: EngineConfiguration = {
        kind: 'configure',
        folder,
        spoolFolder,
        user: settings.user,
        password: settings.password,
        logLevel: settings.logLevel ?? 'info',
        ready,
      };
      engine.send(configuration);
    });

  const restart = (why: string): void => {
    if (performance.now() - openedMs > STEADY_MS) failures = 0;
    const waitMs = Math.min(RESTART_MS.most, RESTART_MS.least * 2 ** failures);
    failures += 1;
    log.warn('store engine ended; it starts again', { why, wait_ms: waitMs });
    restartTimer = setTimeout(() => {
      openEngine().catch((error: unknown) => {
        if (!stopping) restart(String(error));
      });
    }, waitMs);
  };

  const listen = (): Promise<void> =>
    new Promise((done, fail) => {
      listener.once('error', (error: NodeJS.ErrnoException) => {
        fail(
          error.code === 'EADDRINUSE'
            ? new AzimuthError(
                'AZ_PORT_IN_USE',
                `${settings.host}:${settings.port} (store.url) is taken by another process; ` +
                  'stop it or choose another port',
                { cause: error },
              )
            : error,
        );
      });
      listener.listen(settings.port, settings.host, done);
    });

  const closeListener = (): Promise<void> =>
    new Promise((done) => {
      if (listener.listening) listener.close(() => done());
      else done();
    });

  return {
    name: 'store',
    async start() {
      await listen();
      try {
        await openEngine();
      } catch (error) {
        await closeListener();
        throw error;
      }
    },
    async stop(graceMs = 5_000) {
      stopping = true;
      clearTimeout(restartTimer);
      const closed = closeListener();
      const engine = child;
      if (engine !== undefined && engine.exitCode === null) {
        const exited = new Promise((done) => engine.once('close', done));
        const late = setTimeout(() => engine.kill('SIGKILL'), graceMs);
        const message: ToEngine = { kind: 'stop' };
        if (engine.connected) engine.send(message);
        await exited;
        clearTimeout(late);
      }
      away.closeAllConnections();
      await closed;
      // Empty now, since every insert ended. Left alone when another engine has put rows into it.
      if (engine !== undefined) rmdir(spoolFolder, () => undefined);
    },
    markReady() {
      ready = true;
      const message: ToEngine = { kind: 'ready' };
      child?.send(message);
    },
    url() {
      const { port } = listener.address() as AddressInfo;
      const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
      return `http://${host}:${port}`;
    },
    enginePid: () => child?.pid,
  };
}

function openFault(
  folder: string,
  lastWords: string,
  code: number | null,
  signal: NodeJS.Signals | null,
): AzimuthError {
  if (lastWords.includes('Cannot lock file')) {
    return new AzimuthError(
      'AZ_STORE_UNAVAILABLE',
      `the data folder ${folder} is in use by another store; stop it, or name another with --data`,
    );
  }
  if (/No space left|NOT_ENOUGH_SPACE/.test(lastWords)) {
    return new AzimuthError(
      'AZ_DISK_FULL',
      `no space is left for the store in ${folder}; free some, or name another with --data`,
    );
  }
  return new AzimuthError(
    'AZ_STORE_UNAVAILABLE',
    `the store engine did not open ${folder} (${signal ?? `exit code ${String(code)}`}): ` +
      lastWords.trim().slice(-600),
  );
}
