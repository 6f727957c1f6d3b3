/**
 * The course of the demo, step by step:
 *
 *   folder, ports, mesh file → [Kafka] → store, services, proxies → collector, analytics
 *     → load → all hops arrived → report → [stay up] → stop, producers first
 *
 * Ends in order whatever happens: load, proxies (they flush to the collector), services, collector,
 * analytics, store.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MeshConfig } from '../mesh/config.ts';
import { issueMesh } from '../mesh/issue.ts';
import { loadMesh, type Mesh } from '../mesh/load.ts';
import { storePart } from '../mesh/parts.ts';
import { createStoreClient } from '../store/client.ts';
import { accountFor, type Account } from './account.ts';
import { startKafka } from './kafka-broker.ts';
import { loadText, runLoad, type LoadResult } from './load.ts';
import { memoryPssBytes } from './measure.ts';
import { DEFAULT_FOLDER, type DemoOptions } from './options.ts';
import { createProcesses, DemoFailure, type Processes } from './processes.ts';
import { createProgress, type Progress } from './progress.ts';
import { entrance, outboundOf, shopMesh, urlOf } from './shop-mesh.ts';
import { openWorkspace, type Workspace } from './workspace.ts';

const AZIMUTH = fileURLToPath(new URL('../bin/azimuth.js', import.meta.url));
const SERVICE = fileURLToPath(new URL('./shop/service.ts', import.meta.url));
/** Enough to see a live mesh, little enough to leave a laptop alone. */
const GENTLE_RATE_PER_S = 5;
const COLLECTOR_AWAY_MS = 2_000;
/** A demo that stays up longer than a day needs `azimuth ca issue` on its mesh file. */
const CERTIFICATE_HOURS = 24;
/** Reading it costs some milliseconds for each process. */
const MEMORY_EVERY_MS = 3_000;

/** What was asked of the demo before its load began. */
class Interrupted extends Error {}

interface Stage {
  readonly options: DemoOptions;
  readonly workspace: Workspace;
  readonly config: MeshConfig;
  readonly processes: Processes;
  readonly progress: Progress;
  readonly stopped: AbortSignal;
}

/** Runs the demo and resolves with the exit code. Throws AzimuthError or DemoFailure. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const progress = createProgress(options.json ? process.stderr : process.stdout);
  const stopped = stopSignal(progress);
  const workspace = await openWorkspace(options.folder, options.data);
  const processes = createProcesses(workspace);
  let stopKafka: (() => Promise<void>) | undefined;
  let config: MeshConfig | undefined;
  try {
    progress.title(
      `Azimuth demo: shop / ${options.topology} over ${options.transport}, seed ${options.seed}`,
    );
    if (workspace.leftovers > 0) {
      progress.step('clean', `ended ${workspace.leftovers} processes of a demo that was killed`);
    }
    const own = options.transport === 'kafka' && options.brokers === undefined;
    const shop = await shopMesh(options.topology, options.freePorts, own ? 'own' : options.brokers);
    for (const line of shop.moved) progress.step('ports', line);
    writeFileSync(workspace.meshFile, shop.text);
    const mesh = loadMesh(workspace.meshFile);
    config = mesh.config;
    progress.step('mesh', `${workspace.meshFile}: ${summary(config)}`);
    progress.step('ca', await issueText(mesh));
    const stage: Stage = { options, workspace, config, processes, progress, stopped };
    const kafka = own ? kafkaOrAdvice(shop.kafkaPort) : undefined;
    stopKafka = () =>
      kafka?.then(
        (broker) => broker.stop(),
        () => undefined,
      ) ?? Promise.resolve();
    await startAll(stage, kafka);
    return await loadAndReport(stage);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    progress.step('stop', 'asked to stop before the report');
    return 130;
  } finally {
    if (config !== undefined) await stopAll(processes, config);
    progress.step('stopped', 'proxies, services, collector, analytics, store');
    await stopKafka?.();
    workspace.release();
  }
}

/** Makes an authority of this demo alone, and the certificates of its proxies. */
async function issueText(mesh: Mesh): Promise<string> {
  const { certificates, trustDomain } = await issueMesh(mesh, {
    dir: undefined,
    hours: CERTIFICATE_HOURS,
    newAuthority: true,
    dropOld: true,
    settled: () => Promise.resolve(),
  });
  return `${certificates.length} certificates of ${trustDomain}: proxies speak mutual TLS`;
}

/** Aborts at the first Ctrl-C or SIGTERM; a second one ends at once, children included. */
function stopSignal(progress: Progress): AbortSignal {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    progress.step('stop', `${signal}: ending in order (again: at once)`);
    controller.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  return controller.signal;
}

async function kafkaOrAdvice(port: number): ReturnType<typeof startKafka> {
  try {
    return await startKafka({ port });
  } catch (error) {
    throw new DemoFailure(
      `${(error as Error).message}\nUse a Kafka that runs already with --brokers host:port, or ` +
        'leave --transport kafka out',
      { cause: error },
    );
  }
}

/** Starts every process; all are ready when it resolves. */
async function startAll(
  stage: Stage,
  kafka: ReturnType<typeof startKafka> | undefined,
): Promise<void> {
  const { options, workspace, config, processes, progress, stopped } = stage;
  const mesh = ['--mesh', workspace.meshFile];
  const interrupted = new Promise<never>((_, reject) => {
    stopped.addEventListener('abort', () => reject(new Interrupted()), { once: true });
  });
  // It rejects long after the start, too, when nobody waits for it any more.
  interrupted.catch(() => undefined);
  if (stopped.aborted) throw new Interrupted();
  const azimuth = (
    name: string,
    admin: { readonly host: string; readonly port: number },
    ...args: string[]
  ): void =>
    processes.start({
      name,
      args: [AZIMUTH, ...args, ...mesh],
      readyUrl: `${urlOf(admin)}/readyz`,
    });
  const ready = async (names: readonly string[]): Promise<void> => {
    await Promise.race([Promise.all(names.map((name) => processes.ready(name))), interrupted]);
  };

  const { url: storeUrl } = config.store;
  const { otlp_http: otlp, admin: collectorAdmin } = config.collector;
  processes.start({
    name: 'store',
    args: [AZIMUTH, 'store', '--data', workspace.dataFolder, ...mesh],
    readyUrl: `${storeUrl}/readyz`,
  });
  for (const { name, address } of config.workloads) {
    processes.start({
      name,
      args: [SERVICE, name],
      env: {
        PORT: address.slice(address.lastIndexOf(':') + 1),
        MESH_OUTBOUND: outboundOf(config, name),
        SHOP_SEED: String(options.seed),
        OTEL_EXPORTER_OTLP_ENDPOINT: urlOf(otlp),
        OTEL_RESOURCE_ATTRIBUTES: 'service.namespace=shop,service.version=1.0.0',
        OTEL_NODE_RESOURCE_DETECTORS: 'env,serviceinstance,host',
        // Spans of the applications show up within a second, as those of the proxies do.
        OTEL_BSP_SCHEDULE_DELAY: '1000',
      },
      readyUrl: `http://${address}/healthz`,
    });
  }
  for (const { name, role, admin } of proxiesOf(config)) azimuth(name, admin, role, '--name', name);
  await ready(['store']);
  progress.step('store', `embedded ClickHouse on ${storeUrl}`);
  if (kafka !== undefined) {
    const broker = await Promise.race([kafka, interrupted]);
    processes.note(broker.pid() ?? 0);
    progress.step('kafka', `a broker of its own on ${broker.brokers.join()}`);
  }
  if (options.transport === 'kafka') {
    await runAzimuth(['topics', ...mesh], 'ignore');
    progress.step('topics', 'otlp_spans and otlp_logs are there');
  }
  azimuth('collector', collectorAdmin, 'collector');
  azimuth('analytics', config.analytics, 'analytics');
  await ready(['collector']);
  progress.step('collector', `OTLP/HTTP on ${urlOf(otlp)}`);
  const services = config.workloads.map(({ name }) => name);
  await ready([...services, ...config.sidecars.map(({ name }) => name)]);
  progress.step('services', `${services.join(', ')}, each with its sidecar`);
  await ready(config.gateways.map(({ name }) => name));
  progress.step(config.gateways.length === 0 ? 'ingress' : 'gateway', entrance(config));
  await ready(['analytics']);
  progress.step('analytics', urlOf(config.analytics));
}

async function loadAndReport(stage: Stage): Promise<number> {
  const { options, workspace, config, processes, progress, stopped } = stage;
  const count = Math.max(1, Math.round(options.seconds * options.ratePerS));
  const url = entrance(config);
  const load = { url, ratePerS: options.ratePerS, seed: options.seed, signal: stopped };
  let firstRequestS = NaN;
  let memoryBytes: number | undefined;
  const measure = (): void => {
    const now = memoryPssBytes(process.pid);
    if (now !== undefined) memoryBytes = Math.max(memoryBytes ?? 0, now);
  };
  const measuring = setInterval(measure, MEMORY_EVERY_MS);
  const fromMs = Date.now();
  progress.step('load', `${count} requests at ${options.ratePerS}/s, ${options.seconds} s`);
  try {
    let toMs = Date.now();
    const running = runLoad({
      ...load,
      count,
      onFirstAnswer() {
        firstRequestS = progress.elapsedS();
        progress.step('first', 'request answered');
      },
    }).finally(() => {
      // Past the last answer, and no further: rates are those of the load.
      toMs = Date.now() + 1;
    });
    const [result] = await Promise.race([
      Promise.all([running, killCollector(stage, running)]),
      processes.failure,
    ]);
    measure();
    progress.step('sent', loadText(result));
    for (const [kind, times] of result.errorKinds) progress.step('error', `${times} x ${kind}`);

    const store = createStoreClient(storePart(loadMesh(workspace.meshFile)));
    let account: Account;
    try {
      account = await Promise.race([
        accountFor(store, { fromMs, sent: result.sent, processes: proxiesOf(config).length }),
        processes.failure,
      ]);
    } finally {
      await store.close();
    }
    progress.step('stored', account.text);
    const megabytes = memoryBytes === undefined ? undefined : Math.round(memoryBytes / 2 ** 20);
    progress.step(
      'used',
      `${megabytes === undefined ? 'memory not known on this system' : `${megabytes} MB of memory at most (PSS, all processes)`}, ` +
        `first request after ${firstRequestS.toFixed(1)} s`,
    );
    for (const report of ['gateway-vs-mesh', 'attribution']) {
      await runAzimuth(
        [
          ...['report', report],
          ...['--from', new Date(fromMs).toISOString()],
          ...['--to', new Date(toMs).toISOString()],
          ...['--mesh', workspace.meshFile],
        ],
        options.json ? 'stderr' : 'inherit',
      );
    }
    progress.text(lookFurther(stage));
    if (options.keep && !stopped.aborted) await stayUp(stage, load, count);
    if (options.json) {
      const figures = figuresOf(options, result, account, memoryBytes, firstRequestS);
      process.stdout.write(JSON.stringify(figures) + '\n');
    }
    return account.complete && result.errors === 0 ? 0 : 1;
  } finally {
    clearInterval(measuring);
  }
}

/** Kills the collector while the load runs and starts it again, when that was asked for. */
async function killCollector(stage: Stage, load: Promise<LoadResult>): Promise<void> {
  const { options, processes, progress, config, workspace } = stage;
  if (options.killCollectorAtS === undefined) return;
  const over = load.then(() => 'over' as const);
  if ((await Promise.race([sleep(options.killCollectorAtS * 1000), over])) === 'over') return;
  await processes.kill('collector');
  progress.step('fault', 'collector killed (-9)');
  await sleep(COLLECTOR_AWAY_MS);
  processes.start({
    name: 'collector',
    args: [AZIMUTH, 'collector', '--mesh', workspace.meshFile],
    readyUrl: `${urlOf(config.collector.admin)}/readyz`,
  });
  await processes.ready('collector');
  progress.step('fault', 'collector is back');
}

/** Gentle traffic until Ctrl-C. */
async function stayUp(
  { processes, progress, stopped }: Stage,
  load: { url: string; seed: number },
  firstNumber: number,
): Promise<void> {
  progress.step('up', `gentle traffic, ${GENTLE_RATE_PER_S} requests a second, until Ctrl-C`);
  const gentle = runLoad({
    ...load,
    ratePerS: GENTLE_RATE_PER_S,
    count: undefined,
    signal: stopped,
    firstNumber,
  });
  const result = await Promise.race([gentle, processes.failure]);
  progress.step('sent', loadText(result));
}

/** Runs an azimuth command to its end. Throws DemoFailure when it fails. */
async function runAzimuth(
  args: readonly string[],
  stdout: 'inherit' | 'stderr' | 'ignore',
): Promise<void> {
  const child = spawn(process.execPath, [AZIMUTH, ...args], {
    stdio: ['ignore', stdout === 'stderr' ? 2 : stdout, 'inherit'],
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.once('exit', (status) => resolve(status ?? 1));
    child.once('error', reject);
  });
  if (code !== 0) throw new DemoFailure(`azimuth ${args[0] ?? ''} ended with exit code ${code}`);
}

async function stopAll(processes: Processes, config: MeshConfig): Promise<void> {
  await processes.stop(proxiesOf(config).map(({ name }) => name));
  await processes.stop(config.workloads.map(({ name }) => name));
  await processes.stop(['collector']);
  await processes.stop(['analytics']);
  await processes.stop(['store']);
}

/** Gateways and sidecars: each is a process of its own. */
const proxiesOf = ({ gateways, sidecars }: MeshConfig) => [
  ...gateways.map(({ name, admin }) => ({ name, admin, role: 'gateway' })),
  ...sidecars.map(({ name, admin }) => ({ name, admin, role: 'sidecar' })),
];

function summary({ topology, gateways, sidecars, workloads }: MeshConfig): string {
  const edge = gateways.length === 0 ? 'no gateway' : 'a gateway';
  return `${topology}: ${edge}, ${sidecars.length} sidecars, ${workloads.length} services`;
}

function lookFurther({ options, workspace, config }: Stage): string {
  const query = 'SELECT EdgeClass, count() FROM azimuth.spans WHERE HopVersion > 0 GROUP BY 1';
  // Commands find the mesh file of the usual folder by themselves.
  const mesh = options.folder === DEFAULT_FOLDER ? '' : ` --mesh ${workspace.meshFile}`;
  const up = options.keep
    ? 'everything keeps running until Ctrl-C'
    : 'with --keep everything keeps running: npm run demo -- --keep';
  return `
  Look further (${up})
    live page       ${urlOf(config.analytics)}/
    one request     curl ${entrance(config)}/api/products/42
    SQL             npx azimuth sql "${query}"${mesh}
    over HTTP       curl -u azimuth:${workspace.password} '${config.store.url}/?query=${encodeURIComponent(query)}'
    other reading   npx azimuth report gateway-vs-mesh --perspective whole${mesh}
    one route       npx azimuth report attribution --route '/api/products/{id}'${mesh}
    every hop       npx azimuth reconcile${mesh}
    API             ${urlOf(config.analytics)}/api/gateway-vs-mesh?last=5m&perspective=split
    logs, mesh      ${options.folder}/logs, ${workspace.meshFile} (npx azimuth check ${workspace.meshFile})

  Try   npm run demo -- --rate 200        npm run demo -- --kill-collector-at 10
        npm run demo -- --transport kafka    npm run demo -- --topology merged

`;
}

/** The line of `--json`. */
function figuresOf(
  options: DemoOptions,
  load: LoadResult,
  account: Account,
  memoryBytes: number | undefined,
  firstRequestS: number,
): Record<string, unknown> {
  const rounded = (value: number): number => Math.round(value * 100) / 100;
  return {
    requests_sent: load.sent,
    requests_answered: load.answered,
    errors: load.errors,
    faults_made_up: load.faultsMadeUp,
    ...account.figures,
    latency_p50_ms: rounded(load.p50Ms),
    latency_p90_ms: rounded(load.p90Ms),
    latency_p99_ms: rounded(load.p99Ms),
    memory_pss_bytes: memoryBytes ?? null,
    first_request_s: rounded(firstRequestS),
    seconds: options.seconds,
    rate: options.ratePerS,
    seed: options.seed,
    transport: options.transport,
    topology: options.topology,
    collector_killed_at_s: options.killCollectorAtS ?? null,
  };
}
