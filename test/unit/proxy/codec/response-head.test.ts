import assert from 'node:assert/strict';
import { BODY_LENGTH, MORE, parsed } from '../../../../proxy/codec/fields.ts';
import { BAD, parseResponseHead, statusLine } from '../../../../proxy/codec/response-head.ts';

const parse = (text: string): number => {
  const b = Buffer.from(text, 'latin1');
  return parseResponseHead(b, 0, b.length);
};
const head = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n');

describe('Response head', () => {
  const bad: readonly [string, string][] = [
    ['status 000', head('HTTP/1.1 000 OK')],
    ['status 099', head('HTTP/1.1 099 OK')],
    ['status 600', head('HTTP/1.1 600 OK')],
    ['status 1000', head('HTTP/1.1 1000 OK')],
    ['status 2x0', head('HTTP/1.1 2x0 OK')],
    ['status of two digits', head('HTTP/1.1 20 OK')],
    ['two spaces before the status', head('HTTP/1.1  200 OK')],
    ['HTTP/2', head('HTTP/2 200 OK')],
    ['HTTP/1.2', head('HTTP/1.2 200 OK')],
    ['another protocol', head('ICY 200 OK')],
    ['HTTP/0.9', 'hello'],
    ['a control byte in the reason', head('HTTP/1.1 200 O\x01K')],
    ['a line feed alone', 'HTTP/1.1 200 OK\n\n'],
    ['a carriage return in a value', head('HTTP/1.1 200 OK', 'x: a\rb')],
    ['a NUL in a value', head('HTTP/1.1 200 OK', 'x: \x00')],
    ['a folded line', head('HTTP/1.1 200 OK', 'x: a', ' b')],
    ['a blank before the colon', head('HTTP/1.1 200 OK', 'x : a')],
    ['lengths that differ', head('HTTP/1.1 200 OK', 'Content-Length: 1', 'Content-Length: 2')],
    ['lengths that are equal', head('HTTP/1.1 200 OK', 'Content-Length: 1', 'Content-Length: 1')],
    [
      'length and coding',
      head('HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked'),
    ],
    ['an unknown coding', head('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip')],
    ['a coding from HTTP/1.0', head('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked')],
    ['101 fields', head('HTTP/1.1 200 OK', ...Array<string>(101).fill('a:'))],
    ['a head above 16 KiB', head('HTTP/1.1 200 OK', 'x: ' + 'y'.repeat(16_384))],
    ['an endless reason', 'HTTP/1.1 200 ' + 'y'.repeat(17_000)],
    ['endless fields', 'HTTP/1.1 200 OK\r\nx: ' + 'y'.repeat(17_000)],
  ];
  for (const [name, text] of bad) {
    it(`calls bad: ${name}`, () => assert.equal(parse(text), BAD));
  }

  it('takes a response with an empty reason and reads its status', () => {
    const text = head('HTTP/1.1 404 ', 'Content-Length: 3');
    assert.equal(parse(text), text.length);
    assert.equal(statusLine.status, 404);
    assert.deepEqual([parsed.bodyKind, parsed.bodyBytes], [BODY_LENGTH, 3]);
  });

  it('takes a response without the blank before an empty reason', () => {
    const text = head('HTTP/1.1 404', 'Content-Length: 3');
    assert.equal(parse(text), text.length);
    assert.deepEqual([statusLine.status, parsed.bodyBytes], [404, 3]);
  });

  it('wants more for every beginning', () => {
    const text = head('HTTP/1.1 200 OK', 'Content-Length: 3', 'x:  y ');
    for (let n = 0; n < text.length; n++) assert.equal(parse(text.slice(0, n)), MORE);
    assert.equal(parse(text + 'abc'), text.length);
  });
});
