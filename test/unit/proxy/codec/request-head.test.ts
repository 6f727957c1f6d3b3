import assert from 'node:assert/strict';
import { BODY_CHUNKED, BODY_LENGTH, MORE, parsed } from '../../../../proxy/codec/fields.ts';
import { parseRequestHead, requestLine } from '../../../../proxy/codec/request-head.ts';

const parse = (text: string): number => {
  const b = Buffer.from(text, 'latin1');
  return parseRequestHead(b, 0, b.length);
};
const head = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n');
const withFields = (...fields: string[]): string => head('GET / HTTP/1.1', 'Host: a', ...fields);

describe('Request head', () => {
  describe('refuses, with the status that says why', () => {
    const refused: readonly [string, number, string][] = [
      ['no Host', 400, head('GET / HTTP/1.1')],
      ['two Hosts', 400, withFields('Host: b')],
      ['two Hosts that are equal', 400, withFields('Host: a')],
      ['an empty method', 400, head(' / HTTP/1.1', 'Host: a')],
      ['a method with a control byte', 400, head('GE\x01T / HTTP/1.1', 'Host: a')],
      ['a lower-case method', 501, head('get / HTTP/1.1', 'Host: a')],
      ['a method of 33 letters', 400, head('A'.repeat(33) + ' / HTTP/1.1', 'Host: a')],
      ['two spaces after the method', 400, head('GET  / HTTP/1.1', 'Host: a')],
      ['a tab after the method', 400, head('GET\t/ HTTP/1.1', 'Host: a')],
      ['a space in the target', 400, head('GET /a b HTTP/1.1', 'Host: a')],
      ['a control byte in the target', 400, head('GET /\x00 HTTP/1.1', 'Host: a')],
      ['a byte above 127 in the target', 400, head('GET /\xe4 HTTP/1.1', 'Host: a')],
      ['a backslash in the target', 400, head('GET /\\evil HTTP/1.1', 'Host: a')],
      ['a fragment in the target', 400, head('GET /#x HTTP/1.1', 'Host: a')],
      ['a percent sign that escapes nothing', 400, head('GET /% HTTP/1.1', 'Host: a')],
      ['a percent sign with one digit', 400, head('GET /%4 HTTP/1.1', 'Host: a')],
      ['an escaped NUL', 400, head('GET /%00 HTTP/1.1', 'Host: a')],
      ['a relative target', 400, head('GET a HTTP/1.1', 'Host: a')],
      ['an asterisk with GET', 400, head('GET * HTTP/1.1', 'Host: a')],
      ['an authority with user information', 400, head('GET http://a:b@c/ HTTP/1.1', 'Host: a')],
      ['an unfinished authority', 400, head('GET http:// HTTP/1.1', 'Host: a')],
      ['another scheme', 400, head('GET ftp://a/ HTTP/1.1', 'Host: a')],
      ['CONNECT', 405, head('CONNECT a:443 HTTP/1.1', 'Host: a')],
      ['no version', 400, head('GET /', 'Host: a')],
      ['HTTP/0.9', 505, head('GET / HTTP/0.9', 'Host: a')],
      ['HTTP/1.2', 505, head('GET / HTTP/1.2', 'Host: a')],
      ['HTTP/2.0', 505, head('GET / HTTP/2.0', 'Host: a')],
      ['lower-case http', 400, head('GET / http/1.1', 'Host: a')],
      ['a space after the version', 400, head('GET / HTTP/1.1 ', 'Host: a')],
      ['a line feed alone after the request line', 400, 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
      ['a line feed alone after a field', 400, 'GET / HTTP/1.1\r\nHost: a\n\r\n'],
      ['a carriage return alone in a value', 400, withFields('x: a\rb')],
      ['a carriage return alone at the end', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\rX'],
      ['a NUL in a value', 400, withFields('x: a\x00b')],
      ['a space before the colon', 400, withFields('x : a')],
      ['a space before the name', 400, withFields(' x: a')],
      ['a folded line', 400, withFields('x: a', ' b')],
      ['an empty name', 400, withFields(': a')],
      ['a line without a colon', 400, withFields('x')],
      ['a name with a bracket', 400, withFields('x[]: a')],
      [
        'Transfer-Encoding and Content-Length',
        400,
        withFields('Transfer-Encoding: chunked', 'Content-Length: 3'),
      ],
      [
        'Content-Length and Transfer-Encoding',
        400,
        withFields('Content-Length: 3', 'Transfer-Encoding: chunked'),
      ],
      ['two codings in one line', 400, withFields('Transfer-Encoding: gzip, chunked')],
      [
        'chunked twice',
        400,
        withFields('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
      ],
      ['identity', 400, withFields('Transfer-Encoding: identity')],
      ['chunked with a parameter', 400, withFields('Transfer-Encoding: chunked;q=1')],
      ['a coding with a vertical tab', 400, withFields('Transfer-Encoding: \x0bchunked')],
      ['a coding in HTTP/1.0', 400, head('GET / HTTP/1.0', 'Transfer-Encoding: chunked')],
      ['two lengths that are equal', 400, withFields('Content-Length: 3', 'Content-Length: 3')],
      ['two lengths that differ', 400, withFields('Content-Length: 3', 'Content-Length: 4')],
      ['a list of lengths', 400, withFields('Content-Length: 3, 3')],
      ['a signed length', 400, withFields('Content-Length: +3')],
      ['a negative length', 400, withFields('Content-Length: -3')],
      ['a hexadecimal length', 400, withFields('Content-Length: 0x3')],
      ['a length with a blank', 400, withFields('Content-Length: 3 3')],
      ['an empty length', 400, withFields('Content-Length:')],
      ['a length of 16 digits', 400, withFields('Content-Length: 1000000000000000')],
      ['a length above 1 TiB', 413, withFields('Content-Length: 1099511627777')],
      ['a TRACE with a body', 400, head('TRACE / HTTP/1.1', 'Host: a', 'Content-Length: 3')],
      ['Connection that names Host', 400, withFields('Connection: host')],
      [
        'Connection that names Content-Length',
        400,
        withFields('Connection: close, content-length'),
      ],
      ['Connection that names Transfer-Encoding', 400, withFields('Connection: Transfer-Encoding')],
      ['Connection that is no list of tokens', 400, withFields('Connection: a b')],
      ['101 fields', 431, withFields(...Array<string>(100).fill('a:'))],
      ['2,000 fields in 16 KiB', 431, withFields(...Array<string>(2000).fill('a:'))],
      ['a head above 16 KiB', 431, withFields('x: ' + 'y'.repeat(16_384))],
      [
        'a head above 16 KiB that does not end',
        431,
        withFields('x: ' + 'y'.repeat(16_384)).slice(0, -4),
      ],
      ['a target above 8 KiB', 414, head('GET /' + 'a'.repeat(8192) + ' HTTP/1.1', 'Host: a')],
      ['a target above 8 KiB that does not end', 414, 'GET /' + 'a'.repeat(9000)],
    ];
    for (const [name, status, text] of refused) {
      it(`${name}: ${status}`, () => assert.equal(parse(text), -status));
    }
  });

  describe('takes', () => {
    const taken: readonly [string, string][] = [
      ['a plain request', withFields()],
      ['what browsers leave unescaped', head('GET /a[1]|b?f[x]={y}^`|z HTTP/1.1', 'Host: a')],
      ['a path of two slashes', head('GET //evil.example/x HTTP/1.1', 'Host: a')],
      ['a question mark in the query', head('GET /?a=?b HTTP/1.1', 'Host: a')],
      ['an absolute target', head('GET http://b:80/x?y HTTP/1.1', 'Host: a')],
      ['an absolute target without a path', head('GET http://b?y HTTP/1.1', 'Host: a')],
      ['OPTIONS *', head('OPTIONS * HTTP/1.1', 'Host: a')],
      ['HTTP/1.0 without Host', head('GET / HTTP/1.0')],
      ['an empty value', withFields('x:')],
      ['values with white space around', withFields('x: \t a \t ')],
      ['obsolete text in a value', withFields('x: \xe4\xff')],
      ['__proto__ as a name', withFields('__proto__: x', 'constructor: y')],
      ['a name of every token character', withFields("!#$%&'*+-.^_`|~09azAZ: x")],
      ['100 fields', withFields(...Array<string>(99).fill('a:'))],
      ['an unknown method', head('BREW / HTTP/1.1', 'Host: a')],
    ];
    for (const [name, text] of taken) {
      it(name, () => assert.equal(parse(text), text.length));
    }
  });

  it('wants more for every beginning of a head, and never reads past its end', () => {
    const text = head('POST /a?b HTTP/1.1', 'Host: a', 'Content-Length: 3', 'x:  y ');
    for (let n = 1; n < text.length; n++)
      assert.equal(parse(text.slice(0, n)), MORE, text.slice(0, n));
    assert.equal(parse(text + 'GET'), text.length);
  });

  it('reads the framing', () => {
    parse(withFields('Content-Length: 010'));
    assert.deepEqual([parsed.bodyKind, parsed.bodyBytes], [BODY_LENGTH, 10]);
    parse(withFields('transfer-encoding: Chunked'));
    assert.equal(parsed.bodyKind, BODY_CHUNKED);
  });

  it('reads persistence by version and Connection', () => {
    const close = (text: string): boolean => {
      assert.ok(parse(text) > 0, text);
      return parsed.close;
    };
    assert.equal(close(withFields()), false);
    assert.equal(close(withFields('Connection: close')), true);
    assert.equal(close(withFields('Connection: keep-alive')), false);
    assert.equal(close(withFields('Connection: keep-alive, close')), true);
    assert.equal(close(withFields('Connection: keep-alive', 'Connection: close')), true);
    assert.equal(close(head('GET / HTTP/1.0')), true);
    assert.equal(close(head('GET / HTTP/1.0', 'Connection: Keep-Alive')), false);
    assert.equal(close(head('GET / HTTP/1.0', 'Connection: x, Keep-Alive')), false);
  });

  it('knows whether there was a request line, so that only requests are recorded', () => {
    const known = (text: string): boolean => {
      assert.ok(parse(text) < 0);
      return requestLine.known;
    };
    assert.equal(known('\x16\x03\x01\x02\x00\x01\x00\x01'), false);
    assert.equal(known('HELLO\r\n\r\n'), false);
    assert.equal(known('GET / HTTP/1.1\r\nbroken\r\n\r\n'), true);
    assert.equal(known(head('GET / HTTP/3.0')), true);
    assert.equal(known(head('GET /' + 'a'.repeat(9000) + ' HTTP/1.1')), true);
  });
});
