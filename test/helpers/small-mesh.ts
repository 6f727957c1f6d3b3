/**
 * Proxies of a mesh file that a test writes, real ones in this process over loopback, with the clock
 * and timers of Node; what they record comes back decoded.
 */
import { join } from 'node:path';
import { issueMesh } from '../../mesh/issue.ts';
import { validateMesh } from '../../mesh/load.ts';
import { proxyPart } from '../../mesh/parts.ts';
import { withFiles } from '../../proxy/identity/files.ts';
import { createProxy, type Proxy } from '../../proxy/process.ts';
import { silentLog } from '../../runtime/log.ts';
import { readSpans } from '../../telemetry/otlp-objects.ts';
import type { OutboundMessage } from '../../transport/exporter.ts';
import { recordedHop, type RecordedHop } from './proxy-lab.ts';
import { until } from './until.ts';

export interface SmallMeshSettings {
  /** Folder of the mesh file; with it certificates are made as the file says. */
  readonly folder?: string;
  /** Gets every message instead of `hops`. */
  readonly deliver?: (message: OutboundMessage) => Promise<void>;
}

export class SmallMesh {
  readonly #proxies = new Map<string, Proxy>();
  readonly #hops: RecordedHop[] = [];

  /** Starts every gateway and sidecar of `text`, a mesh file without its head. */
  async start(text: string, { folder, deliver }: SmallMeshSettings = {}): Promise<this> {
    const head = 'file_format: "1.0"\nmesh: test\nstore: { password: "${env:PASSWORD}" }\n';
    const file = join(folder ?? '', 'mesh.yaml');
    const { mesh, faults } = validateMesh(file, head + text, () => 'password', '');
    if (mesh === undefined) throw new Error(faults.join('\n'));
    if (folder !== undefined) {
      const settled = (): Promise<void> => Promise.resolve();
      await issueMesh(mesh, {
        dir: undefined,
        hours: 1,
        newAuthority: true,
        dropOld: true,
        settled,
      });
    }
    const { gateways, sidecars } = mesh.config;
    for (const { name } of [...gateways, ...sidecars]) {
      const part = folder === undefined ? proxyPart(mesh, name) : withFiles(proxyPart(mesh, name));
      const proxy = createProxy({
        part: { ...part, telemetry: { ...part.telemetry, flush_interval_ms: 10 } },
        exporter: {
          name: 'test',
          concurrency: 1,
          send: async (message) => {
            if (deliver !== undefined) await deliver(message);
            else if (message.signal === 'traces') {
              this.#hops.push(...readSpans(message.body).map(recordedHop));
            }
          },
          close: () => Promise.resolve(),
        },
        log: silentLog,
      });
      await proxy.start();
      this.#proxies.set(name, proxy);
    }
    return this;
  }

  /** Resolves with all hops so far once there are `count`. */
  async hops(count: number): Promise<readonly RecordedHop[]> {
    await until(() => this.#hops.length >= count);
    return this.#hops;
  }

  /** What `/clusters` of a proxy says of one of its clusters, the first of that name. */
  async cluster(proxy: string, name: string): Promise<Record<string, unknown>> {
    const port = this.#proxies.get(proxy)!.adminPort();
    const answer = await (await fetch(`http://127.0.0.1:${port}/clusters`)).text();
    const found = clustersIn(JSON.parse(answer)).find((cluster) => cluster['name'] === name);
    if (found === undefined) throw new Error(`no cluster ${name} in ${answer}`);
    return found;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.stop()));
  }
}

/** Everything with a name and endpoints, however deep. */
function clustersIn(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = 'name' in value && 'endpoints' in value ? [value as Record<string, unknown>] : [];
  return [...own, ...Object.values(value).flatMap(clustersIn)];
}
