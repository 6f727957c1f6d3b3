/**
 * OTLP/HTTP receiver: POST /v1/traces and /v1/logs, protobuf and JSON, as the OTLP specification
 * says. It answers 200 only after the pipeline confirmed everything; until then the sender owns its
 * data. Behind it stands the pipeline, before it anybody who can reach the port: limits on bytes
 * (before and after inflating), time and connections hold for every request, and no input may end
 * the process or be answered with silence.
 *
 *     head ─► path, token, method, type, encoding, length   404 401 405 415 413
 *     body ─► at most bodyBytesMax, receivingBytesMax       413 429 (408 by Node's own timer)
 *     inflate ─► at most inflatedBytesMax                   413 400
 *     pipeline.accept ─► 200, 200 partial, 400, 429, 503
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { messageOf } from '../runtime/errors.ts';
import { listen } from '../runtime/http-app.ts';
import type { Signal } from '../transport/exporter.ts';
import { isKnownEncoding } from './inflate.ts';
import { BodyIntake } from './otlp-body.ts';
import { encodeStatus, encodeSuccess, type BodyEncoding } from './otlp-http-answers.ts';
import {
  deliver,
  judgeFailure,
  Refusal,
  serverTlsOptions,
  tokenCheck,
  type OtlpReceiver,
  type OtlpReceiverSettings,
} from './otlp-request.ts';

export interface OtlpHttpReceiverSettings extends OtlpReceiverSettings {
  /** Time for a request's head. Default 10,000. */
  readonly headTimeoutMs?: number;
  /**
   * How long the rest of a refused body is read away, so that the sender sees the answer and no
   * reset. Default 2,000.
   */
  readonly lingerMs?: number;
}

const CONNECTIONS_MAX = 1024;
const LINGER_MS = 2_000;
/** Requests in hand at `stop` are answered within this, then cut. */
const STOP_MS = 10_000;

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/v1/traces', 'traces'],
  ['/v1/logs', 'logs'],
]);
const ENCODINGS: ReadonlyMap<string, BodyEncoding> = new Map([
  ['application/x-protobuf', 'protobuf'],
  ['application/json', 'json'],
]);

/** @throws AzimuthError AZ_CONFIG_INVALID when a file of `tls` cannot be read. */
export function createOtlpHttpReceiver(settings: OtlpHttpReceiverSettings): OtlpReceiver {
  return new HttpReceiver(settings);
}

class HttpReceiver implements OtlpReceiver {
  readonly name = 'otlp_http receiver';
  readonly #settings: OtlpHttpReceiverSettings;
  readonly #intake: BodyIntake;
  readonly #server: Server;
  readonly #checkToken: (authorization: string | undefined) => void;

  constructor(settings: OtlpHttpReceiverSettings) {
    this.#settings = settings;
    this.#intake = new BodyIntake('body', settings);
    const headTimeoutMs = settings.headTimeoutMs ?? 10_000;
    this.#checkToken = tokenCheck(settings.token);
    const options = {
      headersTimeout: headTimeoutMs,
      requestTimeout: settings.requestTimeoutMs ?? 30_000,
      // Node looks for late requests this often only.
      connectionsCheckingInterval: Math.min(1_000, headTimeoutMs),
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16 * 1024,
    };
    this.#server =
      settings.tls === undefined
        ? createServer(options)
        : createTlsServer({
            ...options,
            ...serverTlsOptions(settings.tls),
            handshakeTimeout: headTimeoutMs,
          });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('request', (req: IncomingMessage, res: ServerResponse) => {
      void this.#answer(req, res, false);
    });
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      void this.#answer(req, res, true);
    });
    // Bytes that are no HTTP: Node answers 400, 408 or 431 and closes.
    this.#server.on('connection', (socket) => {
      socket.on('error', () => socket.destroy());
    });
  }

  start(): Promise<void> {
    return listen(this.#server, this.#settings.host, this.#settings.port);
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => this.#server.closeAllConnections(), STOP_MS);
      this.#server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? this.#settings.port;
  }

  /** Answers one request. Never rejects. */
  async #answer(
    req: IncomingMessage,
    res: ServerResponse,
    expectsContinue: boolean,
  ): Promise<void> {
    // A sender that hangs up in the middle is no event for anybody else.
    req.on('error', () => undefined);
    res.on('error', () => undefined);
    const encoding = ENCODINGS.get(mediaType(req)) ?? 'json';
    try {
      const signal = this.#checkHead(req);
      if (expectsContinue) res.writeContinue();
      const received = await this.#intake.receive(req);
      const body = await this.#intake.inflated(
        received,
        contentEncoding(req),
        // Parsed JSON takes some twenty times its length, so it gets no more room than it was sent in.
        encoding === 'json' ? this.#intake.bodyBytesMax : this.#intake.inflatedBytesMax,
      );
      await this.#deliver(signal, encoding, body, res);
    } catch (error) {
      this.#refuse(req, res, encoding, error);
    }
  }

  #checkHead(req: IncomingMessage): Signal {
    const path = (req.url ?? '').split('?', 1)[0]!;
    const signal = SIGNALS.get(path);
    if (signal === undefined) {
      throw new Refusal(
        404,
        `nothing is at this path; POST to ${[...SIGNALS.keys()].join(' or ')}`,
      );
    }
    this.#checkToken(req.headers.authorization);
    if (req.method !== 'POST') throw new Refusal(405, 'OTLP is sent by POST', { allow: 'POST' });
    if (!ENCODINGS.has(mediaType(req))) {
      throw new Refusal(415, `Content-Type must be ${[...ENCODINGS.keys()].join(' or ')}`);
    }
    if (!isKnownEncoding(contentEncoding(req))) {
      throw new Refusal(415, 'Content-Encoding must be identity, gzip, deflate or zstd');
    }
    if (Number(req.headers['content-length'] ?? 0) > this.#intake.bodyBytesMax)
      throw this.#intake.tooLarge();
    return signal;
  }

  async #deliver(
    signal: Signal,
    encoding: BodyEncoding,
    body: Buffer,
    res: ServerResponse,
  ): Promise<void> {
    const { pipeline } = this.#settings;
    const { rejected, detail } = await deliver(pipeline, 'otlp_http', signal, encoding, body);
    send(res, 200, encoding, encodeSuccess(encoding, signal, rejected, detail));
  }

  #refuse(req: IncomingMessage, res: ServerResponse, encoding: BodyEncoding, error: unknown): void {
    const { status, headers: fixed, retryAfterS } = judgeFailure(error);
    const headers =
      retryAfterS === undefined ? fixed : { ...fixed, 'retry-after': String(retryAfterS) };
    if (status === 500) {
      this.#settings.log.error('otlp_http request failed', { error: messageOf(error) });
    }
    if (res.destroyed || res.headersSent) return;
    const body = encodeStatus(encoding, status, messageOf(error));
    if (req.complete) {
      send(res, status, encoding, body, headers);
      return;
    }
    // The answer goes out whole at once; the connection is closed only when the rest of the body was
    // read away, or it takes too long.
    res.writeHead(status, {
      ...headers,
      'content-type': contentTypeOf(encoding),
      'content-length': body.length,
      connection: 'close',
    });
    res.write(body);
    const end = (): void => {
      clearTimeout(late);
      res.end();
    };
    const late = setTimeout(() => {
      res.end();
      req.destroy();
    }, this.#settings.lingerMs ?? LINGER_MS);
    req.on('end', end);
    req.on('close', end);
    req.resume();
  }
}

function mediaType(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
}

function contentEncoding(req: IncomingMessage): string {
  return (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
}

function contentTypeOf(encoding: BodyEncoding): string {
  return encoding === 'json' ? 'application/json' : 'application/x-protobuf';
}

function send(
  res: ServerResponse,
  status: number,
  encoding: BodyEncoding,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  res.writeHead(status, {
    ...headers,
    'content-type': contentTypeOf(encoding),
    'content-length': body.length,
  });
  res.end(body);
}
