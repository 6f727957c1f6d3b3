/**
 * The mesh file of the demo: one of topologies/*.yaml, which are written for readers, made to run on
 * this machine. Only ports and pipe are replaced: the usual ports, and a free one where one is taken.
 * Everything else that the demo has to know it reads from the mesh file, as the processes do.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { MeshConfig, TOPOLOGIES } from '../mesh/config.ts';
import { validateMesh } from '../mesh/load.ts';

const HOST = '127.0.0.1';
/** Every port of a topology's file stands behind one of these. */
const PORT = /(?<=\bport: |127\.0\.0\.1:)[0-9]+/g;
const OTLP = '  transport: otlp\n';

export type Topology = (typeof TOPOLOGIES)[number];

export interface ShopMesh {
  /** Of the mesh file. */
  readonly text: string;
  /** Kafka to use; undefined: OTLP. */
  readonly brokers: readonly string[] | undefined;
  /** For a broker of the demo's own. */
  readonly kafkaPort: number;
  /** Lines for people about ports that are not the usual ones. */
  readonly moved: readonly string[];
}

interface UsualPort {
  readonly port: number;
  readonly whose: string;
}

/** Text of a topology's file, as a reader sees it. */
export const topologyText = (topology: Topology): string =>
  readFileSync(new URL(`./topologies/${topology}.yaml`, import.meta.url), 'utf8');

/**
 * The shop in one topology, with ports that are free now; `anyFree` takes none of the usual ones. A
 * port may still be taken by somebody else between this and its use; the process that meets that
 * says so. `brokers` makes Kafka the pipe; `own` is one on `kafkaPort`.
 */
export async function shopMesh(
  topology: Topology,
  anyFree: boolean,
  brokers?: readonly string[] | 'own',
): Promise<ShopMesh> {
  const text = topologyText(topology);
  // Its password comes later, from the demo's folder.
  const { mesh, faults } = validateMesh(`${topology}.yaml`, text, () => 'later', '');
  if (mesh === undefined) throw new Error(faults.join('\n'));
  // Any free one: 9092 is another Kafka's as a rule, and nobody needs to know this one's.
  const kafka = { port: 0, whose: 'kafka' };
  const { chosen, moved } = await choosePorts([...portsOf(mesh.config), kafka], anyFree);
  const kafkaPort = chosen.get(0)!;
  const used = brokers === 'own' ? [`${HOST}:${kafkaPort}`] : brokers;
  return {
    text: withPipe(
      text.replace(PORT, (port) => String(chosen.get(Number(port)))),
      used,
    ),
    brokers: used,
    kafkaPort,
    moved,
  };
}

function withPipe(text: string, brokers: readonly string[] | undefined): string {
  if (brokers === undefined) return text;
  return text.replace(
    OTLP,
    `  transport: kafka\n  kafka: { brokers: ${JSON.stringify(brokers)} }\n`,
  );
}

/** Where clients of the shop go: the gateway, or a BFF's ingress where there is none. */
export function entrance(config: MeshConfig): string {
  const [gateway] = config.gateways;
  const ingress = config.sidecars.flatMap((s) => s.serves).find((served) => served.ingress);
  return urlOf((gateway?.listen ?? ingress?.ingress)!);
}

/** Where a workload's own calls go. */
export function outboundOf(config: MeshConfig, workload: string): string {
  const served = config.sidecars.flatMap((s) => s.serves).find((v) => v.workload === workload)!;
  return urlOf(served.outbound);
}

export const urlOf = ({ host, port }: { host: string; port: number }): string =>
  `http://${host}:${port}`;

const portOf = (url: string): number => Number(url.slice(url.lastIndexOf(':') + 1));

/** Each address at which something listens. */
function portsOf(config: MeshConfig): UsualPort[] {
  const { store, collector, analytics, gateways, workloads, sidecars } = config;
  return [
    { port: portOf(store.url), whose: 'the store' },
    { port: collector.otlp_http.port, whose: 'the collector' },
    { port: collector.otlp_grpc.port, whose: 'the collector (OTLP/gRPC)' },
    { port: collector.admin.port, whose: "the collector's admin" },
    { port: analytics.port, whose: 'analytics' },
    ...gateways.flatMap(({ listen, admin }) => [
      { port: listen.port, whose: 'the gateway' },
      { port: admin.port, whose: "the gateway's admin" },
    ]),
    ...workloads.map(({ name, address }) => ({
      port: portOf(address),
      whose: `the service ${name}`,
    })),
    ...sidecars.flatMap(({ name, admin, serves }) => [
      { port: admin.port, whose: `${name} (admin)` },
      ...serves.flatMap((served) =>
        (['ingress', 'inbound', 'outbound'] as const).flatMap((side) => {
          const listener = served[side];
          return listener === undefined
            ? []
            : [{ port: listener.port, whose: `${name} (${side})` }];
        }),
      ),
    ]),
  ];
}

/** A free port for each usual one; all are held until all are chosen, so that none comes twice. */
async function choosePorts(
  usual: readonly UsualPort[],
  anyFree: boolean,
): Promise<{ chosen: ReadonlyMap<number, number>; moved: string[] }> {
  const held: Server[] = [];
  const moved: string[] = [];
  const chosen = new Map<number, number>();
  try {
    for (const { port, whose } of usual) {
      const server = (anyFree ? undefined : await hold(port)) ?? (await hold(0));
      if (server === undefined) throw new Error('this machine has no free port');
      held.push(server);
      const { port: free } = server.address() as AddressInfo;
      chosen.set(port, free);
      if (free !== port && port !== 0 && !anyFree) {
        moved.push(`${port} is taken by another process: ${whose} listens on ${free} instead`);
      }
    }
    return { chosen, moved };
  } finally {
    await Promise.all(held.map((server) => new Promise((done) => server.close(done))));
  }
}

/** Listens on a port of loopback; undefined when it is taken. */
function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, HOST, () => resolve(server));
  });
}
