import assert from 'node:assert/strict';
import { matchesHop, parseHopFilter } from '../../../../proxy/admin/hop-filter.ts';
import { finishedHop, SHAPE } from '../../../helpers/finished-hop.ts';

const filterOf = (query: Record<string, unknown>) => {
  const parsed = parseHopFilter(query);
  assert.ok('filter' in parsed, JSON.stringify(parsed));
  return parsed.filter;
};
const takes = (query: Record<string, unknown>, changes = {}): boolean =>
  matchesHop(filterOf(query), SHAPE, finishedHop(changes));

describe('a filter of hops', () => {
  it('takes everything when it says nothing', () => {
    assert.ok(takes({}));
    assert.ok(takes({}, { status: 0, errorType: 'client_gone' }));
  });

  it('takes a route as the mesh file spells it, one or several', () => {
    assert.ok(takes({ route: '/products/{id}' }));
    assert.ok(takes({ route: ['/other', '/products/{id}'] }));
    assert.ok(!takes({ route: '/products' }));
  });

  it('takes a status or a class of statuses', () => {
    assert.ok(takes({ status: '503' }, { status: 503 }));
    assert.ok(takes({ status: ['4xx', '5xx'] }, { status: 503 }));
    assert.ok(!takes({ status: '5xx' }, { status: 404 }));
    assert.ok(!takes({ status: '5xx' }, { status: 0 }));
    assert.ok(!takes({ status: '2xx' }, { status: 2 }));
  });

  it('takes what lasted at least as long as it says', () => {
    assert.ok(takes({ slower_than: '8ms' }));
    assert.ok(takes({ slower_than: '7999us' }));
    assert.ok(!takes({ slower_than: '8.5ms' }));
    assert.ok(!takes({ slower_than: '1s' }));
    assert.ok(takes({ slower_than: '1m' }, { durationMs: 60_000 }));
  });

  it('takes failures and answers of 500 and above where only errors are wanted', () => {
    for (const errors of ['', 'true', '1']) {
      assert.ok(takes({ errors }, { errorType: '5xx' }));
      assert.ok(!takes({ errors }));
    }
    assert.ok(takes({ errors: 'false' }));
  });

  for (const [what, query] of Object.entries({
    'an unknown parameter': { routes: '/x' },
    'a status that is none': { status: '6xx' },
    'a duration without a unit': { slower_than: '100' },
    'an endless duration': { slower_than: 'Infinityms' },
    'errors that are neither true nor false': { errors: 'maybe' },
    'an object where text belongs': { route: { a: 'b' } },
    'too many values': { route: Array<string>(17).fill('/x') },
    'a value without end': { route: 'x'.repeat(2_000) },
  })) {
    it(`refuses ${what}, and says so`, () => {
      const parsed = parseHopFilter(query);
      assert.ok('fault' in parsed);
      assert.ok(parsed.fault.length > 10 && parsed.fault.length < 200, parsed.fault);
    });
  }
});
