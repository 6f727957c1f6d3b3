/** docker-compose.yml against the schema of Compose, and against the code and the mesh file. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { topologyText } from '../../demo/shop-mesh.ts';
import {
  COMPOSE_FILES,
  ROOT,
  demoEnvironment,
  imageEntrypoint,
  ourServices,
  readCompose,
  servicesOf,
  type ComposeService,
} from './compose-file.ts';
import { loadMesh } from '../../mesh/load.ts';
import { analyticsPart } from '../../mesh/parts.ts';
import { PROMETHEUS_RULE_FILES } from '../helpers/prometheus-rules.ts';

const compose = readCompose();
const services = Object.entries(compose.services);
const ours = ourServices(compose);
const MESH_FILE = 'deploy/compose/mesh.yaml';
const texts = COMPOSE_FILES.map((file) => readFileSync(ROOT + file, 'utf8'));
/** Services of the mesh file here; those of profile scale are a cluster without proxies. */
const atHome = services.filter(([, { profiles }]) => profiles?.includes('scale') !== true);
const meshText = readFileSync(ROOT + MESH_FILE, 'utf8');

/** Go as compose-go needs it; older ones cannot read its go.mod. */
const GO_MINOR_LEAST = 24;

describe('docker-compose.yml, as Compose loads it', function () {
  // The first build fetches and compiles the loader's modules.
  this.timeout(600_000);
  let folder = '';
  let loader = '';

  before(function () {
    const version = /go1\.(\d+)/.exec(
      spawnSync('go', ['version'], { encoding: 'utf8' }).stdout,
    )?.[1];
    if (version === undefined || Number(version) < GO_MINOR_LEAST) {
      const why = `Go 1.${GO_MINOR_LEAST} or newer is needed to run Compose's own loader (found: ${version === undefined ? 'none' : `1.${version}`})`;
      if (process.env['CI'] === 'true') assert.fail(why);
      console.warn(`      PENDING: ${why}`);
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'azimuth-compose-'));
    loader = join(folder, 'compose-loader');
    const built = spawnSync('go', ['build', '-o', loader, '.'], {
      cwd: `${ROOT}test/compose/loader`,
      encoding: 'utf8',
    });
    assert.equal(built.status, 0, built.stderr);
  });

  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true });
  });

  const load = (file: string, ...profiles: readonly string[]) => loadIn(ROOT, file, ...profiles);
  const loadIn = (cwd: string, file: string, ...profiles: readonly string[]) =>
    spawnSync(loader, [file, ...profiles], { cwd, encoding: 'utf8' });

  for (const profiles of [['demo'], ['mesh'], ['scale'], ['demo', 'tools']]) {
    it(`is on the schema with profile ${profiles.join(' and ')}, and leaves no variable unset`, () => {
      const { status, stdout, stderr } = load('docker-compose.yml', ...profiles);
      assert.equal(status, 0, stderr);
      assert.equal(stderr, '', 'the loader warns of nothing');
      const project = JSON.parse(stdout) as { services: Record<string, unknown> };
      const expected = profiles.flatMap((profile) => servicesOf(compose, profile));
      assert.ok(expected.length > 0);
      assert.deepEqual(Object.keys(project.services).sort(), expected.map(([name]) => name).sort());
    });
  }

  it('is on the schema with services of one’s own around it, as deploy/example has them', () => {
    const example = `${ROOT}deploy/example`;
    const before = loadIn(example, 'compose.before.yaml');
    assert.deepEqual([before.status, before.stderr], [0, '']);
    // Where include finds env_file: the folder of the file that is given, as the document says.
    const { status, stdout, stderr } = loadIn(example, 'compose.yaml', 'mesh');
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '', 'the loader warns of nothing');
    const project = JSON.parse(stdout) as {
      services: Record<string, { network_mode?: string }>;
      configs: { mesh: { file: string } };
    };
    const own = ['stock', 'stock-sidecar', 'web', 'web-sidecar'];
    const mesh = servicesOf(compose, 'mesh').map(([name]) => name);
    assert.deepEqual(Object.keys(project.services).sort(), [...mesh, ...own].sort());
    assert.equal(project.configs.mesh.file, `${example}/mesh.yaml`);
    assert.equal(project.services['web']!.network_mode, 'service:web-sidecar');
  });

  it('would be refused with a key that Compose does not know, a service that is not there, or a loop', () => {
    const text = readFileSync(`${ROOT}docker-compose.yml`, 'utf8');
    const environment = readFileSync(`${ROOT}.env`, 'utf8');
    const broken = (what: string, from: string, to: string): void => {
      assert.ok(text.includes(from), from);
      writeFileSync(join(folder, '.env'), environment);
      cpSync(`${ROOT}deploy`, join(folder, 'deploy'), { recursive: true });
      writeFileSync(join(folder, 'docker-compose.yml'), text.replace(from, to));
      const { status } = load(join(folder, 'docker-compose.yml'), 'demo');
      assert.equal(status, 1, what);
    };
    broken('missing include', 'path: deploy/compose/scale.yaml', 'path: deploy/scala.yaml');
    broken('unknown key', '\n  kafka:\n', '\n  kafka:\n    memory_limits: 1G\n');
    broken('wrong type', '\n  kafka:\n', '\n  kafka:\n    tty: maybe\n');
    broken('unknown service', 'clickhouse: { condition:', 'clickhause: { condition:');
    broken('unset variable', '${GRAFANA_ADMIN_PASSWORD:?', '${GRAFANA_ADMIN_PASSWORT:?');
  });
});

describe('docker-compose.yml, service by service', () => {
  const jobs = services.filter(([, s]) => s.restart?.startsWith('on-failure')).map(([n]) => n);

  it('pins every image to a version', () => {
    for (const [name, service] of services) {
      assert.match(service.image, /:v?\d+(\.\d+)+$/, name);
    }
    for (const file of ['Dockerfile', 'deploy/grafana/Dockerfile']) {
      const text = readFileSync(ROOT + file, 'utf8');
      const bases = [...text.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base!);
      assert.ok(bases.length > 0);
      for (const base of bases) assert.match(base, /:\d+(\.\d+)+(-[\w-]+)?$/, file);
    }
  });

  it('tags our images with the version of the package', () => {
    const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      version: string;
    };
    for (const [name, service] of services) {
      if (service.build !== undefined) assert.ok(service.image.endsWith(`:${version}`), name);
    }
  });

  it('publishes ports on loopback only', () => {
    for (const [name, service] of services) {
      for (const port of service.ports ?? []) {
        assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
      }
    }
  });

  it('bounds the memory and the logs of every container and gives each an init process', () => {
    for (const [name, service] of services) {
      assert.match(service.deploy?.resources.limits.memory ?? '', /^\d+[MG]$/, name);
      assert.ok(service.logging?.options['max-size'] !== undefined, name);
      assert.equal(service.init, true, name);
    }
  });

  it('gives every container a user, and nothing that it can do without', () => {
    for (const [name, service] of services) {
      assert.ok(service.user !== undefined && !/^(0|root)\b/.test(service.user), name);
      // The images of Kafka and ClickHouse write their settings at start, and ClickHouse's binary
      // may carry capabilities of its own.
      const clickhouse = service.image.startsWith('clickhouse/');
      const writes = clickhouse || service.image.startsWith('apache/kafka');
      assert.equal(service.read_only === true, !writes, name);
      if (clickhouse) continue;
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
    }
  });

  it('waits for a drain before it kills: 15 s of a proxy, 10 s of each receiver of a collector', () => {
    for (const [name, service] of services) {
      const seconds = Number(/^(\d+)s$/.exec(service.stop_grace_period ?? '')?.[1]);
      assert.ok(seconds >= (ours.includes(name) ? 45 : 30), name);
    }
  });

  it('checks the health of whatever runs on, and waits for health or for the end of a job', () => {
    for (const [name, service] of services) {
      // Somebody asks for those of profile tools, and waits for their end.
      if (service.profiles?.includes('tools') === true) assert.equal(service.restart, 'no');
      else if (!jobs.includes(name)) {
        assert.equal(service.restart, 'unless-stopped', name);
        // The load listens nowhere, and nobody waits for it.
        const checked = (service.healthcheck?.test?.length ?? 0) > 1;
        assert.equal(checked, name !== 'load', `${name} has a health check`);
      }
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        const expected = jobs.includes(other)
          ? 'service_completed_successfully'
          : 'service_healthy';
        assert.equal(condition, expected, `${name} depends on ${other}`);
      }
    }
    for (const job of jobs) {
      // `docker compose up --wait` takes the end of a job for a failure unless somebody waits for it.
      const waiting = services.filter(([, s]) => s.depends_on?.[job] !== undefined);
      assert.ok(waiting.length > 0, job);
    }
  });

  it('keeps data in named volumes and mounts only files that are there', () => {
    const named = new Set<string>();
    for (const [name, service] of services) {
      for (const volume of service.volumes ?? []) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('.')) {
          assert.ok(existsSync(join(ROOT, source)), `${name}: ${source}`);
          assert.ok(volume.endsWith(':ro'), `${name}: ${volume}`);
        } else named.add(source);
      }
      for (const { source } of service.configs ?? []) {
        const file = compose.configs[source]?.file;
        assert.ok(file !== undefined && existsSync(join(ROOT, file)), `${name}: config ${source}`);
      }
      if (service.build !== undefined) {
        const dockerfile = service.build.dockerfile ?? 'Dockerfile';
        assert.ok(existsSync(join(ROOT, service.build.context, dockerfile)), name);
      }
    }
    assert.deepEqual([...named].sort(), Object.keys(compose.volumes).sort());
  });

  it('gives every proxy the certificates to read, and the key of their authority to the job alone', () => {
    const dockerfile = readFileSync(`${ROOT}Dockerfile`, 'utf8');
    for (const [name, { command = [], volumes = [] }] of services) {
      const isProxy = command[0] === 'gateway' || command[0] === 'sidecar';
      if (isProxy) assert.deepEqual(volumes, ['certs:/var/lib/azimuth/certs:ro'], name);
      else if (name !== 'ca') assert.doesNotMatch(volumes.join(), /certs|authority/, name);
    }
    for (const volume of compose.services['ca']!.volumes!) {
      // A new volume takes owner and mode of the image's folder: the job is not root.
      const folder = volume.split(':')[1]!;
      assert.match(dockerfile, new RegExp(`install -d -o node .* ${folder}( |$)`, 'm'), volume);
    }
  });

  it('holds no password: each comes from .env', () => {
    for (const text of texts) {
      for (const [name, value] of Object.entries(demoEnvironment())) {
        if (/PASSWORD|SECRET/.test(name)) assert.ok(!text.includes(value), name);
      }
      for (const line of text.split('\n')) {
        if (!/(PASSWORD|SECRET):/.test(line)) continue;
        assert.match(line, /(PASSWORD|SECRET): (\$\{\w+:\?[^}]+\}|none)$/);
      }
    }
  });

  it('uses every variable of .env', () => {
    const text = texts.join('');
    for (const name of Object.keys(demoEnvironment())) {
      if (name === 'COMPOSE_PROFILES') continue;
      assert.ok(text.includes(`\${${name}:`), name);
    }
  });
});

describe('docker-compose.yml, against code and mesh file', () => {
  const environmentOf = (service: ComposeService): Record<string, string> =>
    Object.fromEntries(Object.entries(service.environment ?? {}).map(([k, v]) => [k, String(v)]));
  const { config } = loadMesh(ROOT + MESH_FILE, environmentOf(compose.services['collector']!));

  it('mounts the mesh file where the processes look for it', () => {
    for (const name of ours) {
      const service = compose.services[name]!;
      const { AZIMUTH_MESH: path } = environmentOf(service);
      if (path === undefined) continue;
      const mounted = service.configs?.find(({ target }) => target === path);
      assert.equal(compose.configs[mounted?.source ?? '']?.file, `./${MESH_FILE}`, name);
    }
  });

  it('runs every proxy of the mesh file, each in the container that the file names', () => {
    const proxies = [
      ...config.gateways.map((gateway) => ['gateway', gateway.name, gateway.machine]),
      ...config.sidecars.map((sidecar) => ['sidecar', sidecar.name, sidecar.machine]),
    ];
    const running = atHome.flatMap(([container, { command = [] }]) =>
      command[0] === 'gateway' || command[0] === 'sidecar'
        ? [[command[0], command[command.indexOf('--name') + 1], container]]
        : [],
    );
    assert.deepEqual(running.sort(), proxies.sort());
  });

  it('runs every workload in the network of its sidecar, at the port that the file names', () => {
    for (const sidecar of config.sidecars) {
      for (const { workload = '' } of sidecar.serves) {
        const service = compose.services[workload];
        assert.equal(service?.network_mode, `service:${sidecar.machine ?? ''}`, workload);
        const address = config.workloads.find((w) => w.name === workload)!.address;
        assert.match(address, /^127\.0\.0\.1:\d+$/, workload);
        assert.ok(
          JSON.stringify(service).includes(address.slice(address.indexOf(':') + 1)),
          `${workload} is told its port`,
        );
      }
    }
  });

  it('names only ports that the mesh file, Kafka, ClickHouse or Grafana have', () => {
    const known = new Set([
      ...[...meshText.matchAll(/(?:port: |:)(\d{4,5})\b/g)].map(([, port]) => port!),
      // Defaults of the products: Kafka for the host, ClickHouse HTTP, Grafana, Prometheus.
      ...['9092', '8123', '3000', '9090'],
    ]);
    for (const [name, service] of services) {
      const published = (service.ports ?? []).map((port) => port.split(':').at(-1)!);
      const probed = service.healthcheck?.test
        ?.join(' ')
        .match(/(?<=(?:127\.0\.0\.1|localhost):)\d+/g);
      for (const port of [...published, ...(probed ?? [])])
        assert.ok(known.has(port), `${name}: ${port}`);
    }
    assert.ok(known.has('15000') && known.has('19092'));
  });

  it('has the jobs of analytics write and its API read, each as its own user', () => {
    const running = ours.filter((name) => compose.services[name]!.command?.[0] === 'analytics');
    assert.deepEqual(running, ['analytics', 'analytics-scale']);
    for (const name of running) {
      const environment = environmentOf(compose.services[name]!);
      const { store, readingStore } = analyticsPart(loadMesh(ROOT + MESH_FILE, environment));
      const { AZIMUTH_WRITER_PASSWORD: writes, AZIMUTH_READER_PASSWORD: reads } = demoEnvironment();
      assert.deepEqual([store.user, store.password], ['azimuth_writer', writes], name);
      assert.deepEqual([readingStore.user, readingStore.password], ['azimuth_reader', reads], name);
    }
  });

  it('has Prometheus scrape every process, each where it listens for other containers', () => {
    const { scrape_configs: jobs } = parse(
      readFileSync(`${ROOT}dashboards/prometheus/prometheus.yaml`, 'utf8'),
    ) as { scrape_configs: { static_configs: { targets: string[] }[] }[] };
    const targets = jobs.flatMap((job) => job.static_configs.flatMap((one) => one.targets));
    const listens = new Map([
      ...[...config.gateways, ...config.sidecars].map(
        ({ machine, admin }) => [machine!, admin] as const,
      ),
      ['collector', config.collector.admin] as const,
      ['analytics', config.analytics] as const,
    ]);
    const open = [...listens].map(([container, { port }]) => `${container}:${port}`);
    assert.deepEqual(targets.sort(), open.sort());
    for (const [container, { host, port }] of listens) {
      assert.equal(host, '0.0.0.0', `${container} listens on loopback, where Prometheus is not`);
      const published = compose.services[container]!.ports ?? [];
      // Nobody outside of the stack reads the configuration or the requests of a proxy.
      if (container !== 'analytics') {
        assert.ok(!published.some((one) => one.endsWith(`:${port}`)), container);
      }
    }
    const mounts = compose.services['prometheus']!.volumes!.map((one) => one.split(':')[0]!);
    for (const file of ['prometheus.yaml', ...PROMETHEUS_RULE_FILES]) {
      assert.ok(mounts.includes(`./dashboards/prometheus/${file}`), file);
    }
  });

  it('sets only variables that something reads', () => {
    const sources = spawnSync(
      'grep',
      [
        '-rhoE',
        `(process\\.env|env)(\\[['"]|\\.)[A-Z_]+|\\$\\{(env:)?[A-Z_]+`,
        ...['bin', 'runtime', 'demo', MESH_FILE],
      ],
      { cwd: ROOT, encoding: 'utf8' },
    ).stdout;
    for (const name of ours) {
      for (const variable of Object.keys(compose.services[name]!.environment ?? {})) {
        // OpenTelemetry's SDK reads OTEL_*, Node reads NODE_*.
        if (/^(OTEL|NODE)_/.test(variable)) continue;
        assert.match(sources, new RegExp(`\\b${variable}$`, 'm'), `${name}: ${variable}`);
      }
    }
  });

  it('describes the same shop as the demo: kinds, route templates, routes of the gateway', () => {
    const demo = parse(topologyText('separate')) as typeof config;
    const here = parse(meshText) as typeof config;
    const shopOf = ({ workloads, gateways }: typeof config): unknown => ({
      workloads: workloads.map(({ name, kind, routes }) => [name, kind, routes]).sort(),
      routes: gateways.flatMap((gateway) => gateway.routes.map((r) => JSON.stringify(r))).sort(),
    });
    assert.deepEqual(shopOf(here), shopOf(demo));
  });

  it('refuses a mesh file that lacks a password rather than running without', () => {
    assert.throws(() => loadMesh(ROOT + MESH_FILE, {}), /AZIMUTH_STORE_PASSWORD/);
  });

  describe('each command, run natively with --check', function () {
    this.timeout(60_000);

    const guard = new URL('./no-sockets.ts', import.meta.url).href;

    it('would be caught opening a socket', () => {
      for (const source of [
        "import('node:net').then((n) => n.createServer().listen(0))",
        "fetch('http://127.0.0.1:4318')",
      ]) {
        const { status } = spawnSync(process.execPath, ['--import', guard, '-e', source]);
        assert.equal(status, 99, source);
      }
    });

    for (const name of ours.filter((one) => compose.services[one]!.command !== undefined)) {
      it(`accepts what ${name} is given, opens nothing and exits 0`, () => {
        const service = compose.services[name]!;
        const [program, ...args] = [
          ...(service.entrypoint ?? imageEntrypoint()),
          ...(service.command ?? []),
          '--check',
        ];
        assert.equal(program, 'node', 'the image runs Node');
        const environment = environmentOf(service);
        if (environment['AZIMUTH_MESH'] !== undefined)
          environment['AZIMUTH_MESH'] = ROOT + MESH_FILE;
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          ['--import', guard, ...args],
          {
            cwd: ROOT,
            env: environment,
            encoding: 'utf8',
            // One that starts to serve instead of checking must not hold up the suite.
            timeout: 30_000,
            killSignal: 'SIGKILL',
          },
        );
        assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
        assert.match(stdout, /^\S[^\n]*\n$/, 'one line on stdout');
      });
    }
  });
});
