import assert from 'node:assert/strict';
import { presentationHtml } from '../../../../../analytics/reports/html/page.ts';
import { presentationText } from '../../../../../analytics/reports/presentation-text.ts';
import type { Presentation } from '../../../../../analytics/reports/presentation.ts';

const EVIL = `</title><script>alert(1)</script><img src=x onerror="a()">'\x1b[2J`;

const shown = (name: string): Presentation => ({
  title: `Title ${name}`,
  about: `About ${name}`,
  head: {
    from: '2026-11-25T12:00:00.000Z',
    to: '2026-11-25T12:05:00.000Z',
    window_s: 300,
    final_until: '2026-11-25T12:04:00.000Z',
    provisional: true,
  },
  context: [name],
  facts: [name],
  tables: [
    {
      caption: `Table ${name}`,
      columns: [
        { head: name, spare: 0, cells: [name, 'plain'] },
        { head: 'n', spare: 0, cells: ['1', '2'] },
      ],
      bars: { head: 'load', shares: [1, 0.5] },
      empty: '',
    },
    { caption: 'Empty', columns: [{ head: 'n', spare: 0, cells: [] }], empty: `None ${name}` },
  ],
  plots: [
    { kind: 'spans', caption: name, unit: 'ms', rows: [{ label: name, low: 0.2, middle: 3, high: 80 }] }, // prettier-ignore
    { kind: 'effects', caption: name, unit: 'ms', rows: [{ label: name, low: -1, middle: 0.5, high: 2 }, { label: 'zero', low: 0, middle: 0, high: 0 }] }, // prettier-ignore
    { kind: 'stacks', caption: name, unit: 'ms', parts: [name, 'b'], rows: [{ label: name, values: [1, -2] }, { label: 'none', values: [0, 0] }] }, // prettier-ignore
    { kind: 'spans', caption: 'nothing', unit: 'ms', rows: [] },
  ],
  warnings: [`Warning ${name}`],
  notes: [`Note ${name}`],
});

/** Every element that begins has its end, but for those of HTML that have none. */
function assertBalanced(html: string): void {
  const open: string[] = [];
  for (const [, end, name, rest] of html.matchAll(/<(\/?)([a-zA-Z0-9]+)([^>]*)>/g)) {
    if (name === 'meta' || rest!.endsWith('/')) continue;
    if (end === '') open.push(name!);
    else assert.equal(open.pop(), name);
  }
  assert.deepEqual(open, []);
}

describe('page of a report', () => {
  it('needs nothing from elsewhere and runs nothing', () => {
    const html = presentationHtml(shown('plain'));
    assert.doesNotMatch(
      html,
      /<script|<link|<img|<iframe|<object|@import|url\(|\b(src|href|on\w+)=/i,
    );
    assert.match(html, /http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'/); // prettier-ignore
    assertBalanced(html);
  });

  it('shows a name that would be markup as the text that it is', () => {
    const html = presentationHtml(shown(EVIL));
    assert.doesNotMatch(html, /<script|<img/i);
    assert.ok(html.includes('&lt;script&gt;alert(1)&lt;/script&gt;'));
    assert.doesNotMatch(html, /\x1b/);
    assertBalanced(html);
  });

  it('has every coordinate as a number, also where all values are 0 or below', () => {
    const html = presentationHtml(shown('plain'));
    assert.doesNotMatch(html, /NaN|Infinity|undefined/);
    for (const [, value] of html.matchAll(/ (?:x|y|x1|x2|y1|y2|cx|cy|width)="([^"]*)"/g)) {
      assert.ok(Number.isFinite(Number(value)), value);
    }
    for (const [, width] of html.matchAll(/<rect[^>]* width="([^"]*)"/g)) {
      assert.ok(Number(width) >= 0);
    }
  });

  it('says the same as the terminal: facts, warnings, cells, finality', () => {
    const html = presentationHtml(shown('plain'));
    const text = presentationText(shown('plain'), { width: 110, color: false });
    for (const said of [
      'Title plain',
      'data final up to 12:04:00, provisional after',
      'Warning plain',
      'Note plain',
      'None plain',
    ]) {
      // prettier-ignore
      assert.ok(html.includes(said), said);
      assert.ok(text.includes(said), said);
    }
    assert.equal(html.match(/<figure>/g)?.length, 3);
  });

  it('lets no name steer the terminal', () => {
    const text = presentationText(shown(EVIL), { width: 110, color: false });
    assert.doesNotMatch(text, /\x1b/);
  });
});
