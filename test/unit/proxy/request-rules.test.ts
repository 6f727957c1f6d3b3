import assert from 'node:assert/strict';
import { hasDotSegment, hashOfPath, truncateAddress } from '../../../proxy/request-rules.ts';

describe('Request rules', () => {
  it('finds dot segments, also encoded ones, and nothing else', () => {
    for (const path of ['/.', '/..', '/a/../b', '/a/./b', '/%2e%2E/a', '/a/.%2e', '/%2e']) {
      assert.equal(hasDotSegment(path), true, path);
    }
    for (const path of ['/', '/a', '/.well-known/x', '/a/..b', '/...', '/a%2e', '/%20/a']) {
      assert.equal(hasDotSegment(path), false, path);
    }
  });

  it('truncates client addresses to /24 and /48', () => {
    assert.equal(truncateAddress('203.0.113.77'), '203.0.113.0');
    assert.equal(truncateAddress('::ffff:203.0.113.77'), '203.0.113.0');
    assert.equal(truncateAddress('2001:db8:1:2:3:4:5:6'), '2001:db8:1::');
    assert.equal(truncateAddress('2001:db8::6'), '2001:db8:0::');
    assert.equal(truncateAddress('::1'), '0:0:0::');
    assert.equal(truncateAddress(''), '');
  });

  it('stands a fixed hash for a path', () => {
    assert.equal(hashOfPath('/a').length, 16);
    assert.equal(hashOfPath('/a'), hashOfPath('/a'));
    assert.notEqual(hashOfPath('/a'), hashOfPath('/b'));
  });
});
