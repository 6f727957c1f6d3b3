/**
 * The published package works: `npm pack`, install the tarball in an empty project as a user would,
 * run its command. Node refuses TypeScript under node_modules, so this proves the packed build.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the packed package', function () {
  this.timeout(120_000);
  let dir = '';
  let installed = '';

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'azimuth-pack-'));
    execFileSync('npm', ['pack', '--pack-destination', dir], { cwd: root, stdio: 'pipe' });
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'));
    assert.ok(tarball !== undefined, 'npm pack wrote no tarball');
    writeFileSync(join(dir, 'package.json'), '{"name":"user","version":"1.0.0"}');
    // Without optional packages: the database engine alone is half a gigabyte, and no command that
    // is run here needs it.
    execFileSync(
      'npm',
      [
        'install',
        '--omit=optional',
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
        join(dir, tarball),
      ],
      { cwd: dir, stdio: 'pipe' },
    );
    installed = join(dir, 'node_modules', 'azimuth-mesh');
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const azimuth = (...args: string[]): string =>
    execFileSync(join(dir, 'node_modules/.bin/azimuth'), args, {
      encoding: 'utf8',
      cwd: dir,
    });

  it('holds no TypeScript and no tests', () => {
    const names = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      names.filter((name) => name.endsWith('.ts') || name.includes('test/')),
      [],
    );
    assert.ok(names.includes(join('dist', 'store', 'schema', '001_spans.sql')));
  });

  it('prints its version and help', () => {
    assert.match(azimuth('--version'), /^\d+\.\d+\.\d+\n$/);
    assert.match(azimuth('--help'), /azimuth report gateway-vs-mesh/);
  });

  it('loads every command', () => {
    for (const name of [
      'check',
      'gateway',
      'sidecar',
      'tail',
      'collector',
      'store',
      'analytics',
      'topics',
      'report',
      'reconcile',
      'sql',
      'decode',
    ]) {
      assert.match(azimuth(name, '--help'), /azimuth/, name);
    }
  });
});
