// Import directions of docs/ARCHITECTURE.md. Each rule lists what a folder may import; all else is an error.
const FOLDERS = {
  telemetry: [],
  runtime: [],
  mesh: ['runtime', 'telemetry'],
  transport: ['runtime', 'telemetry'],
  proxy: ['telemetry', 'runtime', 'mesh', 'transport'],
  collector: ['telemetry', 'runtime', 'mesh', 'transport', 'store'],
  store: ['telemetry', 'runtime'],
  analytics: ['telemetry', 'runtime', 'mesh', 'store'],
  dashboards: ['telemetry'],
};
// Each third-party package has one door: the only file (or folder) that imports it.
const DOORS = {
  '@clickhouse/client': '^(store/client\\.ts$|test/)',
  chdb: '^store/embedded/',
  kafkajs: '^transport/kafka/',
  jose: '^(proxy/filters/|test/|bench/)',
  express: '^runtime/http-app\\.ts$',
  zod: '^mesh/',
  yaml: '^(mesh/|test/|tools/)',
  '@opentelemetry/': '^(runtime/self-telemetry\\.ts|demo/shop/|test/|bench/)',
  'http-proxy': '^(proxy/adapters/http-proxy\\.ts|bench/|test/)',
  snappyjs: '^transport/kafka/',
  '@grafana/': '^dashboards/grafana/',
  '@prometheus-io/': '^test/',
  uplot: '^dashboards/web/',
  'playwright-core': '^test/browser/',
  ws: '^test/',
  '@peculiar/': '^runtime/certificate-authority\\.ts$',
  'reflect-metadata': '^runtime/certificate-authority\\.ts$',
  'axe-core': '^test/browser/',
};
const OURS = [...Object.keys(FOLDERS), 'bin', 'demo', 'bench', 'test', 'tools'];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'not-to-unresolvable',
      severity: 'error',
      from: {},
      // The browser asks the page's server for these.
      to: { couldNotResolve: true, pathNot: '^/assets/' },
    },
    ...Object.entries(FOLDERS).map(([folder, may]) => ({
      name: `direction-${folder}`,
      severity: 'error',
      comment: `${folder}/ may import only: ${may.join(', ') || 'nothing of ours'}`,
      from: { path: `^${folder}/` },
      to: { path: `^(${OURS.filter((f) => f !== folder && !may.includes(f)).join('|')})/` },
    })),
    ...Object.entries(DOORS).map(([pkg, door]) => ({
      name: `door-${pkg}`,
      severity: 'error',
      comment: `${pkg} is imported only through ${door}`,
      from: { pathNot: door },
      to: { path: `node_modules/${pkg}` },
    })),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
