/**
 * The verdict on one case of the response suite: what two other parsers read from the upstream's
 * bytes beside what the client got. The client sees that message, a 502, or a body that it can tell
 * is cut; never a message that looks whole and is not.
 */
import type { ResponseCase } from './corpus/responses.ts';
import { valuesOf } from './expected-request.ts';
import type { H11Oracle } from './oracles/h11-oracle.ts';
import type { Field, ReadResponse } from './oracles/messages.ts';
import { nodeResponse } from './oracles/node-oracle.ts';
import type { ObservedResponse } from './response-lane.ts';

export type Outcome = 'relayed' | 'refused' | 'cut';

export interface ResponseVerdict {
  readonly faults: readonly string[];
  readonly outcome: Outcome;
  readonly strictness: string;
}

/** Answers that both others read and that are refused or cut on purpose. */
export const STRICTER_ANSWERS: readonly {
  readonly name: string;
  readonly reason: string;
  fits(message: ReadResponse, bytes: string): boolean;
}[] = [
  {
    name: 'a status outside 100 to 599',
    reason: 'it has no meaning that all clients share (RFC 9110 15)',
    fits: ({ status }) => status < 100 || status > 599,
  },
  {
    name: 'a version that is neither 1.0 nor 1.1',
    reason: 'what such a sender means by its framing is not known',
    fits: ({ version }) => version !== '1.0' && version !== '1.1',
  },
  {
    name: 'a control byte in the status line or in a value',
    reason: 'RFC 9110 5.5 allows none but the tab',
    fits: (message) =>
      [message.reason, ...message.headers.map(([, value]) => value)].some((value) =>
        /[\x00-\x08\x0a-\x1f\x7f]/.test(value),
      ),
  },
  {
    name: 'more than 100 fields',
    reason: 'a limit (limits.ts)',
    fits: ({ headers }) => headers.length > 100,
  },
  {
    name: 'a head beyond 16 KiB',
    reason: 'a limit (limits.ts)',
    fits: ({ headers, reason }) =>
      reason.length + headers.reduce((n, [name, value]) => n + name.length + value.length + 4, 0) >
      15_000,
  },
  {
    name: 'a trailer section beyond 4 KiB',
    reason: 'a limit (limits.ts)',
    fits: ({ trailers }) => trailers.some(([, value]) => value.length > 4_000),
  },
  {
    name: 'a chunk size of more than 8 digits',
    reason: 'a limit: 4 GiB a chunk, leading zeros included',
    fits: (_, bytes) => /\r\n[0-9a-f]{9,}[;\r]/i.test(bytes),
  },
  {
    name: 'more than 16 interim answers',
    reason: 'a limit (limits.ts): more is a loop',
    fits: ({ interims }) => interims.length > 16,
  },
  {
    name: 'Connection that nominates the framing',
    reason: 'taking it away would change where the message ends',
    fits: ({ headers }) =>
      /content-length|transfer-encoding|host/i.test(valuesOf(headers, 'connection').join()),
  },
  {
    name: 'a coding from HTTP/1.0',
    reason: 'HTTP/1.0 knows no chunks (RFC 9112 6.1)',
    fits: ({ version, headers }) =>
      version === '1.0' && valuesOf(headers, 'transfer-encoding').length > 0,
  },
  {
    name: 'Connection with an option that is no name',
    reason: 'it nominates something, and nobody can say what',
    fits: ({ headers }) =>
      nominatedBy(headers).some((o) => o !== '' && !/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(o)),
  },
  {
    name: 'a 205 with content',
    reason: 'RFC 9110 15.3.6 forbids it, so what follows the head is nobody knows what',
    fits: ({ status, body }) => status === 205 && body !== '',
  },
  {
    name: 'an interim answer that frames a body both ways',
    reason: 'the same rules for every head',
    fits: (_, bytes) =>
      /^HTTP\/1\.1 1\d\d/.test(bytes) &&
      /content-length/i.test(bytes) &&
      /transfer-encoding/i.test(bytes),
  },
];

/** Framing, hop-by-hop and what the proxy writes itself. */
const OURS =
  /^(connection|keep-alive|proxy-connection|te|trailer|upgrade|transfer-encoding|content-length|http2-settings|proxy-auth\w+|traceparent|azimuth-peer)$/i;

function fieldsOf(headers: readonly Field[], nominated: readonly string[]): string {
  return headers
    .filter(([name]) => !OURS.test(name) && !nominated.includes(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value.replace(/^[ \t]+|[ \t]+$/g, '')}`)
    .join('\n');
}

const nominatedBy = (headers: readonly Field[]): string[] =>
  valuesOf(headers, 'connection').flatMap((value) =>
    value.split(',').map((o) => o.trim().toLowerCase()),
  );

/** What is written at once and is no longer arrives in one read. */
const ONE_READ_BYTES = 16_384;

export async function judgeResponse(
  given: ResponseCase,
  observed: ObservedResponse,
  h11: H11Oracle,
): Promise<ResponseVerdict> {
  const byH11 = await h11.responses(given.bytes, [given.method], true);
  // Where the answer ends Node must agree; what lies behind it would make Node refuse both.
  const excess = byH11.left > 0;
  const upToEnd = given.bytes.slice(0, given.bytes.length - byH11.left);
  const [byNode, seen] = await Promise.all([
    nodeResponse(upToEnd, given.method),
    h11.responses(observed.received, [given.method, 'GET'], observed.endedInOrder),
  ]);
  const faults: string[] = [];
  const readings = [byH11.messages[0], byNode.message];
  const [answer, sentinel] = seen.messages;
  // Excess that comes in a read of its own may meet the next request: then that one fails.
  const mayDesync = excess && given.cuts.length > 0;
  const inOneRead = given.cuts.length === 0 && given.bytes.length < ONE_READ_BYTES;
  if (
    sentinel !== undefined &&
    !mayDesync &&
    valuesOf(sentinel.headers, 'x-sentinel').length === 0
  ) {
    faults.push(`another answer to the sentinel: ${sentinel.status} ${sentinel.body.slice(0, 50)}`);
  }
  if (seen.left > 0) faults.push(`${seen.left} bytes behind the last answer`);

  const whole =
    readings.every((message) => message !== undefined) && !endsByReset(given, byH11.messages[0]!);
  const rule = whole
    ? STRICTER_ANSWERS.find((r) => r.fits(byH11.messages[0]!, given.bytes))
    : undefined;
  const strictness = rule?.name ?? '';
  const mayRefuse = !whole || excess || rule !== undefined;

  if (answer === undefined) {
    const begun = seen.partial !== null && 'status' in seen.partial;
    if (!begun) faults.push(`no answer at all: ${seen.end} ${seen.why}`);
    else if (!mayRefuse) faults.push('a whole answer was cut');
    else if (!observed.reset && !observed.endedInOrder)
      faults.push('a cut answer, and the connection is open');
    return { faults, outcome: 'cut', strictness };
  }
  if (valuesOf(answer.headers, 'x-case').length === 0 && given.bytes.includes('x-case')) {
    if (answer.status !== 502) faults.push(`own answer ${answer.status}`);
    // A reset may overtake what was sent before it.
    if (!mayRefuse && given.ending !== 'reset')
      faults.push('502 for an answer that both others read');
    return { faults, outcome: 'refused', strictness };
  }
  if (!given.bytes.includes('x-case')) return { faults, outcome: 'refused', strictness };

  if (excess && inOneRead) faults.push('a whole answer, and more bytes came with it');
  if (endsByReset(given, answer) && !whole) faults.push('a reset upstream became a whole answer');
  for (const [index, message] of readings.entries()) {
    const who = ['h11', 'Node'][index]!;
    if (message === undefined) {
      faults.push(
        `a whole answer, where ${who} says ${index === 0 ? byH11.end + ' ' + byH11.why : byNode.why}`,
      );
      continue;
    }
    const nominated = nominatedBy(message.headers);
    const pairs: [string, unknown, unknown][] = [
      ['status', message.status, answer.status],
      ['fields', fieldsOf(message.headers, nominated), fieldsOf(answer.headers, nominated)],
      // A 205 has no content, whatever was announced; in a later read it is only left alone.
      ['body', message.status === 205 && !inOneRead ? '' : message.body, answer.body],
    ];
    if (given.clientVersion === 'HTTP/1.1') {
      pairs.push(['interims', interimsOf(message), interimsOf(answer)]);
    }
    for (const [what, expected, actual] of pairs) {
      if (expected !== actual) {
        faults.push(
          `${who}: ${what} ${JSON.stringify(expected).slice(0, 200)} became ${JSON.stringify(actual).slice(0, 200)}`,
        );
      }
    }
    const announced = valuesOf(message.headers, 'trailer').join().toLowerCase();
    for (const [name] of answer.trailers) {
      if (!announced.includes(name.toLowerCase())) faults.push(`trailer ${name} was not announced`);
    }
  }
  return { faults, outcome: 'relayed', strictness: '' };
}

/** The end of the connection is the end of this body, and it was no end in order. */
const endsByReset = (given: ResponseCase, message: ReadResponse): boolean =>
  given.ending === 'reset' &&
  given.method !== 'HEAD' &&
  message.status !== 204 &&
  message.status !== 304 &&
  !message.headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));

const interimsOf = ({ interims }: ReadResponse): string =>
  interims.map(({ status, headers }) => `${status} ${fieldsOf(headers, [])}`).join('; ');
