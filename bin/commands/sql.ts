/**
 * `azimuth sql "…"`: one statement to the store of the mesh file, the answer on stdout. A table for
 * people on a terminal, tab-separated with names in a pipe.
 */
import { parseArgs } from 'node:util';
import { text as readText } from 'node:stream/consumers';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

/** Short names beside ClickHouse's own. */
const FORMATS: Readonly<Record<string, string>> = {
  csv: 'CSVWithNames',
  tsv: 'TabSeparatedWithNames',
  json: 'JSON',
  jsonl: 'JSONEachRow',
  pretty: 'PrettyCompactMonoBlock',
  markdown: 'Markdown',
};

export const command: Command = {
  help: `
Runs one SQL statement on the store and prints the answer.

Usage: azimuth sql "STATEMENT" [--mesh FILE] [--format FORMAT]
       azimuth sql - [--mesh FILE] [--format FORMAT]      reads the statement from stdin

  --format FORMAT  ${Object.keys(FORMATS).join(', ')}, or any of ClickHouse's
                   (default: pretty on a terminal, tsv in a pipe)

Unqualified tables are those of the store's database (spans, ledgers, dead_letters, otel_traces).

Examples:
  azimuth sql "SHOW TABLES"
  azimuth sql "SELECT EdgeClass, count() FROM spans WHERE HopVersion > 0 GROUP BY EdgeClass"
  azimuth sql "SELECT * FROM spans ORDER BY Timestamp DESC LIMIT 1 FORMAT Vertical"
  azimuth sql - --format csv < query.sql > answer.csv
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { mesh: { type: 'string' }, format: { type: 'string' } },
    });
    const [given, ...more] = positionals;
    if (given === undefined || more.length > 0) {
      throw new AzimuthError(
        'AZ_USAGE',
        given === undefined
          ? 'azimuth sql: give a statement, as in azimuth sql "SHOW TABLES", or - for stdin'
          : 'azimuth sql: more than one argument; put the whole statement in quotes',
      );
    }
    const sql = given === '-' ? await readText(process.stdin) : given;
    const part = storePart(meshFromArgs(values));
    const client = createStoreClient({ ...part, requestTimeoutMs: 310_000 });
    try {
      const name = values.format ?? (process.stdout.isTTY ? 'pretty' : 'tsv');
      const answer = await client.text(sql, undefined, FORMATS[name.toLowerCase()] ?? name);
      process.stdout.write(answer === '' || answer.endsWith('\n') ? answer : answer + '\n');
      return 0;
    } catch (error) {
      throw withAdvice(error);
    } finally {
      await client.close();
    }
  },
};

/** Says what to do next about the errors of a statement. */
function withAdvice(error: unknown): unknown {
  if (!(error instanceof AzimuthError)) return error;
  const advice = adviceFor(error.message);
  return advice === undefined
    ? error
    : new AzimuthError(error.code, `${error.message}\n  → ${advice}`, { cause: error });
}

function adviceFor(message: string): string | undefined {
  if (/code 60 /.test(message)) return 'see the tables there are: azimuth sql "SHOW TABLES"';
  if (/code 47 /.test(message)) return 'see the columns: azimuth sql "DESCRIBE TABLE spans"';
  if (/code (159|241|396) /.test(message)) {
    return 'ask for less: a WHERE on Timestamp, a LIMIT, or the rollup tables';
  }
  return undefined;
}
