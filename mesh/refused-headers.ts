/**
 * Headers that the mesh file cannot change: a change of them would move the end of a message, speak
 * about a connection, or let a route say what only the mesh says. The proxy strips or sets each of
 * them itself; a test holds this list against its table.
 */

/** Of one connection, or about where a message ends (RFC 9110 7.6.1, RFC 9112 6). */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Written by the proxy: who called, by which way, in which trace. */
const OF_THE_MESH: ReadonlySet<string> = new Set([
  'baggage',
  'forwarded',
  'host',
  'traceparent',
  'traceresponse',
  'tracestate',
  'x-real-ip',
  'x-request-id',
]);
const MESH_PREFIXES = ['azimuth-', 'x-azimuth-', 'x-envoy-', 'x-forwarded-', 'l5d-'];

/** Why a header, in lower case, cannot be changed; undefined when it can. */
export function refusedHeader(name: string): string | undefined {
  if (OF_THE_CONNECTION.has(name)) {
    return 'cannot be changed (it belongs to the connection: remove it here)';
  }
  if (OF_THE_MESH.has(name) || MESH_PREFIXES.some((prefix) => name.startsWith(prefix))) {
    return 'cannot be changed (only the mesh sets it: remove it here)';
  }
  return undefined;
}
