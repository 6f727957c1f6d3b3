import assert from 'node:assert/strict';
import type { OutboundMessage } from '../../../../transport/exporter.ts';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  isIntact,
  STATE_AT,
} from '../../../../transport/spool/record.ts';

const message: OutboundMessage = { signal: 'logs', body: Buffer.from('a ledger'), items: 3 };

describe('spool record', () => {
  it('tells from its header what the message is', () => {
    const header = decodeHeader(encodeHeader(message, 1_700_000_000_123));
    assert.ok(header !== undefined);
    assert.deepEqual(
      { ...header, bodyCrc: 0 },
      {
        signal: 'logs',
        settled: false,
        bodyBytes: 8,
        items: 3,
        writtenAtMs: 1_700_000_000_123,
        bodyCrc: 0,
      },
    );
    assert.ok(isIntact(header, message.body));
  });

  it('finds every flipped bit of a header, but for those of the state', () => {
    const whole = encodeHeader(message, 1_700_000_000_123);
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const header = decodeHeader(damaged);
      if (bit >> 3 === STATE_AT) assert.equal(header?.settled, true, `bit ${bit}`);
      else assert.equal(header, undefined, `bit ${bit}`);
    }
  });

  it('finds a body that is not the one that was written', () => {
    const header = decodeHeader(encodeHeader(message, 0))!;
    assert.equal(isIntact(header, Buffer.from('a ledgeR')), false);
    assert.equal(isIntact(header, Buffer.from('a ledge')), false);
  });

  it('takes a header that is cut off for none', () => {
    assert.equal(decodeHeader(encodeHeader(message, 0).subarray(0, HEADER_BYTES - 1)), undefined);
    assert.equal(decodeHeader(Buffer.alloc(0)), undefined);
  });
});
