/**
 * Long forms of test/robustness: `npm run test:full`.
 */
import assert from 'node:assert/strict';
import { AttackedUpstream } from '../helpers/attacks.ts';
import { ChildProxy } from '../helpers/child-proxy.ts';
import { uploadThrough } from '../helpers/large-bodies.ts';

const MB = 1_048_576;

describe('A gateway that carries long bodies', function () {
  this.timeout(600_000);

  it('takes a body of 1 GB within 96 MB', async () => {
    const upstream = await new AttackedUpstream().start();
    const proxy = await ChildProxy.start({ upstreamPort: upstream.port });
    try {
      assert.equal((await uploadThrough(proxy, MB)).status, 200);
      const { rssBytes } = await proxy.state();
      // V8 collects what sockets read only after 64 MB of it: measured growth is 60 to 88 MB.
      const { peakRssBytes, status } = await uploadThrough(proxy, 1_024 * MB);
      assert.equal(status, 200);
      assert.equal(upstream.bodyBytes, 1_025 * MB);
      assert.ok(peakRssBytes - rssBytes < 96 * MB, `${peakRssBytes - rssBytes} bytes more`);
    } finally {
      await proxy.stop();
      upstream.stop();
    }
  });
});
