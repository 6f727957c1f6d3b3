import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { meshJsonSchema, redactedConfig, SECRETS } from '../../../mesh/config.ts';
import { loadMesh, validateMesh } from '../../../mesh/load.ts';
import { AzimuthError } from '../../../runtime/errors.ts';

const check = (text: string, env: Record<string, string> = {}) =>
  validateMesh('mesh.yaml', text, (name) => ({ SECRET: 'secret', ...env })[name], 'export NAME');

const MINIMAL = `
file_format: "1.0"
mesh: shop
store: { password: "\${env:SECRET}" }
`;

const SHOP = `${MINIMAL}
gateways:
  - { name: edge, routes: [ { path: "/*", to: web } ] }
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101" }
sidecars:
  - { name: web-sidecar, admin: { port: 15002 }, serves: [ { workload: web } ] }
`;

/** Twelve kinds of fault and more; the comment at a line's end is the start of its message. */
const FAULTY = `file_format: "2.0" # file_format: "2.0" is of another major version
mesh: My Shop # mesh: "My Shop" is not a name
toplogy: separate # toplogy: unknown key ("topology"?)
topology: ring # topology: "ring" is not known
cluster: local
cluster: other # this key stands here twice
telemetry:
  transport: otpl # telemetry.transport: "otpl" is not known ("otlp"?)
  otlp: { endpoint: "ftp://x" } # telemetry.otlp.endpoint: "ftp://x" is not an http
  flush_interval_ms: fast # telemetry.flush_interval_ms: "fast" is not a whole number
store:
  url: "http://127.0.0.1:99999" # store.url: "http://127.0.0.1:99999" is not a valid URL
  password: "\${env:NOT_SET}" # store.password: environment variable NOT_SET is not set
  user: "$\{oops" # store.user: holds a "\${…}" that is not understood
  retention_days: 0 # store.retention_days: 0 is less than 1 day
gateways:
  - name: edge
    listen: { port: 70000 } # gateways[0].listen.port: 70000 is not a port
    routes:
      - { path: "/api/{id}", to: web }
      - { path: "/api/{x}", to: web } # gateways[0].routes[1].path: "/api/{x}" can never match
      - { path: "/x", to: nowhere } # gateways[0].routes[2].to: there is no workload or external "nowhere"
      - { path: "api", to: web } # gateways[0].routes[3].path: "api" does not start with a slash
      - { path: "/y", to: web, methods: [get] } # gateways[0].routes[4].methods[0]: "get" is not an HTTP method
workloads:
  - { name: web, address: "127.0.0.1" } # workloads[0].address: "127.0.0.1" is not an address
  - { name: catalog, version: 1.5, address: "a:9102" } # workloads[1].version: 1.5 is a number (put it in quotes)
  - { name: catalog, address: "b:9102" } # workloads[2].name: "catalog" names workloads[1] already
  - { name: alone, address: "c:9103" } # workloads[3].name: "alone" has no sidecar
  - { name: edge, address: "d:9104" } # workloads[4].name: "edge" names gateways[0] already
sidecars:
  - name: one # sidecars[0].admin: 127.0.0.1:15000 is taken by gateways[0].admin already
    serves:
      - { workload: web, inbound: { port: 15106, mesh_only: "yes" } } # sidecars[0].serves[0].inbound.mesh_only: "yes" is a text (write true or false)
      - { workload: catalog, inbound: { port: 15106 } } # sidecars[0].serves[1].inbound.port: 127.0.0.1:15106 is taken by
      - { workload: edge, inbound: { port: 15107 }, outbound: { port: 15102 } }
  - admin: { port: 15011 } # sidecars[1].name: is missing
    serves:
      - { workload: catalog, inbound: { port: 15108 }, outbound: { port: 15103 } } # sidecars[1].serves[0].workload: "catalog" is served by sidecars[0].serves[1] already
      - { workload: ghost, inbound: { port: 15109 }, outbound: { port: 15104 } } # sidecars[1].serves[1].workload: there is no workload "ghost"
externals:
  - { name: pay, hosts: [web], address: "pay:443" } # externals[0].hosts[0]: Host "web" leads to workloads[0] already
`;

describe('loadMesh', () => {
  it('names every fault of every kind in one run, each at its line', () => {
    const { mesh, faults } = check(FAULTY);
    assert.equal(mesh, undefined);
    const expected = FAULTY.split('\n').flatMap((line, index) => {
      const comment = / # (.*)$/.exec(line)?.[1];
      return comment === undefined ? [] : [{ line: index + 1, message: comment }];
    });
    assert.ok(expected.length >= 20);
    for (const { line, message } of expected) {
      const found = faults.some(
        (fault) => fault.startsWith(`mesh.yaml:${line}:`) && fault.includes(` ${message}`),
      );
      assert.ok(found, `line ${line} should say: ${message}\n\n${faults.join('\n')}`);
    }
    // Line 35 has a second fault: the default outbound port, twice within sidecars[0].
    const others = faults.filter(
      (fault) => !expected.some(({ line }) => fault.includes(`:${line}:`)),
    );
    assert.deepEqual(others, []);
    for (const fault of faults) assert.match(fault, /\(.+\)$/, 'each says what to do');
  });

  it('fills in every default of a minimal file', () => {
    const { mesh, faults } = check(MINIMAL);
    assert.deepEqual(faults, []);
    assert.equal(mesh?.config.telemetry.otlp.endpoint, 'http://127.0.0.1:4318');
    assert.equal(mesh.config.store.url, 'http://127.0.0.1:8123');
    assert.equal(mesh.config.analytics.port, 8088);
    assert.deepEqual(mesh.warnings, []);
  });

  it('takes variables from the environment first, then from .env beside the file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'azimuth-mesh-'));
    try {
      const file = join(folder, 'mesh.yaml');
      writeFileSync(
        file,
        MINIMAL.replace('"${env:SECRET}"', '"${env:PW}-${env:USER_PART}-${UNSET_ONE:-fallback}"'),
      );
      writeFileSync(join(folder, '.env'), 'PW=from-file\nUSER_PART=u\n');
      assert.equal(loadMesh(file, { PW: 'env' }).config.store.password, 'env-u-fallback');
      assert.equal(loadMesh(file, {}).config.store.password, 'from-file-u-fallback');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('gives a variable the type that its place asks for, quoted or not', () => {
    const text = `${MINIMAL.replace('"${env:SECRET}"', '"${env:PORT}"')}
analytics:
  port: \${env:PORT}
cluster: \${env:PORT}
collector: { admin: { port: "\${ADMIN:-9001}" } }
`;
    const { mesh, faults } = check(text, { PORT: '9000' });
    assert.deepEqual(faults, []);
    assert.equal(mesh?.config.analytics.port, 9000);
    assert.equal(mesh.config.collector.admin.port, 9001);
    assert.equal(mesh.config.cluster, '9000');
    assert.equal(mesh.config.store.password, '9000');
    const clash = check(text, { PORT: '9001' });
    assert.match(clash.faults.join(), /127\.0\.0\.1:9001 is taken/);
    assert.match(
      check(text, { PORT: 'x' }).faults.join(),
      /the value from the environment is not a port/,
    );
  });

  it('leaves a bare $NAME alone and writes $${ as ${', () => {
    const { mesh } = check(`${MINIMAL}\ncluster: "$HOME-$\${x}"\n`, { HOME: 'no' });
    assert.equal(mesh?.config.cluster, '$HOME-${x}');
  });

  it('lets no variable add keys to the file', () => {
    const { mesh, faults } = check(`${MINIMAL}\ncluster: \${env:EVIL}\n`, {
      EVIL: 'x\ntopology: merged',
    });
    assert.deepEqual(faults, []);
    assert.equal(mesh?.config.topology, 'separate');
    assert.equal(mesh.config.cluster, 'x\ntopology: merged');
  });

  it('never shows a password or a value from the environment in a fault', () => {
    const text = MINIMAL.replace('"${env:SECRET}"', '[hunter2]') + 'topology: "${env:SECRET}"\n';
    const { faults } = check(text, { SECRET: 'hunter2' });
    assert.equal(faults.length, 2);
    assert.ok(!faults.join('\n').includes('hunter2'), faults.join('\n'));
  });

  it('shows a config with its secrets replaced', () => {
    const { mesh } = check(MINIMAL);
    assert.ok(mesh !== undefined);
    const shown = JSON.stringify(redactedConfig(mesh.config));
    assert.ok(shown.includes('[REDACTED]') && !shown.includes('secret'));
  });

  it('shows none of the secrets that a mesh file can hold', () => {
    const { mesh, faults } = check(`${MINIMAL}
telemetry:
  otlp: { token: "\${env:SECRET}" }
  kafka: { sasl: { mechanism: plain, username: u, password: "\${env:SECRET}" } }
collector: { otlp_http: { token: "\${env:SECRET}" }, otlp_grpc: { token: "\${env:SECRET}" } }
analytics: { reader: { user: r, password: "\${env:SECRET}" } }
`);
    assert.deepEqual(faults, []);
    assert.equal(mesh?.config.telemetry.kafka.sasl?.password, 'secret');
    const shown = JSON.stringify(redactedConfig(mesh.config));
    assert.equal(shown.split('[REDACTED]').length - 1, SECRETS.length);
    assert.ok(!shown.includes('secret'));
    assert.equal(mesh.config.collector.otlp_http.token, 'secret', 'the config itself is untouched');
  });

  it('refuses a secret that is written out, and does not repeat it', () => {
    const { faults } = check(`
file_format: "1.0"
mesh: shop
store: { password: hunter2 }
telemetry:
  otlp: { token: hunter2 }
  kafka: { sasl: { mechanism: plain, username: u, password: hunter2 } }
collector: { otlp_http: { token: hunter2 }, otlp_grpc: { token: hunter2 } }
analytics: { reader: { user: r, password: hunter2 } }
`);
    assert.equal(faults.length, SECRETS.length, faults.join('\n'));
    for (const place of SECRETS) {
      const start = `${place.join('.')}: is a secret that is written out`;
      assert.ok(
        faults.some((fault) => fault.includes(start)),
        start,
      );
    }
    assert.ok(!faults.join('\n').includes('hunter2'));
  });

  it('refuses half a client certificate, and TLS for an endpoint without', () => {
    const { faults } = check(`${MINIMAL}
telemetry:
  otlp: { endpoint: "http://c:4318", tls: { ca: ca.pem } }
  kafka: { tls: { cert: c.pem } }
`);
    assert.equal(faults.length, 2, faults.join('\n'));
    assert.match(faults[0]!, /telemetry\.otlp\.endpoint: .* has no TLS/);
    assert.match(faults[1]!, /telemetry\.kafka\.tls: .* one of cert and key/);
  });

  it('warns of a newer minor format', () => {
    const { mesh, faults } = check(SHOP.replace('"1.0"', '"1.9"'));
    assert.deepEqual(faults, []);
    assert.equal(mesh?.warnings.length, 1);
  });

  it('says so when the text is no YAML, empty, or a list', () => {
    for (const text of ['', '- a\n- b\n', 'just words', 'a: [1,\nb: "']) {
      const { mesh, faults } = check(text);
      assert.equal(mesh, undefined);
      assert.ok(faults.length > 0, JSON.stringify(text));
    }
  });

  it('bounds aliases that would blow the file up', () => {
    const bomb = ['a0: &a0 [x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 9; i++) {
      const before = `*a${i - 1}`;
      bomb.push(`a${i}: &a${i} [${Array<string>(9).fill(before).join(',')}]`);
    }
    const { mesh, faults } = check(bomb.join('\n'));
    assert.equal(mesh, undefined);
    assert.ok(faults.some((fault) => fault.includes('alias')));
  });

  it('understands anchors, and reports a fault in an alias where the alias leads', () => {
    const { faults } = check(`${MINIMAL}analytics: &a { port: 0 }\ncollector: { admin: *a }\n`);
    assert.ok(
      faults.some((f) => f.includes(':5:23 collector.admin.port: 0 is not a port')),
      faults.join('\n'),
    );
  });

  it('throws AZ_CONFIG_NOT_FOUND for a file that is not there and AZ_CONFIG_INVALID for a bad one', () => {
    assert.throws(
      () => loadMesh('/nonexistent/mesh.yaml', {}),
      (error) => error instanceof AzimuthError && error.code === 'AZ_CONFIG_NOT_FOUND',
    );
    const folder = mkdtempSync(join(tmpdir(), 'azimuth-mesh-'));
    try {
      writeFileSync(join(folder, 'mesh.yaml'), 'mesh: 5\n');
      assert.throws(
        () => loadMesh(join(folder, 'mesh.yaml'), {}),
        (error) =>
          error instanceof AzimuthError &&
          error.code === 'AZ_CONFIG_INVALID' &&
          error.message.includes('file_format: is missing') &&
          error.message.includes('store: is missing'),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('has its JSON Schema committed as the code makes it', () => {
    const committed = readFileSync(
      new URL('../../../mesh/mesh.schema.json', import.meta.url),
      'utf8',
    );
    assert.deepEqual(JSON.parse(committed), meshJsonSchema(), 'run `npm run generate`');
  });
});
