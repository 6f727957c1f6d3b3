/**
 * A store of its own for the analytics' benchmark, filled with synthetic requests over 30 days. The
 * store is `azimuth store` as users run it: the engine in its process, behind ClickHouse's HTTP
 * interface; the rows are made by the engine itself, since what is measured begins with them.
 */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { MINUTE_MS, minuteOf, type Window } from '../../analytics/window.ts';
import { exactCpuUs } from './cpu.ts';
import { benchFile, freePort, start, stop, until } from './processes.ts';

const PASSWORD = 'a-bench-password';
const DAYS = 30;
/** Of a request, as synthetic-hops.sql makes it. */
const HOPS = 5;
/** Requests made by one statement: about 0.5 GiB of the engine's memory. */
const REQUESTS_PER_INSERT = 50_000;
/** Of all requests, in the last hour. */
const LAST_HOUR = 0.02;
const STATEMENT_TIMEOUT_MS = 600_000;

/** A process states a ledger this often. */
const LEDGER_S = 5;
/** At fewer rows than this the ledgers before the last two hours are rarer, in proportion. */
const FULL_ROWS = 100_000_000;
const LEDGERS_PER_INSERT = 50_000;

const sqlOf = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const HOPS_SQL = sqlOf('./synthetic-hops.sql');
const LEDGERS_SQL = sqlOf('./synthetic-ledgers.sql');

export interface History {
  readonly client: StoreClient;
  readonly meshFile: string;
  /** The data; ends at a whole minute that is closed. */
  readonly window: Window;
  readonly lastHour: Window;
  /** CPU of the store's processes until now, microseconds. */
  storeCpuUs(): number;
  /** Inserts all rows, oldest first. */
  fill(rows: number, say: (text: string) => void): Promise<void>;
  /** Waits until the engine has nothing left to merge, at most so long. */
  settle(seconds: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startHistory(folder: string): Promise<History> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const meshFile = join(folder, 'mesh.yaml');
  writeFileSync(
    meshFile,
    `file_format: "1.0"
mesh: shop
topology: separate
store: { url: "${url}", password: "\${env:BENCH_PASSWORD}", retention_days: ${DAYS + 2} }
analytics: { port: ${await freePort()} }
`,
  );
  process.env['BENCH_PASSWORD'] = PASSWORD;
  const azimuth = benchFile('../bin/azimuth.js');
  const data = join(folder, 'data');
  const args = ['store', '--mesh', meshFile, '--data', data, '--spool', join(folder, 'spool')];
  const child = start('any', [process.execPath, azimuth, ...args]);
  const access = { url, user: 'azimuth', password: PASSWORD, database: 'azimuth' };
  const client = createStoreClient({ ...access, requestTimeoutMs: STATEMENT_TIMEOUT_MS });
  await until('the store is ready', async () => (await fetch(`${url}/readyz`)).status === 200, 60);
  const toMs = minuteOf(Date.now()) - 2 * MINUTE_MS;
  const window = { fromMs: toMs - DAYS * 24 * 60 * MINUTE_MS, toMs };
  const lastHour = { fromMs: toMs - 60 * MINUTE_MS, toMs };
  return {
    client,
    meshFile,
    window,
    lastHour,
    storeCpuUs: () => exactCpuUs(treeOf(child)),
    async fill(rows, say) {
      const requests = Math.round(rows / HOPS);
      const shape = {
        begin_ms: window.fromMs,
        hour_ms: lastHour.fromMs,
        requests,
        long_ago: Math.round(requests * (1 - LAST_HOUR)),
      };
      const recentMs = toMs - 120 * MINUTE_MS;
      const rareS = Math.max(LEDGER_S, Math.round((LEDGER_S * FULL_ROWS) / rows));
      for (const [fromMs, untilMs, everyS] of [
        [window.fromMs, recentMs, rareS],
        [recentMs, toMs, LEDGER_S],
      ] as const) {
        const ledgers = Math.floor((untilMs - fromMs) / (everyS * 1000));
        for (let first = 0; first < ledgers; first += LEDGERS_PER_INSERT) {
          await client.command(LEDGERS_SQL, {
            ...shape,
            every_s: everyS,
            from_ms: fromMs + first * everyS * 1000,
            count: Math.min(LEDGERS_PER_INSERT, ledgers - first),
          });
        }
      }
      let told = 0;
      for (let first = 0; first < requests; first += REQUESTS_PER_INSERT) {
        await client.command(HOPS_SQL, {
          ...shape,
          first,
          count: Math.min(REQUESTS_PER_INSERT, requests - first),
        });
        const done = Math.min(1, (first + REQUESTS_PER_INSERT) / requests);
        if (done < told + 0.1) continue;
        told = done;
        say(`filling: ${Math.round(100 * done)} % of ${rows} rows`);
      }
    },
    async settle(seconds) {
      const merging = async (): Promise<boolean> => {
        const [row] = await client.query<{ n: number }>('SELECT count() AS n FROM system.merges');
        return row!.n > 0;
      };
      const endMs = Date.now() + seconds * 1000;
      while (Date.now() < endMs && (await merging())) {
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },
    async stop() {
      await client.close();
      await stop(child);
    },
  };
}

/** A process and all that it started. */
function treeOf(child: ChildProcess): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1').replace(/^.*\) /, '');
      parents.set(Number(name), Number(stat.split(' ')[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const tree = [child.pid!];
  for (const pid of tree) {
    for (const [other, parent] of parents) if (parent === pid) tree.push(other);
  }
  return tree;
}
