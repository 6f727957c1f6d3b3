/**
 * Trailer fields (RFC 9110 6.5): which of them pass. Only what the message announced in `Trailer`,
 * and of that nothing that says where a message ends, whom it is for, who sent it, how it is to be
 * read, or anything that the mesh says itself: a recipient that merges trailers into its headers
 * would otherwise take a stranger's word for ours. Trailers are rare, so strings are good enough.
 */
import { CODEC_LIMITS } from '../limits.ts';
import { isNominated, isPresent, joinedValue } from './fields.ts';
import { FIELD, isReservedName } from './tables.ts';

/**
 * Never forwarded as a trailer. RFC 9110 6.5.1 names the classes (framing, routing, request
 * modifiers, authentication, response control, content format); the last two lines are ours.
 */
const FORBIDDEN: ReadonlySet<string> = new Set(
  [
    'content-length transfer-encoding trailer te',
    'host max-forwards expect',
    'cache-control pragma range if-match if-none-match if-modified-since if-unmodified-since if-range',
    'authorization www-authenticate authentication-info proxy-authenticate proxy-authorization',
    'proxy-authentication-info cookie set-cookie',
    'age date expires location retry-after vary warning server',
    'content-encoding content-type content-range content-language content-location',
    'connection keep-alive proxy-connection upgrade http2-settings',
    'forwarded x-real-ip x-request-id traceparent tracestate traceresponse baggage',
  ].flatMap((line) => line.split(' ')),
);
const TOKEN_ONLY = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/**
 * Names, lower case, that the head just parsed announces in `Trailer` and that may pass; undefined
 * when there are none. `isEdge`: names with an underscore do not pass (see downstream.ts).
 */
export function announcedTrailers(b: Buffer, isEdge: boolean): ReadonlySet<string> | undefined {
  if (!isPresent(FIELD.trailer)) return undefined;
  const names = new Set<string>();
  for (const part of joinedValue(b, FIELD.trailer).split(',')) {
    const name = part.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase();
    if (!TOKEN_ONLY.test(name) || FORBIDDEN.has(name) || isReservedName(name)) continue;
    if (isNominated(name) || (isEdge && name.includes('_'))) continue;
    if (names.size === CODEC_LIMITS.trailerNames) break;
    names.add(name);
  }
  return names.size === 0 ? undefined : names;
}

/** The `trailer` line that announces them to the next; '' for none. */
export const trailerLine = (names: ReadonlySet<string> | undefined): string =>
  names === undefined ? '' : `trailer: ${[...names].join(', ')}\r\n`;
