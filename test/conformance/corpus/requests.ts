/**
 * Requests for the differential suite: a grammar of valid ones, and mutations that each break, bend
 * or stretch one rule. A case is a pipeline of one to four messages, at most one of them mutated,
 * behind which the suite sends a sentinel: where two readers disagree about an end, the sentinel or
 * a neighbour is read as something else.
 */
import { chunked, SMUGGLED, type Draft, type Mutation } from './draft.ts';
import type { Choice } from './random.ts';
import { FIELD_MUTATIONS, FRAMING_MUTATIONS } from './request-mutations.ts';
import { LINE_MUTATIONS } from './start-line-mutations.ts';

export interface RequestCase {
  readonly name: string;
  readonly bytes: string;
  /** Where the bytes are cut into writes of their own. */
  readonly cuts: readonly number[];
  /** Each byte in a write of its own. */
  readonly drip: boolean;
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'QUERY',
  'PURGE',
];
const PATHS = [
  '/',
  '/a',
  '/cart/42',
  '/a//b',
  '/search?q=1',
  '/?',
  '/%41',
  '/a;v=1',
  '/~x/y_z',
  '/a?b=c?d',
  '/[x]|',
  '/a?{b}^`',
  '/:80',
  '//evil.example/x',
  '/http://x/',
  '/@',
  '/*',
  "/a&b=(c)!$'+,",
];
const HOSTS = [
  'shop.example',
  'shop.example:8080',
  'SHOP.example',
  '127.0.0.1',
  '[::1]',
  '[::1]:80',
  'a',
];
const LINES = [
  'Accept: */*',
  'accept:text/html',
  'Accept:\t text/html \t',
  'Cookie: a=b; c="d"',
  'X-Empty:',
  'X-Spaces:   ',
  'X-Latin: \xe4\xf6\xfc',
  'X-Repeated: 1',
  'X-Repeated: 2',
  "X-Token!#$%&'*+-.^`|~: v",
  '__proto: x',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) "quoted" \\ {}',
  'If-None-Match: "a", W/"b"',
  'Authorization: Basic YTpi',
  'Range: bytes=0-1',
  'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive',
  'TE: trailers',
  'X-Forwarded-For: 1.2.3.4',
  'X-Forwarded-Host: evil.example',
  'Forwarded: for=1.2.3.4',
  'X-Request-Id: 1',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'tracestate: a=b',
  'baggage: a=b',
  'azimuth-peer: workload;evil',
  'Connection: keep-alive',
  'Connection: x-named, keep-alive',
  'X-Named: ends here',
  'Transfer-Encodings: chunked',
  'Content-Lengths: 7',
  'constructor: x',
];
const BODIES = [
  '',
  'a',
  'ok',
  'a=b&c=d',
  SMUGGLED,
  '0\r\n\r\n',
  '0\r\n\r\n' + SMUGGLED,
  '\r\n',
  '\x00\x01\xff',
  'x'.repeat(5_000),
];
const TRAILERS = [
  'X-Sum: 1',
  'Expires: 0',
  'X-Mesh-Direction: in',
  'X-Sum: 2',
  'X-Signature:  a b ',
];

/** Gives a draft this framing line, at a random place, and this body. */
function frame(made: Draft, line: string, body: string, choice: Choice): void {
  made.lines.splice(choice.between(0, made.lines.length), 0, line);
  made.body = body;
}

function draft(choice: Choice): Draft {
  const made: Draft = {
    method: choice.of(METHODS),
    target: choice.of(PATHS),
    version: 'HTTP/1.1',
    lines: [
      `${choice.of(['Host', 'host', 'HOST'])}:${choice.of(['', ' ', '\t'])}${choice.of(HOSTS)}`,
    ],
    eol: '\r\n',
    headEnd: '\r\n',
    body: '',
    before: '',
  };
  if (choice.chance(0.06))
    made.target = 'http://' + choice.of(HOSTS) + choice.of(['', '/', '/a?b', '?c']);
  for (let i = choice.between(0, 4); i > 0; i--) {
    made.lines.splice(choice.between(0, made.lines.length), 0, choice.of(LINES));
  }
  const framing = choice.below(3);
  const body = choice.of(BODIES);
  if (framing === 1) frame(made, `Content-Length: ${body.length}`, body, choice);
  if (framing === 2) {
    const trailers = choice.chance(0.3) ? [choice.of(TRAILERS), choice.of(TRAILERS)] : [];
    if (trailers.length > 0 && choice.chance(0.7)) {
      made.lines.push('Trailer: ' + trailers.map((line) => line.split(':')[0]!).join(', '));
    }
    const name = choice.of([
      'Transfer-Encoding: chunked',
      'transfer-encoding:chunked',
      'Transfer-Encoding: Chunked',
    ]);
    frame(made, name, chunked(body, choice, trailers), choice);
  }
  return made;
}

const textOf = (made: Draft): string =>
  made.before +
  `${made.method} ${made.target} ${made.version}${made.eol}` +
  made.lines.map((line) => line + made.eol).join('') +
  made.headEnd +
  made.body;

const MUTATIONS: readonly Mutation[] = [
  ...FRAMING_MUTATIONS,
  ...FIELD_MUTATIONS,
  ...LINE_MUTATIONS,
];

/** Case `index` of a corpus. Every third is valid throughout, the others take the mutations in turn. */
export function requestCase(index: number, choice: Choice): RequestCase {
  const messages = Array.from({ length: choice.of([1, 1, 2, 3, 4]) }, () => draft(choice));
  let name = 'valid';
  if (index % 3 !== 0) {
    const turn = index - Math.floor(index / 3) - 1;
    const mutation = MUTATIONS[turn % MUTATIONS.length]!;
    const at = choice.below(messages.length);
    mutation.apply(messages[at]!, choice);
    name = `${mutation.name}, message ${at + 1} of ${messages.length}`;
  }
  const bytes = messages.map(textOf).join('');
  const drip = bytes.length < 400 && choice.chance(0.05);
  return { name, bytes, drip, cuts: choice.chance(0.4) ? choice.cuts(bytes.length, 6) : [] };
}
