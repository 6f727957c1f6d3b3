/**
 * What both OTLP receivers (HTTP and gRPC) decide alike, so that a sender meets the same rules
 * whichever it speaks: what may be set, who may send (TLS, client certificate, bearer token), what
 * becomes of a body that is in, and how a failure is judged. How bodies come in: otlp-body.ts.
 * Statuses are HTTP's; the gRPC receiver translates them.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { AzimuthError } from '../runtime/errors.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import { readTlsFiles } from '../runtime/tls-files.ts';
import type { Signal } from '../transport/exporter.ts';
import type { BodyEncoding } from './otlp-http-answers.ts';
import type { Pipeline } from './pipeline.ts';

/** Paths of PEM files; with `client_ca` only clients with a certificate of it are served. */
export interface ServerTlsPaths {
  readonly cert: string;
  readonly key: string;
  readonly client_ca?: string | undefined;
}

export interface BodyLimits {
  /** Largest body as sent. Default 16 MiB. */
  readonly bodyBytesMax?: number;
  /** Largest body after inflating. Default 64 MiB. */
  readonly inflatedBytesMax?: number;
  /** Bodies being received at once, in bytes. Default 64 MiB. */
  readonly receivingBytesMax?: number;
}

export interface OtlpReceiverSettings extends BodyLimits {
  readonly host: string;
  /** 0 asks for a free port; `port()` tells which. */
  readonly port: number;
  /** TLS only, when given. */
  readonly tls?: ServerTlsPaths | undefined;
  /** Every request needs this bearer token, when given. */
  readonly token?: string | undefined;
  readonly pipeline: Pick<Pipeline, 'accept'>;
  readonly log: Log;
  /** Time for all of a request. Default 30,000. */
  readonly requestTimeoutMs?: number;
}

export interface OtlpReceiver extends Part {
  start(): Promise<void>;
  /** Takes no new request; those in hand are answered. */
  stop(): Promise<void>;
  port(): number;
}

/** An answer other than success. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** Options of a TLS server of Node's. @throws AzimuthError AZ_CONFIG_INVALID naming the file. */
export function serverTlsOptions(paths: ServerTlsPaths) {
  const { cert, key, ca } = readTlsFiles({
    cert: paths.cert,
    key: paths.key,
    ca: paths.client_ca,
  });
  const asked = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
  return { cert, key, ...asked, minVersion: 'TLSv1.2' } as const;
}

/** Checks the header `authorization`; throws a Refusal with 401. Without a token: lets all pass. */
export function tokenCheck(token: string | undefined): (authorization: string | undefined) => void {
  if (token === undefined) return () => undefined;
  // Hashes have one length, so that neither the time nor an exception tells anything of the token.
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = hash(token);
  return (authorization) => {
    const given = /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1];
    if (given !== undefined && timingSafeEqual(hash(given), expected)) return;
    throw new Refusal(401, 'a valid bearer token is needed', { 'www-authenticate': 'Bearer' });
  };
}

/** What was rejected of a message whose other items are stored. */
export interface Delivered {
  readonly rejected: number;
  readonly detail: string;
}

/**
 * Gives one body to the pipeline and resolves once it is stored, in part or whole.
 * @throws Refusal when nothing of it can be read; AzimuthError, retryable, when it must come again.
 */
export async function deliver(
  pipeline: Pick<Pipeline, 'accept'>,
  source: 'otlp_http' | 'otlp_grpc',
  signal: Signal,
  encoding: BodyEncoding,
  body: Buffer,
): Promise<Delivered> {
  const accepted = await pipeline.accept([
    { signal, encoding, body, source: { name: source, partition: 0, offset: 0 } },
  ]);
  // A message that could not be read was refused as a whole; anything else was stored in part.
  const unread = accepted.rejected.find(({ reason }) => reason !== 'out_of_window');
  if (unread !== undefined)
    throw new Refusal(unread.reason === 'too_large' ? 413 : 400, unread.detail);
  return {
    rejected: accepted.rejected.reduce((sum, one) => sum + one.items, 0),
    detail: accepted.rejected.map((one) => one.detail).join('; '),
  };
}

/** Seconds until a sender may come again, where the failure does not say. */
const RETRY_AFTER_S = 2;

/** Status of whatever was thrown, and whether sending again can help: then after how many seconds. */
export function judgeFailure(error: unknown): {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly retryAfterS: number | undefined;
} {
  if (error instanceof Refusal) {
    const { status, headers } = error;
    return { status, headers, retryAfterS: status === 429 ? 1 : undefined };
  }
  if (!(error instanceof AzimuthError)) return { status: 500, headers: {}, retryAfterS: undefined };
  return {
    status: error.kind.status ?? 500,
    headers: {},
    retryAfterS: error.retryable ? (error.retryAfterS ?? RETRY_AFTER_S) : undefined,
  };
}
