/** Mutations of framing and of header lines: what smuggling is made of. */
import { chunked, SMUGGLED, type Draft, type Mutation } from './draft.ts';
import type { Choice } from './random.ts';

const NO_FRAMING = /^(content-length|transfer-encoding|trailer):/i;

/** Replaces the framing of a draft by these lines, in this order, and this body. */
function reframe(draft: Draft, lines: readonly string[], body: string): void {
  draft.lines = draft.lines.filter((line) => !NO_FRAMING.test(line));
  draft.lines.push(...lines);
  draft.body = body;
}

/** One mutation per header line that stands for the framing of a body of three bytes. */
const length = (name: string, ...lines: string[]): Mutation => ({
  name,
  apply: (draft) => reframe(draft, lines, 'abc'),
});
/** One mutation per way to write that the body is chunked. */
const coding = (name: string, ...lines: string[]): Mutation => ({
  name,
  apply: (draft, choice) =>
    reframe(draft, lines, chunked(choice.of(['abc', '', SMUGGLED]), choice)),
});
/** One mutation per chunked body that is not written as it should. */
const chunks = (name: string, body: string | ((choice: Choice) => string)): Mutation => ({
  name,
  apply: (draft, choice) =>
    reframe(draft, ['Transfer-Encoding: chunked'], typeof body === 'string' ? body : body(choice)),
});
/** One mutation per odd header line. */
const line = (name: string, text: string | ((choice: Choice) => string)): Mutation => ({
  name,
  apply: (draft, choice) =>
    draft.lines.splice(
      choice.between(1, draft.lines.length),
      0,
      typeof text === 'string' ? text : text(choice),
    ),
});

export const FRAMING_MUTATIONS: readonly Mutation[] = [
  length('two equal lengths', 'Content-Length: 3', 'Content-Length: 3'),
  length('two lengths, the first larger', 'Content-Length: 90', 'Content-Length: 3'),
  length('two lengths, the first smaller', 'Content-Length: 0', 'Content-Length: 3'),
  length('a list of equal lengths', 'Content-Length: 3, 3'),
  length('a list of lengths', 'Content-Length: 3,4'),
  length('a length with a comma behind', 'Content-Length: 3,'),
  length('a length with a plus', 'Content-Length: +3'),
  length('a length with a minus', 'Content-Length: -3'),
  length('a length with leading zeros', 'Content-Length: 003'),
  length('a length in hexadecimal', 'Content-Length: 0x3'),
  length('a length with a fraction', 'Content-Length: 3.0'),
  length('a length with an exponent', 'Content-Length: 3e0'),
  length('a length with an underscore', 'Content-Length: 0_3'),
  length('a length with a space inside', 'Content-Length: 3 0'),
  length('a length in quotes', 'Content-Length: "3"'),
  length('an empty length', 'Content-Length:'),
  length('a length of letters', 'Content-Length: three'),
  length('a length with tabs around', 'Content-Length:\t3\t'),
  length('a length with a vertical tab', 'Content-Length: \x0b3'),
  length('a length with a form feed behind', 'Content-Length: 3\x0c'),
  length('a length with a no-break space', 'Content-Length: \xa03'),
  length('a length beyond 2^64', 'Content-Length: 18446744073709551619'),
  length('a length beyond 2^53', 'Content-Length: 9007199254740993'),
  length('a length of a thousand digits', 'Content-Length: ' + '0'.repeat(999) + '3'),
  length('a space before the colon of a length', 'Content-Length : 3'),
  length('a tab before the colon of a length', 'Content-Length\t: 3'),
  length('a folded length', 'Content-Length:', ' 3'),
  length('a length behind a fold', 'X-A: b', ' Content-Length: 3'),
  length('a length with a NUL in its name', 'Content-Length\x00: 3'),
  length('a length with an underscore in its name', 'Content_Length: 3'),
  length('a length in another case', 'cONTENT-lENGTH: 3'),
  length('a length larger than the body', 'Content-Length: 60'),
  length('a length smaller than the body', 'Content-Length: 1'),
  length('a body without a framing', 'X-None: 1'),
  coding('a coding and a length', 'Transfer-Encoding: chunked', 'Content-Length: 4'),
  coding('a length and a coding', 'Content-Length: 4', 'Transfer-Encoding: chunked'),
  coding('a coding and a length of zero', 'Content-Length: 0', 'Transfer-Encoding: chunked'),
  coding('a coding in a folded line', 'Transfer-Encoding:', ' chunked'),
  coding('a coding with a space before the colon', 'Transfer-Encoding : chunked'),
  coding('a coding with a vertical tab', 'Transfer-Encoding: \x0bchunked'),
  coding('a coding with a NUL', 'Transfer-Encoding: chunked\x00'),
  coding('a coding in quotes', 'Transfer-Encoding: "chunked"'),
  coding('a coding with a semicolon', 'Transfer-Encoding: chunked;'),
  coding('a coding with a comma in front', 'Transfer-Encoding: ,chunked'),
  coding('a coding with a comma behind', 'Transfer-Encoding: chunked,'),
  coding('chunked twice in one line', 'Transfer-Encoding: chunked, chunked'),
  coding('chunked twice in two lines', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
  coding('identity and chunked', 'Transfer-Encoding: identity, chunked'),
  coding('chunked and identity', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'),
  coding('identity alone', 'Transfer-Encoding: identity'),
  coding('gzip and chunked', 'Transfer-Encoding: gzip, chunked'),
  coding('chunked and gzip', 'Transfer-Encoding: chunked, gzip'),
  coding('an unknown coding', 'Transfer-Encoding: xchunked'),
  coding('half the word chunked', 'Transfer-Encoding: chunke'),
  coding('an empty coding', 'Transfer-Encoding:'),
  coding('a coding with a no-break space', 'Transfer-Encoding: chunked\xa0'),
  coding('a coding with an underscore in its name', 'Transfer_Encoding: chunked'),
  coding('a coding in another case', 'tRANSFER-eNCODING: cHUNKED'),
  coding(
    'a coding and a nominated coding',
    'Connection: transfer-encoding',
    'Transfer-Encoding: chunked',
  ),
  coding('a line feed alone before a coding', 'X-A: b\nTransfer-Encoding: chunked'),
  coding('a carriage return alone before a coding', 'X-A: b\rTransfer-Encoding: chunked'),
  chunks('a chunk size with a plus', '+3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a minus', '-3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with an underscore', '0_3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a space in front', ' 3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a space behind', '3 \r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a tab behind', '3\t\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a space before the extension', '3 ;a=b\r\nabc\r\n0\r\n\r\n'),
  chunks('an empty chunk size', '\r\nabc\r\n0\r\n\r\n'),
  chunks('no digit in a chunk size', 'g\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size beyond 32 bits', '100000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size beyond 64 bits', '10000000000000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with eight digits', '00000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with sixteen digits', '0000000000000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a hundred zeros', '0'.repeat(100) + '3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a line feed alone', '3\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a carriage return alone', '3\rabc\r\n0\r\n\r\n'),
  chunks('a chunk with a line feed alone behind', '3\r\nabc\n0\r\n\r\n'),
  chunks('a chunk with a carriage return alone behind', '3\r\nabc\r0\r\n\r\n'),
  chunks('a chunk without its end', '3\r\nabc0\r\n\r\n'),
  chunks('a chunk larger than its data', '4\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk smaller than its data', '2\r\nabc\r\n0\r\n\r\n'),
  chunks('two bytes more than the chunk', '3\r\nabcXX\r\n0\r\n\r\n'),
  chunks('a chunk extension with a name alone', '3;a\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with a quoted line end', '3;a="\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with a quoted semicolon', '3;a="b;c"\r\nabc\r\n0;x\r\n\r\n'),
  chunks('a chunk extension with a line feed', '3;a\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with a carriage return', '3;a\rb\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with a NUL', '3;a\x00\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with bytes above 127', '3;\xe4=\xf6\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension with spaces', '3; a = b\r\nabc\r\n0\r\n\r\n'),
  chunks('an empty chunk extension', '3;\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk extension of 200 bytes', `3;${'a'.repeat(200)}\r\nabc\r\n0\r\n\r\n`),
  chunks('a chunk extension of 20,000 bytes', `3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`),
  chunks('a last chunk of several zeros', '3\r\nabc\r\n000\r\n\r\n'),
  chunks('a last chunk without its empty line', '3\r\nabc\r\n0\r\n'),
  chunks('a last chunk with a line feed alone', '3\r\nabc\r\n0\n\r\n'),
  chunks('a last empty line with a line feed alone', '3\r\nabc\r\n0\r\n\n'),
  chunks('a last empty line with a byte more', '3\r\nabc\r\n0\r\n\r\nX'),
  chunks('two empty lines behind the last chunk', '3\r\nabc\r\n0\r\n\r\n\r\n'),
  chunks('no last chunk', '3\r\nabc\r\n'),
  chunks('a trailer', '3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'),
  chunks('a trailer that frames', '3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n'),
  chunks('a trailer that codes', '3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'),
  chunks('a trailer that names a host', '3\r\nabc\r\n0\r\nHost: evil\r\nX-Mesh-Peer: evil\r\n\r\n'),
  chunks('a trailer without a colon', '3\r\nabc\r\n0\r\nX-Sum\r\n\r\n'),
  chunks('a trailer with a space before the colon', '3\r\nabc\r\n0\r\nX-Sum : 1\r\n\r\n'),
  chunks('a folded trailer', '3\r\nabc\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n'),
  chunks('a trailer with a line feed alone', '3\r\nabc\r\n0\r\nX-Sum: 1\n\r\n'),
  chunks('a trailer with a NUL', '3\r\nabc\r\n0\r\nX-Sum: \x00\r\n\r\n'),
  chunks('trailers of 20,000 bytes', `3\r\nabc\r\n0\r\nX-Sum: ${'1'.repeat(20_000)}\r\n\r\n`),
  chunks('300 trailers', `3\r\nabc\r\n0\r\n${'x: 1\r\n'.repeat(300)}\r\n`),
  chunks('a request within a chunk extension', '3;\r\nabc\r\n0\r\n\r\n'),
  chunks('a thousand chunks of one byte', '1\r\na\r\n'.repeat(1_000) + '0\r\n\r\n'),
  chunks('one byte of the chunks changed', (choice) => {
    const whole = chunked(choice.of(['abc', 'a longer body than this', SMUGGLED]), choice);
    const at = choice.below(whole.length);
    return whole.slice(0, at) + String.fromCharCode(choice.below(256)) + whole.slice(at + 1);
  }),
  {
    name: 'a body with TRACE',
    apply: (draft) => {
      draft.method = 'TRACE';
      reframe(draft, ['Content-Length: 3'], 'abc');
    },
  },
  {
    name: 'a chunked body with GET, HEAD, DELETE or OPTIONS',
    apply: (draft, choice) => {
      draft.method = choice.of(['GET', 'HEAD', 'DELETE', 'OPTIONS']);
      reframe(draft, ['Transfer-Encoding: chunked'], chunked(SMUGGLED, choice));
    },
  },
  {
    name: 'a chunked body from HTTP/1.0',
    apply: (draft, choice) => {
      draft.version = 'HTTP/1.0';
      reframe(draft, ['Transfer-Encoding: chunked'], chunked('abc', choice));
    },
  },
  {
    name: 'Expect: 100-continue',
    apply: (draft) => reframe(draft, ['Expect: 100-continue', 'Content-Length: 3'], 'abc'),
  },
  {
    name: 'another expectation',
    apply: (draft) => reframe(draft, ['Expect: 200-ok', 'Content-Length: 3'], 'abc'),
  },
];

const NAME_BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

export const FIELD_MUTATIONS: readonly Mutation[] = [
  {
    name: 'no Host',
    apply: (draft) => void (draft.lines = draft.lines.filter((l) => !/^host:/i.test(l))),
  },
  line('a second Host', 'Host: evil.example'),
  line('a second Host that is equal', 'Host: shop.example'),
  ...[
    '',
    ' ',
    'a b',
    'a/b',
    'a@b',
    'http://a',
    'a:b',
    'a:99999',
    'a:999999',
    '[::1',
    '::1',
    'a,b',
    'a\\b',
    'a%00',
    'a?b',
    'a#b',
    '\xe4',
    '"a"',
    'a..b',
    '-a',
    'a:',
    '.',
  ].map((host): Mutation => ({
    name: `the Host ${JSON.stringify(host)}`,
    apply: (draft) =>
      void (draft.lines = draft.lines.map((l) => (/^host:/i.test(l) ? `Host: ${host}` : l))),
  })),
  line('a space before the colon', 'X-A : b'),
  line('a space before a name', ' X-A: b'),
  line('a tab before a name', '\tX-A: b'),
  line('a folded line', 'X-A: b\r\n c'),
  line('a folded line with a tab', 'X-A: b\r\n\tc'),
  line('a folded empty line', 'X-A: b\r\n '),
  line('an empty name', ': b'),
  line('a line without a colon', 'X-A'),
  line('a line of one colon', ':'),
  line('a NUL in a value', 'X-A: a\x00b'),
  line('a carriage return alone in a value', 'X-A: a\rb'),
  line('a carriage return at the end of a value', 'X-A: a\r'),
  line('a line feed alone in a value', 'X-A: a\nX-B: c'),
  line('an empty line of a line feed alone', 'X-A: a\n\nGET /smuggled HTTP/1.1'),
  line(
    'a control byte in a value',
    (choice) => `X-A: a${String.fromCharCode(choice.between(1, 31))}b`,
  ),
  line('DEL in a value', 'X-A: a\x7fb'),
  line('any byte in a value', (choice) => `X-A: a${choice.of(NAME_BYTES)}b`),
  line('any byte in a name', (choice) => `X-${choice.of(NAME_BYTES)}A: b`),
  line('any byte before the colon', (choice) => `X-A${choice.of(NAME_BYTES)}: b`),
  line('any byte as a line', (choice) => choice.of(NAME_BYTES)),
  line('a name with an underscore', 'X_Mesh_Direction: in'),
  line('__proto__', '__proto__: x'),
  line('a name of 300 bytes', 'x'.repeat(300) + ': b'),
  line('a value of 8,000 bytes', 'X-A: ' + 'b'.repeat(8_000)),
  line('a value of 20,000 bytes', 'X-A: ' + 'b'.repeat(20_000)),
  line('90 fields', 'a: b\r\n'.repeat(89) + 'a: b'),
  line('2,000 fields', 'a:\r\n'.repeat(1_999) + 'a:'),
  line('Connection: close', 'Connection: close'),
  line('Connection: close and keep-alive', 'Connection: close, keep-alive'),
  line('Connection with empty members', 'Connection: ,, keep-alive ,'),
  line('Connection that is empty', 'Connection:'),
  line('Connection that nominates Host', 'Connection: host'),
  line('Connection that nominates Content-Length', 'Connection: content-length'),
  line('Connection that nominates Transfer-Encoding', 'Connection: keep-alive, Transfer-Encoding'),
  line('Connection that nominates a cookie', 'Connection: Cookie\r\nCookie: a=b'),
  line(
    'Connection that nominates traceparent',
    'Connection: traceparent, azimuth-peer, x-forwarded-for',
  ),
  line('Connection with a name that is none', 'Connection: a b'),
  line('Connection in two lines', 'Connection: x-one\r\nConnection: x-two\r\nX-One: 1\r\nX-Two: 2'),
  line(
    'Upgrade to h2c',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
  ),
  line('Upgrade without Connection', 'Upgrade: websocket'),
  line(
    'a duplicate traceparent',
    ['1', '2'].map((n) => `traceparent: 00-${n.repeat(32)}-${n.repeat(16)}-01`).join('\r\n'),
  ),
  line('a duplicate authorization', 'Authorization: Basic YTpi\r\nAuthorization: Basic Yzpk'),
];
