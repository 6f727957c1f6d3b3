import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { VERSION } from '../../../runtime/version.ts';

describe('VERSION', () => {
  it('is the version of package.json', () => {
    const parsed = JSON.parse(
      readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
    ) as { version: string };
    assert.equal(VERSION, parsed.version);
  });

  it('heads the newest release in the change log', () => {
    const text = readFileSync(new URL('../../../CHANGELOG.md', import.meta.url), 'utf8');
    const newest = /^## (\d\S*)/m.exec(text)?.[1];
    assert.equal(newest, VERSION);
  });
});
