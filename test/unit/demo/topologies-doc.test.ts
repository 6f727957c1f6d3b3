/** docs/TOPOLOGIES.md: each worked example adds up, and tells of the passes that there are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { TOPOLOGIES } from '../../../mesh/config.ts';

const TEXT = readFileSync(new URL('../../../docs/TOPOLOGIES.md', import.meta.url), 'utf8');
const numberOf = (text: string): number => Number(text.replaceAll(/[,*]/g, ''));

describe('docs/TOPOLOGIES.md', () => {
  for (const topology of TOPOLOGIES) {
    const section = TEXT.split(`\n## ${topology}\n`)[1]?.split('\n## ')[0] ?? '';

    it(`adds up to the nanosecond for ${topology}`, () => {
      const rows = [...section.matchAll(/^\| (.+?) +\| +([-*0-9,]+) \|$/gm)];
      const total = numberOf(rows.pop()![2]!);
      assert.ok(rows.length > 10, section);
      assert.equal(
        rows.reduce((sum, row) => sum + numberOf(row[2]!), 0),
        total,
      );
      // The first pass of the list is the root.
      const root = /^(?:edge|web-bff):ingress.* ([0-9,]+) +[0-9,]+$/m.exec(section);
      assert.equal(numberOf(root?.[1] ?? ''), total);
    });

    it(`counts the legs of ${topology} as its list of passes does`, () => {
      const column = 4 + TOPOLOGIES.indexOf(topology);
      const table = new Map(
        [...TEXT.matchAll(/^\| `([a-z_]+)` .*$/gm)]
          .map(([line, edge]) => [edge!, Number(line.split('|')[column]!.trim())] as const)
          .filter(([, legs]) => legs > 0),
      );
      const passes = new Map<string, number>();
      for (const [, edge] of section.matchAll(
        /^ *[a-z-]+:[a-z]+ +([a-z_]+) +[0-9,]+ +[0-9,]+$/gm,
      )) {
        passes.set(edge!, (passes.get(edge!) ?? 0) + 1);
      }
      assert.deepEqual([...passes].sort(), [...table].sort());
    });
  }
});
