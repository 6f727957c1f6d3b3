import assert from 'node:assert/strict';
import { validateMesh } from '../../../mesh/load.ts';
import { analyticsPart, collectorPart, proxyPart, storePart } from '../../../mesh/parts.ts';
import { AzimuthError } from '../../../runtime/errors.ts';

const TEXT = `
file_format: "1.0"
mesh: shop
telemetry: { otlp: { endpoint: "http://127.0.0.1:4318/" } }
store: { password: "\${env:PW}" }
gateways:
  - name: edge
    namespace: edge
    version: "2.0.0"
    routes:
      - { path: "/api/pay", to: payments }
      - { hosts: [shop.example.com], path: "/api/products/{id}", methods: [GET], to: web, response_timeout_ms: 700 }
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101" }
  - name: catalog
    namespace: shop
    version: "1.4.2"
    zone: a
    address: "[::1]:9102"
    connect_timeout_ms: 300
    routes: [ { path: "/products/{id}", methods: [GET] } ]
sidecars:
  - { name: web-sidecar, admin: { port: 15002 }, serves: [ { workload: web } ] }
  - name: catalog-sidecar
    machine: catalog-pod
    serves: [ { workload: catalog, inbound: { host: 0.0.0.0, mesh_only: true } } ]
externals:
  - { name: payments, hosts: ["payments.example.com"], address: "127.0.0.1:9200" }
`;
const { mesh, faults } = validateMesh(
  '/etc/mesh/m.yaml',
  TEXT,
  (name) => (name === 'PW' ? 'p' : undefined),
  '',
);

describe('parts of a mesh', () => {
  before(() => assert.deepEqual(faults, []));

  it('gives a gateway its listener with routes in the order of the file', () => {
    const part = proxyPart(mesh!, 'edge');
    assert.equal(part.role, 'gateway');
    assert.equal(part.telemetry.otlp.endpoint, 'http://127.0.0.1:4318');
    assert.equal(part.telemetry.otlp.compression, 'none');
    const [listener, ...others] = part.listeners;
    assert.deepEqual(others, []);
    assert.equal(listener?.side, 'ingress');
    assert.equal(listener.mesh_only, false);
    assert.equal(listener.workload.role, 'gateway');
    assert.equal(listener.port, 8080);
    const [pay, product] = listener.routes;
    assert.equal(pay?.cluster.role, 'external');
    assert.equal(pay.cluster.meshed, false);
    assert.deepEqual(product, {
      template: '/api/products/{id}',
      segments: ['api', 'products', '{}'],
      hosts: ['shop.example.com'],
      methods: ['GET'],
      response_timeout_ms: 700,
      upgrades: [],
      cluster: {
        name: 'web',
        endpoints: [{ host: '127.0.0.1', port: 15006 }],
        meshed: true,
        role: 'bff',
        connect_timeout_ms: 5000,
      },
    });
  });

  it('gives policies to those who call, and endpoints with all their replicas', () => {
    const { mesh: calling, faults: found } = validateMesh(
      'm.yaml',
      `
file_format: "1.0"
mesh: m
store: { password: "\${env:PW}" }
gateways:
  - name: edge
    routes:
      - { path: "/*", to: [ { service: web, weight: 9 }, { service: pay } ], timeout_ms: 900, retry: {} }
workloads:
  - name: web
    address: "127.0.0.1:9101"
    replicas: [ "127.0.0.1:9102" ]
    health_check: { path: /ready }
    retry_budget: { percent: 10 }
    routes: [ { path: "/a", retry: { on: [timeout] } } ]
sidecars:
  - name: s
    admin: { port: 15002 }
    serves: [ { workload: web, inbound: { replicas: [ "10.0.0.2:15006" ] } } ]
externals: [ { name: pay, hosts: [pay], address: "127.0.0.1:9200", try_timeout_ms: 50 } ]
`,
      () => 'p',
      '',
    );
    assert.deepEqual(found, []);
    const [route] = proxyPart(calling!, 'edge').listeners[0]!.routes;
    assert.deepEqual(
      route!.split!.map(({ cluster, weight }) => [cluster.name, weight]),
      [
        ['web', 9],
        ['pay', 1],
      ],
    );
    assert.equal(route!.policy?.timeout_ms, 900);
    assert.equal(route!.policy.retry?.attempts_max, 2);
    assert.deepEqual(
      route!.cluster.endpoints.map(({ host, port }) => `${host}:${port}`),
      ['127.0.0.1:15006', '10.0.0.2:15006'],
    );
    assert.deepEqual(route!.cluster.retry_budget, { percent: 10, min_per_s: 1 });
    // A proxy is asked for a connection, an application for its path.
    assert.equal(route!.cluster.health_check?.path, undefined);
    const [inbound, outbound] = proxyPart(calling!, 's').listeners;
    const [named] = inbound!.routes;
    assert.equal(named!.policy, undefined);
    assert.equal(named!.cluster.health_check?.path, '/ready');
    assert.deepEqual(
      named!.cluster.endpoints.map(({ port }) => port),
      [9101, 9102],
    );
    const policies = outbound!.routes.map(({ template, policy }) => [template, policy]);
    assert.deepEqual(policies[0]![0], '/a');
    assert.deepEqual(outbound!.routes[0]!.policy?.retry?.on, ['timeout']);
    assert.equal(outbound!.routes[1]!.policy, undefined);
    assert.deepEqual(outbound!.routes[2]!.policy, { try_timeout_ms: 50 });
  });

  it('leaves to the sidecar that calls for a gateway what concerns one attempt', () => {
    const { mesh: attached } = validateMesh(
      'm.yaml',
      `
file_format: "1.0"
mesh: m
topology: attached
store: { password: "\${env:PW}" }
gateways: [ { name: edge, routes: [ { path: "/*", to: web, timeout_ms: 900, try_timeout_ms: 90, retry: {} } ] } ]
workloads: [ { name: web, address: "127.0.0.1:9101" } ]
sidecars:
  - { name: s, admin: { port: 15002 }, serves: [ { workload: web } ] }
  - { name: es, admin: { port: 15003 }, serves: [ { gateway: edge, outbound: { port: 15004 } } ] }
`,
      () => 'p',
      '',
    );
    const [atGateway] = proxyPart(attached!, 'edge').listeners[0]!.routes;
    const [atSidecar] = proxyPart(attached!, 'es').listeners[0]!.routes;
    assert.deepEqual(atGateway!.policy, { timeout_ms: 900 });
    assert.deepEqual(Object.keys(atSidecar!.policy!), ['timeout_ms', 'try_timeout_ms', 'retry']);
  });

  it('gives copies to who calls: gateway, ingress, or the sidecars of callers, over mutual TLS', () => {
    const text = (topology: string, edge: string): string => `
file_format: "1.0"
mesh: m
topology: ${topology}
store: { password: "\${env:PW}" }
identity: { trust_domain: shop.example, dir: certs }
gateways: [ { name: edge, routes: [ { path: "/*", to: web, mirror: { to: next, percent: 0.5 } } ] } ]
workloads:
  - { name: web, address: "127.0.0.1:9101", routes: [ { path: "/a", mirror: { to: next, timeout_ms: 50 } } ] }
  - { name: next, address: "127.0.0.1:9102" }
sidecars:
  - { name: ws, admin: { port: 15002 }, serves: [ { workload: web } ] }
  - { name: ns, admin: { port: 15003 }, serves: [ { workload: next, inbound: { port: 1 }, outbound: { port: 2 } } ] }
  ${edge}
`;
    const meshOf = (topology: string, edge = ''): NonNullable<typeof mesh> => {
      const reading = validateMesh('/m.yaml', text(topology, edge), () => 'p', '');
      assert.deepEqual(reading.faults, []);
      return reading.mesh!;
    };
    const separate = meshOf('separate');
    const [route] = proxyPart(separate, 'edge').listeners[0]!.routes;
    const { cluster, ...mirror } = route!.mirror!;
    assert.deepEqual(mirror, { percent: 0.5, body_bytes_max: 65_536, timeout_ms: 15_000 });
    assert.deepEqual([cluster.name, cluster.meshed], ['next', true]);
    assert.equal(cluster.tls?.id, 'spiffe://shop.example/ns/default/sa/next');
    // Of a workload's route: those who call make the copies, its own sidecar none.
    const [inbound, outbound] = proxyPart(separate, 'ws').listeners;
    assert.equal(inbound!.routes[0]!.mirror, undefined);
    assert.equal(outbound!.routes[0]!.mirror?.timeout_ms, 50);
    assert.equal(outbound!.routes[1]!.mirror, undefined);
    // Where a sidecar calls for the gateway, it makes the copies as well.
    const attached = meshOf(
      'attached',
      '- { name: es, admin: { port: 15004 }, serves: [ { gateway: edge, outbound: { port: 15005 } } ] }',
    );
    assert.equal(proxyPart(attached, 'edge').listeners[0]!.routes[0]!.mirror, undefined);
    assert.equal(proxyPart(attached, 'es').listeners[0]!.routes[0]!.mirror?.percent, 0.5);
  });

  it('gives a sidecar inbound to the application and outbound to every workload and external', () => {
    const [inbound, outbound] = proxyPart(mesh!, 'catalog-sidecar').listeners;
    assert.equal(inbound?.side, 'inbound');
    assert.equal(inbound.mesh_only, true);
    assert.deepEqual(inbound.workload, {
      name: 'catalog',
      namespace: 'shop',
      version: '1.4.2',
      zone: 'a',
      role: 'workload',
    });
    assert.deepEqual(
      inbound.routes.map((r) => r.template),
      ['/products/{id}', '/*'],
    );
    assert.deepEqual(inbound.routes[0]?.cluster, {
      name: 'catalog',
      endpoints: [{ host: '::1', port: 9102 }],
      meshed: false,
      role: 'workload',
      connect_timeout_ms: 300,
    });
    assert.equal(outbound?.side, 'outbound');
    assert.equal(outbound.port, 15001);
    assert.deepEqual(
      outbound.routes.map((r) => [r.hosts.join(), r.template, r.cluster.role, r.cluster.meshed]),
      [
        ['web', '/*', 'bff', true],
        ['catalog', '/products/{id}', 'workload', true],
        ['catalog', '/*', 'workload', true],
        ['payments.example.com', '/*', 'external', false],
      ],
    );
  });

  it('reaches a sidecar that listens everywhere by the name of its machine', () => {
    const [, outbound] = proxyPart(mesh!, 'web-sidecar').listeners;
    const route = outbound?.routes.find((r) => r.hosts.includes('catalog'));
    assert.deepEqual(route?.cluster.endpoints, [{ host: 'catalog-pod', port: 15006 }]);
  });

  it('gives store, collector and analytics what they need', () => {
    assert.equal(storePart(mesh!).password, 'p');
    const collector = collectorPart(mesh!);
    assert.deepEqual(collector.otlp_http, { host: '127.0.0.1', port: 4318 });
    assert.equal(collector.kafka.group_id, 'azimuth-collector');
    assert.equal(analyticsPart(mesh!).port, 8088);
  });

  it('takes paths of files from the folder of the mesh file, and leaves names as they are', () => {
    const secured = validateMesh(
      '/etc/mesh/m.yaml',
      `file_format: "1.0"
mesh: m
store: { password: "\${env:PW}", url: "https://db:8443", tls: { ca: ca.pem } }
telemetry:
  otlp: { endpoint: "https://c:4318/", tls: { ca: /ca.pem, cert: tls/c.pem, key: tls/k.pem, server_name: c } }
  kafka: { tls: {} }
  spool: { dir: spool }
collector: { otlp_http: { tls: { cert: c.pem, key: k.pem, client_ca: ca.pem } } }
gateways: [ { name: edge, routes: [ { path: "/*", to: out } ] } ]
externals: [ { name: out, hosts: [ out ], address: "127.0.0.1:9200" } ]
`,
      () => 'p',
      '',
    );
    assert.deepEqual(secured.faults, []);
    const { telemetry } = proxyPart(secured.mesh!, 'edge');
    assert.deepEqual(telemetry.otlp, {
      endpoint: 'https://c:4318',
      // Not to this machine: bytes count.
      compression: 'zstd',
      tls: {
        ca: '/ca.pem',
        cert: '/etc/mesh/tls/c.pem',
        key: '/etc/mesh/tls/k.pem',
        server_name: 'c',
      },
    });
    assert.deepEqual(telemetry.kafka.tls, {});
    assert.equal(telemetry.spool.dir, '/etc/mesh/spool');
    assert.deepEqual(storePart(secured.mesh!).tls, { ca: '/etc/mesh/ca.pem' });
    assert.deepEqual(collectorPart(secured.mesh!).otlp_http.tls, {
      cert: '/etc/mesh/c.pem',
      key: '/etc/mesh/k.pem',
      client_ca: '/etc/mesh/ca.pem',
    });
  });

  it('names the proxies that there are when asked for another', () => {
    assert.throws(
      () => proxyPart(mesh!, 'edg'),
      (error) =>
        error instanceof AzimuthError &&
        error.code === 'AZ_USAGE' &&
        error.message.includes('edge, web-sidecar, catalog-sidecar'),
    );
    assert.throws(() => proxyPart(mesh!, 'edge', 'sidecar'), /no sidecar called "edge"/);
  });
});
