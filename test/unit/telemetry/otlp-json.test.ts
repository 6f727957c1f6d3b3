/** OTLP/JSON: what is refused, and that the refusal names the field. Equality: otlp-objects.test.ts. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { jsonToProtobuf } from '../../../telemetry/otlp-json.ts';
import { readSpans } from '../../../telemetry/otlp-objects.ts';
import { OtlpError } from '../../../telemetry/protobuf.ts';
import { anyTracesJson } from '../../helpers/otlp-arbitraries.ts';
import { decodeWith, encodeWith, TRACES } from '../../helpers/otlp-oracle.ts';

const ID = { traceId: 'a1'.repeat(16), spanId: 'b2'.repeat(8) };
const request = (span: object): string =>
  JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });

describe('jsonToProtobuf', () => {
  it('writes bytes that protobufjs decodes to the same as its own of the same request', () => {
    fc.assert(
      fc.property(anyTracesJson, (traces) => {
        const ours = decodeWith(TRACES, jsonToProtobuf('traces', JSON.stringify(traces)));
        const theirs = decodeWith(TRACES, encodeWith(TRACES, traces));
        assert.deepEqual(withoutDefaults(ours), withoutDefaults(theirs));
      }),
      { numRuns: 200 },
    );
  });

  it('keeps nanoseconds that were written as numbers past 2^53', () => {
    const text = request({ ...ID, startTimeUnixNano: 0 }).replace(
      '"startTimeUnixNano":0',
      '"startTimeUnixNano":1795571798368123457',
    );
    assert.equal(
      readSpans(jsonToProtobuf('traces', text))[0]?.startTimeUnixNano,
      1795571798368123457n,
    );
  });

  const start = { startTimeUnixNano: '1795571798368000000' };
  const faults: readonly [string, string, string, RegExp][] = [
    ['text that is not JSON', '{"resourceSpans": [', 'json', /JSON/],
    ['an array', '[]', 'json_type', /object/],
    ['a message of another protocol', '{"spans": []}', 'not_otlp', /resourceSpans/],
    ['an id that is not hex', request({ ...ID, ...start, spanId: 'zz' }), 'id', /spanId/],
    ['a name that is no text', request({ ...ID, ...start, name: 5 }), 'json_type', /name/],
    [
      'a time that is no number',
      request({ ...ID, startTimeUnixNano: 'soon' }),
      'json_type',
      /startTimeUnixNano/,
    ],
    ['an enum by its name', request({ ...ID, ...start, kind: 'SERVER' }), 'json_type', /kind/],
    [
      'attributes that are no list',
      request({ ...ID, ...start, attributes: {} }),
      'json_type',
      /attributes/,
    ],
    [
      'an integer past 64 bits',
      request({
        ...ID,
        ...start,
        attributes: [{ key: 'n', value: { intValue: '99999999999999999999' } }],
      }),
      'range',
      /intValue/,
    ],
  ];
  for (const [what, text, reason, message] of faults) {
    it(`refuses ${what} and names the field`, () => {
      assert.throws(
        () => jsonToProtobuf('traces', text),
        (error) =>
          error instanceof OtlpError && error.reason === reason && message.test(error.message),
      );
    });
  }

  it('refuses bytes that are not UTF-8', () => {
    assert.throws(
      () => jsonToProtobuf('traces', Buffer.from([0x7b, 0xff, 0x7d])),
      (error) => error instanceof OtlpError && error.reason === 'utf8',
    );
  });

  it('refuses values nested without end', () => {
    let value: object = { intValue: '1' };
    for (let i = 0; i < 300; i++) value = { arrayValue: { values: [value] } };
    assert.throws(
      () =>
        jsonToProtobuf(
          'traces',
          request({ ...ID, ...start, attributes: [{ key: 'deep', value }] }),
        ),
      (error) => error instanceof OtlpError && error.reason === 'nesting',
    );
  });
});

/** Drops what proto3 does not put on the wire: zero, false, '' and empty bytes of plain fields. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutDefaults(item));
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key, part]) =>
      // Members of a oneof are there or not; their default is a value.
      key.endsWith('Value') ||
      !(part === 0 || part === '' || part === '0' || (Buffer.isBuffer(part) && part.length === 0)),
  );
  return Object.fromEntries(kept.map(([key, part]) => [key, withoutDefaults(part)]));
}
