import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ClickHouseFault } from '../../../../store/embedded/clickhouse-fault.ts';
import { literal } from '../../../../store/embedded/request.ts';
import { tokens } from '../../../../store/embedded/sql-tokens.ts';

const texts = (sql: string): string[] => [...tokens(sql)].map((token) => token.text);
const refused = (sql: string, why: RegExp): void => {
  assert.throws(
    () => texts(sql),
    (error: unknown) =>
      error instanceof ClickHouseFault && error.code === 62 && why.test(error.message),
    sql,
  );
};

describe('SQL tokens', () => {
  it('ends a string at its quote, not at an escaped or doubled one', () => {
    assert.deepEqual(texts(`'a\\'b' x`), [`'a\\'b'`, 'x']);
    assert.deepEqual(texts(`'a''b' x`), [`'a''b'`, 'x']);
    assert.deepEqual(texts(`'\\\\' x`), [`'\\\\'`, 'x']);
    assert.deepEqual(texts(`'; DROP TABLE t -- ' x`), [`'; DROP TABLE t -- '`, 'x']);
  });

  it('gives a quoted name without its quotes and never takes it for a keyword', () => {
    const [name, word] = [...tokens('"for""mat" `a``b` FORMAT')];
    assert.deepEqual([name!.kind, name!.text, name!.keyword], ['name', 'for"mat', '']);
    assert.equal(word!.text, 'a`b');
    assert.equal([...tokens('Format')][0]!.keyword, 'FORMAT');
  });

  it('skips comments of all three kinds, with quotes and semicolons in them', () => {
    assert.deepEqual(texts(`1 -- it's; \n 2`), ['1', '2']);
    assert.deepEqual(texts(`1 # it's; \n 2`), ['1', '2']);
    assert.deepEqual(texts(`1 /* it's; */ 2`), ['1', '2']);
    assert.deepEqual(texts(`5--3`), ['5']);
  });

  it('reads a heredoc as one string', () => {
    assert.deepEqual(texts(`$a$ it's ; -- $b$ $a$ x`), [`$a$ it's ; -- $b$ $a$`, 'x']);
    assert.deepEqual(texts(`$$;$$`), ['$$;$$']);
  });

  it('counts the brackets around a token', () => {
    assert.deepEqual(
      [...tokens('a(b[c{d}])e')].filter((t) => t.kind === 'word').map((t) => t.depth),
      [0, 1, 2, 3, 0],
    );
  });

  it('refuses what is not closed', () => {
    for (const sql of [`'a`, `"a`, '`a', '/* a', `$t$ a`, `'a\\'`]) refused(sql, /not closed/);
  });

  // Each of these is read in another way by some version of the engine: a guess would hide SQL.
  it('refuses what engines read in different ways', () => {
    refused('1 // 2', /ambiguous/);
    refused('/* /* */ 1 */', /inside a comment/);
    refused('1 #2', /unexpected #/);
    refused('SELECT 1\\G', /backslash/);
    refused('\u00e2\u0080\u0098a\u00e2\u0080\u0099', /outside ASCII/);
    refused(`x'41\\'`, /digits/);
    refused(`0x1e--'\n, file('/etc/passwd') -- '`, /two signs/);
    refused('1e--3', /two signs/);
    refused('$a b$ x $a b$', /unexpected \$/);
    refused('"fi\\x6ce"', /escape in a quoted name/);
    refused('a\0b', /control character/);
  });

  it('finds one string in any text that is quoted as a literal, and what follows it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 60 }), (text) => {
        assert.deepEqual(texts(`${literal(text)} x`), [literal(text), 'x']);
      }),
    );
  });

  it('goes forward and ends, whatever the text', () => {
    const unit = fc.constantFrom(...Array.from(`'"\`\\$-#/*\n \x00;(){}[]ae019x.+\u00e2`));
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (sql) => {
        let end = 0;
        try {
          for (const token of tokens(sql)) {
            assert.ok(token.start >= end && token.end > token.start && token.end <= sql.length);
            if (token.kind !== 'name') assert.equal(token.text, sql.slice(token.start, token.end));
            end = token.end;
          }
        } catch (error) {
          if (!(error instanceof ClickHouseFault)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
