import assert from 'node:assert/strict';
import { validateMesh } from '../../../mesh/load.ts';

const faultsOf = (text: string): readonly string[] => {
  const head = 'file_format: "1.0"\nmesh: m\nstore: { password: "${env:PASSWORD}" }\n';
  return validateMesh('mesh.yaml', head + text, () => 'password', '').faults;
};

const SIZE = 'functions: { request_size: { bytes_max: 9 } }';
const KEYS =
  'functions: { api_keys: { keys: [{ consumer: a, sha256: "bbf47cb4909a161af99902a0a3d3f6a5b6a128c3fd7f4ae8c2c4741875fb70e6" }] } }';
const JWT = 'functions: { jwt: { jwks_file: k.json, issuer: i, audiences: [a] } }';

const merged = (inner: string, ingress: string): string => `topology: merged
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101", routes: [{ path: "/api/a", ${inner} }] }
sidecars:
  - { name: web-sidecar, serves: [{ workload: web, ingress: { routes: [${ingress}] } }] }
`;
const shared = (inner: string, outer: string, allow = ''): string => `topology: shared
identity: { trust_domain: shop.example, dir: certs }
gateways: [{ name: edge, routes: [${outer}] }]
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101", ${allow} routes: [{ path: "/api/a", ${inner} }] }
sidecars:
  - name: both
    admin: { port: 15010 }
    serves: [{ workload: web }, { gateway: edge, outbound: { port: 15061 } }]
`;

describe('What requests from outside would pass by', () => {
  it('is refused where a BFF’s sidecar is the ingress, with both places and the mend', () => {
    assert.deepEqual(faultsOf(merged(SIZE, '{ path: "/api/*" }')), [
      'mesh.yaml:6:110 workloads[0].routes[0].functions.request_size: would not be done for requests ' +
        'from outside: "/api/*" at sidecars[0].serves[0].ingress.routes[0] takes them to web in one pass ' +
        '(write it there too, or there alone)',
    ]);
  });

  it('is refused where a gateway and its BFF share a sidecar', () => {
    const [fault, ...more] = faultsOf(shared(SIZE, '{ path: "/api/*", to: web }'));
    assert.match(
      fault!,
      /request_size: would not be done .* "\/api\/\*" at gateways\[0\]\.routes\[0\]/,
    );
    assert.deepEqual(more, []);
  });

  it('is fine where the edge does the same, or where no request from outside gets', () => {
    assert.deepEqual(faultsOf(merged(SIZE, `{ path: "/api/*", ${SIZE} }`)), []);
    assert.deepEqual(faultsOf(shared(SIZE, `{ path: "/api/*", to: web, ${SIZE} }`)), []);
    assert.deepEqual(faultsOf(merged(SIZE, '{ path: "/other/*" }')), []);
    assert.deepEqual(faultsOf(merged(SIZE, `{ path: "/api/*" }, { path: "/api/a", ${SIZE} }`)), []);
  });

  it('may be checked by the other means at the edge: keys for tokens', () => {
    assert.deepEqual(faultsOf(merged(JWT, `{ path: "/api/*", ${KEYS} }`)), []);
    assert.equal(faultsOf(merged(JWT, '{ path: "/api/*" }')).length, 1);
  });

  it('is refused of a route’s list that says of the gateway otherwise than the workload’s', () => {
    const route = '{ path: "/api/*", to: web }';
    const [fault] = faultsOf(shared('allow: [web]', route));
    assert.match(
      fault!,
      /routes\[0\]\.allow: would not count for edge: .* by the list of the workload alone/,
    );
    assert.deepEqual(faultsOf(shared('allow: [edge]', route)), []);
    assert.deepEqual(faultsOf(shared('allow: [web]', route, 'allow: [web],')), []);
    assert.equal(faultsOf(shared('allow: [edge]', route, 'allow: [web],')).length, 1);
    // An ingress is for everybody, and lists are about callers in the mesh.
    const known = 'identity: { trust_domain: shop.example, dir: certs }\n';
    assert.deepEqual(faultsOf(known + merged('allow: [web]', '{ path: "/api/*" }')), []);
  });
});
