import assert from 'node:assert/strict';
import type { Cluster } from '../../../mesh/part.ts';
import { answering, FakeUpstream, get, OK, withLab } from '../../helpers/proxy-lab.ts';

const clusterAt = (name: string, port: number): Cluster => ({
  name,
  endpoints: [{ host: '127.0.0.1', port }],
  meshed: false,
  role: 'workload',
  connect_timeout_ms: 1_000,
});

describe('Choice of a route', () => {
  it('goes by headers and query where routes ask for them, and records which route it was', () =>
    withLab(
      {
        routes: [
          { path: '/a', headers: [{ name: 'x-canary', value: 'yes' }], template: '/a canary' },
          { path: '/a', query: [{ name: 'beta', value: 'é 1' }], template: '/a beta' },
          { path: '/a' },
        ],
      },
      async (lab) => {
        const client = await lab.connect();
        const requests: [string, string][] = [
          [get('/a', 'X-Canary: yes'), '/a canary'],
          [get('/a', 'X-Canary: yes', 'x-canary: no'), '/a'],
          [get('/a?x&beta=%C3%A9+1'), '/a beta'],
          [get('/a?x&beta=2'), '/a'],
        ];
        for (const [index, [request]] of requests.entries()) {
          client.send(request);
          await client.until((peer) => peer.received.split('ok').length === index + 2);
        }
        const hops = await lab.hops(requests.length);
        assert.deepEqual(
          hops.map((hop) => hop.attribute('http.route')),
          requests.map(([, route]) => route),
        );
      },
    ));

  it('shares requests out by weight, and each hop names the target that got it', async () => {
    const stable = await new FakeUpstream(answering(OK)).start();
    const canary = await new FakeUpstream(answering(OK)).start();
    const clusters = [clusterAt('stable', stable.port), clusterAt('canary', canary.port)];
    const split = clusters.map((cluster, index) => ({ cluster, weight: index === 0 ? 9 : 1 }));
    await withLab({ routes: [{ path: '/*', cluster: clusters[0]!, split }] }, async (lab) => {
      const client = await lab.connect();
      for (let done = 1; done <= 20; done++) {
        client.send(get('/'));
        await client.until((peer) => peer.received.split('ok').length === done + 1);
      }
      const targets = (await lab.hops(20)).map((hop) => hop.attribute('azimuth.target'));
      assert.equal(targets.filter((target) => target === 'canary').length, 2);
      const heads = canary.peers.flatMap((peer) => peer.received.split('GET ').slice(1));
      assert.equal(heads.length, 2);
    });
    stable.stop();
    canary.stop();
  });
});
