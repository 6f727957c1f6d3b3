import assert from 'node:assert/strict';
import { ClickHouseFault } from '../../../../store/embedded/clickhouse-fault.ts';
import { atRevision, checkRevision } from '../../../../store/embedded/native-revision.ts';

/** A string as Native writes it: length, bytes. */
const named = (text: string): number[] => [text.length, ...Buffer.from(text)];
/** Two rows of UInt8 and of String. */
const BLOCK = [
  2,
  2,
  ...named('a'),
  ...named('UInt8'),
  1,
  2,
  ...named('b'),
  ...named('String'),
  ...named('x'),
  ...named('yz'),
];
const INFO = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];
const at = (bytes: readonly number[], revision: number): number[] => [
  ...atRevision(Uint8Array.from(bytes), revision),
];

describe('Native at a revision', () => {
  it('is left alone at none', () => {
    assert.deepEqual(at(BLOCK, 0), BLOCK);
  });

  it('has the information on a block before each, from the first revision on', () => {
    assert.deepEqual(at([...BLOCK, ...BLOCK], 54_405), [...INFO, ...BLOCK, ...INFO, ...BLOCK]);
    assert.deepEqual(at([], 54_405), []);
  });

  it('says of each column how it is written, from 54454 on', () => {
    const expected = [
      ...INFO,
      ...[2, 2, ...named('a'), ...named('UInt8'), 0, 1, 2],
      ...[...named('b'), ...named('String'), 0, ...named('x'), ...named('yz')],
    ];
    assert.deepEqual(at(BLOCK, 54_460), expected);
    assert.deepEqual(at(BLOCK, 54_500), expected);
  });

  it('keeps a block without rows', () => {
    const empty = [1, 0, ...named('a'), ...named('LowCardinality(String)')];
    assert.deepEqual(at(empty, 54_460), [...INFO, ...empty, 0]);
  });

  it('refuses a type whose values differ by revision, and names the column', () => {
    for (const type of [
      'JSON',
      'Dynamic',
      'Variant(String, UInt8)',
      'AggregateFunction(count)',
      'Array(JSON)',
    ]) {
      const rest = type.startsWith('Array') ? [1, 0, 0, 0, 0, 0, 0, 0, 9] : [9];
      assert.throws(
        () => at([1, 1, ...named('doc'), ...named(type), ...rest], 54_460),
        (error) =>
          error instanceof ClickHouseFault && error.code === 48 && /"doc"/.test(error.message),
        type,
      );
    }
  });

  it('is refused for clients that do not know LowCardinality', () => {
    for (const text of ['1', '54404', '-1', 'x', '54460.5']) {
      assert.throws(() => checkRevision(text), ClickHouseFault, text);
    }
    assert.equal(checkRevision(''), 0);
    assert.equal(checkRevision('0'), 0);
    assert.equal(checkRevision('54405'), 54_405);
  });
});
