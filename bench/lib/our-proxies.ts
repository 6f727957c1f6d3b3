/** Our own proxies as the benchmark runs them, from mesh files that its users could write. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchFunction } from './function-peers.ts';
import { PATH } from './load.ts';
import type { OurLedger, Peer, Place, Running } from './peer.ts';
import { freePort, get, getJson, startNode, until } from './processes.ts';

interface SetUp {
  readonly role: 'gateway' | 'sidecar';
  readonly hopFormat: 'packed' | 'attributes';
  readonly workers: number;
  readonly isUnrecorded: boolean;
  readonly performs?: BenchFunction;
}
const GATEWAY: SetUp = { role: 'gateway', hopFormat: 'packed', workers: 1, isUnrecorded: false };

/** Recorded, not recorded, with both spans in plain attributes, of two workers, and as a sidecar. */
export function ourProxies(): readonly Peer[] {
  return [
    ours('azimuth', 'azimuth gateway', 1, GATEWAY),
    ours('unrecorded', 'azimuth, recording off', 0, { ...GATEWAY, isUnrecorded: true }),
    ours('plain', 'azimuth, both spans plain', 2, { ...GATEWAY, hopFormat: 'attributes' }),
    ours('workers', 'azimuth, two workers', 1, { ...GATEWAY, workers: 2 }),
    ours('sidecar', 'azimuth sidecar, inbound', 1, { ...GATEWAY, role: 'sidecar' }),
  ];
}

/** The gateway of `azimuth` with one function. */
export const performing = (name: string, performs: BenchFunction): Peer => ({
  ...ours(`with_${name}`, `azimuth with ${name}`, 1, { ...GATEWAY, performs }),
  headers: performs.headers,
  isTls: performs.isTls ?? false,
});

const ours = (key: string, name: string, spansPerRequest: number, setUp: SetUp): Peer => ({
  key,
  name,
  spansPerRequest,
  run: (to) => run(to, setUp),
});

async function run(to: Place, setUp: SetUp): Promise<Running> {
  const ports = { port: await freePort(), admin: await freePort(), outbound: await freePort() };
  const file = join(to.folder, 'mesh.yaml');
  const { role } = setUp;
  const body = role === 'gateway' ? gatewayFile(to, ports, setUp) : sidecarFile(to, ports);
  writeFileSync(file, fileHead(to, setUp) + body);
  setUp.performs?.prepare?.(to.folder);
  const name = role === 'gateway' ? 'edge' : 'app-sidecar';
  const child = setUp.isUnrecorded
    ? startNode(0, 'peers/unrecorded-gateway.ts', [file, name])
    : startNode(0, '../bin/azimuth.js', [role, '--mesh', file, '--name', name]);
  // What it logs at its start is nobody's measurement; a pipe that nobody reads would fill.
  child.stdout?.resume();
  await until('our proxy', async () => (await get(ports.admin, '/readyz')).status === 200);
  const ledgers = async (): Promise<readonly OurLedger[]> =>
    (await getJson<{ workers: OurLedger[] }>(ports.admin, '/ledger')).workers;
  return { child, port: ports.port, ledgers };
}

interface Ports {
  readonly port: number;
  readonly admin: number;
  readonly outbound: number;
}

const fileHead = (to: Place, { hopFormat }: SetUp): string => `file_format: "1.0"
mesh: bench
topology: separate
store: { password: "\${AZIMUTH_STORE_PASSWORD:-unused}" }
telemetry:
  transport: otlp
  otlp: { endpoint: "http://127.0.0.1:${to.collectorPort}" }
  hop_format: ${hopFormat}
`;

/** A gateway whose target is the application itself, in its sidecar's place. */
const gatewayFile = (to: Place, ports: Ports, { workers, performs }: SetUp): string => `gateways:
  - name: edge
    functions: ${performs?.yaml ?? '{}'}
    listen: { host: 127.0.0.1, port: ${ports.port}${performs?.listen ?? ''} }
    admin: { host: 127.0.0.1, port: ${ports.admin} }
    workers: ${workers}
    routes: [{ path: ${PATH}, to: app }]
workloads:
  - { name: app, address: "127.0.0.1:1" }
sidecars:
  - name: app-sidecar
    serves: [{ workload: app, inbound: { host: 127.0.0.1, port: ${to.upstreamPort} }, outbound: { host: 127.0.0.1, port: 2 } }]
    admin: { host: 127.0.0.1, port: 3 }
`;

/** A sidecar before the application, called directly. */
const sidecarFile = (to: Place, ports: Ports): string => `workloads:
  - { name: app, address: "127.0.0.1:${to.upstreamPort}" }
sidecars:
  - name: app-sidecar
    serves: [{ workload: app, inbound: { host: 127.0.0.1, port: ${ports.port} }, outbound: { host: 127.0.0.1, port: ${ports.outbound} } }]
    admin: { host: 127.0.0.1, port: ${ports.admin} }
`;
