/**
 * What of a request must reach the upstream, worked out from what another parser read, without any
 * code of proxy/. Fields that the proxy sets or ends are left out here and have tests of their own.
 */
import type { Field, ReadRequest } from './oracles/messages.ts';

export interface EndToEnd {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** End-to-end fields in order, names as written. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** Hop-by-hop (RFC 9110 7.6.1), framing, trace context, and what the proxy writes itself. */
const OURS =
  /^(host|connection|keep-alive|proxy-connection|te|trailer|upgrade|transfer-encoding|content-length|http2-settings|proxy-auth\w+|traceparent|tracestate|azimuth-peer)$/i;
/** What nobody outside may say; the gateway takes it out or writes it itself. */
const OURS_AT_EDGE =
  /^(forwarded|x-forwarded-.*|x-real-ip|x-request-id|baggage|(x-)?azimuth-.*|x-envoy-.*|l5d-.*)$/i;

/** Names in all lists of a field, lower case. */
const listed = (request: ReadRequest, field: string): string[] =>
  request.headers
    .filter(([name]) => name.toLowerCase() === field)
    .flatMap(([, value]) => value.toLowerCase().split(','))
    .map((name) => name.trim());

export const valuesOf = (headers: readonly Field[], field: string): string[] =>
  headers.filter(([name]) => name.toLowerCase() === field).map(([, value]) => value);

/** As the client's request must arrive. `nominates`: Connection of this message counts. */
export function endToEnd(request: ReadRequest, atEdge: boolean, fromClient: boolean): EndToEnd {
  const nominated = fromClient ? listed(request, 'connection') : [];
  const absolute = fromClient ? /^http:\/\/([^/?]*)(.*)$/i.exec(request.target) : null;
  const rest = absolute?.[2] ?? request.target;
  return {
    method: request.method,
    target: rest.startsWith('/') || rest === '*' ? rest : '/' + rest,
    // A request of HTTP/1.0 without a host gets the cluster's name.
    host: absolute?.[1] ?? valuesOf(request.headers, 'host').join(),
    fields: request.headers
      .filter(([name]) => !OURS.test(name) && !(atEdge && OURS_AT_EDGE.test(name)))
      .filter(([name]) => !nominated.includes(name.toLowerCase()))
      // HTTP/1.0 cannot take a 100 (RFC 9110 10.1.1).
      .filter(([name]) => !(request.version === '1.0' && /^expect$/i.test(name)))
      .map(([name, value]) => `${name}: ${value.replace(/^[ \t]+|[ \t]+$/g, '')}`),
    body: request.body,
  };
}

/** Of those that the corpus sends: they would change what was said in the header. */
const NEVER_A_TRAILER = /^(expires|host|content-length|transfer-encoding)$/i;

/** Trailers of a client's request that may go on: declared ones that frame, route or vouch nothing. */
export function mayTrail(request: ReadRequest): readonly string[] {
  const declared = listed(request, 'trailer');
  return request.trailers
    .filter(([name]) => declared.includes(name.toLowerCase()))
    .filter(([name]) => !NEVER_A_TRAILER.test(name))
    .map(([name, value]) => `${name}: ${value.trim()}`);
}
