import assert from 'node:assert/strict';
import { validateMesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import type { Mesh } from '../../../mesh/load.ts';

const read = (text: string): { mesh: Mesh | undefined; faults: readonly string[] } =>
  validateMesh(
    'm.yaml',
    `file_format: "1.0"\nmesh: m\nstore: { password: "\${env:PW}" }\n${text}`,
    () => 'p',
    '',
  );
const faultsOf = (text: string): readonly string[] => read(text).faults;
const meshOf = (text: string): Mesh => {
  const { mesh, faults } = read(text);
  assert.deepEqual(faults, []);
  return mesh!;
};

const GATEWAY = `gateways: [ { name: edge, routes: [ { path: "/search", to: catalog }, { path: "/*", to: web } ] } ]
`;
const WORKLOADS = `workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101", routes: [ { path: "/home" } ] }
  - { name: catalog, address: "127.0.0.1:9102" }
`;
const CATALOG = `
  - { name: cs, admin: { port: 15012 }, serves: [ { workload: catalog, inbound: { port: 15016 }, outbound: { port: 15011 } } ] }`;
const WEB = `
  - { name: ws, admin: { port: 15002 }, serves: [ { workload: web } ] }`;
const EDGE = `
  - { name: es, admin: { port: 15022 }, serves: [ { gateway: edge, outbound: { port: 15021 } } ] }`;
const BOTH = `
  - name: ws
    admin: { port: 15002 }
    serves: [ { gateway: edge, outbound: { port: 15021 } }, { workload: web } ]`;
const INGRESS = `
  - name: ws
    admin: { port: 15002 }
    serves: [ { workload: web, ingress: { routes: [ { path: "/home", methods: [GET] }, { path: "/*" } ] } } ]`;

const TOPOLOGIES = {
  separate: `${GATEWAY}${WORKLOADS}sidecars:${WEB}${CATALOG}\n`,
  attached: `topology: attached\n${GATEWAY}${WORKLOADS}sidecars:${EDGE}${WEB}${CATALOG}\n`,
  shared: `topology: shared\n${GATEWAY}${WORKLOADS}sidecars:${BOTH}${CATALOG}\n`,
  merged: `topology: merged\n${WORKLOADS}sidecars:${INGRESS}${CATALOG}\n`,
};

describe('whom sidecars serve', () => {
  for (const [topology, text] of Object.entries(TOPOLOGIES)) {
    it(`is ${topology} where the file is so, and a fault under every other name`, () => {
      assert.deepEqual(faultsOf(text), []);
      for (const other of Object.keys(TOPOLOGIES).filter((name) => name !== topology)) {
        const named = `topology: ${other}\n${text.replace(/^topology: .*\n/, '')}`;
        assert.ok(faultsOf(named).length > 0, other);
        for (const fault of faultsOf(named)) assert.match(fault, /^m\.yaml:\d+:\d+ /);
      }
    });
  }

  it('says at which line a file is not of its topology, and what to do', () => {
    assert.deepEqual(faultsOf(`topology: attached\n${TOPOLOGIES.separate}`), [
      'm.yaml:5:21 gateways[0].name: "edge" has no sidecar, and the topology is "attached" ' +
        "(write topology: separate, or change a sidecar's serves)",
    ]);
    assert.deepEqual(faultsOf(TOPOLOGIES.shared.replace('shared', 'attached')), [
      'm.yaml:5:21 gateways[0].name: "edge" has one sidecar with a BFF, and the topology is ' +
        '"attached" (write topology: shared, or change sidecars[0].serves)',
    ]);
    const [merged] = faultsOf(TOPOLOGIES.merged.replace('topology: merged\n', ''));
    assert.match(
      merged!,
      /^m\.yaml:\d+:\d+ sidecars\[0\]\.serves\[0\]\.ingress: makes the sidecar/,
    );
    const [gateway, none] = faultsOf(`${TOPOLOGIES.separate}topology: merged\n`);
    assert.match(gateway!, /gateways\[0\]: is a gateway, and "merged" has none/);
    assert.match(none!, /topology: is "merged", and no BFF has an ingress/);
  });

  it('is one workload or one gateway an entry, which is there and is served once', () => {
    const serves = (entry: string): string =>
      faultsOf(TOPOLOGIES.attached.replace('{ gateway: edge, outbound: { port: 15021 } }', entry))
        .filter((fault) => fault.includes('serves'))
        .join('\n');
    assert.match(serves('{ outbound: { port: 15021 } }'), /serves\[0\]: serves nobody/);
    assert.match(
      serves('{ gateway: edge, workload: web, outbound: { port: 15021 } }'),
      /serves\[0\]: names both workload and gateway/,
    );
    assert.match(
      serves('{ gateway: egde, outbound: { port: 15021 } }'),
      /serves\[0\]\.gateway: there is no gateway "egde" \(there are: edge\)/,
    );
    assert.match(
      serves(
        '{ gateway: edge, outbound: { port: 15021 } }, { gateway: edge, outbound: { port: 15031 } }',
      ),
      /serves\[1\]\.gateway: "edge" is served by sidecars\[0\]\.serves\[0\] already/,
    );
  });

  it('has no inbound or ingress for a gateway, and no ingress for what is no BFF', () => {
    const gateway = faultsOf(
      TOPOLOGIES.attached.replace('{ gateway: edge,', '{ gateway: edge, inbound: { port: 1 },'),
    );
    assert.match(gateway.join(), /serves\[0\]\.inbound: is not for a gateway/);
    const service = faultsOf(TOPOLOGIES.merged.replace('kind: bff, ', ''));
    assert.match(service.join(), /serves\[0\]\.ingress: "web" is no BFF, .*workloads\[0\]/);
  });

  it('checks ports and routes of an ingress as those of a gateway', () => {
    const port = faultsOf(TOPOLOGIES.merged.replace('ingress: {', 'ingress: { port: 15016,'));
    assert.match(port.join(), /15016 is taken by sidecars\[0\]\.serves\[0\]\.ingress/);
    const routes = faultsOf(
      TOPOLOGIES.merged.replace('{ path: "/home", methods: [GET] }', '{ path: "/*" }'),
    );
    assert.match(routes.join(), /ingress\.routes\[1\]\.path: "\/\*" can never match/);
    const none = faultsOf(
      TOPOLOGIES.merged.replace(
        /routes: \[ \{ path: "\/home", .*?\{ path: "\/\*" \} \]/,
        'routes: []',
      ),
    );
    assert.match(none.join(), /ingress\.routes: .*names no route/);
  });
});

describe('parts of a topology', () => {
  const endpointsOf = (mesh: Mesh, proxy: string, listener: string) =>
    proxyPart(mesh, proxy)
      .listeners.find(({ name }) => name === listener)!
      .routes.map(({ template, cluster, inbound_of: inboundOf }) => [
        template,
        cluster.name,
        cluster.endpoints[0]!.port,
        cluster.meshed,
        inboundOf?.name,
      ]);

  it('let an attached gateway call its sidecar, which knows the gateway’s routes', () => {
    const mesh = meshOf(TOPOLOGIES.attached);
    assert.deepEqual(endpointsOf(mesh, 'edge', 'edge-ingress'), [
      ['/search', 'catalog', 15021, true, undefined],
      ['/*', 'web', 15021, true, undefined],
    ]);
    const [listener, ...others] = proxyPart(mesh, 'es').listeners;
    assert.deepEqual(others, []);
    assert.equal(listener?.side, 'outbound');
    assert.equal(listener.workload.role, 'gateway');
    assert.deepEqual(endpointsOf(mesh, 'es', 'edge-outbound'), [
      ['/search', 'catalog', 15016, true, undefined],
      ['/*', 'web', 15006, true, undefined],
    ]);
  });

  it('let a shared sidecar bring the gateway’s requests to its BFF in one pass', () => {
    const mesh = meshOf(TOPOLOGIES.shared);
    assert.deepEqual(endpointsOf(mesh, 'ws', 'edge-outbound'), [
      ['/search', 'catalog', 15016, true, undefined],
      ['/*', 'web', 9101, false, 'web'],
    ]);
  });

  it('give a merged BFF an ingress to itself, and the role of a gateway where it calls', () => {
    const mesh = meshOf(TOPOLOGIES.merged);
    assert.deepEqual(endpointsOf(mesh, 'ws', 'web-ingress'), [
      ['/home', 'web', 9101, false, undefined],
      ['/*', 'web', 9101, false, undefined],
    ]);
    const { listeners } = proxyPart(mesh, 'ws');
    assert.deepEqual(
      listeners.map(({ side, workload, port }) => [side, workload.role, port]),
      [
        ['ingress', 'gateway_bff', 8080],
        ['inbound', 'gateway_bff', 15006],
        ['outbound', 'gateway_bff', 15001],
      ],
    );
  });
});
