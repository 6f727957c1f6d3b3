/**
 * The text of answers that a proxy gives by itself, whole messages as the client gets them. What a
 * failure means stands in rescue.ts. Says nothing of addresses or names inside the mesh.
 */
import type { Failure, FailureName } from './rescue.ts';

/** What any route may take that names no methods. */
const ANY_METHOD = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'QUERY'];

/** The line `Allow`: methods of the routes, or those of HTTP where they name none. */
export const allowLine = (methods: readonly string[]): string =>
  `allow: ${(methods.length === 0 ? ANY_METHOD : methods).join(', ')}\r\n`;

/** An answer of ours without content; `lines`: its header lines. */
export const emptyAnswer = (lines: string, close: boolean): string =>
  `HTTP/1.1 204 No Content\r\n${lines}` + (close ? 'connection: close\r\n\r\n' : '\r\n');

/** Refusals of a caller's identity; a caller of ours makes its own failure of them. */
const OF_CONNECTION: ReadonlySet<string> = new Set<FailureName>([
  'identity_required',
  'identity_expired',
  'identity_untrusted',
  'identity_foreign',
]);
/** Never believed from an application: each sidecar strips it from answers. */
const REFUSED_HEADER = 'azimuth-refused';

/** Marks a refusal of a caller's identity as the sidecar's own word; '' for any other failure. */
export const refusalLine = ({ name }: Failure): string =>
  OF_CONNECTION.has(name) ? `${REFUSED_HEADER}: ${name}\r\n` : '';

/** Seconds after which permits, connections and memory have turned over many times. */
const RETRY_AFTER_S = 1;

/**
 * The whole message of an answer of our own. `allow`: methods of the routes, for a 405; `lines`:
 * further header lines.
 */
export function ownAnswer(
  failure: Failure,
  isHead: boolean,
  close: boolean,
  allow: readonly string[],
  lines = '',
): string {
  const text = failure.text + '\n';
  return (
    `HTTP/1.1 ${failure.status} ${failure.reason}\r\n` +
    `content-type: text/plain\r\ncontent-length: ${text.length}\r\n` +
    (failure.status === 405 ? allowLine(allow) : '') +
    (failure.status === 503 ? `retry-after: ${RETRY_AFTER_S}\r\n` : '') +
    lines +
    (close ? 'connection: close\r\n' : '') +
    `\r\n${isHead ? '' : text}`
  );
}
