/** Mutations of an upstream's answer: status lines, framing, bytes too few and too many. */
import { chunked, type ResponseDraft } from './draft.ts';
import type { Choice } from './random.ts';

export interface ResponseMutation {
  readonly name: string;
  apply(draft: ResponseDraft, choice: Choice): void;
}

const FRAMING = /^(content-length|transfer-encoding|trailer):/i;

function reframe(draft: ResponseDraft, lines: readonly string[], body: string): void {
  draft.lines = draft.lines.filter((line) => !FRAMING.test(line));
  draft.lines.push(...lines);
  draft.body = body;
  if (draft.status === '204' || draft.status === '304') draft.status = '200';
}

const startLine = (version: string, status: string, reason = 'OK'): ResponseMutation => ({
  name: `the status line ${JSON.stringify(`${version} ${status} ${reason.slice(0, 20)}`)}`,
  apply: (draft) => Object.assign(draft, { version, status, reason }),
});
const framed = (name: string, body: string, ...lines: string[]): ResponseMutation => ({
  name,
  apply: (draft) => reframe(draft, lines, body),
});
const chunks = (name: string, body: string): ResponseMutation =>
  framed(name, body, 'Transfer-Encoding: chunked');
const line = (name: string, text: string): ResponseMutation => ({
  name,
  apply: (draft, choice) => draft.lines.splice(choice.below(draft.lines.length + 1), 0, text),
});
const before = (name: string, text: string): ResponseMutation => ({
  name,
  apply: (draft) => void (draft.before = text),
});
const behind = (name: string, text: string): ResponseMutation => ({
  name,
  apply: (draft) => {
    reframe(draft, ['Content-Length: 2'], 'ok');
    draft.behind = text;
  },
});

const CHUNKS = '3\r\nabc\r\n0\r\n\r\n';
const FORGED = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged';

export const RESPONSE_MUTATIONS: readonly ResponseMutation[] = [
  ...[
    '000',
    '001',
    '099',
    '99',
    '1000',
    '600',
    '700',
    '999',
    '-200',
    '+200',
    '2 00',
    '20',
    '2xx',
    '',
    '0x0',
    '200.1',
    '\xb2\xb0\xb0',
  ].map((status) => startLine('HTTP/1.1', status)),
  ...[
    'HTTP/1.0',
    'HTTP/1.2',
    'HTTP/2.0',
    'HTTP/2',
    'HTTP/0.9',
    'http/1.1',
    'HTTP/11',
    'HTTP/1.1 ',
    ' HTTP/1.1',
    'ICY',
    'HTTPS/1.1',
    '',
    'GET',
  ].map((version) => startLine(version, '200')),
  ...[
    '',
    'a\x00b',
    'a\rb',
    'a\nb',
    'a\x01b',
    'a\x7fb',
    '\xff\xfe',
    'x'.repeat(20_000),
    ' two spaces',
    'OK\r\nx-case: 0',
  ].map((reason) => startLine('HTTP/1.1', '200', reason)),
  {
    name: 'no reason and no blank before it',
    apply: (draft) => Object.assign(draft, { status: '200\r\nX-A: b', reason: '' }),
  },
  framed('two equal lengths', 'abc', 'Content-Length: 3', 'Content-Length: 3'),
  framed('two lengths, the first larger', 'abc', 'Content-Length: 9', 'Content-Length: 3'),
  framed('two lengths, the first smaller', 'abc', 'Content-Length: 1', 'Content-Length: 3'),
  framed('a list of equal lengths', 'abc', 'Content-Length: 3, 3'),
  framed('a list of lengths', 'abc', 'Content-Length: 3, 4'),
  framed('a length with a plus', 'abc', 'Content-Length: +3'),
  framed('a length with a minus', 'abc', 'Content-Length: -3'),
  framed('a length with leading zeros', 'abc', 'Content-Length: 003'),
  framed('a length in hexadecimal', 'abc', 'Content-Length: 0x3'),
  framed('an empty length', 'abc', 'Content-Length:'),
  framed('a length of letters', 'abc', 'Content-Length: abc'),
  framed('a length with a space inside', 'abc', 'Content-Length: 3 3'),
  framed('a length beyond 2^64', 'abc', 'Content-Length: 18446744073709551619'),
  framed('a length larger than the body', 'abc', 'Content-Length: 10'),
  framed('a length much larger than the body', 'a'.repeat(5_000), 'Content-Length: 5001'),
  framed('a length smaller than the body', 'abcdef', 'Content-Length: 3'),
  framed('a length of zero and a body', 'abc', 'Content-Length: 0'),
  framed('a coding and a length', CHUNKS, 'Transfer-Encoding: chunked', 'Content-Length: 3'),
  framed('a length and a coding', CHUNKS, 'Content-Length: 3', 'Transfer-Encoding: chunked'),
  framed('chunked twice', CHUNKS, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
  framed('chunked twice in a list', CHUNKS, 'Transfer-Encoding: chunked, chunked'),
  framed('gzip and chunked', CHUNKS, 'Transfer-Encoding: gzip, chunked'),
  framed('identity', 'abc', 'Transfer-Encoding: identity'),
  framed('gzip alone', 'abc', 'Transfer-Encoding: gzip'),
  framed('an empty coding', CHUNKS, 'Transfer-Encoding:'),
  framed('a coding with a vertical tab', CHUNKS, 'Transfer-Encoding: \x0bchunked'),
  framed('a coding with a space before the colon', CHUNKS, 'Transfer-Encoding : chunked'),
  framed('a coding in a folded line', CHUNKS, 'Transfer-Encoding:', ' chunked'),
  framed('a coding in another case', CHUNKS, 'TRANSFER-ENCODING: ChunKed'),
  chunks('chunks without the last one', '3\r\nabc\r\n'),
  chunks('chunks that end within data', '9\r\nabc'),
  chunks('chunks that end within a size', '3\r\nabc\r\n1'),
  chunks('chunks that end behind the last size', '3\r\nabc\r\n0\r\n'),
  chunks('chunks that end within a trailer', '3\r\nabc\r\n0\r\nX-Sum: 1\r\n'),
  chunks('a chunk size that is none', '3\r\nabc\r\nzz\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size that is none, at once', 'zz\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a minus', '-3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a space in front', ' 3\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a space behind', '3 \r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size beyond 32 bits', '100000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size beyond 64 bits', '10000000000000003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with leading zeros', '00003\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk size with a line feed alone', '3\nabc\r\n0\r\n\r\n'),
  chunks('a chunk larger than its data', '4\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk smaller than its data', '2\r\nabc\r\n0\r\n\r\n'),
  chunks('a chunk with a line feed alone behind', '3\r\nabc\n0\r\n\r\n'),
  chunks('a chunk extension', '3;a="b"\r\nabc\r\n0;c\r\n\r\n'),
  chunks('a chunk extension with a line feed', '3;a\nabc\r\n0\r\n\r\n'),
  chunks('an empty chunk extension', '3;\r\nabc\r\n0\r\n\r\n'),
  chunks('a trailer', '3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'),
  chunks('a trailer that frames', '3\r\nabc\r\n0\r\nContent-Length: 1\r\n\r\n'),
  chunks('a trailer without a colon', '3\r\nabc\r\n0\r\nX-Sum\r\n\r\n'),
  chunks('a trailer with a NUL', '3\r\nabc\r\n0\r\nX-Sum: \x00\r\n\r\n'),
  chunks('a body that is not chunked at all', 'abc'),
  chunks('a trailer of 20,000 bytes', `3\r\nabc\r\n0\r\nX-Sum: ${'1'.repeat(20_000)}\r\n\r\n`),
  behind('another answer behind it', FORGED),
  behind('an empty line behind it', '\r\n'),
  behind('garbage behind it', '\x00\x01garbage'),
  behind('half an answer behind it', FORGED.slice(0, 20)),
  behind('an interim answer behind it', 'HTTP/1.1 100 Continue\r\n\r\n'),
  before(
    'an unasked 101',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ),
  before('seventeen interim answers', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(17)),
  before(
    'three interim answers',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n',
  ),
  before(
    'an interim answer with a length',
    'HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n',
  ),
  before(
    'an interim answer with a coding',
    'HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n',
  ),
  before('an interim answer of status 199', 'HTTP/1.1 199 X\r\n\r\n'),
  before('an empty line in front', '\r\n'),
  before('a line feed in front', '\n'),
  before('garbage in front', 'garbage\r\n'),
  before('half an interim answer', 'HTTP/1.1 103 Early Hints\r\n'),
  line('a space before a colon', 'X-A : b'),
  line('a folded line', 'X-A: b\r\n c'),
  line('a line without a colon', 'X-A'),
  line('an empty name', ': b'),
  line('a NUL in a value', 'X-A: a\x00b'),
  line('a control byte in a value', 'X-A: a\x01b'),
  line('a carriage return alone in a value', 'X-A: a\rX-B: c'),
  line('a line feed alone in a value', 'X-A: a\nX-B: c'),
  line('a NUL in a name', 'X-\x00A: b'),
  line('a name with an underscore', 'X_A: b'),
  line('200 fields', 'a: b\r\n'.repeat(199) + 'a: b'),
  line('a value of 20,000 bytes', 'X-A: ' + 'b'.repeat(20_000)),
  line('Connection: close', 'Connection: close'),
  line('Connection that nominates the framing', 'Connection: content-length, transfer-encoding'),
  line('Connection that nominates a field', 'Connection: set-cookie, x-case-none'),
  line('Upgrade in a final answer', 'Upgrade: h2c\r\nConnection: Upgrade'),
  {
    name: 'a line feed alone at every line',
    apply: (draft) => Object.assign(draft, { eol: '\n', headEnd: '\n' }),
  },
  {
    name: 'a carriage return alone at the end of the head',
    apply: (draft) => void (draft.headEnd = '\r'),
  },
  { name: 'no end of the head', apply: (draft) => Object.assign(draft, { headEnd: '', body: '' }) },
  {
    name: 'nothing at all',
    apply: (draft) =>
      Object.assign(draft, {
        version: '',
        status: '',
        reason: '',
        lines: [],
        eol: '',
        headEnd: '',
        body: '',
        before: '',
      }),
  },
  {
    name: '204 with a length and a body',
    apply: (draft) => {
      reframe(draft, ['Content-Length: 3'], 'abc');
      draft.status = '204';
    },
  },
  {
    name: '204 with chunks',
    apply: (draft) => {
      reframe(draft, ['Transfer-Encoding: chunked'], '3\r\nabc\r\n0\r\n\r\n');
      draft.status = '204';
    },
  },
  {
    name: '304 with a length',
    apply: (draft) => {
      reframe(draft, ['Content-Length: 3'], '');
      draft.status = '304';
    },
  },
  {
    name: '304 with a body',
    apply: (draft) => {
      reframe(draft, ['Content-Length: 3'], 'abc');
      draft.status = '304';
    },
  },
  {
    name: '205 with a body',
    apply: (draft) => {
      reframe(draft, ['Content-Length: 3'], 'abc');
      draft.status = '205';
    },
  },
  {
    name: 'HTTP/1.0 with chunks',
    apply: (draft) => {
      reframe(draft, ['Transfer-Encoding: chunked'], '3\r\nabc\r\n0\r\n\r\n');
      draft.version = 'HTTP/1.0';
    },
  },
  {
    name: 'HTTP/1.0 with keep-alive',
    apply: (draft) => {
      reframe(draft, ['Content-Length: 3', 'Connection: keep-alive'], 'abc');
      draft.version = 'HTTP/1.0';
    },
  },
  {
    name: 'the bytes cut off anywhere',
    apply: (draft, choice) => {
      reframe(draft, ['Content-Length: 40'], 'x'.repeat(choice.below(40)));
    },
  },
  {
    name: 'the chunks cut off anywhere',
    apply: (draft, choice) => {
      const whole = chunked('a body that is cut', choice);
      reframe(draft, ['Transfer-Encoding: chunked'], whole.slice(0, choice.below(whole.length)));
    },
  },
  {
    name: 'one byte of the head changed',
    apply: (draft, choice) => {
      const at = choice.below(draft.lines.length);
      const text = draft.lines[at]!;
      const position = choice.below(text.length);
      draft.lines[at] =
        text.slice(0, position) + String.fromCharCode(choice.below(256)) + text.slice(position + 1);
    },
  },
  {
    name: 'one byte of the chunks changed',
    apply: (draft, choice) => {
      const whole = chunked('a body that is bent', choice);
      const at = choice.below(whole.length);
      reframe(
        draft,
        ['Transfer-Encoding: chunked'],
        whole.slice(0, at) + String.fromCharCode(choice.below(256)) + whole.slice(at + 1),
      );
    },
  },
];
