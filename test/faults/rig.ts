/**
 * The processes of the fault matrix, all real:
 *
 *   load ─► gateway ─► sidecar ─► application        store ◄── front ◄── collector
 *              └──────────┴──── OTLP, or Kafka of one broker or three ───────┘
 *
 * The gateway and the sidecar record one hop for each request. The store is read past its front.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startKafka, type RunningKafka } from '../../demo/kafka-broker.ts';
import { createProcesses, type Processes } from '../../demo/processes.ts';
import { silentLog } from '../../runtime/log.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import { openKafka } from '../../transport/kafka/kafka-connection.ts';
import { ensureTopics } from '../../transport/kafka/kafka-topics.ts';
import { freePorts } from '../helpers/free-ports.ts';
import { startBrokerFront, type BrokerFront } from './broker-front.ts';
import { startStoreFront, type StoreFront } from './store-front.ts';

export interface RigSettings {
  readonly transport: 'otlp' | 'kafka';
  /** Kafka brokers; each topic has a replica on every one. */
  readonly brokers: 1 | 3;
  /** A disk of so many bytes for what, beside the usual one. Needs root. */
  readonly smallDisk?: 'spool' | 'store' | undefined;
  /** The broker refuses record batches of spans above so many bytes. */
  readonly batchBytesMax?: number | undefined;
}

/** Names of processes. `second` is a further collector of the same group, not started at first. */
export type Proc = (typeof PROCS)[number];
const PROCS = ['store', 'app', 'gateway', 'sidecar', 'collector', 'second'] as const;

export interface Rig {
  readonly settings: RigSettings;
  readonly url: string;
  readonly front: StoreFront;
  readonly brokers: readonly RunningKafka[];
  readonly brokerFront: BrokerFront | undefined;
  /** The store itself, past its front. */
  readonly store: StoreClient;
  /** Folder of the small disk. */
  readonly diskFolder: string;
  readonly otlpUrl: string;
  readonly bootstrap: readonly string[];
  /** Starts it; resolves when it answers ready. `nodeArgs` stand before the program. */
  start(name: Proc, nodeArgs?: readonly string[]): Promise<void>;
  /** SIGTERM, and waits for the end. */
  stop(name: Proc): Promise<void>;
  kill9(name: Proc): Promise<void>;
  signal(name: Proc, signal: NodeJS.Signals): void;
  /** Highest resident memory of a running process so far, bytes; undefined where it is not known. */
  peakRssBytes(name: Proc): number | undefined;
  /** Runs an azimuth command on the store, past the front. */
  azimuth(...args: string[]): Promise<{ code: number; out: string; err: string }>;
  /** Rejects when a process ended that nobody stopped. */
  readonly failure: Promise<never>;
  close(): Promise<void>;
}

/** The kind of a topic among the resources that Kafka keeps a configuration of. */
const TOPIC_RESOURCE = 2;

export const TOPICS = { traces: 'otlp_spans', logs: 'otlp_logs' } as const;
export const PARTITIONS = 4;
const AZIMUTH = fileURLToPath(new URL('../../bin/azimuth.js', import.meta.url));
const UPSTREAM = fileURLToPath(new URL('./upstream.ts', import.meta.url));
const HOST = '127.0.0.1';
const PASSWORD = 'of the fault matrix';
/** Full within seconds. The engine needs 64 MB for itself. */
export const DISK_BYTES = { spool: 1024 * 1024, store: 192 * 1024 * 1024 } as const;

interface Ports {
  readonly store: number;
  readonly app: number;
  readonly gateway: number;
  readonly gatewayAdmin: number;
  readonly inbound: number;
  readonly outbound: number;
  readonly sidecarAdmin: number;
  readonly otlp: number;
  readonly collectorAdmin: number;
  readonly grpc: number;
  readonly otlp2: number;
  readonly collectorAdmin2: number;
  readonly grpc2: number;
}

/** True where a disk of a given size can be made: root, and a kernel that lets us. */
export function canMakeDisks(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-disk-'));
  try {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]).status !== 0)
      return false;
    spawnSync('umount', [folder]);
    return true;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts everything but the second collector. What was started is ended when it fails. */
export async function startRig(settings: RigSettings): Promise<Rig> {
  const rig = new RealRig(settings);
  try {
    await rig.open();
  } catch (error) {
    await rig.close();
    throw error;
  }
  return rig;
}

class RealRig implements Rig {
  readonly settings: RigSettings;
  readonly brokers: RunningKafka[] = [];
  brokerFront: BrokerFront | undefined;
  front!: StoreFront;
  store!: StoreClient;
  readonly diskFolder: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'azimuth-faults-'));
  readonly #processes: Processes;
  #ports!: Ports;
  #mounted = false;

  constructor(settings: RigSettings) {
    this.settings = settings;
    this.diskFolder = join(this.#folder, 'disk');
    mkdirSync(join(this.#folder, 'logs'));
    mkdirSync(this.diskFolder);
    this.#processes = createProcesses({
      logsFolder: join(this.#folder, 'logs'),
      pidsFile: join(this.#folder, 'pids.json'),
    });
  }

  get url(): string {
    return `http://${HOST}:${this.#ports.gateway}`;
  }

  get otlpUrl(): string {
    return `http://${HOST}:${this.#ports.otlp}`;
  }

  get bootstrap(): readonly string[] {
    if (this.brokerFront !== undefined) return [`${HOST}:${this.brokerFront.port}`];
    return this.brokers.flatMap((broker) => broker.brokers);
  }

  get failure(): Promise<never> {
    return this.#processes.failure;
  }

  async open(): Promise<void> {
    const { smallDisk } = this.settings;
    if (smallDisk !== undefined) this.#mount(DISK_BYTES[smallDisk]);
    this.#ports = await choosePorts();
    this.front = await startStoreFront();
    this.front.target = `http://${HOST}:${this.#ports.store}`;
    this.store = createStoreClient({
      url: this.front.target,
      database: 'azimuth',
      user: 'azimuth',
      password: PASSWORD,
    });
    const kafka = this.settings.transport === 'kafka' ? this.#startKafka() : Promise.resolve();
    writeFileSync(join(this.#folder, '.env'), `AZIMUTH_STORE_PASSWORD=${PASSWORD}\n`);
    this.#writeMesh('store.yaml', 'otlp', this.front.target);
    await Promise.all([this.start('store'), this.start('app'), kafka]);
    const { transport } = this.settings;
    this.#writeMesh('mesh.yaml', transport, this.front.url);
    this.#writeMesh('second.yaml', transport, this.front.url, true);
    await Promise.all([this.start('collector'), this.start('sidecar'), this.start('gateway')]);
  }

  async #startKafka(): Promise<void> {
    const count = this.settings.brokers;
    const ports = await freePorts(2 * count);
    const controllerPorts = ports.slice(count);
    if (count === 1) {
      const front = await startBrokerFront();
      this.brokerFront = front;
      front.targetPort = ports[0]!;
      this.brokers.push(await startKafka({ port: ports[0]!, advertisedPort: front.port }));
    } else {
      const members = controllerPorts.map((_, i) =>
        startKafka({ port: ports[i]!, member: { id: i + 1, controllerPorts } }),
      );
      const started = await Promise.allSettled(members);
      for (const one of started) if (one.status === 'fulfilled') this.brokers.push(one.value);
      for (const one of started) if (one.status === 'rejected') throw one.reason;
    }
    await ensureTopics({
      brokers: this.bootstrap,
      topics: Object.values(TOPICS),
      partitions: PARTITIONS,
      replication: count,
    });
    const { batchBytesMax } = this.settings;
    if (batchBytesMax !== undefined) await this.#limitBatches(batchBytesMax);
  }

  async #limitBatches(bytesMax: number): Promise<void> {
    const { kafka, abort } = openKafka({
      brokers: this.bootstrap,
      clientId: 'faults',
      log: silentLog,
    });
    const admin = kafka.admin();
    await admin.connect();
    const configEntries = [{ name: 'max.message.bytes', value: String(bytesMax) }];
    await admin.alterConfigs({
      validateOnly: false,
      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum stays behind the door
      resources: [{ type: TOPIC_RESOURCE, name: TOPICS.traces, configEntries }],
    });
    await admin.disconnect();
    abort();
  }

  async start(name: Proc, nodeArgs: readonly string[] = []): Promise<void> {
    const ports = this.#ports;
    const azimuth = (file: string, port: number, ...args: string[]) => ({
      name,
      args: [...nodeArgs, AZIMUTH, ...args, '--mesh', join(this.#folder, file)],
      readyUrl: `http://${HOST}:${port}/readyz`,
    });
    const data = this.settings.smallDisk === 'store' ? this.diskFolder : `${this.#folder}/data`;
    const settings = {
      store: () => azimuth('store.yaml', ports.store, 'store', '--data', data),
      app: () => ({
        name,
        args: [UPSTREAM],
        env: { PORT: String(ports.app) },
        readyUrl: `http://${HOST}:${ports.app}/`,
      }),
      gateway: () => azimuth('mesh.yaml', ports.gatewayAdmin, 'gateway', '--name', 'edge'),
      sidecar: () => azimuth('mesh.yaml', ports.sidecarAdmin, 'sidecar', '--name', 'app-sidecar'),
      collector: () => azimuth('mesh.yaml', ports.collectorAdmin, 'collector'),
      second: () => azimuth('second.yaml', ports.collectorAdmin2, 'collector'),
    }[name]();
    this.#processes.start(settings);
    await this.#processes.ready(name);
  }

  stop(name: Proc): Promise<void> {
    return this.#processes.stop([name]);
  }

  kill9(name: Proc): Promise<void> {
    return this.#processes.kill(name);
  }

  signal(name: Proc, signal: NodeJS.Signals): void {
    const pid = this.#processes.pid(name);
    if (pid !== undefined) process.kill(pid, signal);
  }

  peakRssBytes(name: Proc): number | undefined {
    try {
      const status = readFileSync(`/proc/${this.#processes.pid(name) ?? 'gone'}/status`, 'utf8');
      return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    } catch {
      return undefined;
    }
  }

  async azimuth(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const mesh = ['--mesh', join(this.#folder, 'store.yaml')];
    const child = spawn(process.execPath, [AZIMUTH, ...args, ...mesh], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<number>((resolve) =>
      child.once('close', (code) => resolve(code ?? 1)),
    );
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, out, err };
  }

  async close(): Promise<void> {
    // A frozen one would not hear the SIGTERM.
    for (const name of PROCS) this.signal(name, 'SIGCONT');
    await this.#processes.stop(['gateway', 'sidecar']);
    await this.#processes.stop(['collector', 'second', 'app']);
    await this.#processes.stop(['store']);
    await Promise.all(this.brokers.map((broker) => broker.stop()));
    await this.brokerFront?.stop();
    await (this.store as StoreClient | undefined)?.close();
    await (this.front as StoreFront | undefined)?.stop();
    if (this.#mounted) spawnSync('umount', [this.diskFolder]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #mount(bytes: number): void {
    const args = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', this.diskFolder];
    const { status, stderr } = spawnSync('mount', args);
    if (status !== 0) throw new Error(`mount failed: ${stderr.toString()}`);
    this.#mounted = true;
  }

  #writeMesh(
    file: string,
    transport: RigSettings['transport'],
    storeUrl: string,
    second = false,
  ): void {
    const p = this.#ports;
    const { smallDisk } = this.settings;
    const pipe =
      transport === 'otlp'
        ? `otlp: { endpoint: "http://${HOST}:${p.otlp}" }`
        : `kafka: { brokers: ${JSON.stringify(this.bootstrap)} }`;
    // Few hops in memory, so that the disk is needed at once.
    const spool = smallDisk === 'spool' ? '\n  queue_hops_max: 200\n  spool: { dir: disk }' : '';
    writeFileSync(
      join(this.#folder, file),
      `file_format: "1.0"
mesh: faults
telemetry:
  transport: ${transport}
  ${pipe}
  # Each request has a path of its own, by which its rows are found.
  path: keep
  state_dir: state${spool}
store: { url: "${storeUrl}", password: "\${env:AZIMUTH_STORE_PASSWORD}" }
collector:
  otlp_http: { port: ${second ? p.otlp2 : p.otlp} }
  otlp_grpc: { port: ${second ? p.grpc2 : p.grpc} }
  admin: { port: ${second ? p.collectorAdmin2 : p.collectorAdmin} }
gateways:
  - name: edge
    listen: { port: ${p.gateway} }
    admin: { port: ${p.gatewayAdmin} }
    routes: [{ path: "/*", to: app }]
workloads:
  - { name: app, address: "${HOST}:${p.app}" }
sidecars:
  - name: app-sidecar
    admin: { port: ${p.sidecarAdmin} }
    serves:
      - workload: app
        inbound: { port: ${p.inbound}, mesh_only: true }
        outbound: { port: ${p.outbound} }
`,
    );
  }
}

async function choosePorts(): Promise<Ports> {
  const ports = await freePorts(13);
  const take = (): number => ports.pop()!;
  return {
    ...{ store: take(), app: take(), gateway: take(), gatewayAdmin: take() },
    ...{ inbound: take(), outbound: take(), sidecarAdmin: take() },
    ...{ otlp: take(), collectorAdmin: take(), grpc: take() },
    ...{ otlp2: take(), collectorAdmin2: take(), grpc2: take() },
  };
}
