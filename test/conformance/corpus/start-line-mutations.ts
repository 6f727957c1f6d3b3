/** Mutations of the request line, of line ends, and of bytes anywhere. */
import type { Mutation } from './draft.ts';

const method = (text: string): Mutation => ({
  name: `the method ${JSON.stringify(text.slice(0, 20))}`,
  apply: (draft) => void (draft.method = text),
});
const target = (text: string): Mutation => ({
  name: `the target ${JSON.stringify(text.slice(0, 40))}`,
  apply: (draft) => void (draft.target = text),
});
const version = (text: string): Mutation => ({
  name: `the version ${JSON.stringify(text)}`,
  apply: (draft) => void (draft.version = text),
});

export const LINE_MUTATIONS: readonly Mutation[] = [
  ...[
    '',
    'get',
    'Get',
    'G ET',
    'GE\x01T',
    'GET\t',
    ' GET',
    'G'.repeat(31),
    'G'.repeat(40),
    'G"T',
    'M-SEARCH',
    'TRACE',
    'CONNECT',
    'PRI',
    '\xc4',
    'GET\x00',
    '(',
    'SOURCE',
    'LINK',
  ].map(method),
  ...[
    '',
    'a',
    '*',
    'a:80',
    'http://',
    'http:///a',
    'http://a b/',
    'http://a:b@c/',
    'http://evil.example/x',
    'HTTP://evil.example/x',
    'http://evil.example:99999/',
    'http://169.254.169.254/latest',
    'https://a/',
    'ftp://a/',
    'http:/a',
    'http://a\\b',
    'http://[::1]/',
    'http://[::1',
    'http://?',
    'http://a#b',
    'http://a?b=c',
    '//a:99999/',
    '/\\evil',
    '/\\/evil',
    '/#x',
    '/%',
    '/%4',
    '/%zz',
    '/%00',
    '/a/../b',
    '/a/./b',
    '/a/%2e%2e/b',
    '/..',
    '/.',
    '/a/..;/b',
    '/.a',
    '/...',
    '/a b',
    '/a\tb',
    '/a\x00b',
    '/a\x7fb',
    '/a\xe4',
    '/"',
    '/<a>',
    '/^',
    '/{a}',
    '/`',
    '/a?"',
    '/a?<',
    '/a?\\',
    '/a?#',
    '/a?%zz',
    '/a?%00',
    '/a|b',
    '/a\nb',
    '/a\rb',
    '/' + 'a'.repeat(7_000),
    '/' + 'a'.repeat(9_000),
    '/' + 'a'.repeat(20_000),
    '/?' + 'a=b&'.repeat(1_500),
  ].map(target),
  ...[
    'HTTP/1.0',
    'HTTP/1.2',
    'HTTP/1.9',
    'HTTP/0.9',
    'HTTP/2.0',
    'HTTP/2',
    'HTTP/11',
    'HTTP/1.10',
    'HTTP/1.',
    'HTTP/.1',
    'HTTP/1,1',
    'HTTP/01.1',
    'http/1.1',
    'HTTP/1.1 ',
    ' HTTP/1.1',
    'HTTP/1.1\t',
    'HTTP /1.1',
    'HTTP/1. 1',
    'HTTPS/1.1',
    'RTSP/1.0',
    'ICE/1.0',
    '',
    'HTTP/1.1x',
    'HTTP/+1.1',
    'HTTP/1.1\x00',
  ].map(version),
  {
    name: 'HTTP/1.0 with keep-alive',
    apply: (draft) => {
      draft.version = 'HTTP/1.0';
      draft.lines.push('Connection: keep-alive');
    },
  },
  {
    name: 'HTTP/1.0 without Host',
    apply: (draft) => {
      draft.version = 'HTTP/1.0';
      draft.lines = ['Connection: keep-alive'];
      draft.body = '';
    },
  },
  {
    name: 'a line feed alone at every line',
    apply: (draft) => {
      draft.eol = '\n';
      draft.headEnd = '\n';
    },
  },
  {
    name: 'a line feed alone at the end of the head',
    apply: (draft) => void (draft.headEnd = '\n'),
  },
  {
    name: 'a carriage return alone at the end of the head',
    apply: (draft) => void (draft.headEnd = '\r'),
  },
  { name: 'no end of the head', apply: (draft) => void (draft.headEnd = '') },
  { name: 'two carriage returns at every line', apply: (draft) => void (draft.eol = '\r\r\n') },
  { name: 'an empty line in front', apply: (draft) => void (draft.before = '\r\n') },
  { name: 'two empty lines in front', apply: (draft) => void (draft.before = '\r\n\r\n') },
  { name: 'a line feed in front', apply: (draft) => void (draft.before = '\n') },
  { name: 'a carriage return in front', apply: (draft) => void (draft.before = '\r') },
  { name: 'a space in front', apply: (draft) => void (draft.before = ' ') },
  { name: 'a NUL in front', apply: (draft) => void (draft.before = '\x00') },
  {
    name: 'the HTTP/2 preface in front',
    apply: (draft) => void (draft.before = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  },
  {
    name: 'a TLS hello in front',
    apply: (draft) => void (draft.before = '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  },
  {
    name: 'a PROXY line in front',
    apply: (draft) => void (draft.before = 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'),
  },
  {
    name: 'one byte of the head changed',
    apply: (draft, choice) => {
      const at = choice.below(draft.lines.length);
      const line = draft.lines[at]!;
      const position = choice.below(line.length);
      draft.lines[at] =
        line.slice(0, position) + String.fromCharCode(choice.below(256)) + line.slice(position + 1);
    },
  },
  {
    name: 'one byte of the head taken out',
    apply: (draft, choice) => {
      const at = choice.below(draft.lines.length);
      const line = draft.lines[at]!;
      const position = choice.below(line.length);
      draft.lines[at] = line.slice(0, position) + line.slice(position + 1);
    },
  },
  {
    name: 'one byte put into the request line',
    apply: (draft, choice) => {
      const byte = String.fromCharCode(choice.below(256));
      const at = choice.below(draft.target.length + 1);
      draft.target = draft.target.slice(0, at) + byte + draft.target.slice(at);
    },
  },
];
