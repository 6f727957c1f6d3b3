/** The lists of slow and failing requests, and the waterfall of one. */
import { byId, html, svg } from './dom.ts';
import { clock, threeDigits } from './format.ts';
import type { Explanation, RequestLine, Snapshot } from './snapshot.ts';

export function drawRequests({ slowest, failing }: Snapshot): void {
  const into = byId('requests');
  const body = (title: string, lines: readonly RequestLine[]): HTMLElement =>
    html(
      'tbody',
      {},
      html('tr', {}, html('th', { colspan: 4, scope: 'rowgroup' }, title)),
      ...(lines.length === 0
        ? [html('tr', {}, html('td', { colspan: 4 }, 'none in this window'))]
        : lines.map(row)),
    );
  into.replaceChildren(
    html(
      'table',
      {},
      html(
        'thead',
        {},
        html(
          'tr',
          {},
          ...['Route', 'ms', 'where', 'status'].map((word) =>
            html('th', { class: word === 'ms' ? 'number' : '' }, word),
          ),
        ),
      ),
      body('slowest', slowest),
      body('failing', failing),
    ),
  );
}

function row(line: RequestLine): HTMLElement {
  const name = `${line.method} ${line.route === '' ? '(no route)' : line.route}`;
  const open = html(
    'button',
    { type: 'button', title: `${clock(Date.parse(line.at))}, trace ${line.trace}` },
    name,
  );
  open.addEventListener('click', () => void showWaterfall(line.trace));
  const failed = line.status === 0 || line.status >= 500;
  return html(
    'tr',
    {},
    html('td', {}, open),
    html('td', { class: 'number' }, threeDigits(line.ms)),
    html('td', {}, line.where),
    html(
      'td',
      { class: failed ? 'bad' : '' },
      line.status === 0 ? 'no answer' : String(line.status),
    ),
  );
}

async function showWaterfall(trace: string): Promise<void> {
  const dialog = byId<HTMLDialogElement>('waterfall');
  const body = byId('waterfall-body');
  byId('waterfall-title').textContent = trace;
  body.replaceChildren(html('p', {}, 'reading …'));
  if (!dialog.open) dialog.showModal();
  try {
    const answer = await fetch(`/api/traces/${trace}`);
    const found = (await answer.json()) as Explanation & { error?: string };
    if (!answer.ok) throw new Error(found.error ?? `status ${answer.status}`);
    drawWaterfall(found, body);
  } catch (error) {
    body.replaceChildren(html('p', {}, error instanceof Error ? error.message : String(error)));
  }
}

function drawWaterfall(trace: Explanation, body: HTMLElement): void {
  const root = trace.hops.find((hop) => hop.caller === null);
  byId('waterfall-title').textContent =
    `${root?.method ?? ''} ${root?.route ?? ''} · ${threeDigits(trace.duration_ms)} ms · ` +
    (trace.incomplete.length === 0
      ? 'complete'
      : `incomplete: ${trace.incomplete.join(', ').replaceAll('_', ' ')}`);
  const rows: (HTMLElement | SVGElement)[] = ['', '', 'ms', 'own ms'].map((word, i) =>
    html('span', { class: i > 1 ? 'note number' : 'note' }, word),
  );
  const below = (caller: number | null, depth: number): void => {
    trace.hops
      .map((hop, index) => ({ hop, index }))
      .filter(({ hop }) => hop.caller === caller)
      .sort((a, b) => (a.hop.offset_ms ?? Infinity) - (b.hop.offset_ms ?? Infinity))
      .forEach(({ hop, index }) => {
        const name = html(
          'span',
          {},
          `${hop.service} ${hop.role === 'gateway' ? 'gateway' : hop.side}`,
        );
        name.style.paddingLeft = `${depth * 0.8}rem`;
        const scale = 1000 / Math.max(trace.duration_ms, 0.001);
        rows.push(
          name,
          svg(
            'svg',
            {
              viewBox: '0 0 1000 14',
              preserveAspectRatio: 'none',
              class: hop.role === 'gateway' ? 'gateway' : hop.side,
              'aria-hidden': 'true',
            },
            svg('rect', {
              x: (hop.offset_ms ?? 0) * scale,
              y: 2,
              width: Math.max(3, hop.duration_ms * scale),
              height: 10,
              rx: 3,
            }),
          ),
          html('span', { class: 'number' }, threeDigits(hop.duration_ms)),
          html('span', { class: 'number' }, threeDigits(hop.own_ms)),
        );
        below(index, depth + 1);
      });
  };
  below(null, 0);
  const terms = Object.entries(trace.kinds)
    .filter(([, ms]) => ms !== 0)
    .map(
      ([kind, ms], i) =>
        `${ms < 0 ? '− ' : i === 0 ? '' : '+ '}${kind.replaceAll('_', ' ')} ${threeDigits(Math.abs(ms))}`,
    );
  body.replaceChildren(
    html('div', { class: 'fall' }, ...rows),
    html('p', {}, `${terms.join(' ')} = ${threeDigits(trace.duration_ms)} ms`),
    html('p', { class: 'note' }, `azimuth explain ${trace.trace_id}`),
  );
}
