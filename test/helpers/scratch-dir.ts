/** A folder of its own for each test, removed afterwards: `const dir = scratchDir()` in a describe. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function scratchDir(): { readonly path: string } {
  const dir = { path: '' };
  beforeEach(() => {
    dir.path = mkdtempSync(join(tmpdir(), 'azimuth-test-'));
  });
  afterEach(() => rmSync(dir.path, { recursive: true, force: true }));
  return dir;
}
