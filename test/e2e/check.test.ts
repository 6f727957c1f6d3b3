import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const AZIMUTH = fileURLToPath(new URL('../../bin/azimuth.js', import.meta.url));
const VALID = `file_format: "1.0"
mesh: shop
store: { password: "\${env:PW}" }
workloads: [{ name: web, kind: bff, address: "127.0.0.1:9101" }]
sidecars: [{ name: web-sidecar, serves: [{ workload: web }] }]
`;

describe('azimuth check', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-check-'));
    writeFileSync(join(folder, '.env'), 'PW=hunter2\n');
    writeFileSync(join(folder, 'mesh.yaml'), VALID);
    writeFileSync(join(folder, 'bad.yaml'), VALID.replace('kind: bff', 'kind: baf') + 'extra: 1\n');
  });
  after(() => rmSync(folder, { recursive: true }));

  const check = (...args: string[]) =>
    spawnSync(process.execPath, [AZIMUTH, 'check', ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });

  it('says what a valid file holds and exits 0, without the password', () => {
    const { status, stdout, stderr } = check();
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^mesh\.yaml is valid\n/);
    assert.match(stdout, /bff +web at 127\.0\.0\.1:9101, inbound 127\.0\.0\.1:15006/);
    assert.ok(stdout.includes('[REDACTED]') && !stdout.includes('hunter2'));
  });

  it('prints the whole configuration on demand, without the password', () => {
    const { status, stdout } = check('mesh.yaml', '--print');
    assert.equal(status, 0);
    const config = JSON.parse(stdout) as { store: { password: string; user: string } };
    assert.deepEqual([config.store.user, config.store.password], ['azimuth', '[REDACTED]']);
  });

  it('lists every fault on stderr and exits 78', () => {
    const { status, stdout, stderr } = check('bad.yaml');
    assert.equal(status, 78);
    assert.equal(stdout, '');
    assert.match(stderr, /bad\.yaml:4:32 workloads\[0\]\.kind: "baf" is not known \("bff"\?\)/);
    assert.match(stderr, /bad\.yaml:6:1 extra: unknown key/);
    assert.match(stderr, /bad\.yaml: 2 faults/);
  });

  it('exits 78 with advice where there is no mesh file', () => {
    const { status, stderr } = check('nowhere.yaml');
    assert.equal(status, 78);
    assert.match(stderr, /name one with --mesh FILE/);
  });
});
