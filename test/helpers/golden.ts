/**
 * Golden files: the expected text of an output, under test/golden/. UPDATE_GOLDEN=1 writes them
 * anew; look at the difference before you keep it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compares `actual` with test/golden/NAME. */
export function assertGolden(name: string, actual: string): void {
  const path = fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, actual);
    return;
  }
  assert.equal(
    actual,
    readFileSync(path, 'utf8'),
    `test/golden/${name} differs; when the new text is right, run with UPDATE_GOLDEN=1`,
  );
}
