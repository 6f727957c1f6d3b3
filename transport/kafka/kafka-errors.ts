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

/** What a client throws, and a broker answers, when those who should serve it are not there. */
const AWAY = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSLockTimeout',
  'KafkaJSBrokerNotFound',
  'KafkaJSGroupCoordinatorNotFound',
  'COORDINATOR_NOT_AVAILABLE',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'LEADER_NOT_AVAILABLE',
  'BROKER_NOT_AVAILABLE',
  // A broker that has just started knows no topic yet.
  'UNKNOWN_TOPIC_OR_PARTITION',
]);

/** True when no broker, or no leader or coordinator among them, could be reached. */
export function isBrokerAway(error: unknown): boolean {
  return causesOf(error).some(
    ({ name, type }) => AWAY.has(name) || (typeof type === 'string' && AWAY.has(type)),
  );
}

/** True when a broker does not know a topic that was asked for. */
export const isTopicMissing = (error: unknown): boolean =>
  kafkaErrorType(error) === 'UNKNOWN_TOPIC_OR_PARTITION';

/** The protocol's name of an error (`MESSAGE_TOO_LARGE`), looked for along its causes. */
export function kafkaErrorType(error: unknown): string | undefined {
  return causesOf(error)
    .map(({ type }) => type)
    .find((type) => typeof type === 'string');
}

/** An error, its cause, that one's cause, and so on. */
function causesOf(error: unknown): (Error & { readonly type?: unknown })[] {
  const causes: (Error & { readonly type?: unknown })[] = [];
  for (let at = error; causes.length < 10 && at instanceof Error;) {
    causes.push(at);
    // KafkaJSAggregateError keeps its causes in a list.
    const many: unknown = (at as { errors?: unknown }).errors;
    at = Array.isArray(many) ? many[0] : at.cause;
  }
  return causes;
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
  if (isTopicMissing(error))
    return new AzimuthError(
      'AZ_EXPORT_FAILED',
      `${what}: the topic does not exist; create it with \`azimuth topics\``,
      { cause: error },
    );
  return new AzimuthError('AZ_EXPORT_FAILED', detail, { cause: error });
}
