/**
 * What kafkajs throws, as an AzimuthError. Decided here once: an error about the message itself is
 * final; everything about the surroundings (broker away, topic missing, not allowed yet) may pass,
 * and the queue in front bounds how long it is waited for.
 */
import { AzimuthError, messageOf } from '../../runtime/errors.ts';

/** Answers of a broker that will be the same for the same message, for ever. */
const FINAL = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
]);
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

/** The protocol's name of an error (`MESSAGE_TOO_LARGE`), looked for along its causes. */
export function kafkaErrorType(error: unknown): string | undefined {
  let at: unknown = error;
  for (let depth = 0; depth < 10 && at instanceof Error; depth++) {
    const type: unknown = (at as { type?: unknown }).type;
    if (typeof type === 'string') return type;
    // KafkaJSAggregateError keeps its causes in a list.
    const many: unknown = (at as { errors?: unknown }).errors;
    at = Array.isArray(many) ? many[0] : at.cause;
  }
  return undefined;
}

/** `what`: the failed doing, in words, such as `send to otlp_spans/3`. */
export function asExportError(error: unknown, what: string): AzimuthError {
  if (error instanceof AzimuthError) return error;
  const type = kafkaErrorType(error);
  const detail = `${what}: ${messageOf(error)}`;
  if (type !== undefined && TOO_LARGE.has(type))
    return new AzimuthError('AZ_EXPORT_TOO_LARGE', detail, { cause: error });
  if (type !== undefined && FINAL.has(type))
    return new AzimuthError('AZ_EXPORT_REFUSED', detail, { cause: error });
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION')
    return new AzimuthError(
      'AZ_EXPORT_FAILED',
      `${what}: the topic does not exist; create it with \`azimuth topics\``,
      { cause: error },
    );
  return new AzimuthError('AZ_EXPORT_FAILED', detail, { cause: error });
}
