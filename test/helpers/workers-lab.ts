/**
 * A gateway of several workers as an operator runs it: real processes, real signals, a mesh file in
 * a folder of its own. Upstream, clients and a collector live in the process of the test. Nothing here waits for a time: only for something to be so.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLogs, readTraces } from '../../telemetry/otlp-objects.ts';
import { decodeHop } from '../../telemetry/packed-hop.ts';
import { until } from './until.ts';

const MAIN = fileURLToPath(new URL('../../bin/main.ts', import.meta.url));

/** An entry of the gateway's `/ledger`. */
export interface WorkerLedger {
  readonly worker: number;
  readonly pid: number;
  readonly boot_id: string;
  readonly hops_finished: number;
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

export interface WorkersLabSettings {
  /** Gets what the collector was sent, before that is acknowledged. */
  readonly store?: (signal: 'traces' | 'logs', body: Buffer) => Promise<unknown>;
}

export class WorkersLab {
  /** What the collector got: figures and resource of each ledger, and `time_unix_ms`. */
  readonly ledgers: Map<string, unknown>[] = [];
  /** Sequence numbers that the collector got, by boot. */
  readonly seqs = new Map<string, Set<number>>();
  readonly generations = new Set<number>();
  gateway!: ChildProcess;
  /** What the gateway and its workers wrote to stderr. */
  log = '';
  folder = '';
  port = 0;
  adminPort = 0;
  /** Requests to /hold wait for it. */
  readonly held: http.ServerResponse[] = [];
  /** Requests sent again, because their connection ended before any byte of an answer. */
  retried = 0;
  readonly #settings: WorkersLabSettings;
  #mesh = '';
  readonly #upstream = http.createServer((req, res) => {
    if (req.url === '/hold') this.held.push(res);
    else res.end('ok');
  });
  readonly #collector = http.createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const signal = req.url === '/v1/logs' ? 'logs' : 'traces';
      const body = Buffer.concat(chunks);
      this.#collect(signal, body);
      void Promise.resolve(this.#settings.store?.(signal, body)).then(
        () => res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(),
        () => res.writeHead(503).end(),
      );
    });
  });

  constructor(settings: WorkersLabSettings = {}) {
    this.#settings = settings;
  }

  async start(): Promise<this> {
    this.folder = await mkdtemp(join(tmpdir(), 'azimuth-workers-'));
    const upstreamPort = await listening(this.#upstream);
    const collectorPort = await listening(this.#collector);
    for (;;) {
      [this.port, this.adminPort] = await freePorts();
      this.#mesh = this.#meshText(upstreamPort, collectorPort);
      await this.changeMesh((text) => text);
      this.log = '';
      this.gateway = spawn(process.execPath, [MAIN, 'gateway', '--mesh', this.meshFile], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, WORKERS_TEST_PASSWORD: 'x' },
      });
      this.gateway.stderr!.on('data', (bytes: Buffer) => (this.log += bytes.toString()));
      const closed = once(this.gateway, 'close').then(() => 'closed');
      const ready = until(() => this.gateway.exitCode !== null || this.log.includes('"ready"'));
      if ((await Promise.race([closed, ready])) !== 'closed' && this.log.includes('"ready"')) {
        return this;
      }
      await closed;
      // Somebody else took one of the two in between: then others.
      assert.match(this.log, /AZ_PORT_IN_USE/);
    }
  }

  get meshFile(): string {
    return join(this.folder, 'mesh.yaml');
  }

  get stateFolder(): string {
    return join(this.folder, 'state');
  }

  /** Writes the mesh file anew: the first one with a change. */
  async changeMesh(change: (text: string) => string): Promise<void> {
    await writeFile(this.meshFile, change(this.#mesh));
  }

  async admin(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.adminPort}${path}`);
  }

  async adminJson<T>(path: string): Promise<T> {
    return (await this.admin(path)).json() as Promise<T>;
  }

  async workers(): Promise<WorkerLedger[]> {
    return (await this.adminJson<{ workers: WorkerLedger[] }>('/ledger')).workers;
  }

  /** Hops that the collector got. */
  get recorded(): number {
    return [...this.seqs.values()].reduce((sum, seqs) => sum + seqs.size, 0);
  }

  /**
   * Status of one GET. One whose connection ends before any byte of the answer is sent again, as
   * RFC 9112 section 9.3.1 lets a client do; any other failure rejects.
   */
  get(path: string, agent: http.Agent): Promise<number> {
    return new Promise((resolve, reject) => {
      const req = http.get({ host: '127.0.0.1', port: this.port, path, agent }, (res) => {
        res.on('error', reject);
        res.on('end', () => resolve(res.statusCode ?? 0)).resume();
      });
      req.on('error', (error: NodeJS.ErrnoException) => {
        const untouched = error.code === 'ECONNRESET' || error.code === 'EPIPE';
        if (!untouched || req.socket === null || req.socket.bytesRead > readBefore(req)) {
          reject(error);
          return;
        }
        this.retried++;
        resolve(this.get(path, agent));
      });
      req.on('socket', (socket) => BYTES_BEFORE.set(req, socket.bytesRead));
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

  #meshText(upstreamPort: number, collectorPort: number): string {
    return [
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
      `  - { name: web, hosts: [web.example], address: "127.0.0.1:${upstreamPort}" }`,
      '',
    ].join('\n');
  }

  #collect(signal: 'traces' | 'logs', body: Buffer): void {
    if (signal === 'logs') {
      for (const resource of readLogs(body).resourceLogs) {
        for (const scope of resource.scopeLogs) {
          for (const { attributes, timeUnixNano } of scope.logRecords) {
            const ledger = new Map([...resource.resource.attributes, ...attributes]);
            this.ledgers.push(ledger.set('time_unix_ms', Number(timeUnixNano / 1_000_000n)));
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
}

/** Bytes that a request's connection had brought before it. */
const BYTES_BEFORE = new WeakMap<http.ClientRequest, number>();
const readBefore = (req: http.ClientRequest): number => BYTES_BEFORE.get(req) ?? 0;

/**
 * Runs `body` while clients send requests, all of which must be answered with 200: half of them on
 * kept connections, half on one for each request. Returns when each was answered, Unix milliseconds.
 */
export async function underLoad(
  lab: WorkersLab,
  body: () => Promise<unknown>,
  clients = 8,
): Promise<number[]> {
  const kept = new http.Agent({ keepAlive: true, maxSockets: clients });
  const fresh = new http.Agent({ keepAlive: false });
  let goesOn = true;
  const answeredMs: number[] = [];
  const client = async (_: unknown, i: number): Promise<void> => {
    while (goesOn) {
      assert.equal(await lab.get('/a', i % 2 === 0 ? kept : fresh), 200);
      answeredMs.push(Date.now());
    }
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  try {
    await Promise.race([body(), all]);
  } finally {
    goesOn = false;
    await all.finally(() => {
      kept.destroy();
      fresh.destroy();
    });
  }
  return answeredMs;
}
