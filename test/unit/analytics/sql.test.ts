import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { sql } from '../../../analytics/sql.ts';

const names = readdirSync(new URL('../../../analytics/queries/', import.meta.url)).map((file) =>
  file.replace(/\.sql$/, ''),
);

describe('analytics queries', () => {
  it('puts the text of the shared query into those that name it', () => {
    const shared = sql('hops_to_traffic');
    assert.ok(sql('window_traffic').includes(shared));
    assert.ok(sql('rollup_insert').includes(shared));
  });

  for (const name of names) {
    it(`${name}.sql is one statement, with typed parameters only`, () => {
      const text = sql(name).replaceAll(/--.*$/gm, '');
      assert.doesNotMatch(text, /;|\{\{|\$\{/);
      for (const [braces, parameter] of text.matchAll(/\{([^}]*)\}/g)) {
        assert.match(parameter ?? '', /^[a-z_]+:[A-Z]\w+(\(\w+\))?$/, braces);
      }
    });
  }

  it('throws for a query that does not exist', () => {
    assert.throws(() => sql('no_such_query'), /ENOENT/);
  });
});
