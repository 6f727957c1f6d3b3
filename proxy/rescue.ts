/**
 * The one place that says what a failure becomes: status for the client, response flag, bounded
 * error type for the record. Everything else on the request path only names the failure, and
 * own-answer.ts writes the answer.
 */
import { RESPONSE_FLAGS, type AnsweredBy, type ResponseFlag } from '../telemetry/hop-record.ts';

export type FailureName =
  | 'no_route'
  | 'method_not_allowed'
  | 'request_malformed'
  | 'request_head_too_large'
  | 'request_target_too_long'
  | 'request_body_too_large'
  | 'request_timeout'
  | 'expectation_failed'
  | 'unauthenticated'
  | 'authn_unavailable'
  | 'rate_limited'
  | 'cors_denied'
  | 'method_not_implemented'
  | 'version_not_supported'
  | 'upstream_connect_failed'
  | 'upstream_connect_timeout'
  | 'upstream_timeout'
  | 'try_timeout'
  | 'fault_injected'
  | 'route_timeout'
  | 'deadline_exceeded'
  | 'upstream_closed'
  | 'upstream_reset'
  | 'upstream_protocol_error'
  | 'upstream_overflow'
  | 'upstream_pending_overflow'
  | 'too_many_connections'
  | 'too_many_client_connections'
  | 'overloaded'
  | 'stream_idle_timeout'
  | 'identity_required'
  | 'identity_expired'
  | 'identity_untrusted'
  | 'identity_foreign'
  | 'identity_denied'
  | 'tls_required'
  | 'upstream_tls_failed'
  | 'upstream_identity_expired'
  | 'upstream_identity_untrusted'
  | 'upstream_identity_wrong'
  | 'upstream_identity_refused'
  | 'client_gone'
  | 'client_stalled'
  | 'shutdown'
  | 'internal';

export interface Failure {
  /** Also the `error.type` of the record. */
  readonly name: FailureName;
  /** Status line of our own answer; undefined where there is nobody to answer. */
  readonly status: number;
  readonly reason: string;
  /** One line for the client: what happened, never an address or a name inside the mesh. */
  readonly text: string;
  /** Bit of RESPONSE_FLAGS, 0 where none of Envoy's fits. */
  readonly flagBit: number;
  /** Who is recorded as having answered when no response had begun. */
  readonly answeredBy: AnsweredBy;
  /** The connection may carry another request afterwards, provided that this one was read in full. */
  readonly keepAlive: boolean;
}

const failure = (
  name: FailureName,
  status: number,
  reason: string,
  flag: ResponseFlag | '',
  text: string,
  keepAlive = false,
): Failure => ({
  name,
  status,
  reason,
  text,
  flagBit: flag === '' ? 0 : 1 << RESPONSE_FLAGS.indexOf(flag),
  answeredBy: flag === 'DC' ? 'client_gone' : 'proxy',
  keepAlive,
});

// One line per failure reads as the table that it is.
// prettier-ignore
const TABLE: readonly Failure[] = [
  failure('no_route', 404, 'Not Found', 'NR', 'no route matches this host and path', true),
  failure('method_not_allowed', 405, 'Method Not Allowed', '', 'the route does not take this method', true),
  failure('request_malformed', 400, 'Bad Request', 'DPE', 'the request is malformed or ambiguous'),
  failure('request_head_too_large', 431, 'Request Header Fields Too Large', 'RH', 'the request head is beyond a limit'),
  failure('request_target_too_long', 414, 'URI Too Long', 'RH', 'the request target is too long'),
  failure('request_body_too_large', 413, 'Content Too Large', 'RH', 'the request body is too large'),
  failure('request_timeout', 408, 'Request Timeout', 'DT', 'the request did not arrive in time'),
  failure('expectation_failed', 417, 'Expectation Failed', '', 'only 100-continue can be expected', true),
  failure('unauthenticated', 401, 'Unauthorized', 'UAEX', 'who sends this request is not known', true),
  failure('authn_unavailable', 503, 'Service Unavailable', 'UAEX', 'who sends this request cannot be checked now', true),
  failure('rate_limited', 429, 'Too Many Requests', 'RL', 'more requests than are allowed', true),
  failure('cors_denied', 403, 'Forbidden', 'UAEX', 'pages of this origin are not allowed here', true),
  failure('method_not_implemented', 501, 'Not Implemented', 'DPE', 'the method is not known'),
  failure('version_not_supported', 505, 'HTTP Version Not Supported', 'DPE', 'only HTTP/1.0 and HTTP/1.1 are spoken here'),
  failure('upstream_connect_failed', 503, 'Service Unavailable', 'UF', 'the service cannot be reached', true),
  failure('upstream_connect_timeout', 503, 'Service Unavailable', 'UF', 'the service cannot be reached in time', true),
  failure('upstream_timeout', 504, 'Gateway Timeout', 'UT', 'the service did not answer in time', true),
  failure('fault_injected', 503, 'Service Unavailable', 'FI', 'this failure was asked for in the mesh file', true),
  failure('try_timeout', 504, 'Gateway Timeout', 'UT', 'the service did not answer in time', true),
  failure('route_timeout', 504, 'Gateway Timeout', 'UT', 'the answer took too long', true),
  failure('deadline_exceeded', 504, 'Gateway Timeout', 'UT', 'the time that the caller would wait is up', true),
  failure('upstream_closed', 502, 'Bad Gateway', 'UC', 'the service closed the connection before its answer was complete', true),
  failure('upstream_reset', 502, 'Bad Gateway', 'UR', 'the service reset the connection before its answer was complete', true),
  failure('upstream_protocol_error', 502, 'Bad Gateway', 'UPE', 'the service did not answer with valid HTTP', true),
  failure('upstream_overflow', 503, 'Service Unavailable', 'UO', 'too many requests to the service are in flight', true),
  failure('upstream_pending_overflow', 503, 'Service Unavailable', 'UO', 'too many requests wait for a connection to the service', true),
  failure('too_many_connections', 503, 'Service Unavailable', 'OM', 'too many connections are open'),
  failure('too_many_client_connections', 503, 'Service Unavailable', 'RL', 'too many connections of this client are open'),
  failure('overloaded', 503, 'Service Unavailable', 'OM', 'too many bytes wait to be sent or completed'),
  failure('stream_idle_timeout', 504, 'Gateway Timeout', 'SI', 'the service paused for too long within its answer'),
  failure('identity_required', 403, 'Forbidden', 'UAEX', 'a certificate of the mesh is required here'),
  failure('identity_expired', 403, 'Forbidden', 'UAEX', 'the certificate is not valid at this time'),
  failure('identity_untrusted', 403, 'Forbidden', 'UAEX', 'the certificate is of no authority that is trusted here'),
  failure('identity_foreign', 403, 'Forbidden', 'UAEX', 'the certificate names nobody of this trust domain'),
  failure('identity_denied', 403, 'Forbidden', 'UAEX', 'the route does not take requests of this caller', true),
  failure('tls_required', 400, 'Bad Request', 'DPE', 'this port speaks TLS only'),
  failure('upstream_tls_failed', 503, 'Service Unavailable', 'UF', 'the service does not speak TLS as agreed', true),
  failure('upstream_identity_expired', 503, 'Service Unavailable', 'UF', 'the certificate of the service is not valid at this time', true),
  failure('upstream_identity_untrusted', 503, 'Service Unavailable', 'UF', 'the certificate of the service is of no trusted authority', true),
  failure('upstream_identity_wrong', 503, 'Service Unavailable', 'UF', 'another than the service answers at its address', true),
  failure('upstream_identity_refused', 503, 'Service Unavailable', 'UF', 'the service does not accept our certificate', true),
  failure('client_gone', 0, '', 'DC', ''),
  failure('client_stalled', 0, '', 'DT', ''),
  failure('shutdown', 503, 'Service Unavailable', '', 'the proxy is stopping'),
  failure('internal', 500, 'Internal Server Error', '', 'the proxy failed on this request'),
];

export const FAILURES = Object.fromEntries(TABLE.map((f) => [f.name, f])) as unknown as Readonly<
  Record<FailureName, Failure>
>;

/**
 * Failures of requests that mean a limit, or a caller who may not; each is counted (admission.ts and
 * identity/tls-gate.ts count connections themselves).
 */
const OF_LIMITS: ReadonlySet<string> = new Set<FailureName>([
  'request_head_too_large',
  'request_target_too_long',
  'request_body_too_large',
  'request_timeout',
  'rate_limited',
  'client_stalled',
  'upstream_overflow',
  'upstream_pending_overflow',
  'overloaded',
  'stream_idle_timeout',
  'identity_denied',
]);

export const isOfLimit = (failure: Failure): boolean => OF_LIMITS.has(failure.name);

/** The failure that a parser means by minus a status. */
export function failureOfStatus(status: number): Failure {
  switch (status) {
    case 405:
      return FAILURES.method_not_allowed;
    case 413:
      return FAILURES.request_body_too_large;
    case 414:
      return FAILURES.request_target_too_long;
    case 431:
      return FAILURES.request_head_too_large;
    case 501:
      return FAILURES.method_not_implemented;
    case 505:
      return FAILURES.version_not_supported;
    default:
      return FAILURES.request_malformed;
  }
}

/** Error type of an answer of the upstream: the class of a server error, else none. */
export const errorTypeOfStatus = (status: number): string => (status >= 500 ? '5xx' : '');

/** Codes of OpenSSL's verification of the upstream's certificate that mean the time. */
const TIME_CODES = /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/;
/** Its other codes; all mean that the chain leads to no authority that we believe. */
const CHAIN_CODES =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_|PATH_LENGTH_|ERROR_IN_CERT_|CRL_)/;

/**
 * What it means that a connection upstream never stood. `code`: of the system, of OpenSSL, or
 * ERR_AZ_WRONG_PEER (identity/credentials.ts).
 */
export function failureOfConnect(code: string): FailureName {
  if (code === 'ERR_AZ_WRONG_PEER') return 'upstream_identity_wrong';
  if (TIME_CODES.test(code)) return 'upstream_identity_expired';
  if (CHAIN_CODES.test(code)) return 'upstream_identity_untrusted';
  if (/^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return 'upstream_tls_failed';
  return 'upstream_connect_failed';
}
