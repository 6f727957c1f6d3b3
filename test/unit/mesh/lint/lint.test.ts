import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findingsText } from '../../../../bin/lint-text.ts';
import { RULES } from '../../../../mesh/lint/finding.ts';
import { lintMesh } from '../../../../mesh/lint/lint.ts';
import { validateMesh } from '../../../../mesh/load.ts';
import { lintText } from '../../../helpers/lint-mesh.ts';

const ROOT = new URL('../../../../', import.meta.url);
const fileText = (path: string): string => readFileSync(fileURLToPath(new URL(path, ROOT)), 'utf8');
const DOC = fileText('docs/LINT.md');

/** Parts of docs/LINT.md about one rule. */
function sectionOf(rule: string): { bad: string; shown: string; mended: string } {
  const section = DOC.split(/^### /m).find((part) => part.startsWith(`${rule}\n`)) ?? '';
  const blocks = [...section.matchAll(/```(\w+)\n([^]*?)```/g)].map(([, kind, text]) => [
    kind,
    text,
  ]);
  assert.deepEqual(
    blocks.map(([kind]) => kind),
    ['yaml', 'text', 'yaml'],
    `docs/LINT.md has no example, finding and mend of ${rule}`,
  );
  return { bad: blocks[0]![1]!, shown: blocks[1]![1]!, mended: blocks[2]![1]! };
}

describe('rules of azimuth lint', () => {
  it('all stand in the table of docs/LINT.md, and no others', () => {
    const table = [...DOC.matchAll(/^\| \[`([a-z-]+)`\]\(#\1\) \|/gm)].map(([, name]) => name);
    assert.deepEqual(table, RULES);
  });

  for (const rule of RULES) {
    it(`${rule} finds its example as docs/LINT.md shows it, and nothing in the mended one`, () => {
      const { bad, shown, mended } = sectionOf(rule);
      const findings = lintText(bad);
      assert.deepEqual(
        findings.map((finding) => finding.rule),
        [rule],
      );
      assert.equal(findingsText('mesh.yaml', findings), `${shown}\nmesh.yaml: 1 finding\n`);
      assert.deepEqual(lintText(mended), []);
    });
  }

  for (const path of [
    ...['separate', 'attached', 'shared', 'merged'].map((name) => `demo/topologies/${name}.yaml`),
    'deploy/compose/mesh.yaml',
    'deploy/example/mesh.yaml',
  ]) {
    it(`find nothing in ${path}`, () => {
      const { mesh, faults, source } = validateMesh(path, fileText(path), () => 'x', '');
      assert.deepEqual(faults, []);
      assert.deepEqual(lintMesh(mesh!, source), []);
    });
  }
});
