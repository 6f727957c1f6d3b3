import assert from 'node:assert/strict';
import { BodyReader, content, MALFORMED, segments } from '../../../../proxy/codec/body.ts';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
} from '../../../../proxy/codec/fields.ts';
import { seededRandom } from '../../../helpers/prng.ts';

interface Reading {
  body: string;
  done: boolean;
  /** Bytes behind the body; -1 when it was malformed. */
  left: number;
}

/** Feeds `parts` one after the other. */
function read(kind: number, lengthBytes: number, parts: readonly string[]): Reading {
  const reader = new BodyReader();
  reader.start(kind, lengthBytes);
  let body = '';
  let left = 0;
  for (const part of parts) {
    const b = Buffer.from(part, 'latin1');
    let p = 0;
    while (p < b.length && !reader.done) {
      p = reader.feed(b, p, b.length);
      if (p === MALFORMED) return { body, done: false, left: -1 };
      for (let i = 0; i < content.pairs; i += 2) {
        body += b.toString('latin1', segments[i], segments[i + 1]);
      }
    }
    left += b.length - p;
  }
  assert.equal(reader.totalBytes, body.length);
  return { body, done: reader.done, left };
}
const chunked = (...parts: string[]): Reading => read(BODY_CHUNKED, 0, parts);

describe('BodyReader', () => {
  it('has nothing to read without a body', () => {
    assert.deepEqual(read(BODY_NONE, 0, ['GET']), { body: '', done: true, left: 3 });
    assert.deepEqual(read(BODY_LENGTH, 0, ['GET']), { body: '', done: true, left: 3 });
  });

  it('reads exactly Content-Length bytes', () => {
    assert.deepEqual(read(BODY_LENGTH, 5, ['ab', 'cdeGET']), {
      body: 'abcde',
      done: true,
      left: 3,
    });
    assert.deepEqual(read(BODY_LENGTH, 5, ['abcd']), { body: 'abcd', done: false, left: 0 });
  });

  it('reads to the end of the connection', () => {
    const reader = new BodyReader();
    reader.start(BODY_UNTIL_CLOSE, 0);
    assert.equal(reader.feed(Buffer.from('abc'), 0, 3), 3);
    assert.equal(reader.done, false);
    assert.equal(reader.endOfConnection(), true);
    reader.start(BODY_LENGTH, 3);
    assert.equal(reader.endOfConnection(), false);
  });

  describe('reads chunks', () => {
    const whole = '5\r\nhello\r\n6;a="b;c"\r\n world\r\n0\r\nx: y\r\n\r\nGET';
    it('with extensions and trailers, whatever the packets', () => {
      const expected = { body: 'hello world', done: true, left: 3 };
      assert.deepEqual(chunked(whole), expected);
      assert.deepEqual(chunked(...whole.split('')), expected);
      for (let cut = 1; cut < whole.length; cut++) {
        assert.deepEqual(chunked(whole.slice(0, cut), whole.slice(cut)), expected, String(cut));
      }
    });

    it('with extensions of every form', () => {
      for (const extension of [';a', ';a=b', ';a="b"', ';a="\\";\xff"', ';a;b=c;d=""']) {
        assert.equal(chunked(`3${extension}\r\nabc\r\n0${extension}\r\n\r\n`).body, 'abc');
      }
    });

    it('with upper- and lower-case digits and leading zeros', () => {
      assert.equal(chunked('000A\r\n0123456789\r\n0\r\n\r\n').body, '0123456789');
      assert.equal(chunked('b\r\n0123456789a\r\n000\r\n\r\n').body, '0123456789a');
    });

    it('thousands of tiny ones in one packet', () => {
      const body = 'x'.repeat(40_000);
      const text = '1\r\nx\r\n'.repeat(body.length) + '0\r\n\r\n';
      assert.deepEqual(chunked(text), { body, done: true, left: 0 });
    });

    it('random bodies in random pieces, the same as they were written', () => {
      const seed = Number(process.env['SEED'] ?? 20261125);
      const random = seededRandom(seed);
      const upTo = (n: number): number => Math.floor(random() * n);
      for (let round = 0; round < 200; round++) {
        let body = '';
        let text = '';
        for (let chunk = upTo(6); chunk > 0; chunk--) {
          const piece = Array.from({ length: 1 + upTo(40) }, () =>
            String.fromCharCode(upTo(256)),
          ).join('');
          body += piece;
          text += `${piece.length.toString(16)}${upTo(2) ? ';x' : ''}\r\n${piece}\r\n`;
        }
        text += '0\r\n\r\n';
        const parts: string[] = [];
        for (let p = 0; p < text.length;) {
          const bytes = 1 + upTo(12);
          parts.push(text.slice(p, p + bytes));
          p += bytes;
        }
        assert.deepEqual(
          chunked(...parts),
          { body, done: true, left: 0 },
          `seed ${seed}, round ${round}`,
        );
      }
    });
  });

  describe('calls malformed', () => {
    const malformed: readonly [string, string][] = [
      ['no size', '\r\nabc\r\n'],
      ['a size that is no number', 'g\r\n'],
      ['a signed size', '+3\r\nabc\r\n'],
      ['a size with 0x', '0x3\r\nabc\r\n'],
      ['a size of nine digits', '000000003\r\nabc\r\n'],
      ['a blank before the size', ' 3\r\nabc\r\n'],
      ['a blank after the size', '3 \r\nabc\r\n'],
      ['a blank before an extension', '3 ;a\r\nabc\r\n'],
      ['a line feed alone after the size', '3\nabc\r\n'],
      ['a carriage return alone after the size', '3\rabc\r\n'],
      ['a line feed alone in an extension', '3;a\nb\r\nabc\r\n'],
      ['a control byte in an extension', '3;\x00\r\nabc\r\n'],
      ['an endless extension', '3;' + 'a'.repeat(257)],
      ['an extension without a name', '3;\r\nabc\r\n'],
      ['blanks around an extension', '3; a = b\r\nabc\r\n'],
      ['an unfinished quote', '3;a="\r\nabc\r\n'],
      ['an escaped quote that ends nothing', '3;a="\\"\r\nabc\r\n'],
      ['bytes behind a quote', '3;a="b"c\r\nabc\r\n'],
      ['an extension that is no token', '3;\xe4=\xf6\r\nabc\r\n'],
      ['a length among the trailers', '0\r\nContent-Length: 9\r\n\r\n'],
      ['a coding among the trailers', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
      ['content longer than its size', '3\r\nabcd\r\n'],
      ['a line feed alone after the content', '3\r\nabc\n0\r\n\r\n'],
      ['a line feed alone at the end', '0\r\n\n'],
      ['a trailer with a blank before its colon', '0\r\nx : y\r\n\r\n'],
      ['a folded trailer', '0\r\nx: y\r\n z\r\n\r\n'],
      ['an endless trailer section', '0\r\nx: ' + 'y'.repeat(4100)],
      ['101 trailers', '0\r\n' + 'a:\r\n'.repeat(101)],
    ];
    for (const [name, text] of malformed) {
      it(name, () => {
        assert.equal(chunked(text).left, -1);
        assert.equal(chunked(...text.split('')).left, -1, 'one byte at a time');
      });
    }
  });
});
