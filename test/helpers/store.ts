/**
 * A real store for tests: the embedded engine on a folder of its own, migrated, on a free port; or
 * the server at CLICKHOUSE_URL, in a database of its own, for suites that run against both.
 * Starting takes about a second: share one in a `before` hook.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../runtime/log.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { createEmbeddedStore, type EmbeddedStore } from '../../store/embedded/supervisor.ts';
import { migrate } from '../../store/migrate.ts';

export interface TestStore {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly client: StoreClient;
  /** Present when it is the embedded one. */
  readonly embedded: EmbeddedStore;
  /** Folder of the engine's data; removed by `stop()`. */
  readonly folder: string;
  /** Folder of the rows on their way. */
  readonly spoolFolder: string;
  stop(): Promise<void>;
}

export interface TestStoreSettings {
  readonly retention_days?: number;
  /** Default true: without it there is no database yet. */
  readonly migrated?: boolean;
  readonly spoolFolder?: string;
}

export async function startTestStore(settings: TestStoreSettings = {}): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-test-store-'));
  const access = { user: 'azimuth', password: 'a test\'s "password"', database: 'azimuth' };
  const spoolFolder = settings.spoolFolder ?? mkdtempSync(join(tmpdir(), 'azimuth-test-spool-'));
  const embedded = createEmbeddedStore({
    folder,
    host: '127.0.0.1',
    port: 0,
    ...access,
    spoolFolder,
    log: silentLog,
    logLevel: 'warn',
  });
  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true });
    if (settings.spoolFolder === undefined) rmSync(spoolFolder, { recursive: true, force: true });
  };
  try {
    await embedded.start();
  } catch (error) {
    remove();
    throw error;
  }
  const client = createStoreClient({ url: embedded.url(), ...access });
  if (settings.migrated !== false) {
    await migrate(
      client,
      { database: access.database, retention_days: settings.retention_days ?? 7 },
      silentLog,
    );
    embedded.markReady();
  }
  return {
    url: embedded.url(),
    ...access,
    client,
    embedded,
    folder,
    spoolFolder,
    async stop() {
      await client.close();
      await embedded.stop();
      remove();
    },
  };
}
