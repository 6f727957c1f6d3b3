import assert from 'node:assert/strict';
import { validateMesh } from '../../../mesh/load.ts';

const faultsOf = (text: string): readonly string[] =>
  validateMesh(
    'm.yaml',
    `file_format: "1.0"\nmesh: m\nstore: { password: "\${env:PW}" }\n${text}`,
    () => 'p',
    '',
  ).faults;

const WEB = `
workloads: [ { name: web, address: "127.0.0.1:9101" } ]
sidecars: [ { name: s, admin: { port: 15002 }, serves: [ { workload: web } ] } ]
`;

describe('checks between the values of a mesh file', () => {
  it('lets two machines have the same listeners, and one machine not', () => {
    const two = (first: string, second: string): readonly string[] =>
      faultsOf(`
workloads: [ { name: a, address: "127.0.0.1:9000" }, { name: b, address: "127.0.0.1:9000" } ]
sidecars:
  - { name: sa, ${first} serves: [ { workload: a } ] }
  - { name: sb, ${second} serves: [ { workload: b } ] }
`);
    assert.deepEqual(two('machine: pod-a,', 'machine: pod-b,'), []);
    // inbound, outbound, admin and the application's address.
    assert.equal(two('', '').length, 4);
    assert.equal(two('machine: pod-a,', 'machine: pod-a,').length, 4);
  });

  it('takes localhost, 127.0.0.1 and the default port for one address', () => {
    const faults = faultsOf(`${WEB}analytics: { host: localhost, port: 4318 }\n`);
    assert.equal(faults.length, 1);
    assert.match(faults[0]!, /analytics\.port: localhost:4318 is taken by collector\.otlp_http/);
  });

  it('sees a store URL with the port of a listener', () => {
    const faults = faultsOf(`${WEB}analytics: { port: 8123 }\n`);
    assert.match(faults.join(), /analytics\.port: 127\.0\.0\.1:8123 is taken by store\.url/);
  });

  it('refuses a route only when an earlier one takes all of it', () => {
    const routes = (list: string): readonly string[] =>
      faultsOf(`${WEB}gateways: [ { name: g, routes: [ ${list} ] } ]\n`);
    assert.deepEqual(
      routes('{ path: "/a/b", to: web }, { path: "/a/{x}", to: web }, { path: "/*", to: web }'),
      [],
    );
    assert.deepEqual(
      routes(
        '{ path: "/a", methods: [GET], to: web }, { path: "/a", to: web }, { path: "/a/b", to: web }',
      ),
      [],
    );
    assert.deepEqual(
      routes('{ hosts: [x.org], path: "/*", to: web }, { path: "/a", to: web }'),
      [],
    );
    // The more special route comes first whatever the order: only equals are in its way.
    assert.deepEqual(
      routes('{ path: "/*", to: web }, { hosts: [x.org], path: "/a", to: web }'),
      [],
    );
    assert.deepEqual(
      routes('{ hosts: ["*.org"], path: "/a", to: web }, { hosts: [x.org], path: "/a", to: web }'),
      [],
    );
    assert.deepEqual(
      routes(
        '{ path: "/a", to: web }, { path: "/a", headers: [ { name: v, value: "1" } ], to: web }',
      ),
      [],
    );
    assert.equal(routes('{ path: "/{a}/{b}", to: web }, { path: "/{c}/{d}", to: web }').length, 1);
    assert.equal(
      routes(
        '{ path: "/a", methods: [GET, PUT], to: web }, { path: "/a", methods: [GET], to: web }',
      ).length,
      1,
    );
    const asked = '{ path: "/a", query: [ { name: v, value: "1" } ], to: web }';
    assert.equal(routes(`${asked}, ${asked}`).length, 1);
  });

  it('wants every target of a route to be there, and one of them to get requests', () => {
    const to = (list: string): string =>
      faultsOf(`${WEB}gateways: [ { name: g, routes: [ { path: "/*", to: ${list} } ] } ]\n`).join();
    assert.equal(to('[ { service: web, weight: 9 }, { service: web } ]'), '');
    assert.match(
      to('[ { service: web }, { service: nowhere } ]'),
      /routes\[0\]\.to\[1\]\.service: there is no workload or external "nowhere"/,
    );
    assert.match(to('[ { service: web, weight: 0 } ]'), /gives every target the weight 0/);
    assert.match(to('[ { service: web, wieght: 1 } ]'), /unknown key \("weight"\?\)/);
    assert.match(to('5'), /routes\[0\]\.to: is a number \(write a text, or a list\)/);
  });

  it('wants the target of copies to be there, and a share of them that can be', () => {
    const mirror = (keys: string): string =>
      faultsOf(
        `${WEB}gateways: [ { name: g, routes: [ { path: "/*", to: web, mirror: { ${keys} } } ] } ]\n`,
      ).join();
    assert.equal(mirror('to: web, percent: 0.1'), '');
    assert.match(
      mirror('to: wbe'),
      /gateways\[0\]\.routes\[0\]\.mirror\.to: there is no workload or external "wbe"/,
    );
    assert.match(mirror('to: web, percent: 101'), /mirror\.percent: 101 is more than 100/);
    assert.match(
      mirror('to: web, body_bytes_max: 2000000'),
      /body_bytes_max: .* is more than 1048576/,
    );
    assert.match(mirror('percent: 5'), /mirror\.to: is missing/);
    const external =
      'externals: [ { name: x, hosts: [x], address: "127.0.0.1:9200", mirror: { to: no } } ]';
    assert.match(faultsOf(`${WEB}${external}\n`).join(), /externals\[0\]\.mirror\.to: there is no/);
  });

  it('refuses several targets where a sidecar calls for the gateway', () => {
    const faults = faultsOf(`
topology: attached
workloads: [ { name: web, address: "127.0.0.1:9101" } ]
gateways: [ { name: g, routes: [ { path: "/*", to: [ { service: web }, { service: web } ] } ] } ]
sidecars:
  - { name: s, admin: { port: 15002 }, serves: [ { workload: web } ] }
  - { name: gs, admin: { port: 15003 }, serves: [ { gateway: g, outbound: { port: 15004 } } ] }
`);
    assert.match(faults.join(), /routes\[0\]\.to: shares requests out, but sidecars\[1\] calls/);
  });

  it('lets a sidecar bear the name of its workload, and no gateway the name of a sidecar', () => {
    assert.deepEqual(faultsOf(WEB.replace('name: s,', 'name: web,')), []);
    const faults = faultsOf(
      `${WEB}gateways: [ { name: s, routes: [ { path: "/", to: web } ] } ]\n`,
    );
    assert.match(faults.join(), /"s" names gateways\[0\] already/);
  });

  it('routes a gateway to an external', () => {
    const faults = faultsOf(`
externals: [ { name: pay, hosts: [pay.example.com], address: "10.0.0.1:80" } ]
gateways: [ { name: g, routes: [ { path: "/pay", to: pay } ] } ]
`);
    assert.deepEqual(faults, []);
  });
});
