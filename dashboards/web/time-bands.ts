/** "Where the time goes": one bar a percentile, and what each kind means, one click away. */
import { byId, html } from './dom.ts';
import { count, percent, threeDigits } from './format.ts';
import type { Attribution, Band } from './snapshot.ts';

const KINDS: readonly { kind: string; label: string; means: string }[] = [
  {
    kind: 'gateway',
    label: 'gateway',
    means:
      "The gateways' own time, and gateway functions wherever they run: routing, header hygiene, trace context and the rest of what the gateway does itself.",
  },
  {
    kind: 'mesh',
    label: 'mesh',
    means: "The sidecars' own time, all of them on the way of the request together.",
  },
  {
    kind: 'wire',
    label: 'wire',
    means:
      'Between two proxies: network, kernel, connecting, and the event-loop queue of the peer.',
  },
  {
    kind: 'application',
    label: 'applications',
    means: 'Workloads at work, and the way between a workload and its sidecar.',
  },
  {
    kind: 'upstream',
    label: 'not meshed',
    means: 'Called hosts that carry no proxy of the mesh, and attempts that reached nobody.',
  },
  { kind: 'backoff', label: 'back-off', means: 'Pauses before a proxy tried again.' },
];

/** Parts longer than the total are work side by side: the bar shows shares of the parts. */
export function drawBands(attribution: Attribution): void {
  const { bands } = attribution;
  byId('bands').replaceChildren(...bands.map(drawBand));
  byId('attribution-note').textContent = noteOf(attribution);
  drawKinds(bands);
}

function drawBand(band: Band): HTMLElement {
  const parts = KINDS.map(({ kind, label }) => ({
    kind,
    label,
    ms: Math.max(0, band.kinds[kind]?.ms ?? 0),
  })).filter(({ ms }) => ms > 0);
  const sum = parts.reduce((total, { ms }) => total + ms, 0);
  const halfWidthMs = (band.total.high_ms - band.total.low_ms) / 2;
  return html(
    'div',
    { class: 'band' },
    html(
      'div',
      {},
      html('b', {}, `p${band.percentile}`),
      html('span', { class: 'small' }, `${threeDigits(band.total.ms)} ms`),
      html('br'),
      html(
        'span',
        { class: 'small' },
        band.few ? `n ${count(band.requests)}, few` : `± ${threeDigits(halfWidthMs)}`,
      ),
    ),
    html(
      'div',
      {
        class: 'bar',
        role: 'img',
        'aria-label': parts.map((p) => `${p.label} ${threeDigits(p.ms)} ms`).join(', '),
      },
      ...parts.map(({ kind, label, ms }) => {
        const share = ms / sum;
        const part = html(
          'div',
          { class: `kind-${kind}`, title: `${label} ${threeDigits(ms)} ms` },
          share >= 0.07 ? percent(share) : '',
        );
        part.style.flex = `${share} 1 0`;
        return part;
      }),
    ),
  );
}

/** Made once, so that an opened one stays open; figures are of the p99 band. */
function drawKinds(bands: readonly Band[]): void {
  const into = byId('kinds');
  if (into.childElementCount === 0) {
    into.append(
      ...KINDS.map(({ kind, label, means }) =>
        html(
          'details',
          { id: `kind-${kind}` },
          html(
            'summary',
            {},
            html('span', { class: `swatch kind-${kind}` }),
            `${label} `,
            html('span', { class: 'figure' }),
          ),
          html('p', {}, means),
        ),
      ),
    );
  }
  const top = bands.find((band) => band.percentile === 99);
  for (const { kind } of KINDS) {
    const details = byId(`kind-${kind}`);
    details.hidden = !bands.some((band) => (band.kinds[kind]?.ms ?? 0) > 0);
    details.querySelector('.figure')!.textContent =
      top === undefined ? '' : `${threeDigits(top.kinds[kind]?.ms)} ms near p99`;
  }
}

function noteOf(a: Attribution): string {
  const parallel =
    a.bands.find((band) => band.percentile === 99)?.kinds['parallel_surplus']?.ms ?? 0;
  const reasons = Object.entries(a.incomplete_by_reason).map(
    ([reason, n]) => `${reason.replaceAll('_', ' ')} ${count(n)}`,
  );
  return [
    `${count(a.complete)} complete requests`,
    a.incomplete > 0 ? `${count(a.incomplete)} incomplete (${reasons.join(', ')})` : '',
    a.arriving > 0 ? `${count(a.arriving)} still arriving` : '',
    parallel < 0 ? `calls side by side overlap by ${threeDigits(-parallel)} ms near p99` : '',
    a.hops_missing > 0 ? `${count(a.hops_missing)} hops missing by the ledgers` : '',
  ]
    .filter((words) => words !== '')
    .join('; ');
}
