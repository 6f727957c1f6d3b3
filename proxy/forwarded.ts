/**
 * What a request tells the mesh about where it came from: `x-forwarded-*`, said anew at the edge. The
 * socket is believed, and of the client's own words only as much as trusted proxies in front wrote:
 *
 *     trusted_hops: 2     x-forwarded-for: forged, client, proxy 1     socket: proxy 2
 *                                          └──────── kept ───────┘         added
 *
 * What a client wrote stands to the left of what the trusted proxies appended, and is left out.
 */
import { isIP } from 'node:net';
import { isPresent, isRepeated, joinedValue, valueEnd, valueStart } from './codec/fields.ts';
import { FIELD } from './codec/tables.ts';
import { hostOf } from './router.ts';

/** What was worked out for the request in hand; overwritten by the next. */
export const forwarded = {
  /** Addresses from the client to the socket. */
  chain: [] as readonly string[],
  proto: '',
  host: '',
};

/** The lines of the request that was just read. */
export const trustedLines = (): string =>
  `x-forwarded-for: ${forwarded.chain.join(', ')}\r\nx-forwarded-proto: ${forwarded.proto}\r\n` +
  (forwarded.host === '' ? '' : `x-forwarded-host: ${forwarded.host}\r\n`);

/** IPv6 as a socket gives it: an IPv4 one in its own form. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:/i, '');

/**
 * Reads the head just parsed (module state of the codec).
 * @param peer Address of the socket. @param isTls The client's connection is TLS.
 * @param host Host that was asked for, '' for none. @param trustedHops 1 or more.
 */
export function readForwarded(
  b: Buffer,
  peer: string,
  isTls: boolean,
  host: string,
  trustedHops: number,
): void {
  const named = isPresent(FIELD.xForwardedFor)
    ? joinedValue(b, FIELD.xForwardedFor)
        .split(',')
        .map((part) => part.trim())
    : [];
  // From the right: each entry was written by the proxy that the next one connected to.
  const kept: string[] = [];
  for (let i = named.length - 1; i >= 0 && kept.length < trustedHops; i--) {
    const address = addressOf(named[i]!);
    if (address === '') break;
    kept.unshift(address);
  }
  const last = plainAddress(peer);
  const proto = onlyValue(b, FIELD.xForwardedProto).toLowerCase();
  const isProto = proto === 'http' || proto === 'https';
  const said = onlyValue(b, FIELD.xForwardedHost);
  forwarded.chain = [...kept, last];
  forwarded.proto = isProto ? proto : isTls ? 'https' : 'http';
  forwarded.host = said !== '' && hostOf(said) !== undefined ? said : host;
}

/** `x-forwarded-for` and `-proto` of every request on a connection whose socket is the client. */
export const linesOfSocket = (peer: string, isTls: boolean): string =>
  `x-forwarded-for: ${plainAddress(peer)}\r\nx-forwarded-proto: ${isTls ? 'https' : 'http'}\r\n`;

/** `Forwarded` (RFC 7239), for those who read that one; written only where the client sent it. */
export function standardLine(chain: readonly string[], proto: string, host: string): string {
  const elements = chain.map((address, i) => {
    const node = address.includes(':') ? `"[${address}]"` : address;
    if (i > 0) return `for=${node}`;
    return `for=${node};proto=${proto}` + (host === '' ? '' : `;host="${host}"`);
  });
  return `forwarded: ${elements.join(', ')}\r\n`;
}

/** An address, also with a port as some load balancers write it; '' when it is none. */
function addressOf(text: string): string {
  if (isIP(text) !== 0) return plainAddress(text);
  const [, address = ''] = /^\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?$/.exec(text) ?? [];
  if (isIP(address) === 6) return plainAddress(address);
  const colon = text.lastIndexOf(':');
  const front = text.slice(0, Math.max(0, colon));
  return isIP(front) === 4 && /^[0-9]{1,5}$/.test(text.slice(colon + 1)) ? front : '';
}

/** Value of a field that came once; '' otherwise. */
const onlyValue = (b: Buffer, id: number): string =>
  !isPresent(id) || isRepeated(id) ? '' : b.toString('latin1', valueStart(id), valueEnd(id));
