import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { OtlpError } from '../../../telemetry/protobuf.ts';
import { splitMessage } from '../../../transport/otlp-split.ts';
import { spansOf, tracesOf, type SpanSpec } from '../../helpers/otlp-proto.ts';
import { seededRandom } from '../../helpers/prng.ts';

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../fixtures/kafka/${name}.bin`, import.meta.url));

describe('splitMessage', () => {
  it('returns a message that fits as it is, without looking into it', () => {
    const body = Buffer.from('not OTLP at all');
    assert.deepEqual(splitMessage(body, 7, body.length), [{ body, items: 7 }]);
  });

  it('keeps every span once, in order, under its resource and scope, in parts below the limit', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const specs: SpanSpec[] = Array.from({ length: 300 }, (_, i) => ({
      service: `service-${Math.floor(i / 40)}`,
      scope: `scope-${Math.floor(i / 15)}`,
      name: `span-${i}`,
      padding: Math.floor(random() * 900),
    }));
    const body = tracesOf(specs);
    const limit = 5_000;
    const parts = splitMessage(body, specs.length, limit);
    const context = `seed ${seed}`;
    assert.ok(
      parts.every((part) => part.body.length <= limit),
      context,
    );
    // Greedy: no two neighbours would fit into one part.
    assert.ok(parts.length <= Math.ceil(body.length / (limit / 2)), context);
    assert.deepEqual(
      parts.flatMap((part) => spansOf(part.body)),
      spansOf(body),
      context,
    );
    assert.deepEqual(
      parts.map((part) => part.items),
      parts.map((part) => spansOf(part.body).length),
      context,
    );
  });

  it('makes a span that is too large alone a part of its own', () => {
    const body = tracesOf([
      { service: 'a', name: 'small-1', padding: 10 },
      { service: 'a', name: 'large', padding: 3_000 },
      { service: 'a', name: 'small-2', padding: 10 },
    ]);
    assert.deepEqual(
      splitMessage(body, 3, 1_000).map((part) => [
        part.items,
        ...spansOf(part.body).map((span) => span.name),
      ]),
      [
        [1, 'small-1'],
        [1, 'large'],
        [1, 'small-2'],
      ],
    );
  });

  it('reads fields in any order: those of a stock Collector come last first', () => {
    const body = fixture('proto_none-0');
    const parts = splitMessage(body, 6, 1_500);
    assert.ok(parts.length > 1);
    assert.deepEqual(
      parts.flatMap((part) => spansOf(part.body)),
      spansOf(body),
    );
    assert.ok(parts.every((part) => spansOf(part.body)[0]?.service !== ''));
  });

  it('refuses a message over the limit that is not OTLP', () => {
    assert.throws(() => splitMessage(Buffer.alloc(100, 0xff), 1, 50), OtlpError);
  });
});
