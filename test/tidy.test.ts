import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TIDY_RULES, type RepoFile } from './tidy-rules.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Folders of .gitignore: they hold what installing, building and running leave behind. */
const IGNORED = new Set([
  '.git',
  ...readFileSync(`${root}.gitignore`, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('/'))
    .map((line) => line.replaceAll('/', '')),
]);
const IGNORED_SUFFIX = /\.(tgz|log)$|^\.env\.local$/;

function filesUnder(folder: string): RepoFile[] {
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder + entry.name;
    if (entry.isDirectory()) return IGNORED.has(entry.name) ? [] : filesUnder(`${path}/`);
    if (!entry.isFile() || IGNORED_SUFFIX.test(entry.name)) return [];
    const { size: bytes } = statSync(root + path);
    const content = readFileSync(root + path);
    return [{ path, bytes, text: content.includes(0) ? undefined : content.toString('utf8') }];
  });
}

const planted = (file: { path: string; text: string; bytes?: number }): RepoFile => ({
  path: file.path,
  text: file.text,
  bytes: file.bytes ?? file.text.length,
});

describe('the repository', () => {
  const exists = (path: string): boolean => existsSync(root + path);
  let files: RepoFile[] = [];

  before(() => {
    files = filesUnder('');
    assert.ok(
      files.some((file) => file.path === 'test/tidy.test.ts'),
      'the walk found this file',
    );
  });

  for (const rule of TIDY_RULES) {
    it(`keeps the rule: ${rule.name}`, () => {
      const faults = files.flatMap((file) =>
        rule.check(file, exists).map((fault) => `${file.path}: ${fault}`),
      );
      assert.deepEqual(faults, []);
    });
  }
});

describe('the rules', () => {
  const exists = (path: string): boolean => path === 'README.md';

  for (const rule of TIDY_RULES) {
    it(`find each planted violation, and only those: ${rule.name}`, () => {
      assert.ok(rule.planted.length > 0 && rule.kept.length > 0);
      for (const file of rule.planted) {
        const faults = rule.check(planted(file), exists);
        assert.ok(faults.length > 0, `not found: ${file.path}: ${file.text}`);
      }
      for (const file of rule.kept) {
        assert.deepEqual(rule.check(planted(file), exists), [], `${file.path}: ${file.text}`);
      }
    });
  }
});
