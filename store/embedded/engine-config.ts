/**
 * The engine's own configuration: how much memory, which limits no statement can exceed, and what
 * the engine's one user may do. The engine enforces these itself, whatever the SQL says: no grant
 * for files, URLs, other servers or their table engines exists.
 *
 * Measured reasons: docs/adr/003-embedded-store.md.
 */
import { writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';

const MIB = 1024 * 1024;
/** Memory of all queries, merges and caches: 2 GiB, or half of a smaller machine. */
const SERVER_MEMORY_BYTES_MAX = Math.min(2048 * MIB, Math.floor(totalmem() / 2));

/** What a statement gets, and the most that a client may ask for. */
export const LIMITS = {
  max_execution_time: { start: 30, most: 300 },
  max_memory_usage: {
    start: Math.floor(SERVER_MEMORY_BYTES_MAX / 2),
    most: SERVER_MEMORY_BYTES_MAX,
  },
  max_result_rows: { start: 10_000_000, most: 100_000_000 },
} as const;

/** A buffered answer stands in memory whole: at most so many bytes of column data. */
export const BUFFERED_BYTES_MAX = 256 * MIB;

/** Statements that run at once; inserts have their own (field measurements: writer never behind). */
export const QUERIES_MAX = 8;
export const INSERTS_MAX = 4;
/** The engine's calls, files and zlib share libuv's pool; with its default of 4 all of it stood still. */
export const THREAD_POOL = QUERIES_MAX + INSERTS_MAX + 8;

/** Table and database engines that keep their data in the store. */
const TABLE_ENGINES =
  'MergeTree Memory Log TinyLog StripeLog Null Set Join Buffer Merge GenerateRandom Atomic'.split(
    ' ',
  );

/** Writes config.xml and users.xml into `folder`; returns the engine's arguments. */
export function writeEngineConfig(folder: string): string[] {
  const users = join(folder, 'users.xml');
  const config = join(folder, 'config.xml');
  const limits = Object.entries(LIMITS);
  writeFileSync(
    users,
    `<clickhouse>
  <profiles><default>
    ${limits.map(([name, { start }]) => `<${name}>${start}</${name}>`).join('\n    ')}
    <constraints>
      ${limits
        .map(([name, { most }]) => `<${name}><min>1</min><max>${most}</max></${name}>`)
        .join('\n      ')}
    </constraints>
  </default></profiles>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    <grants>
      <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet ON *.*</query>
      ${TABLE_ENGINES.map((name) => `<query>GRANT TABLE ENGINE ON ${name}</query>`).join('\n      ')}
    </grants>
  </default></users>
  <quotas><default></default></quotas>
</clickhouse>
`,
    { mode: 0o600 },
  );
  writeFileSync(
    config,
    `<clickhouse>
  <users_config>${users}</users_config>
  <max_server_memory_usage>${SERVER_MEMORY_BYTES_MAX}</max_server_memory_usage>
  <mark_cache_size>${128 * MIB}</mark_cache_size>
  <index_mark_cache_size>${32 * MIB}</index_mark_cache_size>
  <primary_index_cache_size>${64 * MIB}</primary_index_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <timezone>UTC</timezone>
</clickhouse>
`,
    { mode: 0o600 },
  );
  return [`--config-file=${config}`];
}
