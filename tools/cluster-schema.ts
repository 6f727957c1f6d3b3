/**
 * The schema of store/schema/ for a ClickHouse cluster, as one file of SQL for clickhouse-client
 * (deploy/clickhouse/cluster/schema.sql). Every table is there twice:
 *
 *   azimuth_local.T   ReplicatedMergeTree: the rows of this node's shard
 *   azimuth.T         Distributed over all shards: what collector, jobs and reports name
 *
 * so nothing else has to know that there is a cluster. Views are as they are, over the second.
 * Written by `npm run generate`; never run against a cluster here, only parsed (docs/COMPOSE.md).
 */
import { fillTemplate, readMigrations } from '../store/migrate.ts';

const DATABASE = 'azimuth';
const LOCAL = 'azimuth_local';
const ON_CLUSTER = 'ON CLUSTER azimuth';
/** The mesh file's default; an installation of another retention changes it here by ALTER. */
const RETENTION_DAYS = 7;

/** Where a row goes: all of a trace, of a boot, and of one build of a minute or hour, to one shard. */
const SHARD_KEYS: readonly (readonly [column: string, key: string])[] = [
  ['TraceId', 'cityHash64(TraceId)'],
  ['BootId', 'cityHash64(BootId)'],
  ['Build', 'intHash64(toUnixTimestamp({time}))'],
  // Dead letters have no order among themselves.
  ['Reason', 'rand()'],
];

/** Statements in order. Throws on a schema file of a kind that it does not know. */
export function clusterSchema(): string[] {
  const statements = [LOCAL, DATABASE].map(
    (database) => `CREATE DATABASE IF NOT EXISTS ${database} ${ON_CLUSTER}`,
  );
  for (const { name, sql } of readMigrations()) {
    const statement = withoutComments(
      fillTemplate(sql, { database: DATABASE, retention_days: RETENTION_DAYS }),
    );
    if (statement.startsWith('CREATE TABLE')) statements.push(...bothTables(statement));
    else if (statement.startsWith('ALTER TABLE')) statements.push(...bothAlters(statement));
    else if (statement.startsWith('CREATE OR REPLACE VIEW'))
      statements.push(statement.replace(/^(CREATE OR REPLACE VIEW \S+)/, `$1 ${ON_CLUSTER}`));
    else throw new Error(`${name}: neither a table, nor a column, nor a view`);
  }
  return statements;
}

/** The file of it. */
export function clusterSchemaText(): string {
  const head =
    '-- Generated from store/schema/ by `npm run generate` (tools/cluster-schema.ts); not edited by hand.\n';
  return (
    head +
    clusterSchema()
      .map((statement) => `\n${statement};\n`)
      .join('')
  );
}

function bothTables(statement: string): string[] {
  const name = /^CREATE TABLE IF NOT EXISTS azimuth\.(\w+)/.exec(statement)?.[1];
  if (name === undefined) throw new Error(`not a table of ours: ${statement.slice(0, 80)}`);
  const local = statement
    .replace(`${DATABASE}.${name}`, `${LOCAL}.${name} ${ON_CLUSTER}`)
    .replace(
      /^ENGINE = MergeTree$/m,
      `ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/${LOCAL}/${name}', '{replica}')`,
    )
    .replace('non_replicated_deduplication_window', 'replicated_deduplication_window');
  return [
    local,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.${name} ${ON_CLUSTER} AS ${LOCAL}.${name}\n` +
      `ENGINE = Distributed('azimuth', '${LOCAL}', '${name}', ${shardKey(name, statement)})`,
  ];
}

function bothAlters(statement: string): string[] {
  const column =
    /^ALTER TABLE azimuth\.(\w+)\s+ADD COLUMN IF NOT EXISTS (\w+ \S+).*?( AFTER \w+)?$/s.exec(
      statement,
    );
  if (column === null) throw new Error(`not one added column: ${statement}`);
  const [, table = '', typed = '', after = ''] = column;
  return [
    statement.replace(`${DATABASE}.${table}`, `${LOCAL}.${table} ${ON_CLUSTER}`),
    // Distributed stores nothing, so its column has no codec.
    `ALTER TABLE ${DATABASE}.${table} ${ON_CLUSTER} ADD COLUMN IF NOT EXISTS ${typed}${after}`,
  ];
}

function shardKey(name: string, statement: string): string {
  const key = SHARD_KEYS.find(([column]) => new RegExp(`^\\s+${column}\\s`, 'm').test(statement));
  if (key === undefined) throw new Error(`${name}: no column to shard by`);
  return key[1].replace('{time}', /^\s+(Hour|Day)\s/m.exec(statement)?.[1] ?? 'Minute');
}

const withoutComments = (sql: string): string => sql.replace(/^\s*--.*\n/gm, '').trim();
