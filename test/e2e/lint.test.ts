import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const AZIMUTH = fileURLToPath(new URL('../../bin/azimuth.js', import.meta.url));
const MENDED = `file_format: "1.0"
mesh: shop
store: { password: "\${env:PW}" }
gateways: [{ name: edge, routes: [{ path: "/*", to: web, timeout_ms: 2000, try_timeout_ms: 500 }] }]
workloads: [{ name: web, address: "127.0.0.1:9101" }]
sidecars: [{ name: web-sidecar, admin: { port: 15010 }, serves: [{ workload: web }] }]
`;

describe('azimuth lint', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-lint-'));
    writeFileSync(join(folder, '.env'), 'PW=hunter2\n');
    writeFileSync(join(folder, 'mesh.yaml'), MENDED);
    writeFileSync(join(folder, 'found.yaml'), MENDED.replace('500', '3000'));
    writeFileSync(join(folder, 'bad.yaml'), MENDED.replace('to: web', 'to: nowhere'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const lint = (...args: string[]) =>
    spawnSync(process.execPath, [AZIMUTH, 'lint', ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });

  it('exits 0 and says so when nothing is found', () => {
    const { status, stdout, stderr } = lint();
    assert.deepEqual([status, stdout, stderr], [0, 'mesh.yaml: nothing found\n', '']);
  });

  it('prints findings for people and exits 1', () => {
    const { status, stdout } = lint('found.yaml');
    assert.equal(status, 1);
    assert.match(stdout, /^timer-never-fires\n {2}found\.yaml:4:\d+ gateways\[0\]\.routes\[0\]/);
    assert.match(stdout, /\nfound\.yaml: 1 finding\n$/);
  });

  it('prints the same for programs', () => {
    const { status, stdout } = lint('--mesh', 'found.yaml', '--json');
    assert.equal(status, 1);
    const { file, findings } = JSON.parse(stdout) as {
      file: string;
      findings: { rule: string; mend: string; places: { path: string; line: number }[] }[];
    };
    assert.equal(file, 'found.yaml');
    assert.deepEqual(
      findings.map(({ rule, places }) => [rule, places.map(({ path, line }) => `${line} ${path}`)]),
      [
        [
          'timer-never-fires',
          ['4 gateways[0].routes[0].timeout_ms', '4 gateways[0].routes[0].try_timeout_ms'],
        ],
      ],
    );
  });

  it('lists faults and exits 78 when the file is not valid', () => {
    const { status, stdout, stderr } = lint('bad.yaml');
    assert.deepEqual([status, stdout], [78, '']);
    assert.match(stderr, /there is no workload or external "nowhere"/);
  });
});
