/** docs/OPERATE.md against what it speaks of: the alerts that name it, and the figures that were measured. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { DROP_REASONS } from '../../../telemetry/ledger.ts';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const operate = read('docs/OPERATE.md');

/** Places in the document that rules and dashboards send people to. */
const ANCHOR = /docs\/OPERATE\.md#([\w-]+)/g;

describe('docs/OPERATE.md', () => {
  const headings = [...operate.matchAll(/^#{2,3} (.+)$/gm)].map(([, title]) =>
    title!.toLowerCase().replaceAll(' ', '-'),
  );

  it('has every place that an alert rule or a dashboard names', () => {
    const files = globSync(['dashboards/**/*.{json,yaml}', 'deploy/**/*.{json,yaml,yml}'], {
      cwd: ROOT,
    });
    assert.ok(files.length > 0);
    for (const file of files) {
      for (const [, anchor] of read(file).matchAll(ANCHOR))
        assert.ok(headings.includes(anchor!), `${file}: #${anchor!}`);
    }
  });

  it('names only reasons of drops that a ledger can have', () => {
    const section = /### alert-hops-dropped\n(.*?)\n###/s.exec(operate)?.[1] ?? '';
    const named = [...section.matchAll(/`([a-z]+_[a-z]+)`: /g)].map(([, reason]) => reason!);
    assert.ok(named.length > 0);
    for (const reason of named)
      assert.ok((DROP_REASONS as readonly string[]).includes(reason), reason);
  });

  it('sizes by figures that were measured', () => {
    const sizing = read('bench/results/sizing.md');
    const figure = (text: string, pattern: RegExp): string => {
      const found = pattern.exec(text)?.[1];
      assert.ok(found !== undefined, String(pattern));
      return found;
    };
    const kafka = Number(figure(sizing, /`otlp_spans`, one replica \| ([\d.]+) bytes a hop/));
    assert.equal(figure(operate, /\| (\d+) bytes, zstd/), String(Math.round(kafka)));
    const row = figure(sizing, /`spans`.*\| ([\d.]+) bytes a row/);
    assert.equal(figure(operate, /\| ([\d.]+) bytes a row, merged/), row);
    assert.equal(
      figure(operate, /h = ([\d.]+)\./),
      figure(sizing, /hops a request.*\| ([\d.]+) \|/),
    );
    const collector = figure(read('bench/results/collector.md'), /packed hops, azimuth +([\d.]+) /);
    assert.equal(figure(operate, /H × ([\d.]+) µs = cores/), Number(collector).toFixed(1));
  });
});
