/**
 * The engine is a child process and may die at any time: what was acknowledged stays, and whoever
 * asks meanwhile is told to wait.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createEmbeddedStore } from '../../../store/embedded/supervisor.ts';
import { nativeBlock } from '../../contract/store.ts';
import { ask } from '../../helpers/store-http.ts';
import { until } from '../../helpers/until.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

describe('the embedded store whose engine dies', () => {
  let store: TestStore;

  before(async function () {
    this.timeout(60_000);
    store = await startTestStore();
    await store.client.command(
      'CREATE TABLE azimuth.acked (Id UInt32, Value String) ENGINE = MergeTree ORDER BY Id',
    );
  });
  after(async () => {
    await store.stop();
  });

  it('starts again by itself, with every acknowledged row', async function () {
    this.timeout(60_000);
    const acked = new Set<number>();
    for (let kill = 0; kill < 3; kill += 1) {
      const pid = store.embedded.enginePid()!;
      const target = acked.size + 5;
      let dead = false;
      const writers = Array.from({ length: 3 }, async (_, writer) => {
        for (let i = 0; !dead; i += 1) {
          const id = kill * 1_000_000 + writer * 100_000 + i;
          await store.client.insertNative('azimuth.acked', nativeBlock([[id, `row ${id}`]])).then(
            () => acked.add(id),
            () => (dead = true),
          );
        }
      });
      await until(() => acked.size >= target);
      process.kill(pid, 'SIGKILL');
      await Promise.all(writers);
      await until(() => store.client.ping());
      assert.notEqual(store.embedded.enginePid(), pid);
    }
    const rows = await store.client.query<{ Id: number }>('SELECT Id FROM acked');
    const found = new Set(rows.map((row) => row.Id));
    assert.deepEqual(
      [...acked].filter((id) => !found.has(id)),
      [],
      'acknowledged rows are missing',
    );
    // Once each; at most the one that each writer had in flight at each kill is there unacknowledged.
    assert.equal(rows.length, found.size);
    assert.ok(found.size <= acked.size + 9);
  });

  it('tells who asks meanwhile to come back, and reports itself alive but not ready', async () => {
    process.kill(store.embedded.enginePid()!, 'SIGKILL');
    const away = await until(async () => {
      const answer = await ask(store, { url: { query: 'SELECT 1' } }).catch(() => undefined);
      return answer?.status === 503 && answer;
    });
    assert.equal(away.headers['retry-after'], '1');
    assert.match(away.body.toString(), /^Code: 210.*try again/);
    assert.equal((await ask(store, { path: '/healthz', auth: null })).status, 200);
    await until(async () => {
      const answer = await ask(store, { path: '/readyz', auth: null }).catch(() => undefined);
      return answer?.status === 200;
    });
  });

  it('lets one store at a time hold a folder, and says which', async () => {
    const second = createEmbeddedStore({
      folder: store.folder,
      host: '127.0.0.1',
      port: 0,
      user: 'u',
      password: 'p',
      spoolFolder: store.spoolFolder,
      log: silentLog,
    });
    await assert.rejects(second.start(), {
      code: 'AZ_STORE_UNAVAILABLE',
      message: new RegExp(`${store.folder} is in use by another store`),
    });
    assert.equal(await store.client.ping(), true);
  });

  it('names a port that is taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'azimuth-test-store-'));
    try {
      const { port } = new URL(store.url);
      const second = createEmbeddedStore({
        ...{ folder, host: '127.0.0.1', port: Number(port), user: 'u', password: 'p' },
        log: silentLog,
      });
      await assert.rejects(second.start(), { code: 'AZ_PORT_IN_USE' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is not ready before its schema is, and may be stopped twice, or unstarted', async () => {
    const fresh = await startTestStore({ migrated: false });
    const answer = await ask(fresh, { path: '/readyz', auth: null });
    assert.equal(answer.status, 503);
    assert.match(answer.body.toString(), /not migrated/);
    await fresh.stop();
    await fresh.embedded.stop();
    await createEmbeddedStore({
      ...{ folder: fresh.folder, host: '127.0.0.1', port: 0, user: 'u', password: 'p' },
      log: silentLog,
    }).stop();
  });

  it('refuses nothing for good while it stops: every failure may be tried again', async () => {
    const stopped = await startTestStore();
    await stopped.client.command(
      'CREATE TABLE azimuth.acked (Id UInt32, Value String) ENGINE = MergeTree ORDER BY Id',
    );
    const failures: unknown[] = [];
    let acked = 0;
    const reader = stopped.client
      .query('SELECT sum(sleepEachRow(0.05)) FROM numbers(400) SETTINGS max_block_size = 1')
      .catch((error: unknown) => failures.push(error));
    const writers = Array.from({ length: 3 }, async (_, writer) => {
      for (let i = 0; ; i += 1) {
        try {
          await stopped.client.insertNative('acked', nativeBlock([[writer * 100_000 + i, 'x']]));
          acked += 1;
        } catch (error) {
          failures.push(error);
          return;
        }
      }
    });
    await until(() => acked > 5);
    await stopped.embedded.stop();
    await Promise.all([reader, ...writers]);
    await stopped.stop();
    assert.equal(failures.length, 4);
    for (const error of failures) {
      assert.ok(error instanceof AzimuthError && error.retryable, String(error));
    }
  });
});
