import assert from 'node:assert/strict';
import { validateMesh, type Mesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import { topologyText, type Topology } from '../../../demo/shop-mesh.ts';
import { TOPOLOGIES } from '../../../mesh/config.ts';

const read = (text: string) => validateMesh('/mesh/m.yaml', text, () => 'p', '');

const faultsOf = (identity: string, workload = '', more = ''): readonly string[] =>
  read(`
file_format: "1.0"
mesh: m
store: { password: "\${env:PW}" }
${identity}
gateways: [ { name: edge, routes: [ { path: "/*", to: web } ]${more} } ]
workloads: [ { name: web, address: "127.0.0.1:9101"${workload} } ]
sidecars: [ { name: s, admin: { port: 15002 }, serves: [ { workload: web } ] } ]
`).faults;

const ON = 'identity: { trust_domain: shop.test, dir: certs }';

const meshOf = (topology: Topology, mode = 'strict'): Mesh => {
  const text = topologyText(topology).replace('dir: certs }', `dir: certs, mode: ${mode} }`);
  const { mesh, faults } = read(text);
  assert.deepEqual(faults, []);
  return mesh!;
};

describe('identity in a mesh file', () => {
  it('may be left out, and is strict when it is there', () => {
    assert.deepEqual(faultsOf(''), []);
    assert.deepEqual(faultsOf(ON), []);
    const part = proxyPart(meshOf('separate'), 'cart-sidecar');
    assert.equal(part.listeners[0]!.tls?.client_certificate, 'required');
  });

  const wrong: readonly [string, RegExp, readonly string[]][] = [
    [
      'a trust domain with capitals',
      /trust_domain.*is not a trust domain/,
      ['identity: { trust_domain: Shop, dir: c }'],
    ],
    ['no folder', /identity\.dir.*is missing/, ['identity: { trust_domain: shop }']],
    [
      'an unknown mode',
      /identity\.mode.*"strict"\?/,
      ['identity: { trust_domain: shop, dir: c, mode: strikt }'],
    ],
    [
      'a namespace that no id can hold',
      /namespace.*cannot stand in a SPIFFE id/,
      [ON, ', namespace: "a b"'],
    ],
    [
      'an allow-list without identity',
      /allow.*needs callers that prove who they are/,
      ['', ', allow: [edge]'],
    ],
    [
      'an allow-list while calls are plain',
      /needs callers that prove/,
      [ON.replace(' }', ', mode: accept }'), ', allow: [edge]'],
    ],
    [
      'an unknown caller',
      /allow\[0\].*there is no workload or gateway "edgy" \(there are: edge, web\)/,
      [ON, ', allow: [edgy]'],
    ],
    [
      'a caller that is neither name nor id',
      /is neither a name nor a SPIFFE id/,
      [ON, ', allow: ["*"]'],
    ],
    ['a list of nobody', /allows nobody/, [ON, ', allow: []']],
    [
      'client certificates without authorities',
      /client_certificate.*has no client_ca/,
      [
        ON,
        '',
        ', listen: { tls: { certificates: [ { cert: a, key: b } ], client_certificate: optional } }',
      ],
    ],
    [
      'TLS without a certificate',
      /names no certificate/,
      [ON, '', ', listen: { tls: { certificates: [] } }'],
    ],
    [
      'hops that are no number',
      /trusted_hops.*is less than 0/,
      [ON, '', ', listen: { trusted_hops: -1 }'],
    ],
  ];
  for (const [what, message, [identity = '', workload, more]] of wrong) {
    it(`refuses ${what}`, () => {
      const faults = faultsOf(identity, workload, more);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0]!, message);
    });
  }
});

describe('the part of a proxy with identity', () => {
  for (const topology of TOPOLOGIES) {
    it(`in ${topology}: every inbound listener asks for certificates, every call to one shows one`, () => {
      const mesh = meshOf(topology);
      const { gateways, sidecars } = mesh.config;
      const inboundPorts = sidecars.flatMap((s) => s.serves.map((v) => v.inbound?.port));
      for (const { name } of [...gateways, ...sidecars]) {
        for (const { side, tls, routes, workload } of proxyPart(mesh, name).listeners) {
          assert.equal(tls?.clients, side === 'inbound' ? 'mesh' : undefined, name);
          for (const { cluster } of routes) {
            const isCall = inboundPorts.includes(cluster.endpoints[0]!.port);
            const id = `spiffe://shop.local/ns/shop/sa/${cluster.name}`;
            assert.equal(cluster.tls?.id, isCall ? id : undefined, `${name} → ${cluster.name}`);
            if (isCall) assert.equal(cluster.tls?.cert, `/mesh/certs/${name}/${workload.name}.pem`);
          }
        }
      }
    });
  }

  it('says who is who, by id, with the role of each', () => {
    const { identity } = proxyPart(meshOf('merged'), 'cart-sidecar');
    assert.equal(identity?.peers['spiffe://shop.local/ns/shop/sa/web-bff']?.role, 'gateway_bff');
    const separate = proxyPart(meshOf('separate'), 'cart-sidecar').identity;
    assert.equal(separate?.peers['spiffe://shop.local/ns/edge/sa/edge']?.role, 'gateway');
  });

  const modes: readonly [string, boolean | undefined, boolean][] = [
    ['off', undefined, false],
    ['accept', true, false],
    ['permissive', true, true],
    ['strict', false, true],
  ];
  for (const [mode, plain, calls] of modes) {
    it(`${mode}: ${plain === undefined ? 'no TLS' : plain ? 'takes both' : 'takes TLS only'}, calls ${calls ? 'by TLS' : 'plain'}`, () => {
      const { listeners, identity } = proxyPart(meshOf('separate', mode), 'cart-sidecar');
      const inbound = listeners.find(({ side }) => side === 'inbound');
      const outbound = listeners.find(({ side }) => side === 'outbound');
      assert.equal(inbound?.tls?.plain, plain);
      assert.equal(
        outbound?.routes.some(({ cluster }) => cluster.tls),
        calls,
      );
      assert.equal(identity?.calls, plain === undefined ? undefined : calls);
    });
  }

  it('turns names of an allow-list into ids, for the callee alone; a route has the last word', () => {
    const text = topologyText('separate')
      .replace("address: '127.0.0.1:9105'", "address: '127.0.0.1:9105'\n    allow: [web-bff]")
      .replace("path: '/carts/{user}', methods: [GET]", "$&, allow: ['spiffe://shop.local/ns/*']");
    const { mesh, faults } = read(text);
    assert.deepEqual(faults, []);
    const [inbound] = proxyPart(mesh!, 'cart-sidecar').listeners;
    const web = ['spiffe://shop.local/ns/shop/sa/web-bff'];
    assert.deepEqual(
      inbound!.routes.map(({ template, allow }) => [template, allow]),
      [
        ['/carts/{user}', ['spiffe://shop.local/ns/*']],
        ['/carts/{user}/items', web],
        ['/*', web],
      ],
    );
    for (const { routes } of proxyPart(mesh!, 'web-bff-sidecar').listeners) {
      assert.ok(routes.every(({ allow }) => allow === undefined));
    }
  });
});
