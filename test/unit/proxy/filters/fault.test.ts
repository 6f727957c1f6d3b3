import assert from 'node:assert/strict';
import { FUNCTIONS } from '../../../../telemetry/hop-record.ts';
import { functionsOf } from '../../../helpers/functions.ts';
import { get, withLab } from '../../../helpers/proxy-lab.ts';

const FAULT = FUNCTIONS.indexOf('fault');

describe('Injected faults', () => {
  it('hold a request back and book the delay as their own phase', () =>
    withLab({ functions: functionsOf({ fault: { delay_ms: 400 } }) }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.untilTimers(1);
      lab.elapse(400);
      lab.timers.advance(399);
      assert.equal(lab.upstream.peers.length, 0);
      lab.timers.advance(1);
      await client.until('200 OK');
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags], [200, ['DI']]);
      const phase = hop.hop.phaseIds.indexOf(FAULT);
      assert.ok(hop.hop.phaseNs[phase]! >= 400e6, String(hop.hop.phaseNs[phase]));
      assert.ok(hop.ownNs >= hop.hop.phaseNs[phase]!);
    }));

  it('answer 503 with flag FI and send nothing upstream', () =>
    withLab({ functions: functionsOf({ fault: { abort_percent: 100 } }) }, async (lab) => {
      await lab.exchange(get('/'), '503 Service Unavailable');
      const hop = await lab.hop();
      assert.deepEqual([hop.flags, hop.answeredBy], [['FI'], 'proxy']);
      assert.equal(hop.attribute('error.type'), 'fault_injected');
      assert.equal(lab.upstream.peers.length, 0);
    }));

  it('answer any status of a failure that was asked for, all with flag FI', async () => {
    for (const status of [400, 418, 429, 500, 599]) {
      const functions = functionsOf({ fault: { abort_percent: 100, abort_status: status } });
      await withLab({ functions }, async (lab) => {
        const client = await lab.connect();
        // The connection goes on: what was injected is one answer.
        await client.send(get('/')).until(`HTTP/1.1 ${status} `);
        await client.send(get('/')).until((peer) => peer.received.split('HTTP/1.1 ').length === 3);
        const [hop] = await lab.hops(2);
        assert.deepEqual([hop!.status, hop!.flags, hop!.answeredBy], [status, ['FI'], 'proxy']);
        assert.equal(hop!.attribute('error.type'), 'fault_injected');
        assert.equal(lab.upstream.peers.length, 0);
      });
    }
    for (const status of [200, 399, 600]) {
      const fault = { abort_percent: 100, abort_status: status };
      assert.throws(() => functionsOf({ fault }), /abort_status/);
    }
  });

  it('fall on about the share that was asked for', () =>
    withLab({ functions: functionsOf({ fault: { abort_percent: 30 } }) }, async (lab) => {
      const client = await lab.connect();
      const requests = 200;
      for (let done = 1; done <= requests; done++) {
        client.send(get('/'));
        await client.until((peer) => peer.received.split('HTTP/1.1 ').length === done + 1);
      }
      // Chance is seeded, so the count is always the same.
      const aborted = client.received.split('HTTP/1.1 503').length - 1;
      assert.ok(aborted > 40 && aborted < 80, String(aborted));
    }));

  it('end with the time that the route allows, not later', () => {
    const functions = functionsOf({ fault: { delay_ms: 5_000 } });
    return withLab(
      { routes: [{ path: '/*', functions, policy: { timeout_ms: 100 } }] },
      async (lab) => {
        const client = await lab.connect();
        client.send(get('/'));
        await lab.untilTimers(2);
        lab.timers.advance(100);
        await client.until('504 Gateway Timeout');
        const hop = await lab.hop();
        assert.equal(hop.attribute('error.type'), 'route_timeout');
        lab.timers.advance(5_000);
        assert.equal(lab.upstream.peers.length, 0);
      },
    );
  });

  it('are refused where they would inject nothing', () => {
    assert.throws(() => functionsOf({ fault: {} }), /injects nothing/);
  });
});
