/**
 * A presentation as one HTML file that needs nothing but itself: no script, no font, no image from
 * elsewhere, so that it can be mailed, kept, and opened years later. Light or dark as the reader's
 * system is, light on paper. Pure.
 */
import { VERSION } from '../../../runtime/version.ts';
import { finalityText, timeText } from '../presentation-text.ts';
import type { Presentation, PresentedTable } from '../presentation.ts';
import { at, escaped } from './markup.ts';
import { plotHtml } from './plots.ts';
import { STYLE } from './style.ts';

/** Nothing may be loaded and nothing may run, whatever stands in a name. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** The whole document. */
export function presentationHtml(shown: Presentation): string {
  const title = `${shown.title}, ${timeText(shown.head)}`;
  const facts = [...shown.facts, ...shown.context, finalityText(shown.head)];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${CONTENT_SECURITY_POLICY}">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<h1>${escaped(shown.title)}</h1>
<p class="about">${escaped(shown.about)}</p>
<p class="time">${escaped(timeText(shown.head))}</p>
<ul class="facts">${facts.map((fact) => `<li>${escaped(fact)}</li>`).join('')}</ul>
</header>
${listHtml('warnings', shown.warnings)}
${shown.plots.map(plotHtml).join('\n')}
${shown.tables.map(tableHtml).join('\n')}
${listHtml('notes', shown.notes)}
<footer>Azimuth ${escaped(VERSION)}</footer>
</main>
</body>
</html>
`;
}

const listHtml = (name: string, texts: readonly string[]): string =>
  texts.length === 0
    ? ''
    : `<ul class="${name}">${texts.map((text) => `<li>${escaped(text)}</li>`).join('')}</ul>`;

function tableHtml(table: PresentedTable): string {
  const { columns, bars } = table;
  const rows = columns[0]?.cells.length ?? 0;
  const caption = `<h2>${escaped(table.caption)}</h2>`;
  if (rows === 0) return `<section>${caption}<p>${escaped(table.empty)}</p></section>`;
  const sideOf = (i: number): string =>
    i === 0 || columns[i]?.left === true ? '' : ' class="number"';
  const head = columns.map(({ head: name }, i) => `<th scope="col"${sideOf(i)}>${escaped(name)}</th>`); // prettier-ignore
  if (bars !== undefined) head.push(`<th scope="col">${escaped(bars.head)}</th>`);
  const body = Array.from({ length: rows }, (_, row) => {
    const cells = columns.map(({ cells: texts }, i) =>
      i === 0
        ? `<th scope="row">${escaped(texts[row] ?? '')}</th>`
        : `<td${sideOf(i)}>${escaped(texts[row] ?? '')}</td>`,
    );
    if (bars !== undefined) cells.push(`<td>${barSvg(bars.shares[row] ?? 0)}</td>`);
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<section>${caption}<div class="wide" tabindex="0" role="region" aria-label="${escaped(table.caption)}"><table>
<thead><tr>${head.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody></table></div></section>`;
}

/** A small bar beside a row; its figure stands in the row. */
const barSvg = (share: number): string =>
  `<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="p0" width="${at(Math.max(0, Math.min(1, share)) * 100)}" height="10"/></svg>`;
