import assert from 'node:assert/strict';
import { validateMesh, type Mesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import { refusedHeader } from '../../../mesh/refused-headers.ts';
import type { FunctionsPart } from '../../../mesh/functions.ts';
import { FIELD, isReservedName, STRIP, STRIPPED_FROM } from '../../../proxy/codec/tables.ts';

const KEY = 'a'.repeat(64);
const API_KEYS = `api_keys: { keys: [ { consumer: app, sha256: ${KEY} } ] }`;
const JWT = 'jwt: { jwks_file: keys.json, issuer: "https://i", audiences: [shop] }';

/** A gateway with functions of its own and of its route, before one workload. */
const fileOf = (ofRoute: string, ofGateway = '', path = '/api/*', workload = ''): string => `
file_format: "1.0"
mesh: m
store: { password: "\${env:PW}" }
gateways:
  - name: edge
    ${ofGateway === '' ? '' : `functions: { ${ofGateway} }`}
    routes:
      - path: "${path}"
        to: web
        functions: { ${ofRoute} }
workloads:
  - { name: web, address: "127.0.0.1:9101", routes: [ { path: "/w", functions: { ${workload} } } ] }
sidecars:
  - { name: ws, admin: { port: 15002 }, serves: [ { workload: web } ] }
`;
const read = (text: string) => validateMesh('/etc/mesh/m.yaml', text, () => 'p', '');
/** Faults without the name of the file, and without the column, which is that of the value. */
const faultsOf = (...parts: Parameters<typeof fileOf>): string[] =>
  read(fileOf(...parts)).faults.map((fault) =>
    fault.replace(/^\/etc\/mesh\/m\.yaml:(\d+):\d+/, '$1'),
  );
const meshOf = (text: string): Mesh => {
  const { mesh, faults } = read(text);
  assert.deepEqual(faults, []);
  return mesh!;
};
const functionsOf = (...parts: Parameters<typeof fileOf>): FunctionsPart | undefined =>
  proxyPart(meshOf(fileOf(...parts)), 'edge').listeners[0]!.routes[0]!.functions;

describe('functions of the mesh file', () => {
  it('of a route replace those of its gateway one by one, and `off` leaves one out', () => {
    const ofGateway = `${API_KEYS}, request_size: { bytes_max: 1 }, cors: { origins: ["*"] }`;
    const part = functionsOf('request_size: { bytes_max: 2 }, off: [cors]', ofGateway);
    assert.deepEqual(Object.keys(part!), ['request_size', 'api_keys']);
    assert.equal(part!.request_size!.bytes_max, 2);
    assert.equal(functionsOf('off: [api_keys, request_size, cors]', ofGateway), undefined);
    assert.equal(functionsOf(''), undefined);
  });

  it('share the counters of a limit that the gateway has, and not those of a route', () => {
    const limit = 'rate_limits: [ { by: client, requests: 5 } ]';
    assert.equal(functionsOf('', limit)!.rate_limits![0]!.scope, 'listener');
    assert.equal(functionsOf(limit, limit)!.rate_limits![0]!.scope, 'route 0 /api/*');
  });

  it('name files from the folder of the mesh file', () => {
    assert.equal(functionsOf(JWT)!.jwt!.jwks_file, '/etc/mesh/keys.json');
  });

  it('of a workload are performed at its own sidecar alone, by requests to it', () => {
    const mesh = meshOf(fileOf('', '', '/api/*', 'request_size: { bytes_max: 9 }'));
    const sides = proxyPart(mesh, 'ws').listeners.map(({ side, routes }) => [
      side,
      routes[0]!.functions?.request_size?.bytes_max,
    ]);
    assert.deepEqual(sides, [
      ['inbound', 9],
      ['outbound', undefined],
    ]);
  });

  it('leave a rewrite to the sidecar of a gateway that has one, which finds the route by the path', () => {
    const text = fileOf(`${API_KEYS}, rewrite: { prefix: "/" }`)
      .replace('mesh: m', 'mesh: m\ntopology: attached')
      .concat(
        '  - { name: es, admin: { port: 15022 }, serves: [ { gateway: edge, outbound: { port: 15021 } } ] }',
      );
    const mesh = meshOf(text);
    const of = (name: string): string[] => {
      const { functions = {} } = proxyPart(mesh, name).listeners[0]!.routes[0]!;
      return Object.entries(functions).flatMap(([key, value]) =>
        value === undefined ? [] : [key],
      );
    };
    assert.deepEqual([of('edge'), of('es')], [['api_keys'], ['rewrite']]);
  });

  /** Each with all of its message, at its line and place. */
  const faults: readonly (readonly [string, readonly string[], ...Parameters<typeof fileOf>])[] = [
    [
      'credentials for every origin',
      [
        '11 gateways[0].routes[0].functions.cors.credentials: true are allowed to every origin (name the origins, or leave credentials out)',
      ],
      'cors: { origins: ["*"], credentials: true }',
    ],
    [
      'an origin with a path',
      [
        '11 gateways[0].routes[0].functions.cors.origins[0]: "https://a/" is not an origin (write "https://shop.example", without a path, or "*")',
      ],
      'cors: { origins: ["https://a/"] }',
    ],
    [
      'two places for the keys of an issuer',
      [
        '11 gateways[0].routes[0].functions.jwt: this has not exactly one of jwks_url and jwks_file (write one)',
      ],
      'jwt: { jwks_file: f, jwks_url: "http://i/k", issuer: i, audiences: [a] }',
    ],
    [
      'a shared secret as an algorithm, and no audience',
      [
        '11 gateways[0].routes[0].functions.jwt.audiences: is missing (add it: a list)',
        '11 gateways[0].routes[0].functions.jwt.algorithms[0]: "HS256" is not known ("RS256"?)',
      ],
      'jwt: { jwks_file: f, issuer: i, algorithms: [HS256] }',
    ],
    [
      'a key that is written out',
      [
        '11 gateways[0].routes[0].functions.api_keys.keys[0].sha256: "secret" is not a SHA-256 (64 lower-case hexadecimal digits)',
      ],
      'api_keys: { keys: [ { consumer: a, sha256: secret } ] }',
    ],
    [
      'who asks twice who it is',
      [
        `11 gateways[0].routes[0].functions.api_keys: asks who sends a request, and jwt asks too (write off: [jwt], or two routes)`,
      ],
      `${API_KEYS}, ${JWT}`,
    ],
    [
      'a limit by consumers that nobody knows',
      [
        '11 gateways[0].routes[0].functions.rate_limits[0].by: counts consumers, and /api/* knows none (add api_keys, or jwt with consumer_claim)',
      ],
      'rate_limits: [ { by: consumer, requests: 1 } ]',
    ],
    [
      'the same where the gateway has the limit and a route does without the keys',
      [
        '7 gateways[0].functions.rate_limits[0].by: counts consumers, and /api/* knows none (add api_keys, or jwt with consumer_claim)',
      ],
      'off: [api_keys]',
      `rate_limits: [ { requests: 1, by: consumer } ], ${API_KEYS}`,
    ],
    [
      'headers of the connection, of the mesh and of no spelling',
      [
        '11 gateways[0].routes[0].functions.headers.request.set.x-forwarded-for: cannot be changed (only the mesh sets it: remove it here)',
        '11 gateways[0].routes[0].functions.headers.request.remove[0]: "connection" cannot be changed (it belongs to the connection: remove it here)',
        '11 gateways[0].routes[0].functions.headers.request.remove[1]: "X-A" is not a header name (write it in lower case, without "_")',
      ],
      'headers: { request: { set: { x-forwarded-for: "1.2.3.4" }, remove: [connection, "X-A"] } }',
    ],
    [
      'a header value that would be two lines',
      [
        '11 gateways[0].routes[0].functions.headers.response.set.x-a: "a\\r\\nb" is not a header value (visible ASCII)',
      ],
      'headers: { response: { set: { x-a: "a\\r\\nb" } } }',
    ],
    [
      'a rewrite that takes what the path does not give',
      [
        '11 gateways[0].routes[0].functions.rewrite.path: "/x/{other}/*" holds "{other}", which "/api/{id}" does not give (it gives: {id})'.replace(
          '"/x/{other}/*" ',
          '',
        ),
        '11 gateways[0].routes[0].functions.rewrite.path: holds "*", which "/api/{id}" does not give (it gives: {id})',
      ],
      'rewrite: { path: "/x/{other}/*" }',
      '',
      '/api/{id}',
    ],
    [
      'a prefix of a path that has none',
      [
        '11 gateways[0].routes[0].functions.rewrite.prefix: replaces what stands before "/*", and "/api" has none (write path instead)',
      ],
      'rewrite: { prefix: "/" }',
      '',
      '/api',
    ],
    [
      'off where nothing is on',
      [
        '11 gateways[0].routes[0].functions.off[0]: "jwt" is no function of its listener (remove it)',
      ],
      'off: [jwt]',
    ],
    [
      'a function of browsers at a workload',
      [
        '13 workloads[0].routes[0].functions.cors: unknown key (known here: request_size, rate_limits, jwt, api_keys, headers)',
      ],
      '',
      '',
      '/api/*',
      'cors: { origins: ["*"] }',
    ],
  ];
  for (const [what, expected, ...parts] of faults) {
    it(`refuses ${what}`, () => {
      assert.deepEqual(faultsOf(...parts), expected);
    });
  }

  it('refuses to change every header that the proxy strips or sets itself', () => {
    // Of requests that are not from outside too, so not by the reserved names alone.
    const names = Object.entries(FIELD)
      .filter(([, id]) => (STRIPPED_FROM[id]! & ~STRIP.edgeResponse) !== 0)
      .map(([name]) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`))
      .map((name) => name.replace('http2-', 'http2-'));
    assert.ok(names.length > 20, names.join());
    for (const name of names) assert.notEqual(refusedHeader(name), undefined, name);
    for (const name of ['azimuth-x', 'x-envoy-x', 'l5d-x', 'x-forwarded-x', 'x-azimuth-x']) {
      assert.ok(isReservedName(name) && refusedHeader(name) !== undefined, name);
    }
    for (const name of ['x-env', 'cache-control', 'set-cookie', 'server', 'vary']) {
      assert.equal(refusedHeader(name), undefined, name);
    }
  });
});
