/**
 * The verdict on one case of the request suite: what two other parsers read from the client's bytes
 * beside what the proxy did with them. Every disagreement is a line of text.
 */
import { METHODS } from 'node:http';
import { endToEnd, mayTrail, valuesOf, type EndToEnd } from './expected-request.ts';
import type { H11Oracle } from './oracles/h11-oracle.ts';
import type { ReadRequest, ReadRequests, ReadResponse } from './oracles/messages.ts';
import { nodeRequests, UPGRADE } from './oracles/node-oracle.ts';
import { BARRIER_TARGET, SENTINEL, type ObservedRequests } from './request-lane.ts';
import { STRICTER, STRICTER_CHUNKS } from './strictness.ts';

export interface Verdict {
  readonly faults: readonly string[];
  /** Entries of the strictness tables that were used. */
  readonly strictness: readonly string[];
  /** Messages that were forwarded, and that were refused. */
  readonly forwarded: number;
  readonly refused: number;
}

export async function judgeRequests(
  bytes: string,
  observed: ObservedRequests,
  atEdge: boolean,
  h11: H11Oracle,
): Promise<Verdict> {
  const [byH11, byNode] = await Promise.all([
    h11.requests(bytes + SENTINEL),
    nodeRequests(bytes + SENTINEL),
  ]);
  const faults: string[] = [];
  const strictness: string[] = [];
  const answers = await readAnswers(observed.answers, byH11, byNode, h11, faults);
  const sent = await readUpstream(observed, h11, faults);
  let forwarded = 0;
  let refused = 0;
  let unknownMethod = false;
  let at = 0;
  for (; at < answers.length; at++) {
    const answer = answers[at]!;
    const readings = [byH11.messages[at], byNode.messages[at]];
    const token = valuesOf(answer.headers, 'x-answer')[0];
    if (answer.status === 502 && !METHODS.includes(byH11.messages[at]?.method ?? 'GET')) {
      unknownMethod = true;
      strictness.push(NOT_NODES_METHOD);
      continue;
    }
    if (token === undefined) {
      refused++;
      const reason = readings.includes(undefined)
        ? ''
        : stricter(readings as ReadRequest[], answer.status, bytes, atEdge);
      if (reason === undefined)
        faults.push(`message ${at + 1}: ${answer.status} for what both others read`);
      else if (reason !== '') strictness.push(reason);
      // The proxy answers some heads without waiting for a body, which may turn out to be broken.
      const partial = at === byH11.messages.length ? byH11.partial : null;
      const head = byH11.messages[at] ?? byNode.messages[at] ?? partial;
      if (answer.status < 400 && !isAnsweredHere(head, answer.status, atEdge)) {
        faults.push(`message ${at + 1}: own answer ${answer.status}`);
      }
      continue;
    }
    forwarded++;
    const upstream = sent.get(token);
    if (upstream === undefined) {
      faults.push(
        `message ${at + 1}: answer ${token} to a request that h11 does not find upstream`,
      );
      continue;
    }
    const asNode = observed.arrived.find((arrived) => arrived.token === token)!.request;
    faults.push(
      ...differences(
        `h11 and Node upstream, message ${at + 1}`,
        endToEnd(upstream, atEdge, false),
        endToEnd(asNode, atEdge, false),
      ),
    );
    compare('h11', byH11, at, upstream, atEdge, faults, strictness);
    compare('Node', byNode, at, upstream, atEdge, faults, strictness);
  }
  if (observed.arrived.length > forwarded) {
    faults.push(`${observed.arrived.length} requests upstream, ${forwarded} answers from there`);
  }
  const bothWentOn = byH11.messages.length > at && byNode.messages.length > at;
  const last = answers.at(-1);
  const saidClose =
    last !== undefined && /close/i.test(valuesOf(last.headers, 'connection').join());
  if (bothWentOn && !(observed.ended && saidClose)) {
    faults.push(`no answer to message ${at + 1}, which both others read`);
  }
  if (observed.ended && !saidClose && last !== undefined && observed.answers !== '') {
    faults.push('the connection ended without a word of it');
  }
  if (
    saidClose &&
    bothWentOn &&
    valuesOf(last.headers, 'x-answer').length > 0 &&
    byH11.messages[at - 1]!.version !== '1.0'
  ) {
    faults.push(`the connection ended behind the good message ${at}`);
  }
  if (!unknownMethod) {
    faults.push(...observed.upstreamRefused.map((why) => `Node refuses upstream bytes: ${why}`));
  }
  return { faults, strictness, forwarded, refused };
}

/** The client's side, as h11 reads it. */
async function readAnswers(
  text: string,
  byH11: ReadRequests,
  byNode: ReadRequests,
  h11: H11Oracle,
  faults: string[],
): Promise<readonly ReadResponse[]> {
  const known = Array.from(
    { length: Math.max(byH11.messages.length, byNode.messages.length) },
    (_, i) => (byH11.messages[i] ?? byNode.messages[i])!.method,
  ).map((method) => (method === 'HEAD' ? method : 'GET'));
  const partial = byH11.partial?.method === 'HEAD' ? 'HEAD' : 'GET';
  let read = await h11.responses(text, [...known, partial], true);
  // The method of a request that nobody could read: its answer may have no body.
  if (read.end === 'refused') read = await h11.responses(text, [...known, 'HEAD'], true);
  if (read.end === 'refused' || read.end === 'incomplete') {
    faults.push(`the client got what h11 does not read: ${read.end} ${read.why}`);
  }
  if (read.left > 0) faults.push(`${read.left} bytes behind the last answer`);
  return read.messages;
}

/** The upstream's side as h11 reads it: requests by the token of their answer. */
async function readUpstream(
  observed: ObservedRequests,
  h11: H11Oracle,
  faults: string[],
): Promise<ReadonlyMap<string, ReadRequest>> {
  const found = new Map<string, ReadRequest>();
  for (const { received, closed, tokens } of observed.connections) {
    const read = await h11.requests(received);
    if (read.end === 'refused') faults.push(`h11 refuses upstream bytes: ${read.why}`);
    if (read.end === 'incomplete' && !closed) {
      faults.push('part of a request upstream, on a connection that is kept');
    }
    if (read.end === 'closed') faults.push('a request upstream that closes its connection');
    const messages = read.messages.filter(
      ({ method, target }) => target !== BARRIER_TARGET && METHODS.includes(method),
    );
    if (messages.length !== tokens.length) {
      faults.push(`upstream h11 reads ${messages.length} requests, Node ${tokens.length}`);
    }
    messages.forEach((message, index) => found.set(tokens[index] ?? '', message));
  }
  return found;
}

const isAnsweredHere = (head: ReadRequest | null, status: number, atEdge: boolean): boolean =>
  head !== null && STRICTER.some((rule) => rule.status === status && rule.fits(head, atEdge));

/** Name of the entry that explains a refusal; undefined when there is none. */
function stricter(
  readings: readonly ReadRequest[],
  status: number,
  bytes: string,
  atEdge: boolean,
): string | undefined {
  const entry =
    STRICTER.find((rule) => rule.status === status && readings.some((r) => rule.fits(r, atEdge))) ??
    (status === 400 && readings.some((r) => valuesOf(r.headers, 'transfer-encoding').length > 0)
      ? STRICTER_CHUNKS.find((rule) => rule.fits(bytes))
      : undefined);
  return entry?.name;
}

/** Node's list of methods is closed; a proxy forwards any method that is a token (RFC 9110 9.1). */
const NOT_NODES_METHOD = 'HPE_INVALID_METHOD';
/** RFC 9112 2.2: a server should ignore an empty line in front of a request. h11 does not. */
const EMPTY_LINE_FIRST = 'no request line received';

function compare(
  who: string,
  read: ReadRequests,
  at: number,
  upstream: ReadRequest,
  atEdge: boolean,
  faults: string[],
  strictness: string[],
): void {
  const message = read.messages[at];
  if (message === undefined) {
    if (at > read.messages.length || (read.end === 'closed' && read.why === UPGRADE)) return;
    // h11 knows no keep-alive of HTTP/1.0: it has no opinion about what follows.
    if (read.end === 'closed' && read.messages[at - 1]?.version === '1.0') return;
    if (
      read.why === EMPTY_LINE_FIRST ||
      (read.why === NOT_NODES_METHOD && !METHODS.includes(upstream.method))
    ) {
      strictness.push(read.why);
      return;
    }
    faults.push(`message ${at + 1} was forwarded, ${who} says ${read.end} ${read.why}`);
    return;
  }
  faults.push(
    ...differences(
      `${who}, message ${at + 1}`,
      endToEnd(message, atEdge, true),
      endToEnd(upstream, atEdge, false),
    ),
  );
  const may = mayTrail(message);
  for (const [name, value] of upstream.trailers) {
    if (!may.includes(`${name}: ${value}`))
      faults.push(`trailer ${name} upstream, message ${at + 1}`);
  }
}

function differences(what: string, expected: EndToEnd, actual: EndToEnd): string[] {
  return (Object.keys(expected) as (keyof EndToEnd)[])
    .filter((key) => String(expected[key]) !== String(actual[key]))
    .filter((key) => !(key === 'host' && expected.host === '' && actual.host === 'catalog'))
    .map(
      (key) =>
        `${what}: ${key} ${JSON.stringify(expected[key]).slice(0, 200)} became ${JSON.stringify(actual[key]).slice(0, 200)}`,
    );
}
