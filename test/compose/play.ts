/**
 * Plays docker-compose.yml without containers: the command of each service as a process of this
 * machine, with the file's own environment, order, health checks and mesh file.
 *
 *   container              here
 *   its network            an address of loopback of its own, 127.77.x.y; that of its sidecar where shared
 *   its host name          that address, wherever files, commands and variables name it
 *   0.0.0.0, 127.0.0.1     that address
 *   extra_hosts            the same, by a module that is loaded first (extra-hosts.ts)
 *   a mounted file         where it is
 *   a named volume         a folder, the same for all containers; Kafka's and ClickHouse's images have their own
 *   a port                 one that is free here, the same for all containers
 *   Kafka's image          a real broker with the settings that the image would make of its environment
 *   ClickHouse's image     the embedded store; it has one user, the writer (store-users.test.ts has the rights)
 *   Prometheus' image      the program of this machine, scraping each second
 *
 * What it cannot play: images of others, so no Grafana. Linux only: elsewhere 127/8 is one address.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startKafka, type RunningKafka } from '../../demo/kafka-broker.ts';
import { freePorts } from '../helpers/free-ports.ts';
import { until } from '../helpers/until.ts';
import {
  demoEnvironment,
  imageEntrypoint,
  ROOT,
  servicesOf,
  type ComposeFile,
  type ComposeService,
} from './compose-file.ts';

/** A busy machine starts two dozen processes slowly. */
const HEALTHY_WITHIN_MS = 90_000;

const EXTRA_HOSTS = new URL('./extra-hosts.ts', import.meta.url).href;

/** Of Kafka's environment: where it listens and keeps its data, which is not the same here. */
const KAFKA_PLACES =
  /^KAFKA_(LISTENERS|ADVERTISED_LISTENERS|LISTENER_SECURITY_PROTOCOL_MAP|CONTROLLER_QUORUM_VOTERS|LOG_DIRS|HEAP_OPTS)$/;

export interface Played {
  /** A text of the compose or mesh file as the container has it to be here. */
  readonly translate: (text: string, container: string) => string;
  /** The mesh file as a container gets it. */
  readonly meshFile: (container: string) => string;
  /** What it must have in its environment, without what this machine adds. */
  readonly environment: (container: string) => Record<string, string>;
  /** SIGTERM; resolves with exit code and output when it has ended by itself. */
  readonly end: (container: string) => Promise<{ code: number | null; output: string }>;
  /** Ends whatever runs, users before what they use. Safe to call twice. */
  readonly stop: () => Promise<void>;
}

interface Running {
  readonly process: ChildProcess;
  readonly log: string;
  readonly ended: Promise<number | null>;
}

/**
 * Starts all services of a profile but those of `without`; resolves when all are healthy or, jobs,
 * have ended well. Rejects with the log of the first that did not, and ends the others.
 */
export async function play(
  compose: ComposeFile,
  profile: string,
  without: readonly string[],
  folder: string,
): Promise<Played> {
  const services = new Map(
    servicesOf(compose, profile).filter(([name]) => !without.includes(name)),
  );
  const meshText = readFileSync(join(ROOT, compose.configs['mesh']!.file), 'utf8');
  const ports = await portMap(`${meshText} port: ${PROMETHEUS_PORT}`);
  const networkOf = (name: string): string =>
    /^service:(.*)$/.exec(services.get(name)?.network_mode ?? '')?.[1] ?? name;
  const addresses = addressMap([...services.keys()].map(networkOf));
  const running = new Map<string, Running>();
  const order: string[] = [];
  let kafka: RunningKafka | undefined;

  const translate = (text: string, container: string): string => {
    let out = text.replace(/\b(127\.0\.0\.1|0\.0\.0\.0)\b/g, addresses.get(networkOf(container))!);
    for (const [host, address] of addresses) {
      out = out
        .replace(new RegExp(`(?<![\\w.-])${host}(?=:\\d)`, 'g'), address)
        .replace(new RegExp(`(?<=machine: )${host}$`, 'gm'), address);
    }
    return out.replace(/(?<=port: |:)\d{4,5}\b/g, (port) => String(ports.get(port) ?? port));
  };
  const meshFile = (container: string): string => join(folder, container, 'mesh.yaml');
  const environment = (container: string): Record<string, string> => {
    const own: Record<string, string> = {};
    for (const [name, given] of Object.entries(services.get(container)!.environment ?? {})) {
      const value = String(given);
      own[name] = name === 'PORT' ? String(ports.get(value)) : translate(value, container);
    }
    if ('AZIMUTH_MESH' in own) own['AZIMUTH_MESH'] = meshFile(container);
    const certificates = mounted(services.get(container)!, CERTIFICATES, folder);
    if (certificates !== CERTIFICATES) own['AZIMUTH_CERTS'] = certificates;
    if (own['AZIMUTH_STORE_USER'] === 'azimuth_owner') Object.assign(own, writer());
    if ('AZIMUTH_READER_PASSWORD' in own) {
      own['AZIMUTH_READER_PASSWORD'] = writer().AZIMUTH_STORE_PASSWORD;
    }
    // Its loopback: the address that its sidecar shares.
    if ('PORT' in own) own['HOST'] = addresses.get(networkOf(container))!;
    return own;
  };
  const spawnHere = (
    container: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    program = process.execPath,
  ): Running => {
    const log = join(folder, container, 'log');
    const file = openSync(log, 'a');
    const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', file, file] });
    closeSync(file);
    const ended = new Promise<number | null>((resolve) => {
      child.once('exit', resolve);
      child.once('error', () => resolve(null));
    });
    const one = { process: child, log, ended };
    running.set(container, one);
    order.push(container);
    return one;
  };

  const start = async (container: string, service: ComposeService): Promise<void> => {
    mkdirSync(join(folder, container), { recursive: true });
    // A proxy's listeners are at its own machine's address, in whoever's copy of the file.
    // The embedded store's one user reads, too.
    const asWriter = meshText.replace('user: azimuth_reader', 'user: azimuth_writer');
    const parts = asWriter.split(/^(?= {2}- name: )/m).map((part) => {
      const machine = /^ {4}machine: (\S+)$/m.exec(part)?.[1];
      return translate(part, machine ?? container);
    });
    writeFileSync(meshFile(container), parts.join(''));
    if (container === 'kafka') {
      kafka = await startKafka({
        port: ports.get('19092')!,
        properties: kafkaProperties(service),
        dir: join(folder, 'kafka-data'),
      });
      return;
    }
    if (container === 'clickhouse') {
      const store = ['bin/azimuth.js', 'store', '--data', join(folder, 'store')];
      const env = { AZIMUTH_MESH: meshFile(container), ...writer() };
      const url = `http://${addresses.get(container)!}:${ports.get('8123')!}/readyz`;
      const one = spawnHere(container, store, env);
      await untilHealthy(one, () =>
        fetch(url)
          .then(({ ok }) => ok)
          .catch(() => false),
      );
      return;
    }
    if (container === 'prometheus') {
      const dir = join(folder, container);
      for (const volume of service.volumes ?? []) {
        const [source = '', target = ''] = volume.split(':');
        if (!source.startsWith('./')) continue;
        const text = translate(readFileSync(join(ROOT, source), 'utf8'), container);
        const often = text.replace(/^( *(?:scrape|evaluation)_interval:).*$/gm, '$1 1s');
        writeFileSync(join(dir, target.split('/').at(-1)!), often);
      }
      const address = `${addresses.get(container)!}:${ports.get(PROMETHEUS_PORT)!}`;
      const args = [
        `--config.file=${join(dir, 'prometheus.yaml')}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        `--web.listen-address=${address}`,
      ];
      const one = spawnHere(container, args, { PATH: process.env['PATH'] }, 'prometheus');
      await untilHealthy(one, () =>
        fetch(`http://${address}/-/ready`)
          .then(({ ok }) => ok)
          .catch(() => false),
      );
      return;
    }
    // Node's own image has no entry point that matters.
    const entrypoint = service.image.startsWith('node:') ? [] : imageEntrypoint();
    const [program, ...args] = [...(service.entrypoint ?? entrypoint), ...(service.command ?? [])];
    assert.equal(program, 'node', container);
    const here = args.map((word) => mounted(service, translate(word, container), folder));
    const hosts = services.get(networkOf(container))?.extra_hosts;
    const preload = hosts === undefined ? [] : ['--import', EXTRA_HOSTS];
    const one = spawnHere(container, [...preload, ...here], {
      ...environment(container),
      ...(hosts === undefined ? {} : { EXTRA_HOSTS: translate(hosts.join(' '), container) }),
    });
    if (service.restart?.startsWith('on-failure') === true) {
      const code = await one.ended;
      if (code !== 0) throw new Error(`${container} ended with ${code}:\n${tail(one.log)}`);
      return;
    }
    const [kind, checker, ...check] = service.healthcheck?.test ?? [];
    if (kind === undefined) return;
    assert.deepEqual([kind, checker], ['CMD', 'node'], container);
    await untilHealthy(one, () => succeeds(check.map((word) => translate(word, container))));
  };

  const stop = async (): Promise<void> => {
    for (const container of order.splice(0).reverse()) {
      const one = running.get(container)!;
      one.process.kill('SIGTERM');
      const patience = setTimeout(() => one.process.kill('SIGKILL'), STOP_GRACE_MS);
      await one.ended;
      clearTimeout(patience);
    }
    await kafka?.stop();
  };

  const started = new Map<string, Promise<void>>();
  const up = (container: string): Promise<void> => {
    const known = started.get(container);
    if (known !== undefined) return known;
    const service = services.get(container);
    assert.ok(service !== undefined, `${container} is depended on and not played`);
    const one = Promise.all(Object.keys(service.depends_on ?? {}).map(up)).then(() =>
      start(container, service),
    );
    started.set(container, one);
    return one;
  };
  try {
    await Promise.all([...services.keys()].map(up));
  } catch (error) {
    // The others are on their way still: first they settle, then all are ended.
    for (const { process: child } of running.values()) child.kill('SIGKILL');
    await Promise.allSettled(started.values());
    await stop();
    throw error;
  }
  return {
    translate,
    meshFile,
    environment,
    async end(container) {
      const { process: child, ended, log } = running.get(container)!;
      child.kill('SIGTERM');
      return { code: await ended, output: readFileSync(log, 'utf8') };
    },
    stop,
  };
}

/** In no mesh file. */
const PROMETHEUS_PORT = '9090';

/** The stack's own patience is longer; here nobody waits for what hangs. */
const STOP_GRACE_MS = 30_000;

/** Where a container has the certificates: identity.dir of the mesh files, unless the environment says. */
const CERTIFICATES = '/var/lib/azimuth/certs';

/** A word that names a file or a volume which the service mounts, as its path here. */
function mounted({ volumes = [] }: ComposeService, word: string, folder: string): string {
  const source = volumes.map((one) => one.split(':')).find(([, target]) => target === word)?.[0];
  if (source === undefined) return word;
  return source.startsWith('./') ? join(ROOT, source) : join(folder, 'volumes', source);
}

/** The one user of the embedded store. */
function writer(): { AZIMUTH_STORE_USER: string; AZIMUTH_STORE_PASSWORD: string } {
  const password = demoEnvironment()['AZIMUTH_WRITER_PASSWORD']!;
  return { AZIMUTH_STORE_USER: 'azimuth_writer', AZIMUTH_STORE_PASSWORD: password };
}

/** A free port for each that the mesh file names. */
async function portMap(meshText: string): Promise<Map<string, number>> {
  const named = [...meshText.matchAll(/(?:port: |:)(\d{4,5})\b/g)].map(([, port]) => port!);
  const distinct = [...new Set(named)];
  const free = await freePorts(distinct.length);
  return new Map(distinct.map((port, i) => [port, free[i]!]));
}

/** An address for each network. The broker's listeners are on 127.0.0.1. */
function addressMap(networks: readonly string[]): Map<string, string> {
  const block = 1 + Math.floor(Math.random() * 250);
  return new Map(
    [...new Set(networks)].map((name, i) => [
      name,
      name === 'kafka' ? '127.0.0.1' : `127.77.${block}.${i + 1}`,
    ]),
  );
}

/** As the image does: KAFKA_LOG_RETENTION_HOURS is log.retention.hours. */
function kafkaProperties({ environment = {} }: ComposeService): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment)
      .filter(([name]) => name.startsWith('KAFKA_') && !KAFKA_PLACES.test(name))
      .map(([name, value]) => [
        name.slice('KAFKA_'.length).toLowerCase().replaceAll('_', '.'),
        String(value),
      ]),
  );
}

async function untilHealthy(one: Running, probe: () => Promise<boolean>): Promise<void> {
  let left: number | null | undefined;
  void one.ended.then((code) => (left = code));
  await until(async () => {
    if (left !== undefined) throw new Error(`ended with ${left}:\n${tail(one.log)}`);
    return probe();
  }, HEALTHY_WITHIN_MS).catch((error: unknown) => {
    throw new Error(`${one.log}: ${String(error)}\n${tail(one.log)}`, { cause: error });
  });
}

const succeeds = (args: readonly string[]): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    child.once('exit', (code) => resolve(code === 0));
    child.once('error', () => resolve(false));
  });

const tail = (file: string): string => readFileSync(file, 'utf8').slice(-2_000);
