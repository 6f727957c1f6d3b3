/**
 * The mesh file of the demo: the shop behind one gateway, each service with a sidecar of its own
 * (topology `separate`). Also chooses the ports: the usual ones, and a free one where one is taken.
 */
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { DEFAULT_PORTS } from '../runtime/ports.ts';
import { SHOP } from './shop/behaviour.ts';

const HOST = '127.0.0.1';

/** Ports of one service and its sidecar. */
interface ServicePorts {
  readonly app: number;
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
}

export interface ShopPorts {
  readonly store: number;
  readonly otlp: number;
  readonly otlpGrpc: number;
  readonly collectorAdmin: number;
  readonly analytics: number;
  readonly gateway: number;
  readonly gatewayAdmin: number;
  /** For a broker of the demo's own. */
  readonly kafka: number;
  readonly services: Readonly<Record<string, ServicePorts>>;
  /** Lines for people about ports that are not the usual ones. */
  readonly moved: readonly string[];
}

/** Names of the shop's services, the BFF first. */
export const SERVICES: readonly string[] = Object.keys(SHOP);

/**
 * Chooses every port of the demo; `anyFree` takes none of the usual ones. A port may still be taken
 * by somebody else between this and its use; the process that meets that says so.
 */
export async function choosePorts(anyFree: boolean): Promise<ShopPorts> {
  const held: Server[] = [];
  const moved: string[] = [];
  const choose = async (usual: number, whose: string): Promise<number> => {
    const server = (anyFree ? undefined : await hold(usual)) ?? (await hold(0));
    if (server === undefined) throw new Error('this machine has no free port');
    held.push(server);
    const { port } = server.address() as AddressInfo;
    if (port !== usual && usual !== 0 && !anyFree) {
      moved.push(`${usual} is taken by another process: ${whose} listens on ${port} instead`);
    }
    return port;
  };
  try {
    const ports = {
      store: await choose(DEFAULT_PORTS.store, 'the store'),
      otlp: await choose(DEFAULT_PORTS.otlpHttp, 'the collector'),
      otlpGrpc: await choose(DEFAULT_PORTS.otlpGrpc, 'the collector (OTLP/gRPC)'),
      collectorAdmin: await choose(DEFAULT_PORTS.collectorAdmin, "the collector's admin"),
      analytics: await choose(DEFAULT_PORTS.analytics, 'analytics'),
      gateway: await choose(DEFAULT_PORTS.gateway, 'the gateway'),
      gatewayAdmin: await choose(DEFAULT_PORTS.admin, "the gateway's admin"),
      // Any free one: 9092 is another Kafka's as a rule, and nobody needs to know this one's.
      kafka: await choose(0, 'kafka'),
    };
    const services: Record<string, ServicePorts> = {};
    for (const [index, name] of SERVICES.entries()) {
      // All on one machine, so each sidecar moves on by ten from the usual ports.
      const step = index * 10;
      services[name] = {
        app: await choose(9101 + index, `the service ${name}`),
        inbound: await choose(DEFAULT_PORTS.inbound + step, `${name}'s sidecar (inbound)`),
        outbound: await choose(DEFAULT_PORTS.outbound + step, `${name}'s sidecar (outbound)`),
        admin: await choose(DEFAULT_PORTS.admin + 2 + step, `${name}'s sidecar (admin)`),
      };
    }
    return { ...ports, services, moved };
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

/** Text of the mesh file. `brokers` makes Kafka the transport. */
export function shopMeshYaml(ports: ShopPorts, brokers: readonly string[] | undefined): string {
  const transport =
    brokers === undefined
      ? `  transport: otlp\n  otlp: { endpoint: "http://${HOST}:${ports.otlp}" }`
      : `  transport: kafka\n  kafka: { brokers: ${JSON.stringify(brokers)} }`;
  const workloads = SERVICES.map((name) => {
    const routes = SHOP[name]!.map(
      ({ method, template }) => `      - { path: "${template}", methods: [${method}] }`,
    );
    return [
      `  - name: ${name}`,
      `    kind: ${name === 'web-bff' ? 'bff' : 'service'}`,
      '    namespace: shop',
      '    version: "1.0.0"',
      '    zone: a',
      `    address: "${HOST}:${ports.services[name]!.app}"`,
      '    routes:',
      ...routes,
    ].join('\n');
  });
  const sidecars = SERVICES.map((name) => {
    const { inbound, outbound, admin } = ports.services[name]!;
    return [
      `  - name: ${name}-sidecar`,
      `    admin: { port: ${admin} }`,
      '    serves:',
      `      - workload: ${name}`,
      `        inbound: { port: ${inbound}, mesh_only: true }`,
      `        outbound: { port: ${outbound} }`,
    ].join('\n');
  });
  const gatewayRoutes = SHOP['web-bff']!.map(
    ({ method, template }) => `      - { path: "${template}", methods: [${method}], to: web-bff }`,
  );
  return `# Written anew at each start of the demo; what each part means: docs/MESH-FILE.md
file_format: "1.0"
mesh: shop
topology: separate
cluster: local
telemetry:
${transport}
store:
  url: "http://${HOST}:${ports.store}"
  user: azimuth
  # From the file .env beside this one.
  password: "\${env:AZIMUTH_STORE_PASSWORD}"
collector:
  otlp_http: { port: ${ports.otlp} }
  otlp_grpc: { port: ${ports.otlpGrpc} }
  admin: { port: ${ports.collectorAdmin} }
analytics: { port: ${ports.analytics} }
gateways:
  - name: edge
    namespace: edge
    version: "1.0.0"
    zone: a
    listen: { port: ${ports.gateway} }
    admin: { port: ${ports.gatewayAdmin} }
    routes:
${gatewayRoutes.join('\n')}
      # Search goes to the catalog directly, without the BFF.
      - { path: "/api/search", methods: [GET], to: catalog }
workloads:
${workloads.join('\n')}
sidecars:
${sidecars.join('\n')}
`;
}
