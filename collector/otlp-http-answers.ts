/**
 * Bodies of OTLP/HTTP answers, in the encoding of the request: Export…ServiceResponse on success,
 * with partial_success when something was rejected, and google.rpc.Status on failure. OTLP/gRPC uses
 * the same messages.
 */
import { MessageWriter } from '../telemetry/message-writer.ts';
import type { Signal } from '../transport/exporter.ts';

export type BodyEncoding = 'protobuf' | 'json';

/** Codes of google.rpc.Code by HTTP status. */
const RPC_CODES: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  404: 5, // NOT_FOUND
  405: 12, // UNIMPLEMENTED
  413: 3,
  415: 3,
  429: 8, // RESOURCE_EXHAUSTED
  500: 13, // INTERNAL
  503: 14, // UNAVAILABLE
};
const UNKNOWN = 2;

/** Success; `rejected` spans or log records were not stored, `detail` says why. */
export function encodeSuccess(
  encoding: BodyEncoding,
  signal: Signal,
  rejected: number,
  detail: string,
): Buffer {
  if (encoding === 'json') {
    const field = signal === 'traces' ? 'rejectedSpans' : 'rejectedLogRecords';
    // 64-bit integers are strings in protobuf's JSON.
    const answer =
      rejected === 0 ? {} : { partialSuccess: { [field]: String(rejected), errorMessage: detail } };
    return Buffer.from(JSON.stringify(answer));
  }
  if (rejected === 0) return Buffer.alloc(0);
  return new MessageWriter().begin(1).varint(1, rejected).string(2, detail).end().finish();
}

/** Failure with a message for people. */
export function encodeStatus(encoding: BodyEncoding, status: number, message: string): Buffer {
  const code = RPC_CODES[status] ?? UNKNOWN;
  if (encoding === 'json') return Buffer.from(JSON.stringify({ code, message }));
  return new MessageWriter().varint(1, code).string(2, message).finish();
}

const RETRY_INFO_TYPE = 'type.googleapis.com/google.rpc.RetryInfo';

/** google.rpc.Status with a RetryInfo in it: the sender may come again after `retryAfterS`. */
export function encodeRetryStatus(code: number, message: string, retryAfterS: number): Buffer {
  return (
    new MessageWriter()
      .varint(1, code)
      .string(2, message)
      // details: Any { type_url, value: RetryInfo { retry_delay: Duration { seconds } } }
      .begin(3)
      .string(1, RETRY_INFO_TYPE)
      .begin(2)
      .begin(1)
      .varint(1, retryAfterS)
      .end()
      .end()
      .end()
      .finish()
  );
}
