import assert from 'node:assert/strict';
import { ClickHouseFault } from '../../../../store/embedded/clickhouse-fault.ts';
import {
  analyseStatement,
  checkIdentifiers,
  checkSetting,
  checkValues,
  mayStream,
} from '../../../../store/embedded/statement.ts';

const fails = (code: number, work: () => unknown, why = /./): void => {
  assert.throws(work, (error: unknown) => {
    assert.ok(error instanceof ClickHouseFault, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, why);
    return true;
  });
};
const refuses = (code: number, sql: string, why?: RegExp): void =>
  fails(code, () => analyseStatement(sql), why);

describe('a statement of the embedded store', () => {
  describe('that brings rows', () => {
    const insert = (sql: string) => {
      const statement = analyseStatement(sql);
      assert.equal(statement.kind, 'insert_data');
      return { ...statement, data: sql.slice(statement.dataStart) };
    };

    it('begins its data after blanks and one line break behind FORMAT', () => {
      assert.equal(insert('INSERT INTO t FORMAT TSV\n1\n').data, '1\n');
      assert.equal(insert('INSERT INTO t FORMAT TSV \t\r\n\n1').data, '\n1');
      assert.equal(insert('INSERT INTO t FORMAT JSONEachRow {"a":1}').data, '{"a":1}');
      assert.equal(insert('INSERT INTO t FORMAT Native').data, '');
    });

    it('keeps head, settings and format apart', () => {
      const parts = insert(
        `INSERT INTO a.t (x, "FORMAT") SETTINGS async_insert = 0 FORMAT CSV\n1,2`,
      );
      assert.equal(parts.head, 'INSERT INTO a.t (x, "FORMAT")');
      assert.equal(parts.settings, 'SETTINGS async_insert = 0');
      assert.equal(parts.format, 'CSV');
    });

    it('takes VALUES for a format of its own', () => {
      const parts = insert(`insert into t (a) values (1), ('x;')`);
      assert.deepEqual([parts.head, parts.format], ['insert into t (a)', 'Values']);
      assert.equal(parts.data.trim(), `(1), ('x;')`);
    });

    it('does not take a table or column called like a keyword for one', () => {
      assert.equal(insert('INSERT INTO db.values FORMAT TSV\n1').head, 'INSERT INTO db.values');
      assert.equal(insert('INSERT INTO TABLE format VALUES (1)').head, 'INSERT INTO TABLE format');
      assert.equal(insert('INSERT INTO t (values, format) VALUES (1, 2)').format, 'Values');
    });

    it('does not look into its data', () => {
      assert.equal(
        insert(`INSERT INTO t FORMAT TSV\nit's; DROP TABLE t`).data,
        `it's; DROP TABLE t`,
      );
    });

    it('must say where its rows come from', () => {
      refuses(36, 'INSERT INTO t', /FORMAT name and rows/);
      refuses(36, 'INSERT INTO t (a, b)');
      refuses(62, 'INSERT INTO t FORMAT', /needs the name/);
    });

    it('may not read or write outside of the store', () => {
      refuses(497, `INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV`, /body of the request/);
      refuses(497, `INSERT INTO FUNCTION file('/tmp/x') VALUES (1)`);
      refuses(497, `INSERT INTO TABLE FUNCTION url('http://x') VALUES (1)`);
      refuses(497, `INSERT INTO t SELECT file('/etc/passwd')`);
      refuses(48, `INSERT INTO t SELECT * FROM input('a Int8') FORMAT TSV\n1`);
    });

    it('may not hide another statement behind VALUES', () => {
      fails(62, () => checkValues(`(1, 'x'); DROP TABLE t`, 0), /Multi-statements/);
      fails(497, () => checkValues(`(file('/etc/passwd'))`, 0));
      assert.equal(checkValues(`(1, ';') ; `, 0), 9);
    });
  });

  describe('that asks', () => {
    const select = (sql: string) => {
      const statement = analyseStatement(sql);
      assert.equal(statement.kind, 'select');
      return statement;
    };

    it('tells its format from a FORMAT clause at the end only', () => {
      assert.equal(select('SELECT 1 FORMAT JSON').format, 'JSON');
      assert.equal(select('SELECT 1 FORMAT CSV SETTINGS max_threads = 1;').format, 'CSV');
      assert.equal(select('SELECT format FROM t').format, undefined);
      assert.equal(select(`SELECT 'FORMAT JSON'`).format, undefined);
    });

    it('loses a semicolon at its end', () => {
      assert.equal(select('SELECT 1 ; -- done').sql, 'SELECT 1 ');
    });

    it('is streamed only from one named table, without subqueries', () => {
      assert.deepEqual(select('SELECT * FROM db.t WHERE a = 1').streamFrom, {
        database: 'db',
        table: 't',
      });
      assert.deepEqual(select('SELECT * FROM `t`').streamFrom, { database: undefined, table: 't' });
      for (const sql of [
        'SELECT 1',
        'SELECT * FROM numbers(10)',
        'SELECT * FROM a, b',
        'SELECT * FROM a JOIN b USING x',
        'SELECT (SELECT max(x) FROM b) FROM a',
        'WITH (SELECT 1) AS x SELECT x FROM a',
        'SELECT * FROM (SELECT 1)',
        'SELECT a, count() FROM t GROUP BY a WITH TOTALS',
      ]) {
        assert.equal(select(sql).streamFrom, undefined, sql);
      }
    });

    it('is streamed only in formats whose parts make up the whole', () => {
      assert.ok(mayStream('JSONEachRow', 'SELECT 1', []));
      assert.ok(mayStream('Native', 'SELECT 1', []));
      for (const format of ['JSON', 'CSVWithNames', 'Pretty', 'Parquet', 'TabSeparatedWithNames']) {
        assert.ok(!mayStream(format, 'SELECT 1', []), format);
      }
      assert.ok(!mayStream('JSONEachRow', 'SELECT 1', [['output_format_json_array_of_rows', '1']]));
    });
  });

  it('is one statement', () => {
    refuses(62, 'SELECT 1; SELECT 2', /Multi-statements/);
    refuses(62, 'SELECT 1;;SELECT 2');
    refuses(62, 'DROP TABLE a PARALLEL WITH DROP TABLE b', /PARALLEL WITH/);
    assert.equal(analyseStatement(`SELECT ';' -- ; SELECT 2`).kind, 'select');
    assert.equal(analyseStatement('SELECT 1;;').kind, 'select');
  });

  it('is not nothing', () => {
    for (const sql of ['', '  \n', '-- SELECT 1', '/* x */', '# y']) refuses(62, sql, /empty/);
    refuses(62, ';', /no statement begins with/);
    refuses(62, '\x04"M\x18', /./);
    refuses(62, '1 + 1', /no statement begins with/);
  });

  it('may not stop, move or grant anything', () => {
    for (const sql of [
      'KILL QUERY WHERE 1',
      'SYSTEM SHUTDOWN',
      `ATTACH TABLE t FROM '/home'`,
      `BACKUP TABLE t TO File('/tmp/x')`,
      'GRANT ALL ON *.* TO default',
      "CREATE DICTIONARY d (a Int) PRIMARY KEY a SOURCE(FILE(PATH '/etc/passwd'))",
      'CREATE OR REPLACE DICTIONARY d (a Int)',
    ]) {
      refuses(497, sql, /refused by the embedded store/);
    }
  });

  it('may not name files of the host, however it is written', () => {
    for (const sql of [
      `SELECT file('/etc/passwd')`,
      `SELECT "file"('/etc/passwd')`,
      "SELECT `file` ('/etc/passwd')",
      `SELECT arrayMap(file, ['/etc/passwd'])`,
      `SELECT * APPLY(file) FROM t`,
      `SELECT /* */ file /* */ ('/etc/passwd')`,
      `CREATE VIEW v AS SELECT file('/etc/passwd')`,
      `SELECT 1 INTO OUTFILE '/tmp/x'`,
      `CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local)`,
      `SELECT * FROM eval('SELECT 1')`,
      `SELECT * FROM executable('x', 'CSV', 'a Int8')`,
    ]) {
      refuses(497, sql);
    }
    assert.equal(analyseStatement(`SELECT 'file', t.file FROM t`).kind, 'select');
  });

  it('may not name them by a parameter either', () => {
    const statement = analyseStatement('SELECT arrayMap({f:Identifier}, [1]), {s:String}');
    assert.notEqual(statement.kind, 'insert_data');
    assert.deepEqual(statement.identifiers, ['f']);
    fails(497, () => checkIdentifiers(['f'], [['f', 'file']]));
    fails(36, () => checkIdentifiers(['f'], [['f', 'fi\\x6ce']]), /plain name/);
    checkIdentifiers(
      ['f'],
      [
        ['f', 'toString'],
        ['s', '/etc/passwd; file'],
      ],
    );
  });

  it('may not lift limits or change the language', () => {
    refuses(452, `SET dialect = 'kusto'`);
    refuses(452, `SELECT 1 SETTINGS max_threads = 1, profile = 'default'`);
    refuses(452, `SELECT * FROM (SELECT 1 SETTINGS log_comment = 'x')`);
    refuses(452, `SET max_result_rows = 0`);
    fails(452, () => checkSetting('max_result_bytes', '0'));
    fails(115, () => checkSetting('a; DROP', '0'));
    checkSetting('max_result_rows', '10');
    assert.equal(analyseStatement(`SELECT a, profile = 'x' FROM t`).kind, 'select');
  });

  it('tells what only reads from what writes', () => {
    const readsOnly = (sql: string): boolean => {
      const statement = analyseStatement(sql);
      assert.equal(statement.kind, 'other');
      return statement.readsOnly;
    };
    assert.ok(readsOnly('SHOW TABLES'));
    assert.ok(readsOnly('EXPLAIN indexes = 1 SELECT 1'));
    for (const sql of ['DROP TABLE t', 'INSERT INTO t SELECT 1', 'CREATE TABLE t (a Int8)']) {
      assert.ok(!readsOnly(sql), sql);
    }
  });
});
