import assert from 'node:assert/strict';
import {
  incoming,
  newSpanId,
  newTraceId,
  parseTraceparent,
  traceparentOf,
} from '../../../proxy/trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const parse = (text: string): boolean => parseTraceparent(Buffer.from(text), 0, text.length);

describe('Trace context', () => {
  const valid: readonly [string, string, number][] = [
    ['version 00', `00-${TRACE}-${PARENT}-01`, 1],
    ['the random flag of level 2', `00-${TRACE}-${PARENT}-03`, 3],
    ['no flag', `00-${TRACE}-${PARENT}-00`, 0],
    ['flags that nobody defined, which are not sent on', `00-${TRACE}-${PARENT}-ff`, 3],
    ['a later version', `cc-${TRACE}-${PARENT}-01`, 1],
    ['a later version with more fields', `cc-${TRACE}-${PARENT}-01-what-ever`, 1],
  ];
  for (const [name, text, flags] of valid) {
    it(`reads ${name}`, () => {
      assert.equal(parse(text), true);
      const { traceId, parentId } = incoming;
      assert.equal(traceparentOf(traceId, parentId, 0, flags), `00-${TRACE}-${PARENT}-0${flags}`);
      assert.equal(incoming.flags, flags);
    });
  }

  it('names an attempt by the span id of its hop, XOR its number', () => {
    parse(`00-${TRACE}-${PARENT}-01`);
    const { traceId, parentId } = incoming;
    assert.equal(traceparentOf(traceId, parentId, 5, 1), `00-${TRACE}-00f067aa0ba902b2-01`);
  });

  const invalid: readonly [string, string][] = [
    ['nothing', ''],
    ['version ff', `ff-${TRACE}-${PARENT}-01`],
    ['upper-case digits', `00-${TRACE.toUpperCase()}-${PARENT}-01`],
    ['an upper-case version', `0A-${TRACE}-${PARENT}-01`],
    ['a trace id of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
    ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['version 00 with more fields', `00-${TRACE}-${PARENT}-01-x`],
    ['a later version with more bytes and no dash', `cc-${TRACE}-${PARENT}-01x`],
    ['a missing dash', `00-${TRACE}_${PARENT}-01`],
    ['a short one', `00-${TRACE}-${PARENT}-1`],
    ['no hexadecimal digit', `00-${TRACE.replace('4', 'g')}-${PARENT}-01`],
    ['flags that are no digits', `00-${TRACE}-${PARENT}-0x`],
  ];
  for (const [name, text] of invalid) {
    it(`refuses ${name}`, () => assert.equal(parse(text), false));
  }

  it('makes span ids with room for fifteen attempts, and ids that differ', () => {
    const seen = new Set<string>();
    const trace = new Uint32Array(4);
    const span = new Uint32Array(2);
    for (let i = 0; i < 1000; i++) {
      newTraceId(trace);
      newSpanId(span);
      assert.equal(span[1]! & 15, 0);
      assert.notEqual(span[0], 0);
      seen.add(trace.join()).add(span.join());
    }
    assert.equal(seen.size, 2000);
  });
});
