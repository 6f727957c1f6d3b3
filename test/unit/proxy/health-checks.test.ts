import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { EndpointLoad } from '../../../proxy/balancer.ts';
import { HealthChecks } from '../../../proxy/health-checks.ts';
import { Credentials } from '../../../proxy/identity/credentials.ts';
import {
  callTls,
  certificate,
  filesOf,
  IDENTITY,
  meshTls,
  newAuthority,
} from '../../helpers/identities.ts';
import { ManualTimers } from '../../helpers/manual-timers.ts';
import { ProxyLab } from '../../helpers/proxy-lab.ts';
import { until } from '../../helpers/until.ts';

const CHECK = { interval_ms: 5_000, timeout_ms: 30_000, unhealthy_after: 3, healthy_after: 2 };

describe('HealthChecks', () => {
  it('count a failure after several in a row, and health after several again', async () => {
    let status = 200;
    const paths: string[] = [];
    const server = createServer((request, response) => {
      paths.push(request.url!);
      response.statusCode = status;
      response.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const timers = new ManualTimers();
    const load = new EndpointLoad();
    const endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    const checks = new HealthChecks({ ...CHECK, path: '/ready?x' }, timers, undefined, () => [
      { endpoint, load },
    ]);
    const round = async (answer: number): Promise<boolean> => {
      status = answer;
      timers.advance(6_000);
      await until(() => timers.waiting === 1);
      return load.healthy;
    };
    assert.deepEqual([await round(200), await round(503), await round(500)], [true, true, true]);
    // One good answer in between begins the count anew.
    assert.equal(await round(302), true);
    assert.deepEqual([await round(404), await round(503), await round(500)], [true, true, false]);
    assert.deepEqual([await round(200), await round(503), await round(200)], [false, false, false]);
    assert.equal(await round(200), true);
    assert.deepEqual([...new Set(paths)], ['/ready?x']);
    checks.close();
    assert.equal(timers.waiting, 0);
    server.close();
  });

  it('ask for no more than a connection where no path is given', async () => {
    let requests = 0;
    const server = createServer(() => requests++).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const timers = new ManualTimers();
    const load = new EndpointLoad();
    const part = { ...CHECK, unhealthy_after: 1, healthy_after: 1 };
    const endpoint = { host: '127.0.0.1', port };
    const checks = new HealthChecks(part, timers, undefined, () => [{ endpoint, load }]);
    const round = async (): Promise<boolean> => {
      timers.advance(6_000);
      await until(() => timers.waiting === 1);
      return load.healthy;
    };
    assert.equal(await round(), true);
    server.close();
    await once(server, 'close');
    assert.equal(await round(), false);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    assert.equal(await round(), true);
    assert.equal(requests, 0);
    checks.close();
    server.close();
  });

  it('prove who they are where certificates are asked for, and judge who answers', async () => {
    const authority = await newAuthority();
    const edge = await certificate(authority, 'edge');
    const files = filesOf(authority.cert, { edge, orders: await certificate(authority, 'orders') });
    const sidecar = await new ProxyLab({
      side: 'inbound',
      meshed: false,
      tls: meshTls('orders'),
      identity: IDENTITY,
      files,
    }).start();
    const timers = new ManualTimers();
    const credentials = new Credentials(files);
    const part = { ...CHECK, unhealthy_after: 1, healthy_after: 1 };
    const endpoint = { host: '127.0.0.1', port: sidecar.port };
    let called = 'orders';
    const load = new EndpointLoad();
    load.healthy = false;
    const tls = (): ConnectionOptions => credentials.ofCluster('orders', callTls('edge', called));
    const checks = new HealthChecks(part, timers, tls, () => [{ endpoint, load }]);
    const round = async (): Promise<boolean> => {
      timers.advance(6_000);
      await until(() => timers.waiting === 1);
      return load.healthy;
    };
    try {
      assert.equal(await round(), true);
      await sidecar.until(({ listener }) => (listener.tls?.handshakes ?? 0) === 1);
      assert.deepEqual((await sidecar.limits()).listener.refused, {});
      await sidecar.until(({ listener }) => listener.connections === 0);
      called = 'catalog';
      assert.equal(await round(), false);
      called = 'orders';
      assert.equal(await round(), true);
      // A mesh file without them was applied, and ends the listener for whose routes this checks.
      credentials.apply({});
      assert.equal(await round(), false);
      assert.equal(sidecar.upstream.peers.length, 0);
    } finally {
      checks.close();
      await sidecar.stop();
    }
  });
});
