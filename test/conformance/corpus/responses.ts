/**
 * Answers of an upstream for the differential suite: valid ones, and mutations that each break one
 * rule, together with the way in which the upstream then ends the connection.
 */
import { chunked, SMUGGLED, type ResponseDraft } from './draft.ts';
import type { Choice } from './random.ts';
import { RESPONSE_MUTATIONS } from './response-mutations.ts';

/** `end` in order, at once or when nothing moves any more, or a reset. */
export type Ending = 'end' | 'late_end' | 'reset';

export interface ResponseCase {
  readonly name: string;
  readonly method: string;
  readonly clientVersion: string;
  readonly bytes: string;
  readonly cuts: readonly number[];
  readonly ending: Ending;
}

const STATUSES = [
  '200',
  '200',
  '200',
  '201',
  '204',
  '206',
  '301',
  '304',
  '400',
  '404',
  '500',
  '503',
  '599',
];
const LINES = [
  'Content-Type: text/plain',
  'Content-Type: text/event-stream',
  'Cache-Control: no-cache',
  'Set-Cookie: a=b; Path=/',
  'Set-Cookie: c=d',
  'ETag: "a"',
  'X-Empty:',
  'X-Latin: \xe4',
  'Vary:\tAccept ',
  'Server: upstream/1.0',
  'Connection: keep-alive',
  'Connection: x-named',
  'X-Named: ends here',
  'Keep-Alive: timeout=5',
  'Proxy-Authenticate: Basic',
  'x-envoy-upstream: 1',
  'traceresponse: 00-a-b-01',
];
const BODIES = [
  '',
  'ok',
  'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
  '0\r\n\r\n',
  SMUGGLED,
  '\x00\xff',
  'x'.repeat(70_000),
];
const INTERIMS = [
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n',
  'HTTP/1.1 102 Processing\r\n\r\n',
];
const TRAILERS = ['X-Sum: 1', 'Server-Timing: a;dur=1', 'X-Mesh-Peer: evil'];

function draft(choice: Choice, index: number): ResponseDraft {
  const made: ResponseDraft = {
    version: 'HTTP/1.1',
    status: choice.of(STATUSES),
    reason: choice.of(['OK', '', 'Not Found', 'a b\tc', '\xe4']),
    lines: [`x-case: ${index}`],
    eol: '\r\n',
    headEnd: '\r\n',
    body: '',
    before: choice.chance(0.15) ? choice.of(INTERIMS) : '',
    behind: '',
  };
  for (let i = choice.between(0, 4); i > 0; i--) {
    made.lines.splice(choice.between(0, made.lines.length), 0, choice.of(LINES));
  }
  const body = choice.of(BODIES);
  const framing = choice.below(3);
  if (framing === 0) made.body = body;
  if (framing === 1) {
    made.lines.push(`Content-Length: ${body.length}`);
    made.body = body;
  }
  if (framing === 2) {
    const trailers = choice.chance(0.3) ? [choice.of(TRAILERS)] : [];
    if (trailers.length > 0) made.lines.push('Trailer: ' + trailers[0]!.split(':')[0]!);
    made.lines.push('Transfer-Encoding: chunked');
    made.body = chunked(body, choice, trailers);
  }
  return made;
}

/** Case `index` of a corpus. Every fourth is valid, the others take the mutations in turn. */
export function responseCase(index: number, choice: Choice): ResponseCase {
  const made = draft(choice, index);
  const method = choice.of(['GET', 'GET', 'GET', 'GET', 'POST', 'HEAD']);
  let name = 'valid';
  if (index % 4 !== 0) {
    const turn = index - Math.floor(index / 4) - 1;
    const mutation = RESPONSE_MUTATIONS[turn % RESPONSE_MUTATIONS.length]!;
    mutation.apply(made, choice);
    name = mutation.name;
  }
  const isBodiless = method === 'HEAD' || made.status === '204' || made.status === '304';
  const bytes =
    made.before +
    `${made.version} ${made.status} ${made.reason}${made.eol}` +
    made.lines.map((line) => line + made.eol).join('') +
    made.headEnd +
    (isBodiless && name === 'valid' ? '' : made.body) +
    made.behind;
  return {
    name,
    method,
    clientVersion: choice.chance(0.15) ? 'HTTP/1.0' : 'HTTP/1.1',
    bytes,
    cuts: choice.chance(0.5) ? choice.cuts(bytes.length, 5) : [],
    ending: choice.of(['end', 'end', 'late_end', 'late_end', 'reset']),
  };
}
