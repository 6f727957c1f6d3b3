/**
 * A whole mesh of the demo in one process: every gateway and sidecar of a topology's mesh file as a
 * real proxy over loopback, in front of applications that only pass calls on. Nothing waits for time
 * to pass; what the proxies record goes where the test says.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
} from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entrance, outboundOf, shopMesh, type Topology } from '../../demo/shop-mesh.ts';
import { SHOP, type Call } from '../../demo/shop/behaviour.ts';
import type { MeshConfig } from '../../mesh/config.ts';
import { validateMesh } from '../../mesh/load.ts';
import { issueMesh } from '../../mesh/issue.ts';
import { proxyPart } from '../../mesh/parts.ts';
import { Deadlines } from '../../proxy/deadlines.ts';
import { DEFAULT_LIMITS } from '../../proxy/limits.ts';
import { withFiles } from '../../proxy/identity/files.ts';
import { createProxy, type Proxy } from '../../proxy/process.ts';
import { silentLog } from '../../runtime/log.ts';
import type { OutboundMessage } from '../../transport/exporter.ts';
import { DELAYED_WORKLOAD, type InjectedDelay } from './injected-delay.ts';

export interface MeshLab {
  readonly config: MeshConfig;
  /** Heads that the application of each workload got. */
  readonly received: ReadonlyMap<string, IncomingHttpHeaders[]>;
  /** Sends one request from outside; resolves with its status when the answer has ended. */
  send(method: string, path: string, headers?: Readonly<Record<string, string>>): Promise<number>;
  /** Stops everything; when it resolves, all records have been delivered. */
  stop(): Promise<void>;
}

export async function startMeshLab(
  topology: Topology,
  deliver: (message: OutboundMessage) => Promise<void>,
  delay?: InjectedDelay,
): Promise<MeshLab> {
  const { text } = await shopMesh(topology, true);
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-mesh-lab-'));
  const meshFile = join(folder, 'mesh.yaml');
  const { mesh, faults } = validateMesh(meshFile, text, () => 'password', '');
  if (mesh === undefined) throw new Error(faults.join('\n'));
  const { config } = mesh;
  await issueMesh(mesh, {
    dir: undefined,
    hours: 1,
    newAuthority: true,
    dropOld: true,
    settled: () => Promise.resolve(),
  });
  const deadlines = new Deadlines();
  const received = new Map<string, IncomingHttpHeaders[]>();
  const applications: Server[] = [];
  for (const { name, address } of config.workloads) {
    const heads: IncomingHttpHeaders[] = [];
    received.set(name, heads);
    const application = startApplication(name, outboundOf(config, name), heads, delay);
    application.listen(Number(address.split(':')[1]), '127.0.0.1');
    await once(application, 'listening');
    applications.push(application);
  }
  const { inbound } = config.sidecars
    .flatMap(({ serves }) => serves)
    .find(({ workload }) => workload === DELAYED_WORKLOAD)!;
  await delay?.start(inbound!.port);
  const proxies: Proxy[] = [];
  for (const { name } of [...config.gateways, ...config.sidecars]) {
    const part = withFiles(proxyPart(mesh, name));
    const proxy = createProxy({
      part: delay?.wired(part, inbound!.port) ?? part,
      exporter: { name: 'lab', concurrency: 1, send: deliver, close: () => Promise.resolve() },
      log: silentLog,
      deadlines,
    });
    await proxy.start();
    proxies.push(proxy);
  }
  return {
    config,
    received,
    send: (method, path, headers = {}) =>
      call(entrance(config), { to: 'shop.example', method: method as 'GET', path }, headers),
    async stop() {
      const stopped = Promise.all(proxies.map((proxy) => proxy.stop()));
      await new Promise((resolve) => setImmediate(resolve));
      deadlines.advance(DEFAULT_LIMITS.drainIdleTimeoutMs);
      await stopped;
      delay?.stop();
      rmSync(folder, { recursive: true, force: true });
      for (const application of applications) {
        application.closeAllConnections();
        application.close();
      }
    },
  };
}

/** Makes the calls of the shop's operation, hands the trace on as it came, and answers. */
function startApplication(
  name: string,
  outbound: string,
  heads: IncomingHttpHeaders[],
  delay: InjectedDelay | undefined,
): Server {
  return createServer((req, res) => {
    heads.push(req.headers);
    req.resume();
    const path = req.url!.split('?', 1)[0]!;
    const { traceparent } = req.headers;
    const headers = traceparent === undefined ? {} : { traceparent: String(traceparent) };
    void (async () => {
      await delay?.atWork(name);
      for (const stage of stagesOf(name, req.method!, path)) {
        await Promise.all(stage.map((one) => call(outbound, one, headers)));
      }
      res.end('ok');
    })();
  });
}

function stagesOf(name: string, method: string, path: string): readonly (readonly Call[])[] {
  for (const operation of SHOP[name]!) {
    const pattern = new RegExp(`^${operation.template.replaceAll(/\{[a-z]+\}/g, '([^/]+)')}$`);
    const match = operation.method === method ? pattern.exec(path) : null;
    if (match !== null) return operation.stages?.(match.slice(1)) ?? [];
  }
  throw new Error(`${name} has no ${method} ${path}`);
}

/** One call on a connection of its own; its status, once the answer has ended. */
async function call(
  base: string,
  { to, method, path, body }: Call,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const out = request(base + path, { method, headers: { ...headers, host: to }, agent: false });
  out.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(out, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode!;
}
