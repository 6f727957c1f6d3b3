/**
 * OTLP/gRPC receiver: the unary calls TraceService/Export and LogsService/Export over HTTP/2, which
 * most proxies and SDKs send by default. The same promise and the same limits as the OTLP/HTTP
 * receiver: success only after the pipeline confirmed everything, and no input ends the process.
 *
 *     head ─► path, token, content type, encoding      12 16 (HTTP 415) 12
 *     one message ─► prefix, bodyBytesMax, bytes of all  3 8 14 (4 when it takes too long)
 *     inflate ─► at most inflatedBytesMax              8 3
 *     pipeline.accept ─► 0, 0 with partial success, 3, 14 with RetryInfo
 *
 * Only two calls of a protocol that is simple when one reads it (a prefix of five bytes, a status in
 * the trailers), so node:http2 is enough and no gRPC library is in the process.
 */
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { messageOf } from '../runtime/errors.ts';
import { listen } from '../runtime/http-app.ts';
import type { Signal } from '../transport/exporter.ts';
import { BodyIntake } from './otlp-body.ts';
import { encodeRetryStatus, encodeSuccess } from './otlp-http-answers.ts';
import {
  deliver,
  judgeFailure,
  Refusal,
  serverTlsOptions,
  tokenCheck,
  type OtlpReceiver,
  type OtlpReceiverSettings,
} from './otlp-request.ts';

export interface OtlpGrpcReceiverSettings extends OtlpReceiverSettings {
  /** A connection without any traffic is closed after it. Default 300,000. */
  readonly idleTimeoutMs?: number;
}

const CONNECTIONS_MAX = 1024;
/** Of one connection, at once: an exporter has a few, and each may hold a body. */
const STREAMS_MAX = 128;
/** Calls in hand at `stop` are answered within this, then cut. */
const STOP_MS = 10_000;
/** Compressed flag and length. */
const PREFIX_BYTES = 5;

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'traces'],
  ['/opentelemetry.proto.collector.logs.v1.LogsService/Export', 'logs'],
]);
const ENCODINGS = ['identity', 'gzip', 'deflate', 'zstd'];

/**
 * Codes of google.rpc.Code by HTTP status. Passing trouble is UNAVAILABLE, which every exporter
 * sends again; RESOURCE_EXHAUSTED without RetryInfo is final, by the OTLP specification.
 */
const GRPC_CODES: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  404: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  415: 12,
  429: 14, // UNAVAILABLE
  503: 14,
};
const INTERNAL = 13;

/** @throws AzimuthError AZ_CONFIG_INVALID when a file of `tls` cannot be read. */
export function createOtlpGrpcReceiver(settings: OtlpGrpcReceiverSettings): OtlpReceiver {
  return new GrpcReceiver(settings);
}

class GrpcReceiver implements OtlpReceiver {
  readonly name = 'otlp_grpc receiver';
  readonly #settings: OtlpGrpcReceiverSettings;
  readonly #intake: BodyIntake;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #checkToken: (authorization: string | undefined) => void;

  constructor(settings: OtlpGrpcReceiverSettings) {
    this.#settings = settings;
    this.#intake = new BodyIntake('message', settings);
    this.#checkToken = tokenCheck(settings.token);
    const options = {
      // Node ends a connection by itself at floods of resets, pings, settings and bad frames.
      settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: 16 * 1024 },
    };
    const { tls } = settings;
    this.#server =
      tls === undefined
        ? createServer(options)
        : createSecureServer({ ...options, ...serverTlsOptions(tls), handshakeTimeout: 10_000 });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('session', (session) => this.#watch(session));
    this.#server.on('sessionError', () => undefined);
    this.#server.on('stream', (stream: ServerHttp2Stream, headers) => {
      void this.#answer(stream, headers);
    });
  }

  start(): Promise<void> {
    return listen(this.#server, this.#settings.host, this.#settings.port);
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => {
        for (const session of this.#sessions) session.destroy();
      }, STOP_MS);
      this.#server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      // Says goodbye, lets calls in hand end, then closes.
      for (const session of this.#sessions) session.close();
    });
  }

  port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? this.#settings.port;
  }

  #watch(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on('close', () => this.#sessions.delete(session));
    session.on('error', () => session.destroy());
    session.setTimeout(this.#settings.idleTimeoutMs ?? 300_000, () => session.destroy());
  }

  /** Answers one call. Never rejects. */
  async #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    // A sender that resets in the middle is no event for anybody else.
    stream.on('error', () => undefined);
    try {
      if (!(headers['content-type'] ?? '').startsWith('application/grpc')) {
        stream.respond({ ':status': 415 }, { endStream: true });
        stream.close(constants.NGHTTP2_NO_ERROR);
        return;
      }
      const signal = this.#checkHead(headers);
      const received = await this.#intake.receive(stream, {
        framingBytes: PREFIX_BYTES,
        timeoutMs: this.#settings.requestTimeoutMs ?? 30_000,
      });
      const body = await this.#messageOf(received, grpcEncoding(headers));
      const { pipeline } = this.#settings;
      const done = await deliver(pipeline, 'otlp_grpc', signal, 'protobuf', body);
      this.#succeed(stream, encodeSuccess('protobuf', signal, done.rejected, done.detail));
    } catch (error) {
      this.#fail(stream, error);
    }
  }

  #checkHead(headers: IncomingHttpHeaders): Signal {
    const path = headers[':path'] ?? '';
    const signal = SIGNALS.get(path);
    if (signal === undefined) throw new Refusal(404, `nothing is at ${path.slice(0, 200)}`);
    this.#checkToken(headers.authorization);
    if (!ENCODINGS.includes(grpcEncoding(headers))) {
      throw new Refusal(415, `grpc-encoding must be one of ${ENCODINGS.join(', ')}`);
    }
    return signal;
  }

  /** The one message of a unary call, inflated. */
  async #messageOf(received: Buffer, encoding: string): Promise<Buffer> {
    if (received.length < PREFIX_BYTES) throw new Refusal(400, 'the message is cut short');
    const isCompressed = received[0]!;
    if (isCompressed > 1) throw new Refusal(400, 'the compressed flag is neither 0 nor 1');
    const length = received.readUInt32BE(1);
    if (length > this.#intake.bodyBytesMax) throw this.#intake.tooLarge();
    if (received.length !== PREFIX_BYTES + length) {
      throw new Refusal(400, `not one message of ${length} bytes, as its prefix says`);
    }
    const message = received.subarray(PREFIX_BYTES);
    if (isCompressed === 1 && encoding === 'identity') {
      throw new Refusal(400, 'a compressed message without grpc-encoding');
    }
    return this.#intake.inflated(message, isCompressed === 1 ? encoding : 'identity');
  }

  #succeed(stream: ServerHttp2Stream, body: Buffer): void {
    if (stream.destroyed || stream.closed) return;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(body.length, 1);
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-accept-encoding': ENCODINGS.join(','),
      },
      { waitForTrailers: true },
    );
    stream.end(Buffer.concat([prefix, body]));
  }

  #fail(stream: ServerHttp2Stream, error: unknown): void {
    const { status, retryAfterS } = judgeFailure(error);
    const code = GRPC_CODES[status] ?? INTERNAL;
    const message = messageOf(error);
    if (code === INTERNAL) {
      this.#settings.log.error('otlp_grpc call failed', { error: message });
    }
    if (stream.destroyed || stream.closed || stream.headersSent) return;
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(code),
        'grpc-message': percentEncoded(message),
        'grpc-accept-encoding': ENCODINGS.join(','),
        ...(retryAfterS === undefined
          ? {}
          : {
              'grpc-status-details-bin': encodeRetryStatus(code, message, retryAfterS)
                .toString('base64')
                .replace(/=+$/, ''),
            }),
      },
      { endStream: true },
    );
    // The rest of a message that is refused is not wanted; the answer stands all the same.
    stream.close(constants.NGHTTP2_NO_ERROR);
  }
}

function grpcEncoding(headers: IncomingHttpHeaders): string {
  const value = headers['grpc-encoding'] ?? 'identity';
  return typeof value === 'string' ? value.trim().toLowerCase() : '';
}

/** As gRPC writes messages into a header: everything but printable ASCII, and "%", by its bytes. */
function percentEncoded(message: string): string {
  let text = '';
  for (const byte of Buffer.from(message.slice(0, 1_000))) {
    text +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
