/**
 * Many hostile clients at once against a gateway in a process of its own: what others notice of it
 * (nothing: every request is answered), what it costs in memory, and that all of it comes back.
 * Figures of time stand in bench/robustness.ts; here only facts that hold however slow a machine is.
 */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { openFilesMax } from '../../runtime/open-files.ts';
import { connectionsWithin } from '../../proxy/limits.ts';
import { AttackedUpstream, Attackers, head } from '../helpers/attacks.ts';
import { uploadThrough } from '../helpers/large-bodies.ts';
import { ChildProxy, type ChildState } from '../helpers/child-proxy.ts';
import type { LimitsPart } from '../../mesh/limits.ts';

const IDLE = 8_000;
const MB = 1_048_576;

/** A client that others must not harm: one kept connection, requests one after the other. */
async function answersOf(port: number, requests: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let ok = 0;
  for (let i = 0; i < requests; i++) {
    const status = await new Promise<number>((resolve, reject) => {
      request({ port, host: '127.0.0.1', path: '/', agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      })
        .on('error', reject)
        .end();
    });
    if (status === 200) ok++;
  }
  agent.destroy();
  return ok;
}

describe('A gateway under attack', function () {
  this.timeout(120_000);
  let upstream: AttackedUpstream;
  let proxy: ChildProxy;
  let before: ChildState | undefined;

  async function begin(limits: Partial<LimitsPart>): Promise<void> {
    before = undefined;
    upstream = await new AttackedUpstream().start();
    proxy = await ChildProxy.start({
      upstreamPort: upstream.port,
      // All attackers have one address here; pools empty soon, so that descriptors can be counted.
      limits: { connections_per_client: 10_000, upstream_idle_timeout_ms: 100, ...limits },
    });
    assert.equal(await answersOf(proxy.port, 20), 20);
    await proxy.until(({ connections }) => connections === 0);
    before = await settled();
  }

  /** The state once nothing is open and the pools have emptied. */
  async function settled(): Promise<ChildState> {
    await proxy.until((state) => state.connections === 0 && state.held_bytes === 0);
    let state = await proxy.state();
    while (state.inFlight > 0 || state.openFiles > (before?.openFiles ?? Infinity)) {
      state = await proxy.state();
    }
    return state;
  }

  afterEach(async () => {
    await proxy.stop();
    upstream.stop();
  });

  it('holds 8,000 idle connections, serves others, and has every descriptor back', async () => {
    const possible = Math.floor(
      Math.min(openFilesMax() - 1_000, connectionsWithin(openFilesMax()) * 0.85),
    );
    const count = Math.min(IDLE, possible);
    if (count < IDLE) {
      process.stderr.write(`ONLY ${count} of ${IDLE} idle connections: raise ulimit -n\n`);
    }
    // All may ask before any is answered.
    await begin({
      client_idle_timeout_ms: 3_600_000,
      requests_per_cluster: 10_000,
      pending_per_cluster: 10_000,
      memory_in_flight_bytes: 1_073_741_824,
    });
    const idle = await new Attackers(proxy.port).openAll(count, head('/'));
    await proxy.until(({ connections }) => connections === count && idle.answered === count);
    assert.equal(await answersOf(proxy.port, 200), 200);
    assert.equal(idle.answers.get('HTTP/1.1 200 OK'), count);
    const grown = (await proxy.state()).rssBytes - before!.rssBytes;
    assert.ok(grown < count * 50_000, `${grown} bytes for ${count} connections`);
    await idle.stop();
    const after = await settled();
    assert.equal(after.hopsFinished, 20 + 200 + count);
  });

  it('serves others while heads, bodies and readers are slow, and holds little for them', async () => {
    await begin({});
    const attacks = await Promise.all([
      new Attackers(proxy.port).openAll(500, 'GET / HTTP/1.1\r\nHost: a\r\nx: '),
      new Attackers(proxy.port).openAll(100, head('/', 'POST', 'Content-Length: 100000')),
      new Attackers(proxy.port).openAll(50, head('/large'), false),
    ]);
    for (const attack of attacks.slice(0, 2)) attack.drip('x', 50);
    await proxy.until((state) => state.requests_in_flight >= 650 && state.held_bytes > 0);
    assert.equal(await answersOf(proxy.port, 200), 200);
    const { held_peak_bytes: held } = await proxy.limits();
    assert.ok(held < 64 * MB, `${held} bytes held`);
    const { rssBytes } = await proxy.state();
    assert.ok(rssBytes - before!.rssBytes < 128 * MB, `${rssBytes - before!.rssBytes} bytes more`);
    await Promise.all(attacks.map((attack) => attack.stop()));
    await settled();
  });

  it('serves those who are in while connections flood past the limit', async () => {
    await begin({ connections_per_listener: 100, connections_per_client: 100 });
    const kept = await new Attackers(proxy.port).openAll(99, head('/'));
    await proxy.until(({ connections }) => connections === 99);
    // The hundredth is the client that must not notice.
    const victim = answersOf(proxy.port, 500);
    await proxy.until(({ connections }) => connections === 100);
    const flood = new Attackers(proxy.port).flood(200, head('/'));
    assert.equal(await victim, 500);
    await proxy.until(({ listener }) => (listener.refused['connection_reset'] ?? 0) > 0);
    await Promise.all([flood.stop(), kept.stop()]);
    const { listener } = await proxy.limits();
    assert.ok((listener.refused['too_many_connections'] ?? 0) > 0);
    await settled();
  });

  const floods: readonly [string, string, string, string][] = [
    ['100,000 header bytes', head('/', 'GET', `x: ${'y'.repeat(100_000)}`), 'request_head_too_large', '431'], // prettier-ignore
    ['targets of 9,000 bytes', head(`/${'a'.repeat(9_000)}`), 'request_target_too_long', '414'],
    ['bodies beyond the limit', head('/', 'POST', 'Content-Length: 99999'), 'request_body_too_large', '413'], // prettier-ignore
  ];
  for (const [name, text, error, status] of floods) {
    it(`answers ${status} to a flood of ${name}, and serves others`, async () => {
      await begin({ request_body_bytes: 10_000 });
      const flood = new Attackers(proxy.port).flood(50, text);
      assert.equal(await answersOf(proxy.port, 200), 200);
      await proxy.until(({ listener }) => (listener.refused[error] ?? 0) >= 50);
      await flood.stop();
      const states = [...flood.answers.keys()].filter((line) => line !== '');
      assert.deepEqual([...new Set(states.map((line) => line.split(' ')[1]))], [status]);
      await settled();
    });
  }

  it('answers 503 to requests past those that a cluster takes, and serves again afterwards', async () => {
    await begin({ requests_per_cluster: 50, pending_per_cluster: 50, pool_per_endpoint: 50 });
    const held = await new Attackers(proxy.port).openAll(60, head('/silent'));
    await proxy.until(({ listener }) => listener.refused['upstream_overflow'] === 10);
    assert.equal(await answersOf(proxy.port, 20), 20, 'another cluster has permits of its own');
    assert.equal(held.answers.get('HTTP/1.1 503 Service Unavailable'), 10);
    await held.stop();
    await proxy.until((state) => state.requests_in_flight === 0);
    assert.equal(await answersOf(proxy.port, 20), 20);
    await settled();
  });

  it('closes the upstream of each of 20 event streams whose clients leave', async () => {
    await begin({});
    const readers = await new Attackers(proxy.port).openAll(20, head('/events'));
    await proxy.until(() => upstream.streams === 20);
    await readers.stop();
    await proxy.until(() => upstream.streams === 0);
    const after = await settled();
    assert.equal(after.hopsFinished, 20 + 20);
  });

  it('carries an upload of 100 MB within 64 MB', async () => {
    await begin({});
    const { peakRssBytes, status } = await uploadThrough(proxy, 100 * MB);
    assert.equal(status, 200);
    assert.equal(upstream.bodyBytes, 100 * MB);
    const grown = peakRssBytes - before!.rssBytes;
    assert.ok(grown < 64 * MB, `${grown} bytes more`);
  });
});
