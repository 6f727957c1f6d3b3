/**
 * The door to express: small HTTP applications for admin, analytics API and pages. Never in the
 * data path. Every process that runs for long answers /healthz (alive) and /readyz (may get work).
 */
import express from 'express';
import { createServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { AzimuthError } from './errors.ts';

export type HttpApp = express.Express;
export type HttpRequest = express.Request;
export type HttpResponse = express.Response;

export interface HttpAppSettings {
  readonly host: string;
  /** 0 asks for a free port; `port()` tells which. */
  readonly port: number;
  /** Why the process should get no work now; undefined when it is ready. */
  readonly notReady?: () => string | undefined;
  /** Why the process should be restarted; undefined while it is healthy. */
  readonly unhealthy?: () => string | undefined;
  readonly routes?: (app: HttpApp) => void;
}

export interface HttpAppServer {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  port(): number;
}

/** An HTTP application with health routes first, ours next, and JSON errors last. */
export function createHttpApp(name: string, settings: HttpAppSettings): HttpAppServer {
  const app = express();
  app.disable('x-powered-by');
  const health =
    (why: (() => string | undefined) | undefined) => (_: unknown, res: HttpResponse) => {
      const reason = why?.();
      res
        .status(reason === undefined ? 200 : 503)
        .type('text/plain')
        .send(reason === undefined ? 'ok\n' : reason + '\n');
    };
  app.get('/healthz', health(settings.unhealthy));
  app.get('/readyz', health(settings.notReady));
  settings.routes?.(app);
  app.use((req: HttpRequest, res: HttpResponse) => {
    res.status(404).json({ error: `nothing is at ${req.path}` });
  });
  // express tells an error handler by its four parameters.
  app.use((error: unknown, _req: HttpRequest, res: HttpResponse, next: (e: unknown) => void) => {
    if (res.headersSent) {
      next(error);
      return;
    }
    const known = error instanceof AzimuthError ? error : undefined;
    const thrown = error as { status?: unknown; message?: unknown };
    const status = known?.kind.status ?? (typeof thrown.status === 'number' ? thrown.status : 500);
    res.status(status).json({
      error: typeof thrown.message === 'string' ? thrown.message : 'failed',
      ...(known === undefined ? {} : { code: known.code }),
    });
  });
  const server = createServer(app);
  return {
    name,
    start: () => listen(server, settings.host, settings.port),
    stop: () =>
      new Promise((resolve) => {
        if (!server.listening) {
          resolve();
          return;
        }
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    port: () => (server.address() as AddressInfo | null)?.port ?? settings.port,
  };
}

/** Listens, or says which port is taken and what to do about it. */
export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      reject(
        error.code === 'EADDRINUSE'
          ? new AzimuthError(
              'AZ_PORT_IN_USE',
              `${host}:${port} is taken by another process; stop it or choose another port`,
              { cause: error },
            )
          : error,
      );
    };
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      resolve();
    });
  });
}
