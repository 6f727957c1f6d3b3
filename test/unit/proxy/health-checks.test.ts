import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EndpointLoad } from '../../../proxy/balancer.ts';
import { HealthChecks } from '../../../proxy/health-checks.ts';
import { ManualTimers } from '../../helpers/manual-timers.ts';
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
    const checks = new HealthChecks({ ...CHECK, path: '/ready?x' }, timers, () => [
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
    const checks = new HealthChecks(part, timers, () => [{ endpoint, load }]);
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
});
