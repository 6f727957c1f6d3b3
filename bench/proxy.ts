/**
 * `npm run bench:proxy`: our gateway with every span exported, beside npm http-proxy (no spans) and
 * a plain node:http forwarder traced with the OpenTelemetry SDK, in one run. Rounds of all set-ups
 * in turn, the order reversed on odd rounds, the first round a warm-up that is not counted.
 *
 * CPU is user + system time of the proxy process by requests answered: the figure to compare. Each
 * throughput stands beside spans delivered / due, since dropping spans is fast. `--json` ends with
 * one object on one line. Method and machine: bench/README.md.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `Usage: npm run bench:proxy -- [--requests N] [--rounds N] [--connections N] [--json]

  --requests N     requests a round and set-up (default 20000)
  --rounds N       counted rounds (default 5; one warm-up round before them)
  --connections N  keep-alive connections (default 64)
  --json           end with one JSON object on one line

Example: npm run bench:proxy -- --rounds 3 --json
`;

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const pinned =
  process.platform === 'linux' && cpus().length > 1 && spawnSync('taskset', ['-V']).status === 0;
const children: ChildProcess[] = [];
const scratch = mkdtempSync(join(tmpdir(), 'azimuth-bench-'));
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

/** Starts a Node program on one core: 0 for the proxy under test, 1 for all that surrounds it. */
function start(
  core: 0 | 1,
  script: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const command = [process.execPath, script, ...args];
  const argv = pinned ? ['taskset', '-c', String(core), ...command] : command;
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  children.push(child);
  return child;
}

async function firstLine(child: ChildProcess): Promise<unknown> {
  if (child.stdout === null) throw new Error('the child has no stdout');
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => {
      throw new Error('a process of the benchmark ended at once; its message stands above');
    }),
  ])) as [string];
  return JSON.parse(line);
}

const portOf = async (child: ChildProcess): Promise<number> =>
  ((await firstLine(child)) as { port: number }).port;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

async function until(what: string, done: () => Promise<boolean>, seconds = 20): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await done().catch(() => false))) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const TICKS_PER_S = Number(spawnSync('getconf', ['CLK_TCK']).stdout.toString()) || 100;
/** User + system CPU of a process, microseconds (resolution: one clock tick, 10 ms). */
function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_S) * 1e6;
}
const rssMib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;

interface SetUp {
  readonly name: string;
  readonly spansPerRequest: number;
  readonly port: number;
  readonly pid: number;
  readonly sink: number | undefined;
  requests: number;
  readonly cpu: number[];
  readonly rps: number[];
  readonly p99: number[];
}

const upstreamPort = await portOf(start(1, here('lib/upstream.ts'), []));
const newSink = async (): Promise<number> => portOf(start(1, here('lib/span-sink.ts'), []));

async function azimuth(name: string, hopFormat: 'packed' | 'attributes'): Promise<SetUp> {
  const [port, admin, sink] = [await freePort(), await freePort(), await newSink()];
  const file = join(scratch, `${hopFormat}.yaml`);
  writeFileSync(file, meshFile(port, admin, sink, hopFormat));
  const child = start(0, here('../bin/main.ts'), ['gateway', '--mesh', file, '--name', 'edge']);
  await until('our gateway', async () => (await get(admin, '/readyz')).status === 200);
  return setUp(name, hopFormat === 'packed' ? 1 : 2, port, child, sink);
}

/** One gateway before one workload; the workload's "sidecar" is the application itself. */
function meshFile(port: number, admin: number, sink: number, hopFormat: string): string {
  return `file_format: "1.0"
mesh: bench
topology: separate
store: { password: "\${AZIMUTH_STORE_PASSWORD:-unused}" }
telemetry:
  transport: otlp
  otlp: { endpoint: "http://127.0.0.1:${sink}" }
  hop_format: ${hopFormat}
gateways:
  - name: edge
    listen: { host: 127.0.0.1, port: ${port} }
    admin: { host: 127.0.0.1, port: ${admin} }
    routes: [{ path: /bench/item, to: app }]
workloads:
  - { name: app, address: "127.0.0.1:1" }
sidecars:
  - name: app-sidecar
    serves: [{ workload: app, inbound: { host: 127.0.0.1, port: ${upstreamPort} }, outbound: { host: 127.0.0.1, port: 2 } }]
    admin: { host: 127.0.0.1, port: 3 }
`;
}

function setUp(
  name: string,
  spansPerRequest: number,
  port: number,
  child: ChildProcess,
  sink?: number,
): SetUp {
  if (child.pid === undefined) throw new Error(`${name} did not start`);
  return {
    name,
    spansPerRequest,
    port,
    pid: child.pid,
    sink,
    requests: 0,
    cpu: [],
    rps: [],
    p99: [],
  };
}

async function peer(name: string, script: string, spansPerRequest: number): Promise<SetUp> {
  const sink = spansPerRequest > 0 ? await newSink() : undefined;
  const child = start(0, here(script), [
    '0',
    String(upstreamPort),
    ...(sink === undefined ? [] : [String(sink)]),
  ]);
  return setUp(name, spansPerRequest, await portOf(child), child, sink);
}

const setUps: SetUp[] = [
  await azimuth('azimuth gateway, packed', 'packed'),
  await azimuth('azimuth gateway, both spans plain', 'attributes'),
  await peer('npm http-proxy', 'peers/http-proxy.ts', 0),
  await peer('node:http + OpenTelemetry SDK', 'peers/node-otel.ts', 2),
];

const requests = Number(options.requests);
async function round(set: SetUp, counted: boolean): Promise<void> {
  const before = cpuUs(set.pid);
  const load = start(1, here('lib/closed-loop.ts'), [
    '127.0.0.1',
    String(set.port),
    options.connections,
    String(requests),
  ]);
  const result = (await firstLine(load)) as {
    requests: number;
    errors: number;
    seconds: number;
    p99_ms: number;
  };
  // What is still to be exported belongs to these requests: wait until it has left.
  await new Promise((resolve) => setTimeout(resolve, 700));
  set.requests += result.requests;
  if (result.errors > 0) throw new Error(`${set.name}: ${result.errors} answers were not 2xx`);
  if (!counted) return;
  set.cpu.push((cpuUs(set.pid) - before) / result.requests);
  set.rps.push(result.requests / result.seconds);
  set.p99.push(result.p99_ms);
}

const rounds = Number(options.rounds);
for (let r = 0; r <= rounds; r++) {
  process.stderr.write(r === 0 ? 'warm-up round\n' : `round ${r} of ${rounds}\n`);
  for (const set of r % 2 === 0 ? setUps : [...setUps].reverse()) await round(set, r > 0);
}

async function delivered(set: SetUp): Promise<number | null> {
  const { sink } = set;
  if (sink === undefined) return null;
  const due = set.requests * set.spansPerRequest;
  const count = async (): Promise<number> =>
    (JSON.parse((await get(sink, '/count')).body) as { spans: number }).spans;
  await until('spans', async () => (await count()) >= due, 10).catch(() => undefined);
  return (await count()) / due;
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;
const range = (list: readonly number[], digits: number): string =>
  `${median(list).toFixed(digits)} [${Math.min(...list).toFixed(digits)}-${Math.max(...list).toFixed(digits)}]`;
const results = [];
for (const set of setUps)
  results.push({ set, delivered: await delivered(set), rss: rssMib(set.pid) });

const line = (cells: readonly string[]): string =>
  `  ${(cells[0] ?? '').padEnd(36)}${cells
    .slice(1)
    .map((c) => c.padStart(22))
    .join('')}\n`;
process.stdout.write(
  `\n${line(['', 'CPU us/request', 'requests/s', 'p99 ms', 'spans got / due', 'RSS MiB'])}` +
    results
      .map(({ set, delivered, rss }) =>
        line([
          set.name,
          range(set.cpu, 1),
          range(set.rps, 0),
          range(set.p99, 1),
          delivered === null
            ? 'records none'
            : `${delivered.toFixed(4)} (${set.spansPerRequest}/req)`,
          rss.toFixed(0),
        ]),
      )
      .join('') +
    `  medians [min-max] of ${rounds} rounds of ${requests} requests, ${options.connections} connections; ` +
    `${pinned ? 'proxy on core 0, the rest on core 1' : 'not pinned to cores'}; Node ${process.versions.node}\n`,
);
if (options.json) {
  const [packed, plain, bare, sdk] = results;
  const cpu = (r: typeof packed): number => median(r?.set.cpu ?? []);
  const rps = (r: typeof packed): number => median(r?.set.rps ?? []);
  console.log(
    JSON.stringify({
      cpu_us: cpu(packed),
      cpu_us_plain: cpu(plain),
      cpu_us_http_proxy: cpu(bare),
      cpu_us_node_otel: cpu(sdk),
      cpu_vs_http_proxy: cpu(packed) / cpu(bare),
      cpu_vs_node_otel: cpu(packed) / cpu(sdk),
      rps: rps(packed),
      rps_vs_http_proxy: rps(packed) / rps(bare),
      rps_vs_node_otel: rps(packed) / rps(sdk),
      delivered: packed?.delivered ?? null,
      delivered_plain: plain?.delivered ?? null,
      delivered_node_otel: sdk?.delivered ?? null,
    }),
  );
}
for (const child of children) child.kill('SIGTERM');
process.exit(0);
