/**
 * The `azimuth` command: picks the subcommand, loads its file, maps errors to exit codes. Each
 * subcommand is one file in bin/commands/, loaded only when asked for, so that `azimuth --help`
 * does not load a database engine.
 */
import { allowClosedOutput } from './closed-output.ts';
import type { Command } from './command.ts';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { VERSION } from '../runtime/version.ts';
import { storeAdvice } from './store-advice.ts';

const COMMANDS: Record<string, { about: string; load: () => Promise<{ command: Command }> }> = {
  check: { about: 'validate a mesh file', load: () => import('./commands/check.ts') },
  lint: {
    about: 'find what gateway and sidecars do twice or against each other',
    load: () => import('./commands/lint.ts'),
  },
  gateway: { about: 'run a gateway proxy', load: () => import('./commands/gateway.ts') },
  sidecar: { about: 'run a sidecar proxy', load: () => import('./commands/sidecar.ts') },
  ca: {
    about: 'issue certificates for the proxies of a mesh file',
    load: () => import('./commands/ca.ts'),
  },
  tail: {
    about: 'show the requests of a proxy as they finish',
    load: () => import('./commands/tail.ts'),
  },
  collector: { about: 'run the collector', load: () => import('./commands/collector.ts') },
  store: {
    about: 'run the embedded ClickHouse, or migrate a store',
    load: () => import('./commands/store.ts'),
  },
  analytics: {
    about: 'run the analytics jobs each minute',
    load: () => import('./commands/analytics.ts'),
  },
  backfill: {
    about: 'publish minutes of the past that the jobs left out',
    load: () => import('./commands/backfill.ts'),
  },
  topics: { about: 'create the Kafka topics', load: () => import('./commands/topics.ts') },
  report: {
    about: 'print a report: gateway-vs-mesh, attribution, routes, edges and more',
    load: () => import('./commands/report.ts'),
  },
  top: {
    about: 'routes and edges as they are now',
    load: () => import('./commands/top.ts'),
  },
  explain: {
    about: 'show one request as a waterfall, with the sum of its parts',
    load: () => import('./commands/explain.ts'),
  },
  reconcile: {
    about: 'check that every hop is accounted for',
    load: () => import('./commands/reconcile.ts'),
  },
  sql: { about: 'run SQL on the store', load: () => import('./commands/sql.ts') },
  decode: {
    about: 'print OTLP bytes or a packed hop for people',
    load: () => import('./commands/decode.ts'),
  },
};

function overview(): string {
  const lines = Object.entries(COMMANDS).map(
    ([name, { about }]) => `  ${name.padEnd(11)} ${about}`,
  );
  return [
    `azimuth ${VERSION}: an observability-first mesh`,
    '',
    'Usage: azimuth COMMAND [options]      azimuth COMMAND --help',
    '',
    ...lines,
    '',
    'Examples:',
    '  azimuth check mesh.yaml',
    '  azimuth lint mesh.yaml',
    '  azimuth gateway --mesh mesh.yaml --name edge',
    '  azimuth tail --name edge --slower-than 100ms',
    '  azimuth report gateway-vs-mesh --last 5m --perspective whole',
    '  azimuth explain --slowest',
    '',
  ].join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview());
    return name === undefined ? 64 : 0;
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(VERSION + '\n');
    return 0;
  }
  const entry = COMMANDS[name];
  if (entry === undefined) {
    const names = Object.keys(COMMANDS).join(', ');
    throw new AzimuthError(
      'AZ_USAGE',
      `there is no command "${name}" (there are: ${names}; azimuth --help says what each does)`,
    );
  }
  const { command } = await entry.load();
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.help.trim() + '\n');
    return 0;
  }
  return command.run(rest);
}

allowClosedOutput(process.stdout);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof AzimuthError) {
    const advice = storeAdvice(error);
    process.stderr.write(
      `azimuth: ${error.message}\n${advice === undefined ? '' : `  → ${advice}\n`}`,
    );
    process.exitCode = error.kind.exitCode ?? 1;
  } else if (
    error instanceof TypeError &&
    'code' in error &&
    String(error.code).startsWith('ERR_PARSE_ARGS')
  ) {
    process.stderr.write(`azimuth: ${messageOf(error)}. See azimuth ${process.argv[2]} --help.\n`);
    process.exitCode = 64;
  } else {
    throw error;
  }
}
