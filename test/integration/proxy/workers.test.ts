/** A gateway of two worker processes as an operator runs it: real processes, real signals. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LEDGER_EVENT } from '../../../telemetry/names.ts';
import { readLogs, readTraces } from '../../../telemetry/otlp-objects.ts';
import { decodeHop } from '../../../telemetry/packed-hop.ts';

const MAIN = fileURLToPath(new URL('../../../bin/main.ts', import.meta.url));

interface WorkerLedger {
  readonly worker: number;
  readonly pid: number;
  readonly boot_id: string;
  readonly hops_finished: number;
}

interface ConfigJson {
  readonly generation: number;
  readonly reloads: Record<string, number>;
  readonly refused?: { readonly faults: readonly string[] };
}

async function until<T>(
  look: () => T | false | undefined | Promise<T | false | undefined>,
): Promise<T> {
  for (;;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const listening = async (server: http.Server): Promise<number> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

/** A mesh file names ports: two that were free just now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [http.createServer(), http.createServer()];
  const ports = await Promise.all(servers.map(listening));
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return [ports[0]!, ports[1]!];
}

/** Upstream, collector and a gateway with its mesh file in a folder of its own. */
class WorkersLab {
  readonly ledgers: Map<string, unknown>[] = [];
  /** Sequence numbers that arrived, by boot. */
  readonly seqs = new Map<string, Set<number>>();
  readonly generations = new Set<number>();
  gateway!: ChildProcess;
  log = '';
  folder = '';
  port = 0;
  adminPort = 0;
  upstreamPort = 0;
  /** Requests to /hold wait for it. */
  readonly held: http.ServerResponse[] = [];
  readonly #upstream = http.createServer((req, res) => {
    if (req.url === '/hold') this.held.push(res);
    else res.end('ok');
  });
  readonly #collector = http.createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      this.#collect(req.url ?? '', Buffer.concat(chunks));
      res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });

  async start(): Promise<this> {
    this.folder = await mkdtemp(join(tmpdir(), 'azimuth-workers-'));
    this.upstreamPort = await listening(this.#upstream);
    const collectorPort = await listening(this.#collector);
    [this.port, this.adminPort] = await freePorts();
    await this.writeMesh(collectorPort);
    const args = [MAIN, 'gateway', '--mesh', this.meshFile];
    this.gateway = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, WORKERS_TEST_PASSWORD: 'x' },
    });
    this.gateway.stderr!.on('data', (bytes: Buffer) => (this.log += bytes.toString()));
    await until(() => this.log.includes('"ready"') || this.gateway.exitCode !== null);
    assert.equal(this.gateway.exitCode, null, this.log);
    return this;
  }

  get meshFile(): string {
    return join(this.folder, 'mesh.yaml');
  }

  #mesh = '';
  async writeMesh(collectorPort: number): Promise<void> {
    this.#mesh = [
      'file_format: "1.0"',
      'mesh: workers-test',
      'telemetry:',
      `  otlp: { endpoint: "http://127.0.0.1:${collectorPort}" }`,
      '  state_dir: state',
      'store: { password: "${env:WORKERS_TEST_PASSWORD}" }',
      'gateways:',
      '  - name: edge',
      `    listen: { host: 127.0.0.1, port: ${this.port} }`,
      `    admin: { host: 127.0.0.1, port: ${this.adminPort} }`,
      '    workers: 2',
      '    routes:',
      '      - { path: "/{rest}", to: web }',
      'externals:',
      `  - { name: web, hosts: [web.example], address: "127.0.0.1:${this.upstreamPort}" }`,
      '',
    ].join('\n');
    await this.changeMesh((text) => text);
  }

  async changeMesh(change: (text: string) => string): Promise<void> {
    await writeFile(this.meshFile, change(this.#mesh));
  }

  #collect(url: string, body: Buffer): void {
    if (url.endsWith('/logs')) {
      for (const resource of readLogs(body).resourceLogs) {
        for (const scope of resource.scopeLogs) {
          for (const { attributes } of scope.logRecords) {
            this.ledgers.push(new Map([...resource.resource.attributes, ...attributes]));
          }
        }
      }
      return;
    }
    for (const { resource, scopeSpans } of readTraces(body).resourceSpans) {
      const boot = resource.attributes.get('azimuth.boot_id') as string;
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
        const packed = span.attributes.get('azimuth.hop');
        if (!(packed instanceof Uint8Array)) continue;
        const hop = decodeHop(packed);
        const seqs = this.seqs.get(boot) ?? new Set<number>();
        this.seqs.set(boot, seqs.add(hop.seq));
        this.generations.add(hop.configGeneration);
      }
    }
  }

  async admin<T>(path: string): Promise<T> {
    return (await fetch(`http://127.0.0.1:${this.adminPort}${path}`)).json() as Promise<T>;
  }

  async workers(): Promise<WorkerLedger[]> {
    return (await this.admin<{ workers: WorkerLedger[] }>('/ledger')).workers;
  }

  get(path: string, agent: http.Agent): Promise<number> {
    return new Promise((resolve, reject) => {
      const req = http.get({ host: '127.0.0.1', port: this.port, path, agent }, (res) => {
        res.on('error', reject);
        res.on('end', () => resolve(res.statusCode ?? 0)).resume();
      });
      req.on('error', (error: NodeJS.ErrnoException) => {
        // A kept connection that ends while a request is sent: RFC 9112 section 9.3.1.
        if (req.reusedSocket && error.code === 'ECONNRESET') resolve(this.get(path, agent));
        else reject(error);
      });
    });
  }

  async stopGateway(): Promise<void> {
    if (this.gateway.exitCode !== null || this.gateway.signalCode !== null) return;
    const exited = once(this.gateway, 'exit');
    this.gateway.kill('SIGTERM');
    await exited;
  }

  async stop(): Promise<void> {
    await this.stopGateway();
    for (const server of [this.#upstream, this.#collector]) {
      server.close();
      server.closeAllConnections();
    }
    await rm(this.folder, { recursive: true });
  }
}

/** Runs `body` while a few clients send requests; all of them must be answered with 200. */
async function underLoad(lab: WorkersLab, body: () => Promise<void>): Promise<number> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let goesOn = true;
  let answered = 0;
  const client = async (): Promise<void> => {
    while (goesOn) {
      assert.equal(await lab.get('/a', agent), 200);
      answered++;
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  try {
    await Promise.race([body(), clients]);
  } finally {
    goesOn = false;
    await clients.finally(() => agent.destroy());
  }
  return answered;
}

describe('A gateway of two workers', () => {
  let lab: WorkersLab;
  beforeEach(async () => {
    lab = await new WorkersLab().start();
  });
  afterEach(() => lab.stop());

  it('shares connections, records all of them without a gap, and closes in order', async () => {
    for (let i = 0; i < 20; i++) {
      const agent = new http.Agent({ keepAlive: false });
      assert.equal(await lab.get('/a', agent), 200);
    }
    const counts = (await lab.workers()).map((w) => w.hops_finished);
    assert.equal(counts.length, 2);
    assert.equal(counts[0]! + counts[1]!, 20);
    assert.ok(Math.max(...counts) <= 13, `one has more than 65 %: ${counts.join(', ')}`);
    lab.gateway.kill('SIGTERM');
    const [code] = (await once(lab.gateway, 'exit')) as [number];
    assert.equal(code, 0, lab.log);
    const closing = lab.ledgers.filter((l) => l.get(`${LEDGER_EVENT}.closing`) === true);
    assert.equal(closing.length, 2);
    assert.equal(lab.seqs.size, 2);
    for (const seqs of lab.seqs.values()) assert.equal(Math.max(...seqs), seqs.size);
    assert.deepEqual(await readdir(join(lab.folder, 'state')), []);
  });

  it('replaces a worker that is killed, and states its end with its last counters', async () => {
    const agent = new http.Agent({ keepAlive: false });
    for (let i = 0; i < 10; i++) await lab.get('/a', agent);
    await until(() => [...lab.seqs.values()].reduce((sum, s) => sum + s.size, 0) === 10);
    const [victim, other] = await lab.workers();
    const beforeMs = Date.now();
    process.kill(victim!.pid, 'SIGKILL');
    const ended = await until(() =>
      lab.ledgers.find((l) => l.get(`${LEDGER_EVENT}.ended_by_unix_ms`) !== undefined),
    );
    assert.equal(ended.get('azimuth.boot_id'), victim!.boot_id);
    assert.equal(Number(ended.get(`${LEDGER_EVENT}.last_seq`)), victim!.hops_finished);
    assert.ok(Number(ended.get(`${LEDGER_EVENT}.ended_by_unix_ms`)) >= beforeMs);
    const now = await until(async () => {
      const workers = await lab.workers();
      return workers.length === 2 && workers;
    });
    assert.notEqual(now[0]!.boot_id, victim!.boot_id);
    assert.equal(now[1]!.boot_id, other!.boot_id);
    assert.match(lab.log, /worker died; it is replaced/);
    assert.equal(await lab.get('/a', agent), 200);
  });

  it('restarts its workers one at a time without a failed request or a lost record', async () => {
    const before = (await lab.workers()).map((w) => w.boot_id);
    const answered = await underLoad(lab, async () => {
      lab.gateway.kill('SIGUSR2');
      await until(() => lab.log.includes('"workers restarted"'));
    });
    const after = (await lab.workers()).map((w) => w.boot_id);
    assert.equal(new Set([...before, ...after]).size, 4);
    await lab.stopGateway();
    const recorded = [...lab.seqs.values()].reduce((sum, seqs) => sum + seqs.size, 0);
    assert.equal(recorded, answered);
  });

  it('takes a changed mesh file without a failed request, and refuses an invalid one', async () => {
    const config = (): Promise<ConfigJson> => lab.admin('/config');
    await underLoad(lab, async () => {
      await lab.changeMesh((text) => text.replace('"/{rest}"', '"/{name}"'));
      await until(async () => (await config()).generation === 2);
      await until(() => lab.generations.has(2));
    });
    await lab.changeMesh((text) => text.replace('to: web', 'to: nobody').replace('"1.0"', '1'));
    lab.gateway.kill('SIGHUP');
    const { generation, refused } = await until(async () => {
      const now = await config();
      return now.refused && now;
    });
    assert.equal(generation, 2);
    assert.ok(refused!.faults.length >= 2, refused!.faults.join('\n'));
    const agent = new http.Agent();
    assert.equal(await lab.get('/a', agent), 200);
    assert.ok([...lab.generations].every((g) => g === 1 || g === 2));
  });

  it('finishes a request in flight when it is told to stop, and is not ready meanwhile', async () => {
    const agent = new http.Agent();
    const answer = lab.get('/hold', agent);
    await until(() => lab.held.length === 1);
    lab.gateway.kill('SIGTERM');
    await until(async () => {
      const url = `http://127.0.0.1:${lab.adminPort}/readyz`;
      return (await fetch(url)).status === 503;
    });
    lab.held[0]!.end('late');
    assert.equal(await answer, 200);
    await lab.stopGateway();
    const seqs = [...lab.seqs.values()].flatMap((s) => [...s]);
    assert.deepEqual(seqs, [1]);
  });
});
