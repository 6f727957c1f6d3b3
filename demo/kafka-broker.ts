/**
 * One real Apache Kafka on this machine, for the demo (`--transport kafka`) and for the tests: a
 * KRaft broker from Maven Central's jars, in a folder of its own, without Docker; alone, or one of
 * several that make a cluster.
 *
 *   jars (once, 43 MB, .azimuth/kafka-libs) -> format the folder (first start) -> start -> ready
 *
 * Needs `java` (17 or newer) and, for the first start, `mvn`. It listens on loopback only, and it
 * must never be left behind: it dies with the process that started it.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, closeSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listTopics } from '../transport/kafka/kafka-topics.ts';

/** Version of the jars; the measurements of the Kafka discipline were made with it. */
const KAFKA_VERSION = '4.4.0';
/** Any 22 characters of base64url: the id of the cluster. */
const CLUSTER_ID = '4L6g3nShT-eMCtK--X86sw';
/** A fresh broker opens its port after 2 s; one that was killed waits up to 14 s for its old session. */
const READY_WITHIN_MS = 60_000;

export interface KafkaSettings {
  /** Folder for the data and the log; default: a new one below the system's, removed by `stop()`. */
  readonly dir?: string;
  /** Client port; default: a free one. */
  readonly port?: number;
  /** Port that clients are told to use instead of `port`: that of something in between. */
  readonly advertisedPort?: number;
  /** Which of several brokers it is; default: the only one. All must be started at once. */
  readonly member?: ClusterMember;
  /** A second listener over TLS, with client certificates and SASL, beside the plain one. */
  readonly secure?: KafkaSecurity;
  /** More of server.properties; they win over what is set here. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Folder for the jars; default: $AZIMUTH_KAFKA_LIBS, else .azimuth/kafka-libs of the project. */
  readonly libs?: string;
}

export interface ClusterMember {
  /** 1.. */
  readonly id: number;
  /** Port of each member's controller, that of member 1 first. */
  readonly controllerPorts: readonly number[];
}

export interface KafkaSecurity {
  /** PEM file: the broker's private key (PKCS 8), and its certificate with its chain. */
  readonly keystore: string;
  /** PEM file: the authority of the certificates that clients must have. */
  readonly truststore: string;
  /** Who may come in, by PLAIN and by SCRAM. */
  readonly user: string;
  readonly password: string;
}

export interface RunningKafka {
  /** `host:port` of the broker, as a client wants it. */
  readonly brokers: readonly string[];
  /** The same for the secure listener; empty without one. */
  readonly secureBrokers: readonly string[];
  readonly dir: string;
  /** Process id while it runs. */
  pid(): number | undefined;
  /** SIGTERM, waits for the end, removes the folder unless it was given. Safe to call twice. */
  stop(): Promise<void>;
  /** Ends the broker without any farewell; `start()` brings it back with its data. */
  kill9(): Promise<void>;
  /** SIGTERM without removing anything; `start()` brings it back with its data. */
  halt(): Promise<void>;
  /** Starts it again on the same port and data; resolves when it answers. */
  start(): Promise<void>;
}

/** What is missing on this machine to run Kafka, in words for people; undefined when all is there. */
export function kafkaMissing(libs = defaultLibs()): string | undefined {
  if (spawnSync('java', ['-version'], { stdio: 'ignore' }).status !== 0)
    return 'java is not installed (Debian: apt-get install openjdk-17-jre-headless)';
  if (existsSync(libs)) return undefined;
  if (spawnSync('mvn', ['-v'], { stdio: 'ignore' }).status !== 0)
    return 'mvn is not installed, and it must fetch the jars once (Debian: apt-get install maven)';
  return undefined;
}

/**
 * Starts a broker and waits until it answers.
 * @throws Error with the end of the broker's log when it ends or does not answer in 60 s.
 */
export async function startKafka(settings: KafkaSettings = {}): Promise<RunningKafka> {
  const libs = settings.libs ?? defaultLibs();
  const missing = kafkaMissing(libs);
  if (missing !== undefined) throw new Error(`Kafka cannot be started: ${missing}`);
  await fetchJars(libs);

  const dir = settings.dir ?? mkdtempSync(join(tmpdir(), 'azimuth-kafka-'));
  mkdirSync(dir, { recursive: true });
  const port = settings.port ?? (await freePort());
  const config = join(dir, 'server.properties');
  const { secure } = settings;
  const securePort = secure === undefined ? undefined : await freePort();
  const member = settings.member ?? { id: 1, controllerPorts: [await freePort()] };
  const ports = { port, advertisedPort: settings.advertisedPort ?? port, securePort };
  // Of a key that comes twice, Java takes the last.
  const more = Object.entries(settings.properties ?? {}).map(([key, value]) => `${key}=${value}\n`);
  await writeFile(config, properties(join(dir, 'data'), ports, member, secure) + more.join(''));
  const java = (...args: string[]): string[] => [
    '-Xms64m',
    '-Xmx256m',
    '-XX:+UseSerialGC',
    // Half the start-up time and a quarter less memory; peak throughput is not asked for here.
    '-XX:TieredStopAtLevel=1',
    '-XX:MaxMetaspaceSize=128m',
    '-Djava.net.preferIPv4Stack=true',
    // A broker that is killed leaves the native libraries it has unpacked.
    `-Djava.io.tmpdir=${dir}`,
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
    '-Dorg.slf4j.simpleLogger.showDateTime=true',
    '-cp',
    join(libs, '*'),
    ...args,
  ];
  const logFile = join(dir, 'broker.log');
  if (!existsSync(join(dir, 'data', 'meta.properties'))) {
    const format = ['format', ...quorumOf(member), '-t', CLUSTER_ID, '-c', config];
    for (const mechanism of secure === undefined ? [] : SCRAM) {
      const { user, password } = secure!;
      format.push('--add-scram', `${mechanism}=[name=${user},password=${password}]`);
    }
    await run('java', java('kafka.tools.StorageTool', ...format), logFile);
  }

  let child: ChildProcess | undefined;
  const killAtExit = (): void => void child?.kill('SIGKILL');
  process.on('exit', killAtExit);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    await ended;
  };
  const kafka: RunningKafka = {
    brokers: [`127.0.0.1:${port}`],
    secureBrokers: securePort === undefined ? [] : [`127.0.0.1:${securePort}`],
    dir,
    pid: () => child?.pid,
    async start() {
      if (child !== undefined) return;
      const log = openSync(logFile, 'a');
      // A process group of its own: Ctrl-C on a terminal must not end it before its users.
      child = spawn('java', java('kafka.Kafka', config), {
        stdio: ['ignore', log, log],
        detached: true,
      });
      closeSync(log);
      try {
        await untilReady(child, port);
      } catch (error) {
        await end('SIGKILL');
        throw new Error(`${String(error)}; the end of ${logFile}:\n${tail(logFile)}`, {
          cause: error,
        });
      }
    },
    kill9: () => end('SIGKILL'),
    halt: () => end('SIGTERM'),
    async stop() {
      // The last members of a cluster would wait for a quorum for ever.
      await end(settings.member === undefined ? 'SIGTERM' : 'SIGKILL');
      process.off('exit', killAtExit);
      if (settings.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
  try {
    await kafka.start();
  } catch (error) {
    await kafka.stop();
    throw error;
  }
  return kafka;
}

function defaultLibs(): string {
  const given = process.env['AZIMUTH_KAFKA_LIBS'];
  return given ?? fileURLToPath(new URL('../.azimuth/kafka-libs', import.meta.url));
}

/** Fetches the jars into `libs` unless they are there. Two processes at once do no harm. */
async function fetchJars(libs: string): Promise<void> {
  if (existsSync(libs)) return;
  mkdirSync(dirname(libs), { recursive: true });
  // Beside the target, so that the rename is atomic: `libs` exists whole or not at all.
  const work = mkdtempSync(join(dirname(libs), 'kafka-fetch-'));
  try {
    await writeFile(join(work, 'pom.xml'), POM);
    const copy = ['dependency:copy-dependencies', '-DincludeScope=runtime'];
    await run(
      'mvn',
      ['-q', '-B', '-f', join(work, 'pom.xml'), ...copy, `-DoutputDirectory=${join(work, 'libs')}`],
      join(work, 'mvn.log'),
    );
    await rename(join(work, 'libs'), libs).catch((error: unknown) => {
      // Another process was faster: its jars are the same.
      if (!existsSync(libs)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>azimuth</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
`;

const SCRAM = ['SCRAM-SHA-256', 'SCRAM-SHA-512'];

/** Who votes, as the format command wants it. */
function quorumOf({ controllerPorts }: ClusterMember): string[] {
  if (controllerPorts.length === 1) return ['--standalone'];
  // Each member's folder has an id of its own.
  const voters = controllerPorts.map(
    (port, i) => `${i + 1}@127.0.0.1:${port}:${CLUSTER_ID.slice(0, -2)}${i + 1}w`,
  );
  return ['--initial-controllers', voters.join(',')];
}

function properties(
  dataDir: string,
  ports: { port: number; advertisedPort: number; securePort: number | undefined },
  { id, controllerPorts }: ClusterMember,
  secure: KafkaSecurity | undefined,
): string {
  const { port, advertisedPort, securePort } = ports;
  const secureListener = securePort === undefined ? '' : `,SASL_SSL://127.0.0.1:${securePort}`;
  const others = `${secureListener},CONTROLLER://127.0.0.1:${controllerPorts[id - 1]}`;
  const replicas = controllerPorts.length;
  // Of three replicas two must have a message before it is acknowledged: one broker may die.
  const inSync = Math.ceil(replicas / 2);
  return `process.roles=broker,controller
node.id=${id}
controller.quorum.bootstrap.servers=${controllerPorts.map((p) => `127.0.0.1:${p}`).join(',')}
listeners=PLAINTEXT://127.0.0.1:${port}${others}
advertised.listeners=PLAINTEXT://127.0.0.1:${advertisedPort}${others}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
log.dirs=${dataDir}
auto.create.topics.enable=false
min.insync.replicas=${inSync}
offsets.topic.replication.factor=${replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=${replicas}
transaction.state.log.min.isr=${inSync}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=${replicas}
share.coordinator.state.topic.min.isr=${inSync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
log.retention.bytes=536870912
${secure === undefined ? '' : secureProperties(secure)}`;
}

function secureProperties({ keystore, truststore, user, password }: KafkaSecurity): string {
  const listener = 'listener.name.sasl_ssl';
  const jaas = 'org.apache.kafka.common.security';
  return `sasl.enabled.mechanisms=${['PLAIN', ...SCRAM].join(',')}
${listener}.plain.sasl.jaas.config=${jaas}.plain.PlainLoginModule required user_${user}="${password}";
${SCRAM.map((mechanism) => `${listener}.${mechanism.toLowerCase()}.sasl.jaas.config=${jaas}.scram.ScramLoginModule required;\n`).join('')}${listener}.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=${keystore}
ssl.truststore.type=PEM
ssl.truststore.location=${truststore}
`;
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const until = performance.now() + READY_WITHIN_MS;
  let left: string | undefined;
  child.once('exit', (code, signal) => (left = `the broker ended (${String(code ?? signal)})`));
  child.once('error', (error) => (left = `java did not start: ${error.message}`));
  while (performance.now() < until) {
    if (left !== undefined) throw new Error(left);
    if (await portOpen(port)) {
      // The port opens before the broker may serve: one metadata call tells.
      const answered = await listTopics([`127.0.0.1:${port}`]).catch(() => undefined);
      if (answered !== undefined) return;
    }
    await sleep(50);
  }
  throw new Error(`the broker did not answer within ${READY_WITHIN_MS / 1000} s`);
}

function portOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A port that was free a moment ago. The broker cannot be asked to choose one itself. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

async function run(program: string, args: readonly string[], logFile: string): Promise<void> {
  const log = openSync(logFile, 'a');
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn(program, args, { stdio: ['ignore', log, log] });
      child.once('error', reject);
      child.once('exit', resolve);
    });
    if (code !== 0) throw new Error(`${program} failed (${code ?? 'signal'}):\n${tail(logFile)}`);
  } finally {
    closeSync(log);
  }
}

const tail = (file: string): string => readFileSync(file, 'utf8').slice(-2000);
