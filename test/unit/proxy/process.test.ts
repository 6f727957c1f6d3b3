import assert from 'node:assert/strict';
import { AzimuthError } from '../../../runtime/errors.ts';
import { readLogs } from '../../../telemetry/otlp-objects.ts';
import type { OutboundMessage } from '../../../transport/exporter.ts';
import { get, OK, ProxyLab, withLab } from '../../helpers/proxy-lab.ts';

const ledgersIn = (messages: readonly OutboundMessage[]) =>
  messages
    .filter((m) => m.signal === 'logs')
    .flatMap((m) => readLogs(m.body).resourceLogs)
    .flatMap((r) => r.scopeLogs)
    .flatMap((s) => s.logRecords);

describe('Proxy process', () => {
  it('finishes requests in flight when it stops, ends idle connections soon, and states the end', async () => {
    const lab = await new ProxyLab({ script: () => undefined }).start();
    const idle = await lab.connect();
    const busy = await lab.connect();
    busy.send(get('/'));
    await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
    const stopped = lab.stopProxy();
    await idle.untilClosed();
    const refused = await lab.connect().catch((error: unknown) => error);
    assert.ok(refused instanceof Error);
    lab.upstream.peers[0]!.send(OK);
    await busy.untilClosed();
    assert.match(busy.received, /connection: close\r\n\r\nok$/);
    await stopped;
    const ledger = lab.proxy.closingLedger!;
    assert.equal(ledger.closing, true);
    assert.deepEqual([ledger.hopsFinished, ledger.emitted, ledger.inFlight], [1, 1, 0]);
    const last = ledgersIn(lab.messages).at(-1)!;
    assert.equal(last.attributes.get('azimuth.ledger.closing'), true);
    assert.equal(last.attributes.get('azimuth.ledger.emitted'), 1n);
    assert.equal(lab.messages.at(-1)!.signal, 'logs');
    await lab.stop();
  });

  it('cuts off what does not finish in time, with a record', async () => {
    const lab = await new ProxyLab({
      script: () => undefined,
      limits: { drainTimeoutMs: 1 },
    }).start();
    const client = await lab.connect();
    client.send(get('/'));
    await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
    await lab.proxy.stop();
    const hop = await lab.hop();
    assert.deepEqual([hop.status, hop.attribute('error.type')], [503, 'shutdown']);
    assert.equal(lab.proxy.closingLedger!.emitted, 1);
    await lab.stop();
  });

  it('carries requests as before while its telemetry goes nowhere, and accounts for all of it', async () => {
    const exporter = {
      name: 'dead',
      concurrency: 2,
      start: () => Promise.reject(new Error('no broker')),
      send: () => Promise.reject(new AzimuthError('AZ_EXPORT_REFUSED', 'no')),
      close: () => Promise.resolve(),
    };
    const lab = await new ProxyLab({ exporter }).start();
    for (let i = 0; i < 20; i++) await lab.exchange(get('/'), 'ok');
    await lab.stopProxy();
    const ledger = lab.proxy.closingLedger!;
    assert.equal(ledger.hopsFinished, 20);
    assert.equal(ledger.emitted, 0);
    assert.equal(ledger.dropped['refused'], 20);
    await lab.stop();
  });

  it('tells health, readiness and its ledger on the admin address', () =>
    withLab({}, async (lab) => {
      await lab.exchange(get('/'), 'ok');
      const admin = `http://127.0.0.1:${lab.proxy.adminPort()}`;
      assert.equal((await fetch(`${admin}/healthz`)).status, 200);
      assert.equal((await fetch(`${admin}/readyz`)).status, 200);
      const { workers } = (await (await fetch(`${admin}/ledger`)).json()) as {
        workers: Record<string, unknown>[];
      };
      assert.equal(workers.length, 1);
      assert.equal(workers[0]!['hops_finished'], 1);
      assert.equal(workers[0]!['boot_id'], lab.proxy.bootId);
    }));

  it('answers a request that is on its way when the drain begins', () =>
    withLab({}, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await client.until('ok');
      const stopped = lab.proxy.stop();
      await new Promise((resolve) => setImmediate(resolve));
      client.send(get('/late'));
      await client.until((c) => c.received.endsWith('connection: close\r\n\r\nok'));
      await client.untilClosed();
      await stopped;
      assert.equal(lab.proxy.closingLedger!.emitted, 2);
    }));

  it('takes a new configuration on open connections, and names its generation in the records', () =>
    withLab({}, async (lab) => {
      const client = await lab.connect();
      client.send(get('/'));
      await client.until('ok');
      const { part } = lab;
      const listeners = part.listeners.map((l) => ({ ...l, routes: [] }));
      const outcome = await lab.proxy.reload({ ...part, listeners });
      assert.deepEqual(outcome, { kind: 'applied', generation: 8, restartsWorkers: false });
      client.send(get('/'));
      await client.until('404 Not Found');
      const hops = await lab.hops(2);
      assert.deepEqual(
        hops.map((h) => [h.status, h.hop.configGeneration]),
        [
          [200, 7],
          [404, 8],
        ],
      );
      assert.deepEqual(await lab.proxy.reload({ ...part, listeners }), { kind: 'unchanged' });
    }));

  it('refuses a configuration that a running process cannot follow, and goes on with the old one', () =>
    withLab({}, async (lab) => {
      const outcome = await lab.proxy.reload({ ...lab.part, mesh: 'another', workers: 2 });
      assert.equal(outcome.kind, 'refused');
      assert.match(outcome.faults.join('; '), /workers cannot change.*mesh cannot change/);
      await lab.exchange(get('/'), 'ok');
      const admin = `http://127.0.0.1:${lab.proxy.adminPort()}`;
      const config = (await (await fetch(`${admin}/config`)).json()) as Record<string, unknown>;
      assert.equal(config['generation'], 7);
      assert.deepEqual(config['reloads'], { applied: 0, unchanged: 0, refused: 1 });
      assert.deepEqual((config['refused'] as { faults: string[] }).faults, outcome.faults);
    }));

  it('keeps the old listeners when a new one cannot be opened', () =>
    withLab({}, async (lab) => {
      const [main] = lab.part.listeners;
      const taken = { ...main!, name: 'second', port: lab.upstream.port };
      const outcome = await lab.proxy.reload({ ...lab.part, listeners: [main!, taken] });
      assert.equal(outcome.kind, 'refused');
      await lab.exchange(get('/'), 'ok');
      assert.equal((await lab.hop()).hop.configGeneration, 7);
    }));

  it('says which port is taken', () =>
    withLab({}, async (lab) => {
      const part = { host: '127.0.0.1', port: lab.port };
      const { createServer } = await import('node:net');
      const { listen } = await import('../../../runtime/http-app.ts');
      await assert.rejects(listen(createServer(), part.host, part.port), {
        code: 'AZ_PORT_IN_USE',
      });
    }));
});
