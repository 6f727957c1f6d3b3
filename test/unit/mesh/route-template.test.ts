import assert from 'node:assert/strict';
import { coversTemplate, parseTemplate } from '../../../mesh/route-template.ts';

const segments = (template: string): readonly string[] => {
  const parsed = parseTemplate(template);
  assert.ok(parsed.ok, template);
  return parsed.segments;
};

describe('parseTemplate', () => {
  it('reads literals, one-segment names and the rest', () => {
    assert.deepEqual(segments('/'), []);
    assert.deepEqual(segments('/*'), ['**']);
    assert.deepEqual(segments('/api/products/{id}'), ['api', 'products', '{}']);
    assert.deepEqual(segments('/static/*'), ['static', '**']);
  });

  it('says what is wrong with each bad template', () => {
    const bad: [string, RegExp][] = [
      ['', /slash/],
      ['products', /slash/],
      ['/a//b', /empty segment/],
      ['/a/', /empty segment/],
      ['/a?x=1', /query/],
      ['/*/b', /before its end/],
      ['/{a}/{a}', /twice/],
      ['/a{b}', /neither/],
      ['/{b', /neither/],
      ['/{1b}', /neither/],
      ['/a*', /neither/],
    ];
    for (const [template, message] of bad) {
      const parsed = parseTemplate(template);
      assert.ok(!parsed.ok, template);
      assert.match(parsed.fault, message);
    }
  });
});

describe('coversTemplate', () => {
  it('tells whether anything is left over for a later route', () => {
    const covers = (a: string, b: string): boolean => coversTemplate(segments(a), segments(b));
    assert.ok(covers('/*', '/a/b'));
    assert.ok(covers('/*', '/'));
    assert.ok(covers('/a/*', '/a/{x}/c'));
    assert.ok(covers('/a/{x}', '/a/b'));
    assert.ok(covers('/a/{x}', '/a/{y}'));
    assert.ok(!covers('/a/{x}', '/a/*'));
    assert.ok(!covers('/a/b', '/a/{x}'));
    assert.ok(!covers('/a', '/a/b'));
    assert.ok(!covers('/a/b', '/a'));
  });
});
