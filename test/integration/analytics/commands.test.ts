/** `azimuth report` and `azimuth top` as people and scripts run them. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { REPORTS } from '../../../analytics/reports/catalogue.ts';
import type { Routes } from '../../../analytics/reports/routes.ts';
import { insertHops } from '../../helpers/hop-rows.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const AZIMUTH = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

describe('azimuth report and azimuth top', function () {
  this.timeout(60_000);
  let store: TestStore;
  let folder: string;

  before(async () => {
    store = await startTestStore();
    folder = mkdtempSync(join(tmpdir(), 'azimuth-test-mesh-'));
    writeFileSync(
      join(folder, 'mesh.yaml'),
      `file_format: "1.0"
mesh: shop
store: ${JSON.stringify({ url: store.url, database: 'azimuth', user: store.user, password: `\${NO_SUCH:-${store.password}}` })}
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
    const atMs = Date.now() - 60_000;
    await insertHops(store.client, Array.from({ length: 50 }, (_, i) => ({ n: 5 * i, atMs }))); // prettier-ignore
  });
  after(async () => {
    await store.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (args: readonly string[]): ChildProcessWithoutNullStreams =>
    spawn(process.execPath, [AZIMUTH, ...args], { cwd: folder, stdio: 'pipe' });

  async function azimuth(
    ...args: string[]
  ): Promise<{ code: number | null; out: string; err: string }> {
    // prettier-ignore
    const child = start(args);
    child.stdin.end();
    const code = new Promise<number | null>((resolve) => child.on('close', resolve));
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await code, out, err };
  }

  it('prints a report for people, programs and mail', async () => {
    const people = await azimuth('report', 'routes', '--last', '1h');
    assert.match(people.out, /Routes .*perspective split\n {2}50 requests from outside/);
    const json = await azimuth('report', 'routes', '--last', '1h', '--json');
    assert.equal((JSON.parse(json.out) as Routes).lines[0]?.legs, 50);
    const csv = await azimuth('report', 'routes', '--last', '1h', '--csv');
    assert.equal(csv.out.trimEnd().split('\n').length, 2);
    const html = await azimuth('report', 'routes', '--last', '1h', '--html');
    assert.match(html.out, /^<!doctype html>[^]*<\/html>\n$/);
    assert.deepEqual([people.err, json.err, csv.err, html.err], ['', '', '', '']);
  });

  it('names every report and option in its help, and what is wrong with a question', async () => {
    const help = await azimuth('report', '--help');
    for (const { name, summary } of REPORTS) assert.ok(help.out.includes(name) && help.out.includes(summary)); // prettier-ignore
    assert.match(help.out, /--base-generation N/);
    for (const [args, why] of [
      [
        ['report', 'edges', '--service', 'x'],
        /the report edges takes no service; it takes: last, from, to/,
      ],
      [['report', 'compare', '--base-from', '2026-01-01'], /base_from and base_to belong together/],
      [['report', 'routes', '--json', '--html'], /give one of --json, --csv and --html/],
      [['report', 'nothing'], /there is no report "nothing"; there are: gateway-vs-mesh, /],
      [['top', '--sort', 'colour'], /--sort is one of: rate, errors/],
      [['top', '--last', '2d'], /--last is at most 1h/],
    ] as const) {
      const { code, err } = await azimuth(...args);
      assert.equal(code, 64, err);
      assert.match(err, why);
    }
  });

  it('prints one reading of the mesh with --once', async () => {
    const { code, out, err } = await azimuth('top', '--once', '--last', '5m');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^azimuth top/);
    assert.match(out, /^\/products\/\{id\} +edge +N-S +0\.2 +50 /m);
    assert.match(out, /^clients → edge +N-S /m);
    assert.doesNotMatch(out, /\x1b/);
  });

  it('prints block after block into a pipe until it is told to end', async () => {
    const child = start(['top', '--every', '0.01s', '--last', '5m']);
    const code = new Promise<number | null>((resolve) => child.on('close', resolve));
    let out = '';
    for await (const part of child.stdout) {
      out += String(part);
      if (out.split('azimuth top').length > 3) break;
    }
    child.kill('SIGINT');
    assert.equal(await code, 0);
  });
});
