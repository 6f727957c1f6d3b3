import assert from 'node:assert/strict';
import { ClickHouseFault } from '../../../../store/embedded/clickhouse-fault.ts';
import { literal, quotedName, readRequest } from '../../../../store/embedded/request.ts';

const read = (query: string, headers: Record<string, string> = {}) =>
  readRequest(new URL(`http://store/?${query}`), headers);
const refuses = (
  expected: { code: number; status?: number; why?: RegExp },
  query: string,
  headers: Record<string, string> = {},
): void => {
  assert.throws(
    () => read(query, headers),
    (error: unknown) => {
      assert.ok(error instanceof ClickHouseFault, String(error));
      assert.equal(error.code, expected.code, error.message);
      if (expected.status !== undefined) assert.equal(error.status, expected.status);
      if (expected.why !== undefined) assert.match(error.message, expected.why);
      return true;
    },
    query,
  );
};

describe('a request to the embedded store', () => {
  it('tells settings from parameters of the interface and of the query', () => {
    const request = read('query=SELECT+1&max_threads=2&param_x=it%5C%27s&query_id=q1&database=d');
    assert.equal(request.query, 'SELECT 1');
    assert.deepEqual(request.settings, [['max_threads', '2']]);
    assert.deepEqual(request.params, [['x', "it\\'s"]]);
    assert.equal(request.queryId, 'q1');
    assert.equal(request.database, 'd');
  });

  it('makes up a query id where there is none, or an empty one', () => {
    assert.match(read('query_id=').queryId, /^[0-9a-f-]{36}$/);
    assert.notEqual(read('').queryId, read('').queryId);
  });

  it('answers in the format of the URL, else of the header, else tab-separated', () => {
    const header = { 'x-clickhouse-format': 'CSV' };
    assert.equal(read('default_format=JSON', header).defaultFormat, 'JSON');
    assert.equal(read('', header).defaultFormat, 'CSV');
    assert.equal(read('').defaultFormat, 'TabSeparated');
    refuses({ code: 36 }, 'default_format=CSV+INTO+OUTFILE');
  });

  it('compresses the answer only when asked for, in an encoding that the reader takes', () => {
    const accept = { 'accept-encoding': 'lz4, br;q=0.5, gzip' };
    assert.equal(read('', accept).answerEncoding, undefined);
    assert.equal(read('enable_http_compression=1', accept).answerEncoding, 'gzip');
    assert.equal(
      read('enable_http_compression=1', { 'accept-encoding': 'gzip;q=0, br' }).answerEncoding,
      'br',
    );
    assert.equal(
      read('enable_http_compression=1', { 'accept-encoding': 'lz4' }).answerEncoding,
      undefined,
    );
  });

  it('refuses an encoding that it cannot read, by name and with 415', () => {
    refuses({ code: 48, status: 415, why: /"lz4"/ }, '', { 'content-encoding': 'lz4' });
    refuses({ code: 48, status: 415 }, '', { 'content-encoding': 'gzip, br' });
    assert.equal(read('', { 'content-encoding': 'ZSTD' }).bodyEncoding, 'zstd');
    assert.equal(read('', { 'content-encoding': 'identity' }).bodyEncoding, undefined);
  });

  it('refuses what it does not speak instead of ignoring it', () => {
    refuses({ code: 48, why: /client_protocol_version=54000/ }, 'client_protocol_version=54000');
    refuses({ code: 48, why: /session_id/ }, 'session_id=s');
    refuses({ code: 48 }, 'role=admin');
    refuses({ code: 48, why: /multipart/ }, '', {
      'content-type': 'multipart/form-data; boundary=x',
    });
    // The same names, switched off, change nothing.
    read('compress=0&decompress=0&client_protocol_version=0&session_id=');
  });

  it('refuses names that are no names', () => {
    refuses({ code: 115 }, 'a%3Bb=1');
    refuses({ code: 36 }, 'param_a%20b=1');
    refuses({ code: 452 }, 'dialect=kusto');
  });
});

describe('quoting for SQL', () => {
  it('leaves no way out of a literal or a name', () => {
    assert.equal(literal(`a'b\\'`), `'a\\'b\\\\\\''`);
    assert.equal(quotedName('a`b\\'), '`a\\`b\\\\`');
  });
});
