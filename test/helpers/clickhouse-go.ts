/**
 * The Go client that Grafana's ClickHouse plugin is made of, as a process that asks what a test wants:
 * test/integration/store/clickhouse-go. Building it needs Go and, the first time, its modules.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestStore } from './store.ts';

const SOURCES = fileURLToPath(new URL('../integration/store/clickhouse-go', import.meta.url));

/** Go as clickhouse-go needs it; older ones cannot read its go.mod. */
const GO_MINOR_LEAST = 24;

export type GoCompression = 'none' | 'lz4' | 'zstd' | 'gzip' | 'deflate' | 'br';

export interface GoAnswer {
  readonly columns: readonly string[] | null;
  readonly types: readonly string[] | null;
  /** Values as text; null for NULL. */
  readonly rows: readonly (readonly (string | null)[])[] | null;
  readonly error?: string;
}

export interface GoProgram {
  /** Runs `work` with a client of its own, and stops it. */
  withClient<T>(
    store: TestStore,
    compression: GoCompression,
    work: (ask: (question: GoQuestion) => Promise<GoAnswer>) => Promise<T>,
  ): Promise<T>;
  remove(): void;
}

export type GoQuestion =
  | { readonly sql: string }
  | { readonly insert: string; readonly rows: readonly (readonly (string | number)[])[] };

/** For a `before` hook: the program, built; without Go pending and loud, a failure where CI=true. */
export function requireClickhouseGo(context: Mocha.Context): GoProgram {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  const minor = /go1\.(\d+)/.exec(stdout)?.[1];
  if (minor === undefined || Number(minor) < GO_MINOR_LEAST) {
    const found = minor === undefined ? 'none' : `1.${minor}`;
    const why = `Go 1.${GO_MINOR_LEAST} or newer is needed to build clickhouse-go (found: ${found})`;
    if (process.env['CI'] === 'true') assert.fail(why);
    process.stderr.write(`\n*** PENDING: ${why} ***\n\n`);
    context.skip();
  }
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-clickhouse-go-'));
  const program = join(folder, 'clickhouse-go');
  const built = spawnSync('go', ['build', '-o', program, '.'], { cwd: SOURCES, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  return {
    async withClient(store, compression, work) {
      const child = spawn(program, [new URL(store.url).host, store.database, compression], {
        env: { ...process.env, CLICKHOUSE_USER: store.user, CLICKHOUSE_PASSWORD: store.password },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const gone = once(child, 'close');
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      try {
        return await work(async (question) => {
          child.stdin.write(JSON.stringify(question) + '\n');
          const line = await lines.next();
          assert.ok(line.done !== true, 'the Go client ended');
          return JSON.parse(line.value) as GoAnswer;
        });
      } finally {
        child.stdin.end();
        child.kill('SIGKILL');
        await gone;
      }
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
