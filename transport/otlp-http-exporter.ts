/**
 * OTLP over HTTP with protobuf bodies: POST to /v1/traces and /v1/logs of one endpoint, on kept
 * connections, plain or over TLS, with a token where one is given. Sits behind the export queue.
 * Does not retry; it only says whether trying again can help: connection errors, a missed deadline,
 * 429, 502, 503 and 504 may (OTLP 1.x, "Retryable Response Codes"), and so may 401 and 403, which
 * say nothing about the message and pass when somebody corrects the token. After a 413 the halves
 * are sent. Every other status is a refusal. The token is in no message of an error.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { AzimuthError } from '../runtime/errors.ts';
import type { TlsFiles } from '../runtime/tls-files.ts';
import { compress, type Compression } from './compression.ts';
import type { Exporter, Signal } from './exporter.ts';
import { PartSender } from './part-sender.ts';

/** Time for one POST, from its start to the end of the answer. The OTLP default is 10 s. */
const POST_DEADLINE_MS = 10_000;
/** Most POSTs in flight: a collector answering in 250 ms must not be the bottleneck. */
const POST_CONCURRENCY = 8;
/**
 * Idle connections are closed by us before the other side does: Node's servers close after 5 s,
 * and a POST on a connection that is just being closed fails.
 */
const IDLE_MS = 4_000;
/** Bytes of an answer that are kept for the error text. */
const ANSWER_BYTES_MAX = 512;
const RETRYABLE = new Set([401, 403, 429, 502, 503, 504]);

export interface OtlpHttpSettings {
  /** Base URL such as `http://127.0.0.1:4318`; `/v1/traces` and `/v1/logs` are appended. */
  readonly endpoint: string;
  /** Of the bodies. Default `none`. */
  readonly compression?: Compression;
  /** For an https endpoint; the other side's certificate is always verified. */
  readonly tls?: TlsFiles | undefined;
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string | undefined;
  readonly concurrency?: number;
  readonly deadlineMs?: number;
}

/** An exporter for one OTLP/HTTP endpoint. Throws a TypeError when the endpoint is not a URL. */
export function createOtlpHttpExporter(settings: OtlpHttpSettings): Exporter {
  const concurrency = settings.concurrency ?? POST_CONCURRENCY;
  const deadlineMs = settings.deadlineMs ?? POST_DEADLINE_MS;
  const base = settings.endpoint.replace(/\/+$/, '');
  const urls: Record<Signal, URL> = {
    traces: new URL(base + '/v1/traces'),
    logs: new URL(base + '/v1/logs'),
  };
  const secure = urls.traces.protocol === 'https:';
  const agentSettings = { keepAlive: true, maxSockets: concurrency, timeout: IDLE_MS };
  const agent = secure
    ? new HttpsAgent({ ...agentSettings, ...settings.tls })
    : new HttpAgent(agentSettings);
  const request = secure ? httpsRequest : httpRequest;

  // No limit until the other side shows that it has one.
  const parts = new PartSender(Infinity);
  const compression = settings.compression ?? 'none';
  const headers: Record<string, string> = {
    'content-type': 'application/x-protobuf',
    ...(compression === 'none' ? {} : { 'content-encoding': compression }),
    ...(settings.token === undefined ? {} : { authorization: `Bearer ${settings.token}` }),
  };

  const post = (signal: Signal, body: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      const failed = (detail: string, cause?: unknown): void =>
        reject(new AzimuthError('AZ_EXPORT_FAILED', `${settings.endpoint}: ${detail}`, { cause }));
      const exchange = request(urls[signal], {
        method: 'POST',
        agent,
        headers: { ...headers, 'content-length': body.byteLength },
      });
      // One timer for the whole exchange: a socket timeout would start anew with every byte.
      const deadline = setTimeout(() => {
        exchange.destroy(new Error(`no answer within ${deadlineMs} ms`));
      }, deadlineMs);
      exchange.on('response', (answer) => {
        readAnswer(answer, (text) => {
          clearTimeout(deadline);
          const outcome = judge(answer, text, settings.endpoint);
          if (outcome === undefined) resolve();
          else reject(outcome);
        });
        answer.on('error', (error: Error) => {
          clearTimeout(deadline);
          failed(error.message, error);
        });
      });
      exchange.on('error', (error) => {
        clearTimeout(deadline);
        failed(error.message, error);
      });
      // Kept sockets have the idle timeout on them; in a POST only the deadline counts.
      exchange.setTimeout(0);
      exchange.end(body);
    });

  return {
    name: 'otlp_http',
    concurrency,
    send: (message) =>
      parts.send(message, async ({ body }) =>
        post(message.signal, await compress(body, compression)),
      ),
    close: () => {
      agent.destroy();
      return Promise.resolve();
    },
  };
}

/** Reads the answer to its end, so that the connection can be used again; keeps its beginning. */
function readAnswer(answer: IncomingMessage, done: (text: string) => void): void {
  let text = '';
  answer.on('data', (chunk: Buffer) => {
    if (text.length < ANSWER_BYTES_MAX) text += chunk.toString('latin1', 0, ANSWER_BYTES_MAX);
  });
  answer.on('end', () => done(text));
}

function judge(answer: IncomingMessage, text: string, endpoint: string): AzimuthError | undefined {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return undefined;
  const printable = text.replace(/[^\x21-\x7e]+/g, ' ').trim();
  const detail = `${endpoint}: status ${status}${printable === '' ? '' : ': ' + printable}`;
  if (status === 413) return new AzimuthError('AZ_EXPORT_TOO_LARGE', detail);
  if (!RETRYABLE.has(status)) return new AzimuthError('AZ_EXPORT_REFUSED', detail);
  return new AzimuthError('AZ_EXPORT_FAILED', detail, {
    retryAfterS: parseRetryAfter(answer.headers['retry-after'], Date.now()),
  });
}

/** Seconds to wait by a `Retry-After` header (seconds or a date); undefined when it says nothing. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value);
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : Math.max(0, (atMs - nowMs) / 1000);
}
