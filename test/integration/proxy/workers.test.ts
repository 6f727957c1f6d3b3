/** A gateway of two worker processes as an operator runs it: real processes, real signals. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import http from 'node:http';
import { LEDGER_EVENT } from '../../../telemetry/names.ts';
import { until } from '../../helpers/until.ts';
import { underLoad, WorkersLab } from '../../helpers/workers-lab.ts';

interface ConfigJson {
  readonly generation: number;
  readonly reloads: Record<string, number>;
  readonly refused?: { readonly faults: readonly string[] };
}

describe('A gateway of two workers', function () {
  this.timeout(60_000);
  let lab: WorkersLab;
  beforeEach(async () => {
    lab = await new WorkersLab().start();
  });
  afterEach(() => lab.stop());

  it('shares connections, records all of them without a gap, and closes in order', async () => {
    for (let i = 0; i < 20; i++) {
      const agent = new http.Agent({ keepAlive: false });
      assert.equal(await lab.get('/a', agent), 200);
    }
    const counts = (await lab.workers()).map((w) => w.hops_finished);
    assert.equal(counts.length, 2);
    assert.equal(counts[0]! + counts[1]!, 20);
    assert.ok(Math.max(...counts) <= 13, `one has more than 65 %: ${counts.join(', ')}`);
    lab.gateway.kill('SIGTERM');
    const [code] = (await once(lab.gateway, 'exit')) as [number];
    assert.equal(code, 0, lab.log);
    const closing = lab.ledgers.filter((l) => l.get(`${LEDGER_EVENT}.closing`) === true);
    assert.equal(closing.length, 2);
    assert.equal(lab.seqs.size, 2);
    for (const seqs of lab.seqs.values()) assert.equal(Math.max(...seqs), seqs.size);
    assert.deepEqual(await readdir(lab.stateFolder), []);
  });

  it('answers on the admin address for both workers, and counts those that died and the reloads', async () => {
    const agent = new http.Agent({ keepAlive: false });
    for (let i = 0; i < 4; i++) await lab.get('/a', agent);
    const metrics = async (): Promise<string> => (await lab.admin('/metrics')).text();
    const before = await metrics();
    for (const worker of [0, 1]) {
      assert.match(
        before,
        new RegExp(`^azimuth_worker_up\\{azimuth_worker="${worker}"\\} 1$`, 'm'),
      );
      assert.match(before, new RegExp(`^azimuth_hops_finished_total\\{azimuth_worker="${worker}"\\} 2$`, 'm')); // prettier-ignore
    }
    assert.match(before, /^azimuth_workers_died_total 0$/m);
    assert.match(before, /^azimuth_workers_refused_connections_total 0$/m);
    interface Page {
      readonly workers: readonly { readonly worker: number; readonly generation?: number }[];
    }
    for (const page of ['/ledger', '/clusters', '/config']) {
      const { workers } = await lab.adminJson<Page>(page);
      assert.deepEqual(workers.map(({ worker }) => worker), [0, 1], page); // prettier-ignore
    }
    const response = await lab.admin('/hops');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const shown = new Set<string>();
    let text = '';
    while (shown.size < 2) {
      await lab.get('/a', agent);
      text += (await reader.read()).value ?? '';
      for (const [, worker] of text.matchAll(/"worker":(\d)/g)) shown.add(worker!);
    }
    await reader.cancel();

    await lab.changeMesh((mesh) => mesh.replace('{rest}', '{name}'));
    lab.gateway.kill('SIGHUP');
    await until(async () => (await lab.adminJson<ConfigJson>('/config')).generation === 2);
    await lab.changeMesh((mesh) => mesh.replace('to: web', 'to: nobody'));
    lab.gateway.kill('SIGHUP');
    process.kill((await lab.workers())[0]!.pid, 'SIGKILL');
    await until(async () => {
      const now = await metrics();
      const applied = /^azimuth_config_reloads_total\{outcome="applied"\} 1$/m.test(now);
      const refused = /^azimuth_config_reloads_total\{outcome="refused"\} [1-9]/m.test(now);
      return applied && refused && /^azimuth_workers_died_total 1$/m.test(now);
    });
  });

  it('replaces a worker that is killed, and states its end with its last counters', async () => {
    const agent = new http.Agent({ keepAlive: false });
    for (let i = 0; i < 10; i++) await lab.get('/a', agent);
    await until(() => lab.recorded === 10);
    const [victim, other] = await lab.workers();
    const beforeMs = Date.now();
    process.kill(victim!.pid, 'SIGKILL');
    const ended = await until(() =>
      lab.ledgers.find((l) => l.get(`${LEDGER_EVENT}.ended_by_unix_ms`) !== undefined),
    );
    assert.equal(ended.get('azimuth.boot_id'), victim!.boot_id);
    assert.equal(Number(ended.get(`${LEDGER_EVENT}.last_seq`)), victim!.hops_finished);
    assert.ok(Number(ended.get(`${LEDGER_EVENT}.ended_by_unix_ms`)) >= beforeMs);
    const now = await until(async () => {
      const workers = await lab.workers();
      return workers.length === 2 && workers;
    });
    assert.notEqual(now[0]!.boot_id, victim!.boot_id);
    assert.equal(now[1]!.boot_id, other!.boot_id);
    assert.match(lab.log, /worker died; it is replaced/);
    assert.equal(await lab.get('/a', agent), 200);
  });

  it('restarts its workers one at a time without a failed request or a lost record', async () => {
    const before = (await lab.workers()).map((w) => w.boot_id);
    const answered = await underLoad(lab, async () => {
      lab.gateway.kill('SIGUSR2');
      await until(() => lab.log.includes('"workers restarted"'));
    });
    const after = (await lab.workers()).map((w) => w.boot_id);
    assert.equal(new Set([...before, ...after]).size, 4);
    await lab.stopGateway();
    assert.equal(lab.recorded, answered.length);
  });

  it('takes a changed mesh file without a failed request, and refuses an invalid one', async () => {
    const config = (): Promise<ConfigJson> => lab.adminJson('/config');
    await underLoad(lab, async () => {
      await lab.changeMesh((text) => text.replace('"/{rest}"', '"/{name}"'));
      await until(async () => (await config()).generation === 2);
      await until(() => lab.generations.has(2));
    });
    await lab.changeMesh((text) => text.replace('to: web', 'to: nobody').replace('"1.0"', '1'));
    lab.gateway.kill('SIGHUP');
    const { generation, refused } = await until(async () => {
      const now = await config();
      return now.refused && now;
    });
    assert.equal(generation, 2);
    assert.ok(refused!.faults.length >= 2, refused!.faults.join('\n'));
    const agent = new http.Agent();
    assert.equal(await lab.get('/a', agent), 200);
    assert.ok([...lab.generations].every((g) => g === 1 || g === 2));
  });

  it('finishes a request in flight when it is told to stop, and is not ready meanwhile', async () => {
    const agent = new http.Agent();
    const answer = lab.get('/hold', agent);
    await until(() => lab.held.length === 1);
    lab.gateway.kill('SIGTERM');
    await until(async () => (await lab.admin('/readyz')).status === 503);
    lab.held[0]!.end('late');
    assert.equal(await answer, 200);
    await lab.stopGateway();
    const seqs = [...lab.seqs.values()].flatMap((s) => [...s]);
    assert.deepEqual(seqs, [1]);
  });
});
