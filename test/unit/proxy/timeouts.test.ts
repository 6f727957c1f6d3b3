import assert from 'node:assert/strict';
import { attemptEnd } from '../../../telemetry/hop-record.ts';
import {
  answering,
  get,
  OK,
  withLab,
  type LabSettings,
  type RecordedHop,
} from '../../helpers/proxy-lab.ts';

const silent = (): void => undefined;
const withPolicy = (policy: object, more: Partial<LabSettings> = {}): LabSettings => ({
  routes: [{ path: '/*', policy }],
  ...more,
});
const ends = (hop: RecordedHop): string[] => hop.hop.attempts.map(({ bits }) => attemptEnd(bits));

describe('Timeouts of a route', () => {
  it('answers 504 when the whole takes too long, and closes the upstream', () =>
    withLab(withPolicy({ timeout_ms: 100 }, { script: silent }), async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
      lab.advance(99);
      assert.equal(client.received, '');
      lab.advance(1);
      await client.until('504 Gateway Timeout');
      await lab.upstream.peers[0]!.untilClosed();
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags], [504, ['UT']]);
      assert.equal(hop.attribute('error.type'), 'route_timeout');
      assert.deepEqual(ends(hop), ['route_timeout']);
      assert.equal(hop.hop.deadlineMsPlusOne, 101);
      assert.equal(lab.timers.waiting, 0);
    }));

  it('cuts an answer off that is not whole when the time is up', () =>
    withLab(
      withPolicy(
        { timeout_ms: 100 },
        { script: answering('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf') },
      ),
      async (lab) => {
        const client = await lab.connect();
        await client.send(get('/')).until('half');
        lab.advance(100);
        await client.untilClosed();
        const hop = await lab.hop();
        assert.equal(hop.status, 200);
        assert.equal(hop.attribute('error.type'), 'route_timeout');
      },
    ));

  it('does not count the time that a client needs to take an answer that is there', () =>
    withLab(withPolicy({ timeout_ms: 100 }), async (lab) => {
      await lab.exchange(get('/'), 'ok');
      await lab.hop();
      assert.equal(lab.timers.waiting, 0);
    }));

  it('answers 504 when one attempt takes too long, and names that timer', () =>
    withLab(
      withPolicy({ try_timeout_ms: 50, timeout_ms: 100 }, { script: silent }),
      async (lab) => {
        const client = await lab.connect();
        client.send(get('/'));
        await lab.upstream.until((u) => u.peers.length === 1);
        lab.advance(50);
        await client.until('504 Gateway Timeout');
        const hop = await lab.hop();
        assert.deepEqual([hop.status, hop.flags], [504, ['UT']]);
        assert.equal(hop.attribute('error.type'), 'try_timeout');
        assert.deepEqual(ends(hop), ['try_timeout']);
      },
    ));

  it('lets an answer that has begun take longer than one attempt may', () =>
    withLab(
      withPolicy(
        { try_timeout_ms: 50 },
        { script: answering('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf') },
      ),
      async (lab) => {
        const client = await lab.connect();
        await client.send(get('/')).until('half');
        lab.timers.advance(1_000);
        lab.upstream.peers[0]!.send('-more');
        await client.until('half-more');
        assert.equal((await lab.hop()).attribute('error.type'), undefined);
      },
    ));

  it('ends an answer that pauses for longer than the route allows', () =>
    withLab(
      withPolicy(
        { idle_timeout_ms: 1_000 },
        { script: answering('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf') },
      ),
      async (lab) => {
        const client = await lab.connect();
        await client.send(get('/')).until('half');
        lab.advance(1_000);
        await client.untilClosed();
        const hop = await lab.hop();
        assert.deepEqual(hop.flags, ['SI']);
        assert.deepEqual(ends(hop), ['stream_idle_timeout']);
      },
    ));
});

describe('Deadline of the caller', () => {
  const inside: LabSettings = { side: 'inbound', meshOnly: true };

  it('is believed inside the mesh, recorded, and what is left is told to the callee', () =>
    withLab(inside, async (lab) => {
      await lab.exchange(get('/', 'azimuth-deadline-ms: 60000'), 'ok');
      const told = /\r\nazimuth-deadline-ms: ([0-9]+)\r\n/.exec(lab.upstream.peers[0]!.received);
      assert.ok(Number(told?.[1]) <= 60_000, told?.[1]);
      assert.equal(lab.upstream.peers[0]!.received.split('azimuth-deadline-ms').length, 2);
      assert.equal((await lab.hop()).hop.deadlineMsPlusOne, 60_001);
    }));

  it('ends the hop and its upstream when it has passed', () =>
    withLab({ ...inside, script: silent }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/', 'azimuth-deadline-ms: 80'));
      await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
      lab.advance(80);
      await client.until('504 Gateway Timeout');
      await lab.upstream.peers[0]!.untilClosed();
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags], [504, ['UT']]);
      assert.equal(hop.attribute('error.type'), 'deadline_exceeded');
      assert.deepEqual(ends(hop), ['deadline_exceeded']);
    }));

  it('sends nothing upstream when it had passed already', () =>
    withLab(inside, async (lab) => {
      await lab.exchange(get('/', 'azimuth-deadline-ms: 0'), '504 Gateway Timeout');
      const hop = await lab.hop();
      assert.equal(hop.attribute('error.type'), 'deadline_exceeded');
      assert.equal(hop.hop.attempts.length, 0);
      assert.equal(hop.hop.deadlineMsPlusOne, 1);
      assert.equal(lab.upstream.peers.length, 0);
    }));

  it('gives way to a shorter timeout of the route, and the other way round', () =>
    withLab({ ...inside, ...withPolicy({ timeout_ms: 100 }) }, async (lab) => {
      const client = await lab.connect();
      await client.send(get('/', 'azimuth-deadline-ms: 5000')).until('ok');
      client.send(get('/', 'azimuth-deadline-ms: 70'));
      await client.until((peer) => peer.received.split('ok').length === 3);
      const left = (await lab.hops(2)).map(({ hop }) => hop.deadlineMsPlusOne - 1);
      assert.deepEqual(left, [100, 70]);
    }));

  for (const value of ['', '-5', '1e3', '12 ', '1234567890', '5, 6']) {
    it(`is none where the header says "${value}"`, () =>
      withLab(inside, async (lab) => {
        await lab.exchange(get('/', `azimuth-deadline-ms: ${value}`), 'ok');
        const none = value.trim() !== '12';
        assert.equal((await lab.hop()).hop.deadlineMsPlusOne, none ? 0 : 13);
        assert.equal(lab.upstream.peers[0]!.received.includes('azimuth-deadline-ms'), !none);
      }));
  }

  it('is not believed from outside, and not told to a service outside', async () => {
    await withLab({}, async (lab) => {
      await lab.exchange(get('/', 'azimuth-deadline-ms: 5'), 'ok');
      assert.equal((await lab.hop()).hop.deadlineMsPlusOne, 0);
      assert.ok(!lab.upstream.peers[0]!.received.includes('deadline'));
    });
    const egress: LabSettings = { side: 'outbound', targetRole: 'external', meshed: false };
    await withLab({ ...egress, script: answering(OK) }, async (lab) => {
      await lab.exchange(get('/', 'azimuth-deadline-ms: 5000'), 'ok');
      assert.equal((await lab.hop()).hop.deadlineMsPlusOne, 5_001);
      assert.ok(!lab.upstream.peers[0]!.received.includes('deadline'));
    });
  });
});
