/**
 * Runs statements on a store's folder as a user of ClickHouse would run them: the engine itself is
 * given that user's grants and profile, and says of each statement what it thinks of it. A process of
 * its own, since the engine keeps the first configuration that it gets.
 *
 * stdin: a RunAs as JSON; stdout: for each statement null, or the engine's refusal.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { openDatabase } from '../../store/embedded/database.ts';

export interface Statement {
  readonly sql: string;
  /** Default database of unqualified names. */
  readonly database: string;
  readonly params: readonly (readonly [name: string, value: string])[];
}

export interface RunAs {
  /** Folder of an embedded store that nobody holds. */
  readonly folder: string;
  /** users.xml of the engine. */
  readonly users: string;
  readonly statements: readonly Statement[];
}

async function refusalOf(
  database: Awaited<ReturnType<typeof openDatabase>>,
  { sql, database: name, params }: Statement,
): Promise<string | null> {
  let session: Awaited<ReturnType<typeof database.openSession>> | undefined;
  try {
    session = await database.openSession({
      database: name,
      settings: [],
      params,
      comment: '',
      reads: true,
    });
    await session.run(sql, 'Null');
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    session?.close();
  }
}

const { folder, users, statements } = JSON.parse(await text(process.stdin)) as RunAs;
const configFolder = join(folder, 'run-as');
mkdirSync(configFolder, { recursive: true });
const usersFile = join(configFolder, 'users.xml');
const configFile = join(configFolder, 'config.xml');
writeFileSync(usersFile, users);
writeFileSync(
  configFile,
  `<clickhouse><users_config>${usersFile}</users_config><timezone>UTC</timezone></clickhouse>`,
);
const database = await openDatabase(join(folder, 'clickhouse'), [`--config-file=${configFile}`]);
const refusals: (string | null)[] = [];
for (const statement of statements) refusals.push(await refusalOf(database, statement));
process.stdout.write(JSON.stringify(refusals), () => {
  // As the store's own process ends: `exit` would wait for threads of the engine.
  process.kill(process.pid, 'SIGKILL');
});
