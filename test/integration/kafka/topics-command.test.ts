import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testKafka, type TestKafka } from '../../helpers/kafka-broker.ts';

const AZIMUTH = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

describe('azimuth topics', function () {
  this.timeout(30_000);
  let kafka: TestKafka;
  let folder: string | undefined;

  before(async function () {
    kafka = await testKafka(this);
    folder = mkdtempSync(join(tmpdir(), 'azimuth-topics-test-'));
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  const run = (brokers: readonly string[], spans: string, ...args: string[]) => {
    const mesh = join(folder!, 'mesh.yaml');
    writeFileSync(
      mesh,
      `file_format: "1.0"
mesh: shop
topology: separate
telemetry:
  transport: kafka
  kafka: { brokers: [${brokers.map((b) => `"${b}"`).join(', ')}], topic_spans: ${spans}, topic_logs: ${spans}_logs }
store: { url: "http://127.0.0.1:18086", database: azimuth, user: azimuth, password: "\${AZIMUTH_STORE_PASSWORD:-unused}", retention_days: 7 }
gateways:
  - name: edge
    namespace: edge
    version: "1.0.0"
    zone: a
    listen: { host: 127.0.0.1, port: 18080 }
    admin: { host: 127.0.0.1, port: 18081 }
    routes: [{ hosts: [], path: "/*", methods: [], to: catalog }]
workloads:
  - name: catalog
    kind: service
    namespace: shop
    version: "1.0.0"
    zone: a
    address: "127.0.0.1:18082"
sidecars:
  - name: catalog-sidecar
    serves:
      - { workload: catalog, inbound: { host: 127.0.0.1, port: 18083, mesh_only: true }, outbound: { host: 127.0.0.1, port: 18084 } }
    admin: { host: 127.0.0.1, port: 18085 }
`,
    );
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [AZIMUTH, 'topics', '--mesh', mesh, ...args],
      { encoding: 'utf8' },
    );
    return { status, stdout, stderr };
  };

  it('creates both topics, and leaves them as they are the second time', () => {
    const spans = `topics-${kafka.group()}`;
    const first = run(kafka.brokers, spans);
    assert.equal(first.stderr, '');
    assert.equal(
      first.stdout,
      `${spans}: created, 12 partitions\n${spans}_logs: created, 12 partitions\n`,
    );
    const second = run(kafka.brokers, spans, '--partitions', '3');
    assert.equal(second.status, 0);
    assert.match(second.stdout, /: exists, 12 partitions, left as it is\n/);
  });

  it('validates only, with --check', () => {
    const { status, stdout } = run(['127.0.0.1:1'], 'spans', '--check');
    assert.equal(status, 0);
    assert.match(stdout, /^ok: topics spans, spans_logs at 127\.0\.0\.1:1, 12 partitions each\n$/);
  });

  it('says in one line that no broker answers and what to do, and exits 69', () => {
    const { status, stderr } = run(['127.0.0.1:1'], 'spans');
    assert.equal(status, 69);
    assert.match(stderr, /^azimuth: no Kafka broker answers at 127\.0\.0\.1:1 .*\n$/);
  });

  it('refuses a number that is none', () => {
    const { status, stderr } = run(['127.0.0.1:1'], 'spans', '--partitions', 'many');
    assert.equal(status, 64);
    assert.match(stderr, /--partitions takes a number/);
  });
});
