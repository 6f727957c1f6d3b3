/** `azimuth sql` and `azimuth store` as people and scripts run them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const AZIMUTH = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

describe('azimuth sql and azimuth store', () => {
  let store: TestStore;
  let folder: string;

  before(async function () {
    this.timeout(60_000);
    store = await startTestStore();
    folder = mkdtempSync(join(tmpdir(), 'azimuth-test-mesh-'));
    meshFile('mesh.yaml', store.url, store.password);
    meshFile('wrong.yaml', store.url, 'wrong');
    // Port 1 of loopback: nobody listens there.
    meshFile('away.yaml', 'http://127.0.0.1:1', store.password);
  });
  after(async () => {
    await store.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function meshFile(name: string, url: string, password: string): void {
    writeFileSync(
      join(folder, name),
      `file_format: "1.0"
mesh: shop
store: ${JSON.stringify({ url, database: 'azimuth', user: store.user, password: `\${NO_SUCH:-${password}}` })}
gateways:
  - name: edge
    listen: { host: 127.0.0.1, port: 8080 }
    admin: { host: 127.0.0.1, port: 15003 }
    routes: [ { path: "/*", to: catalog } ]
workloads:
  - { name: catalog, namespace: shop, address: "127.0.0.1:9101" }
sidecars:
  - name: catalog-sidecar
    admin: { host: 127.0.0.1, port: 15002 }
    serves:
      - workload: catalog
        inbound: { host: 127.0.0.1, port: 15006, mesh_only: true }
        outbound: { host: 127.0.0.1, port: 15001 }
`,
    );
  }

  async function azimuth(
    args: readonly string[],
    stdin = '',
  ): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, [AZIMUTH, ...args], { cwd: folder, stdio: 'pipe' });
    child.stdin.end(stdin);
    const code = new Promise<number | null>((resolve) => child.on('close', resolve));
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await code, out, err };
  }

  it('prints tab-separated rows with names in a pipe, and nothing else', async () => {
    const run = await azimuth(['sql', 'SELECT 1 AS a, count() AS spans FROM spans']);
    assert.deepEqual(run, { code: 0, out: 'a\tspans\n1\t0\n', err: '' });
  });

  it('reads the statement from stdin, and prints the format asked for', async () => {
    const csv = await azimuth(['sql', '-', '--format', 'csv'], 'SELECT 1 AS a -- no more\n');
    assert.equal(csv.out, '"a"\n1\n');
    const own = await azimuth(['sql', 'SELECT 1 AS a FORMAT JSONEachRow', '--format', 'csv']);
    assert.equal(own.out, '{"a":1}\n');
  });

  it('says what to do about an error, and exits with a code that tells its kind', async () => {
    const unknown = await azimuth(['sql', 'SELECT * FROM nowhere']);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /code 60 UNKNOWN_TABLE[^]*→ .*SHOW TABLES/);
    const wrong = await azimuth(['sql', 'SELECT 1', '--mesh', 'wrong.yaml']);
    assert.match(wrong.err, /code 516[^]*→ correct store\.user and store\.password/);
    const away = await azimuth(['sql', 'SELECT 1', '--mesh', 'away.yaml']);
    assert.equal(away.code, 69);
    assert.match(away.err, /cannot be reached[^]*→ start the store/);
    assert.equal((await azimuth(['sql'])).code, 64);
  });

  it('validates without opening anything with --check', async () => {
    const run = await azimuth(['store', '--check', '--mesh', 'away.yaml']);
    assert.deepEqual([run.code, run.err], [0, '']);
    assert.match(run.out, /^store: would serve http:\/\/127\.0\.0\.1:1 from \.azimuth\/store.*\n$/);
    assert.equal((await azimuth(['store', 'frobnicate'])).code, 64);
  });

  it('migrates, and says when there was nothing to do', async () => {
    const run = await azimuth(['store', 'migrate']);
    assert.deepEqual([run.code, run.out], [0, 'store migrate: azimuth is up to date\n']);
  });

  it('refuses to serve a port that is taken, by name', async () => {
    const run = await azimuth(['store']);
    assert.equal(run.code, 69);
    assert.match(run.err, new RegExp(`${new URL(store.url).host} \\(store\\.url\\) is taken`));
  });
});
