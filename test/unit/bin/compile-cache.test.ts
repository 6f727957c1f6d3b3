import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scratchDir } from '../../helpers/scratch-dir.ts';

const MAIN = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

describe('the cache of compiled code', () => {
  const dir = scratchDir();
  /** Runs `azimuth check --help` with nothing but these variables; returns what went wrong. */
  const run = (variables: NodeJS.ProcessEnv): string => {
    // Node hands coverage on to children whatever their environment, unless that says otherwise.
    const env = { NODE_V8_COVERAGE: '', ...variables };
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'check', '--help'], { env });
    return status === 0 ? '' : stderr.toString();
  };

  it('lies in a folder of the user that nobody else can write', () => {
    assert.equal(run({ XDG_CACHE_HOME: dir.path }), '');
    const folder = join(dir.path, 'azimuth', 'compiled');
    assert.ok(readdirSync(folder).length > 0);
    assert.equal(statSync(folder).mode & 0o022, 0);
  });

  it('is left alone where coverage is measured', () => {
    const coverage = join(dir.path, 'coverage');
    assert.equal(run({ XDG_CACHE_HOME: dir.path, NODE_V8_COVERAGE: coverage }), '');
    assert.equal(existsSync(join(dir.path, 'azimuth')), false);
  });

  it('is done without where there is no folder that can be written', () => {
    assert.equal(run({ XDG_CACHE_HOME: '/dev/null' }), '');
  });
});
