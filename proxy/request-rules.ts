/**
 * Small rules about requests that are neither syntax (codec/) nor routing (router.ts).
 */
import { hash } from 'node:crypto';

/** `.` or `..` as a segment, also percent-encoded: servers disagree on what such a path means. */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i;

/** True when a path has a dot segment. Costs two searches for the usual path. */
export function hasDotSegment(path: string): boolean {
  if (!path.includes('/.') && !path.includes('/%2')) return false;
  return DOT_SEGMENT.test(path);
}

/**
 * Safe methods (RFC 9110 9.2.1): a server that got one twice has changed nothing by it. PUT and
 * DELETE may be repeated too, but the second answer can differ (404 for what the first deleted).
 */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']);

export const isSafe = (method: string): boolean => SAFE.has(method);

/** Stands for a raw path in the record where the mesh file asks for hashes: 64 bits, hexadecimal. */
export const hashOfPath = (path: string): string => hash('sha256', path, 'hex').slice(0, 16);

/** An address with its last part zeroed: IPv4 to /24, IPv6 to /48. '' when it is neither. */
export function truncateAddress(address: string): string {
  const ipv4 = /^(?:::ffff:)?(\d+\.\d+\.\d+)\.\d+$/i.exec(address);
  if (ipv4 !== null) return `${ipv4[1]!}.0`;
  if (!address.includes(':')) return '';
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  // `::` stands for as many zero groups as are missing; only the first three groups are kept.
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array<string>(Math.max(0, zeros)).fill('0'), ...tail];
  return `${groups.slice(0, 3).join(':')}::`;
}
