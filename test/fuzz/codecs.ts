/**
 * One case of the fuzz target over both codecs, made from a seed: bytes of the conformance corpora,
 * bent further without any sense for HTTP, read as a connection would read them. Readers may take or
 * refuse what they like, but never throw, never stand still, never keep more than their limits, and
 * never read the same bytes otherwise because they came in other pieces.
 */
import assert from 'node:assert/strict';
import { BodyReader, content, MALFORMED, segments } from '../../proxy/codec/body.ts';
import {
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  keptLines,
  MORE,
  parsed,
  parseFields,
} from '../../proxy/codec/fields.ts';
import { parseRequestHead } from '../../proxy/codec/request-head.ts';
import { BAD, parseResponseHead, statusLine } from '../../proxy/codec/response-head.ts';
import { CODEC_LIMITS } from '../../proxy/limits.ts';
import { Choice } from '../conformance/corpus/random.ts';
import { requestCase } from '../conformance/corpus/requests.ts';
import { responseCase } from '../conformance/corpus/responses.ts';

type Side = 'request' | 'response';

const REFUSALS = new Set([-400, -405, -413, -414, -431, -501, -505]);
/** Cases of a corpus: more than it has mutations, so that each comes up. */
const CORPUS_CASES = 10_000;

/** Reads and checks the case of this seed. Throws an AssertionError that says what went wrong. */
export function fuzzCase(seed: number): void {
  const choice = new Choice(seed);
  const side: Side = choice.chance(0.5) ? 'request' : 'response';
  const make = side === 'request' ? requestCase : responseCase;
  const whole = bend(make(choice.below(CORPUS_CASES), choice).bytes, choice);
  const bytes = Buffer.from(whole, 'latin1');
  const atOnce = read(side, bytes, []);
  const cuts = choice.chance(0.3) ? everyByte(bytes.length) : choice.cuts(bytes.length, 8);
  assert.equal(
    read(side, bytes, cuts),
    atOnce,
    `other pieces, other messages: ${whole.slice(0, 500)}`,
  );
}

/** Up to four changes that know nothing of HTTP. */
function bend(text: string, choice: Choice): string {
  for (let i = choice.between(0, 4); i > 0; i--) {
    const at = choice.below(text.length + 1);
    const end = Math.min(text.length, at + choice.between(1, choice.of([1, 4, 64])));
    const [front, piece, back] = [text.slice(0, at), text.slice(at, end), text.slice(end)];
    const byte = String.fromCharCode(choice.below(256));
    switch (choice.below(6)) {
      case 0:
        text = front + byte + back;
        break;
      case 1:
        text =
          front + choice.of([byte, '\r', '\n', '\r\n', ':', ' ', '\0', ';', ',']) + piece + back;
        break;
      case 2:
        text = front + back;
        break;
      case 3:
        text = front + piece.repeat(choice.of([2, 3, 300])) + back;
        break;
      case 4:
        text = back + front;
        break;
      default:
        text = front;
    }
  }
  return text;
}

/** Only short ones: every piece of a head is parsed from its beginning. */
const everyByte = (bytes: number): number[] =>
  bytes > 600 ? [] : Array.from({ length: Math.max(0, bytes - 1) }, (_, i) => i + 1);

/** What a connection reads from these bytes, as text: heads that go on, content, and the end. */
function read(side: Side, bytes: Buffer, cuts: readonly number[]): string {
  const body = new BodyReader();
  let transcript = '';
  let kept = Buffer.alloc(0);
  let inBody = false;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    const piece = bytes.subarray(from, cut);
    from = cut;
    const b = inBody ? piece : Buffer.concat([kept, piece]);
    const n = b.length;
    let p = 0;
    kept = Buffer.alloc(0);
    for (let steps = 0; p < n; steps++) {
      assert.ok(steps <= 2 * n + 2, 'stands still');
      if (inBody) {
        const end = body.feed(b, p, n);
        assert.ok(content.pairs <= segments.length);
        transcript += contentText(b);
        if (end === MALFORMED) return transcript + '<malformed>';
        assert.ok(end > p && end <= n, `body read from ${p} to ${end} of ${n}`);
        p = end;
        inBody = !body.done;
        if (body.done) transcript += `<end ${body.trailerLines}>`;
        continue;
      }
      const end = side === 'request' ? parseRequestHead(b, p, n) : parseResponseHead(b, p, n);
      if (end === MORE) {
        assert.ok(n - p <= CODEC_LIMITS.headBytes, `${n - p} bytes of a head are kept`);
        kept = Buffer.from(b.subarray(p, n));
        break;
      }
      if (end < 0) {
        assert.ok(side === 'request' ? REFUSALS.has(end) : end === BAD, `refused with ${end}`);
        return transcript + '<refused>';
      }
      assert.ok(end > p && end <= n, `head read from ${p} to ${end} of ${n}`);
      transcript += headText(b, p, end);
      inBody = begin(side, body);
      p = end;
    }
  }
  return transcript + (inBody || kept.length > 0 ? '<incomplete>' : '');
}

/** The lines that go on; another parse of them finds nothing to object to and the same lines. */
function headText(b: Buffer, p: number, end: number): string {
  const { bodyKind, bodyBytes, close } = parsed;
  const lines = keptLines(b, b.toString('latin1', p, end), p, 0);
  const again = Buffer.from(lines + '\r\n', 'latin1');
  assert.equal(parseFields(again, 0, again.length), again.length, 'unreadable lines go on');
  assert.equal(keptLines(again, again.toString('latin1'), 0, 0), lines);
  Object.assign(parsed, { bodyKind, bodyBytes, close });
  return `<head ${bodyKind} ${bodyBytes} ${String(close)}>${lines}`;
}

function contentText(b: Buffer): string {
  let text = '';
  for (let i = 0; i < content.pairs; i += 2) {
    assert.ok(segments[i]! <= segments[i + 1]! && segments[i + 1]! <= b.length);
    text += b.toString('latin1', segments[i], segments[i + 1]);
  }
  return text;
}

/** As if every message had announced the trailers of the corpora. */
const ANNOUNCED: ReadonlySet<string> = new Set(['x-sum', 'x-signature']);

/** Starts the body of the head just parsed; true when there is one to read. */
function begin(side: Side, body: BodyReader): boolean {
  let kind = parsed.bodyKind;
  if (side === 'response') {
    const { status } = statusLine;
    if (status < 200 || status === 204 || status === 304) kind = BODY_NONE;
    else if (kind === BODY_NONE) kind = BODY_UNTIL_CLOSE;
  }
  body.start(kind, parsed.bodyBytes, ANNOUNCED);
  return !body.done;
}
