import assert from 'node:assert/strict';
import { clauses, renderTable, spread } from '../../../../analytics/reports/table.ts';

const COLUMNS = [
  { head: 'name', spare: 0, cells: ['a', 'longer'] },
  { head: 'n', spare: 0, cells: ['1,000', '2'] },
  { head: 'detail', spare: 2, cells: ['x', 'y'] },
  { head: 'more', spare: 1, cells: ['z', ''] },
];

describe('table', () => {
  it('aligns the first column left and the others right', () => {
    assert.deepEqual(renderTable(COLUMNS, 80), [
      'name        n  detail  more',
      'a       1,000       x     z',
      'longer      2       y',
    ]);
  });

  it('leaves out the least important columns until it fits', () => {
    assert.equal(renderTable(COLUMNS, 26)[0], 'name        n  more');
    assert.equal(renderTable(COLUMNS, 18)[0], 'name        n');
    assert.equal(renderTable(COLUMNS, 3)[0], 'name        n', 'and keeps those that say it all');
  });

  it('breaks a line of parts where they do not fit', () => {
    assert.deepEqual(spread(['one', 'two', '', 'three'], 11), ['one    two', 'three']);
  });

  it('keeps the clauses of a sentence together where they fit', () => {
    assert.deepEqual(clauses(['a b', 'c d'], 8), ['a b; c d']);
    assert.deepEqual(clauses(['a b', 'c d'], 7), ['a b;', 'c d']);
  });
});
