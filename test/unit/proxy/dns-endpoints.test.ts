import assert from 'node:assert/strict';
import type { Endpoint } from '../../../mesh/part.ts';
import { DnsEndpoints } from '../../../proxy/dns-endpoints.ts';
import { ManualTimers } from '../../helpers/manual-timers.ts';
import { until } from '../../helpers/until.ts';

describe('DnsEndpoints', () => {
  it('tells of other addresses only, and keeps the last ones while nobody answers', async () => {
    const timers = new ManualTimers();
    const told: string[][] = [];
    let asked = 0;
    let answer: string[] | Error = ['10.0.0.2', '10.0.0.1', '10.0.0.2'];
    const endpoints: Endpoint[] = [
      { host: 'web.internal', port: 80 },
      { host: '192.0.2.7', port: 81 },
    ];
    const dns = new DnsEndpoints(
      endpoints,
      5_000,
      timers,
      (now) => told.push(now.map(({ host, port }) => `${host}:${port}`)),
      () => {
        asked++;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    );
    const round = async (): Promise<void> => {
      const before = asked;
      timers.advance(5_000);
      await until(() => asked === before + 1 && timers.waiting === 1);
    };
    await round();
    assert.deepEqual(told, [['10.0.0.1:80', '10.0.0.2:80', '192.0.2.7:81']]);
    answer = ['10.0.0.1', '10.0.0.2'];
    await round();
    answer = new Error('name server away');
    await round();
    answer = [];
    await round();
    assert.equal(told.length, 1);
    answer = ['10.0.0.3'];
    await round();
    assert.deepEqual(told[1], ['10.0.0.3:80', '192.0.2.7:81']);
    dns.close();
    timers.advance(60_000);
    assert.equal(asked, 5);
  });
});
