/**
 * `azimuth store`: runs the embedded ClickHouse where the mesh file's `store.url` says, or migrates
 * any ClickHouse to this version's schema. Arguments, signals and exit codes only; the store itself
 * is store/embedded/.
 */
import { parseArgs } from 'node:util';
import type { StorePart } from '../../mesh/part.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { Lifecycle, runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createStoreClient } from '../../store/client.ts';
import { createEmbeddedStore } from '../../store/embedded/supervisor.ts';
import { migrate, readMigrations } from '../../store/migrate.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

const DEFAULT_FOLDER = '.azimuth/store';

export const command: Command = {
  help: `
Runs the embedded ClickHouse, or brings a ClickHouse to the schema of this version.

Usage: azimuth store [--mesh FILE] [--data DIR] [--spool DIR] [--check]
       azimuth store migrate [--mesh FILE] [--check]

  --mesh FILE   mesh file; its store: section has url, database, user, password, retention_days
  --data DIR    folder of the data (default ${DEFAULT_FOLDER}); one store at a time may hold it
  --spool DIR   folder where rows of inserts wait (default /dev/shm); needs up to 512 MiB
  --check       validate the mesh file and say what would be done; opens nothing

It speaks ClickHouse's HTTP interface on the host and port of store.url, so curl, Grafana and every
ClickHouse client over HTTP work. It is for one machine; in production run a ClickHouse server, put
its address into store.url, and run only "azimuth store migrate".

Examples:
  azimuth store --mesh mesh.yaml
  azimuth store --mesh mesh.yaml --data /var/lib/azimuth
  azimuth store migrate --mesh mesh.yaml
  curl -u USER:PASSWORD 'http://127.0.0.1:8123/?query=SELECT+count()+FROM+azimuth.spans'
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        mesh: { type: 'string' },
        data: { type: 'string', default: DEFAULT_FOLDER },
        spool: { type: 'string' },
        check: { type: 'boolean', default: false },
      },
    });
    const [what, ...more] = positionals;
    if ((what !== undefined && what !== 'migrate') || more.length > 0) {
      throw new AzimuthError(
        'AZ_USAGE',
        `azimuth store: "${positionals.join(' ')}" is not understood; the only word is "migrate"`,
      );
    }
    const part = storePart(meshFromArgs(values));
    const only = what === 'migrate';
    const address = only ? undefined : listenAddress(part);
    if (values.check) {
      const count = readMigrations().length;
      process.stdout.write(
        only
          ? `store migrate: would bring ${part.database} at ${part.url} to ${count} migrations\n`
          : `store: would serve ${part.url} from ${values.data}, database ${part.database}\n`,
      );
      return 0;
    }
    const log = createLog({ fields: { process: 'store' } });
    if (address === undefined) {
      const applied = await migrateOnce(part, log);
      process.stdout.write(
        applied.length === 0
          ? `store migrate: ${part.database} is up to date\n`
          : `store migrate: applied ${applied.join(', ')}\n`,
      );
      return 0;
    }
    const store = createEmbeddedStore({
      ...address,
      folder: values.data,
      user: part.user,
      password: part.password,
      log,
      ...(values.spool === undefined ? {} : { spoolFolder: values.spool }),
    });
    const lifecycle = new Lifecycle(log).add(store).add({
      name: 'schema',
      async start() {
        await migrateOnce(part, log);
        store.markReady();
        log.info('store serves', { url: store.url(), database: part.database, data: values.data });
      },
    });
    return runUntilSignal(lifecycle, log);
  },
};

/** Where the embedded store listens. It speaks plain HTTP, and only at an address of this host. */
function listenAddress(part: StorePart): { readonly host: string; readonly port: number } {
  const url = new URL(part.url);
  if (url.protocol !== 'http:') {
    throw new AzimuthError(
      'AZ_CONFIG_INVALID',
      `store.url: the embedded store speaks http, not ${url.protocol.replace(':', '')}; ` +
        'a server at that address needs no "azimuth store", only "azimuth store migrate"',
    );
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
  };
}

async function migrateOnce(part: StorePart, log: ReturnType<typeof createLog>): Promise<string[]> {
  const client = createStoreClient(part);
  try {
    return await migrate(client, part, log);
  } finally {
    await client.close();
  }
}
