/**
 * Brings a ClickHouse database to the schema of this version: applies store/schema/NNN_name.sql in
 * order of their numbers and remembers each in the table `schema_migrations`. Run it as often as
 * you like, from several processes at once too: every file is idempotent by itself.
 *
 *   new file        → applied
 *   changed view    → applied again (CREATE OR REPLACE)
 *   changed table   → refused: its rows are there already; a change is a new file with ALTER TABLE
 *   other retention → MODIFY TTL of the tables that have one
 *
 * It never drops a table, and never touches another database than the one named.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { StoreClient } from './client.ts';

export interface MigrateSettings {
  readonly database: string;
  /** Days after which raw rows may be dropped, 1 or more. */
  readonly retention_days: number;
}

export interface Migration {
  readonly version: number;
  readonly name: string;
  /** Template of exactly one statement. */
  readonly sql: string;
}

const SCHEMA_FOLDER = new URL('./schema/', import.meta.url);
const FILE_NAME = /^(\d{3})_([a-z0-9_]+)\.sql$/;

/** The migrations of this version, by number. Throws when two files share a number. */
export function readMigrations(folder: URL = SCHEMA_FOLDER): Migration[] {
  const found: Migration[] = [];
  for (const file of readdirSync(folder).sort()) {
    const match = FILE_NAME.exec(file);
    if (match === null) continue;
    found.push({
      version: Number(match[1]),
      name: match[2]!,
      sql: readFileSync(new URL(file, folder), 'utf8'),
    });
  }
  const versions = new Set(found.map((m) => m.version));
  if (versions.size !== found.length) {
    throw new Error(`two files in ${folder.pathname} have the same number`);
  }
  return found;
}

/**
 * Puts the settings into a template. `{database}` and `{retention_days}` are the only names, so
 * that a query parameter such as `{from:DateTime}` in a view stays what it is. Throws
 * AZ_CONFIG_INVALID on a database name that would need quoting.
 */
export function fillTemplate(sql: string, settings: MigrateSettings): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(settings.database)) {
    throw new AzimuthError(
      'AZ_CONFIG_INVALID',
      `store.database: "${settings.database}" is not a plain name (letters, digits, underscore)`,
    );
  }
  if (!Number.isInteger(settings.retention_days) || settings.retention_days < 1) {
    throw new AzimuthError(
      'AZ_CONFIG_INVALID',
      `store.retention_days: ${settings.retention_days} is not a whole number of days, 1 or more`,
    );
  }
  return sql
    .replaceAll('{database}', settings.database)
    .replaceAll('{retention_days}', String(settings.retention_days));
}

interface Applied {
  readonly version: number;
  readonly checksum: string;
  readonly retention_days: number;
}

/**
 * Applies what is missing or changed; resolves with the names applied (none when all was there).
 * Throws AZ_STORE_UNAVAILABLE or AZ_STORE_REFUSED naming the file at fault; the files before it
 * stay applied, and a next run goes on from there.
 */
export async function migrate(
  client: StoreClient,
  settings: MigrateSettings,
  log: Log,
  migrations: readonly Migration[] = readMigrations(),
): Promise<string[]> {
  const { database, retention_days } = settings;
  // First, since it refuses a database name that would need quoting.
  const filled = migrations.map((m) => ({ ...m, statement: fillTemplate(m.sql, settings) }));
  // Through the system database: ours may not exist yet, and a request that names a missing one
  // is refused.
  const system = client.inDatabase('system');
  try {
    await system.command(`CREATE DATABASE IF NOT EXISTS ${database}`);
    await system.command(
      `CREATE TABLE IF NOT EXISTS ${database}.schema_migrations
       (Version UInt32, Name String, Checksum String, RetentionDays UInt32,
        AppliedAt DateTime64(3) DEFAULT now64(3))
       ENGINE = MergeTree ORDER BY Version`,
    );
    const rows = await system.query<Applied>(
      `SELECT Version AS version, argMax(Checksum, AppliedAt) AS checksum,
              argMax(RetentionDays, AppliedAt) AS retention_days
       FROM ${database}.schema_migrations GROUP BY Version`,
    );
    const before = new Map(rows.map((row) => [row.version, row]));
    const names: string[] = [];
    for (const { version, name, sql, statement } of filled) {
      const label = `${String(version).padStart(3, '0')}_${name}`;
      const checksum = checksumOf(sql);
      const work = whatToDo(sql, checksum, retention_days, before.get(version));
      if (work === 'nothing') continue;
      try {
        if (work === 'refuse') throw new Error(CHANGED_TABLE);
        await system.command(work === 'apply' ? statement : modifyTtl(statement));
      } catch (error) {
        const code = error instanceof AzimuthError ? error.code : 'AZ_STORE_REFUSED';
        throw new AzimuthError(code, `migration ${label}: ${messageOf(error)}`, { cause: error });
      }
      await system.command(
        `INSERT INTO ${database}.schema_migrations (Version, Name, Checksum, RetentionDays)
         SELECT {version:UInt32}, {name:String}, {checksum:String}, {days:UInt32}`,
        { version, name, checksum, days: retention_days },
      );
      names.push(label);
      log.info('migration applied', { migration: label, database });
    }
    return names;
  } finally {
    await system.close();
  }
}

const CHANGED_TABLE =
  'its table was made by another version of this file, and its rows stay as they are. ' +
  'Put the change into a new file (ALTER TABLE), or start with an empty data folder';

const isTable = (sql: string): boolean => /^CREATE TABLE/m.test(sql);
const ttlOf = (sql: string): string | undefined => /^TTL (.+)$/m.exec(sql)?.[1];

function whatToDo(
  sql: string,
  checksum: string,
  retentionDays: number,
  applied: Applied | undefined,
): 'nothing' | 'apply' | 'refuse' | 'modify_ttl' {
  if (applied === undefined) return 'apply';
  if (applied.checksum !== checksum) return isTable(sql) ? 'refuse' : 'apply';
  const depends = ttlOf(sql)?.includes('{retention_days}') === true;
  return depends && applied.retention_days !== retentionDays ? 'modify_ttl' : 'nothing';
}

function modifyTtl(statement: string): string {
  const table = /^CREATE TABLE IF NOT EXISTS (\S+)/m.exec(statement)?.[1];
  return `ALTER TABLE ${String(table)} MODIFY TTL ${String(ttlOf(statement))}`;
}

/** Of the template without comments and layout: those may change freely. */
function checksumOf(template: string): string {
  const plain = template
    .replace(/^\s*--.*$/gm, '')
    .replace(/\s+/g, ' ')
    .trim();
  return createHash('sha256').update(plain).digest('hex').slice(0, 16);
}
