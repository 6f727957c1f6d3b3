/**
 * Where the proxy refuses, on purpose, what both other parsers read: every case with its reason.
 * The reverse, taking what one of them refuses, has one entry, which RFC 9112 asks for.
 */
import { valuesOf } from './expected-request.ts';
import type { ReadRequest } from './oracles/messages.ts';

export interface Strictness {
  readonly name: string;
  readonly status: number;
  readonly reason: string;
  /** The request, as the other parsers read it, has this property. */
  fits(request: ReadRequest, atEdge: boolean): boolean;
}

const headBytes = (request: ReadRequest): number =>
  request.headers.reduce(
    (bytes, [name, value]) => bytes + name.length + value.length + 4,
    request.target.length,
  );
/** Authority of an absolute target, and what stands in Host beside it. */
const hosts = (request: ReadRequest): string[] => [
  ...(/^http:\/\/([^/?]*)/i.exec(request.target)?.slice(1) ?? []),
  ...valuesOf(request.headers, 'host'),
];
const HOST = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{0,5}))?$/;
const isHost = (text: string): boolean =>
  Number(HOST.exec(text)?.[1] ?? (HOST.test(text) ? 0 : 65_536)) < 65_536;
const path = (request: ReadRequest): string =>
  request.target.replace(/^http:\/\/[^/?]*/i, '').split('?')[0]!;
const connection = (request: ReadRequest): string[] =>
  valuesOf(request.headers, 'connection').flatMap((value) =>
    value.split(',').map((option) => option.trim().toLowerCase()),
  );

export const STRICTER: readonly Strictness[] = [
  {
    name: 'a name with an underscore, at the edge',
    status: 400,
    reason: 'CGI-like servers read `_` as `-`, so such a name could forge a field of ours',
    fits: ({ headers }, atEdge) => atEdge && headers.some(([name]) => name.includes('_')),
  },
  {
    name: 'a method with lower-case letters',
    status: 501,
    reason: 'methods are case-sensitive and all registered ones upper case (RFC 9110 9.1)',
    fits: ({ method }) => /[a-z]/.test(method),
  },
  {
    name: 'a method longer than any registered one',
    status: 400,
    reason: 'the longest registered one has 17 letters',
    fits: ({ method }) => method.length > 32,
  },
  {
    name: 'CONNECT',
    status: 405,
    reason: 'the proxy is no forward proxy',
    fits: ({ method }) => method === 'CONNECT',
  },
  {
    name: 'a version that is neither 1.0 nor 1.1',
    status: 505,
    reason: 'what such a sender means by its framing is not known',
    fits: ({ version }) => version !== '1.0' && version !== '1.1',
  },
  {
    name: 'a body with TRACE',
    status: 400,
    reason: 'RFC 9110 9.3.8 forbids it, and servers differ in whether they read it',
    fits: ({ method, headers }) =>
      method === 'TRACE' &&
      headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name)),
  },
  {
    name: 'a target that is no URI',
    status: 400,
    reason:
      'control bytes, quotes, brackets, `\\`, `#` and bytes above 127 are read differently (RFC 3986)',
    fits: ({ target }) => {
      const query = target.indexOf('?');
      const inPath = query < 0 ? target : target.slice(0, query);
      return (
        /[^A-Za-z0-9\-._~!$&'()*+,;=:@/%[\]|]/.test(inPath) ||
        (query >= 0 && /[^A-Za-z0-9\-._~!$&'()*+,;=:@/%[\]|?{}^`]/.test(target.slice(query)))
      );
    },
  },
  {
    name: 'a percent sign that escapes nothing, or NUL',
    status: 400,
    reason: 'decoders throw, guess, or cut the path off there',
    fits: ({ target }) => /%(?![0-9A-Fa-f]{2})|%00/.test(target),
  },
  {
    name: 'a dot segment in the path',
    status: 400,
    reason: 'servers disagree on what it means, so routes could be walked around',
    fits: (request) => /\/(\.|%2e){1,2}(\/|$)/i.test(path(request)),
  },
  {
    name: 'a target in another form',
    status: 400,
    reason: 'only origin form, absolute http and `OPTIONS *` are requests to a reverse proxy',
    fits: ({ target, method }) =>
      !target.startsWith('/') &&
      !/^http:\/\/[^/?@]+([/?]|$)/i.test(target) &&
      !(target === '*' && method === 'OPTIONS'),
  },
  {
    name: 'a host that is no authority',
    status: 400,
    reason: 'RFC 9112 3.2 asks for 400; the route is chosen by it',
    fits: (request) => !hosts(request).every(isHost),
  },
  {
    name: 'a coding from HTTP/1.0',
    status: 400,
    reason: 'HTTP/1.0 knows no chunks: whoever frames so may read it otherwise (RFC 9112 6.1)',
    fits: ({ version, headers }) =>
      version === '1.0' && headers.some(([name]) => /^transfer-encoding$/i.test(name)),
  },
  {
    name: 'Connection that nominates Host or the framing',
    status: 400,
    reason: 'taking it away would change where the message ends or for whom it is',
    fits: (request) =>
      connection(request).some((o) => /^(host|content-length|transfer-encoding)$/.test(o)),
  },
  {
    name: 'Connection with an option that is no name',
    status: 400,
    reason: 'it nominates something, and nobody can say what',
    fits: (request) =>
      connection(request).some((o) => o !== '' && !/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(o)),
  },
  {
    name: 'more than 100 fields',
    status: 431,
    reason: 'a limit (limits.ts)',
    fits: ({ headers }) => headers.length > 100,
  },
  {
    name: 'a head beyond 16 KiB',
    status: 431,
    reason: 'a limit (limits.ts)',
    fits: (request) => headBytes(request) > 15_000,
  },
  {
    name: 'a target beyond 8 KiB',
    status: 414,
    reason: 'a limit (limits.ts)',
    fits: ({ target }) => target.length > 8_000,
  },
  {
    name: 'a length that is not canonical enough',
    status: 400,
    reason: 'beyond 15 digits a double no longer counts exactly; a thousand digits are an attack',
    fits: ({ headers }) => valuesOf(headers, 'content-length').some((value) => value.length > 15),
  },
  {
    name: 'another expectation than 100-continue',
    status: 417,
    reason: 'RFC 9110 10.1.1 allows it, and nobody defined another',
    fits: ({ headers }) =>
      valuesOf(headers, 'expect').some((value) => !/^100-continue$/i.test(value)),
  },
  {
    name: 'TRACE, at the edge',
    status: 405,
    reason: 'it would show what the mesh adds to a request',
    fits: ({ method }, atEdge) => atEdge && method === 'TRACE',
  },
  {
    name: 'OPTIONS *, which the proxy answers',
    status: 204,
    reason: 'it asks about the server that is asked (RFC 9110 9.3.7); `http://a` means the same',
    fits: ({ target, method }) => method === 'OPTIONS' && /^(\*|http:\/\/[^/?]*)$/i.test(target),
  },
];

/** How a refusal depends on bytes that the other parsers do not hand over: those of chunks. */
export const STRICTER_CHUNKS: readonly {
  readonly name: string;
  readonly reason: string;
  fits(bytes: string): boolean;
}[] = [
  {
    name: 'a chunk size of more than 8 digits',
    reason: 'a limit: 4 GiB a chunk, leading zeros included',
    fits: (bytes) => /\r\n[0-9a-f]{9,}[;\r]/i.test(bytes),
  },
  {
    name: 'a chunk extension beyond 256 bytes',
    reason: 'a limit (limits.ts): extensions mean nothing here',
    fits: (bytes) => /\r\n[0-9a-f]+;[^\r\n]{257}/i.test(bytes),
  },
  {
    name: 'a trailer section beyond its limits',
    reason: 'a limit (limits.ts): a quarter of a head, and no more fields than a head',
    fits: (bytes) => /\r\n0+\r\n(?:[^\r\n]+\r\n){100}|\r\n0+\r\n[^\r\n]{4000}/.test(bytes),
  },
];
