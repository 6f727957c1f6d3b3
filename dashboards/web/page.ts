/**
 * The live page: takes snapshots from the feed once a second and draws them. Which perspective is
 * shown is decided here, since a snapshot holds both; the window of time is the feed's.
 */
import { drawCharts, themeChanged } from './charts.ts';
import { byId, html } from './dom.ts';
import { clock, count, percent, rate, threeDigits } from './format.ts';
import { drawMesh, edgeTable } from './mesh-picture.ts';
import { drawRequests } from './requests.ts';
import type { Perspective, Report, Snapshot } from './snapshot.ts';
import { drawBands } from './time-bands.ts';

let snapshot: Snapshot | undefined;
let perspective: Perspective = 'split';
let feed: EventSource | undefined;
let drawnEdges = '';

function connect(last: string): void {
  feed?.close();
  feed = new EventSource(`/api/live?last=${last}`);
  feed.addEventListener('snapshot', (event) => {
    snapshot = JSON.parse((event as MessageEvent<string>).data) as Snapshot;
    trouble(undefined);
    draw();
  });
  feed.addEventListener('trouble', (event) => {
    const { error } = JSON.parse((event as MessageEvent<string>).data) as { error: string };
    trouble(`The store does not answer: ${error}.`);
  });
  feed.addEventListener('error', () => trouble('The analytics process does not answer.'));
}

/** Says what is wrong and that what is shown is old; nothing when all is well. */
function trouble(words: string | undefined): void {
  const banner = byId('trouble');
  banner.hidden = words === undefined;
  const since =
    snapshot === undefined ? '' : ` Shown is the state of ${clock(Date.parse(snapshot.at))}.`;
  const text = words === undefined ? '' : `${words}${since} Trying again.`;
  // Only when it changes, so that a screen reader says it once.
  if (banner.textContent !== text) banner.textContent = text;
}

function draw(): void {
  if (snapshot === undefined) return;
  const report = snapshot.perspectives[perspective];
  byId('mesh-name').textContent = [report.meshes.join(', '), report.topologies.join(', ')]
    .filter((s) => s !== '')
    .join(' / ');
  byId('updated').textContent = `state of ${clock(Date.parse(snapshot.at))}`;
  byId('empty').hidden = report.legs.sum > 0;
  drawPipeline(report, snapshot);
  drawCards(report, snapshot);
  // A picture that did not change stays, so that what was chosen in it stays chosen.
  const edges = JSON.stringify([perspective, snapshot.edges]);
  if (edges !== drawnEdges && snapshot.edges.length > 0) {
    const focused = document.activeElement?.getAttribute('data-name');
    const chosen = byId('picture').querySelector('svg')?.dataset['chosen'];
    drawMesh(byId('picture'), snapshot.edges, perspective);
    restore(chosen, focused);
    byId('edge-table').replaceChildren(edgeTable(snapshot.edges, perspective));
    drawnEdges = edges;
  }
  const perS = (legs: number): string => rate(legs / snapshot!.window_s);
  const { legs, moved } = report;
  byId('legs-sum').textContent =
    `${perS(legs.north_south)} N-S legs/s + ${perS(legs.east_west)} E-W` +
    (legs.unknown > 0 ? ` + ${perS(legs.unknown)} unknown` : '') +
    ` = ${perS(legs.sum - legs.loopback)} (switching to ${perspective === 'split' ? 'Whole' : 'Split'} moves ${perS(moved.legs)}/s to ` +
    `${moved.to_direction === 'north_south' ? 'north-south' : 'east-west'}, the sum stays)`;
  drawBands(snapshot.attribution);
  drawCharts(snapshot);
  drawRequests(snapshot);
}

function restore(chosen: string | undefined, focused: string | null | undefined): void {
  for (const node of byId('picture').querySelectorAll<SVGElement>('.node')) {
    if (chosen !== undefined && chosen !== '' && node.dataset['name'] === chosen)
      node.dispatchEvent(new MouseEvent('click'));
    if (focused !== null && focused !== undefined && node.dataset['name'] === focused) node.focus();
  }
}

function drawPipeline({ accounted_for: a }: Report, { pipeline }: Snapshot): void {
  const item = (label: string, value: string, bad: boolean): (Node | string)[] => [
    `${label} `,
    html('b', { class: bad ? 'bad' : '' }, value),
    '   ',
  ];
  const known = a.finished - a.unexplained;
  byId('pipeline').replaceChildren(
    ...(a.processes === 0
      ? ['no ledger has arrived: nothing is known of losses']
      : [
          ...item(
            'accounted for',
            a.finished === 0 ? '-' : percent(known / a.finished),
            a.unexplained > 0,
          ),
          ...item('unexplained', count(a.unexplained), a.unexplained > 0),
          ...item('dropped', count(a.dropped_total), a.dropped_total > 0),
          ...(pipeline.dead_letters > 0
            ? item('dead letters', count(pipeline.dead_letters), true)
            : []),
          ...item(
            'newest hop',
            pipeline.newest_hop_s === null ? 'none' : `${threeDigits(pipeline.newest_hop_s)} s ago`,
            pipeline.newest_hop_s === null || pipeline.newest_hop_s > 30,
          ),
        ]),
  );
}

function drawCards(report: Report, { attribution }: Snapshot): void {
  const inside = report.legs.sum - report.legs.loopback - report.requests;
  const requestsLine = report.lines.filter((line) => line.part === 'all');
  const attempts = requestsLine.reduce((sum, line) => sum + line.attempts, 0);
  const legs = requestsLine.reduce((sum, line) => sum + line.legs, 0);
  const entry =
    report.lines.find((line) => line.part === 'gateway') ??
    report.lines.find((line) => line.direction === 'north_south');
  const p99 = attribution.bands.find((band) => band.percentile === 99);
  const ofTotal = (ms: number | undefined): string =>
    p99 === undefined || ms === undefined
      ? 'no complete request yet'
      : `${percent(ms / p99.total.ms)} of ${threeDigits(p99.total.ms)} ms`;
  const proxies = report.cpu.reduce((sum, line) => sum + line.processes, 0);
  const card = (
    kind: string,
    title: string,
    value: string,
    unit: string,
    note: string,
  ): HTMLElement =>
    html(
      'div',
      { class: `card ${kind}` },
      html('p', {}, title),
      html('strong', {}, `${value} `, html('small', {}, unit)),
      html('p', {}, note),
    );
  byId('cards').replaceChildren(
    card(
      '',
      'Requests from outside',
      rate(report.requests_per_s),
      '/s',
      `${count(report.requests)}, the same in both perspectives`,
    ),
    card(
      '',
      'Legs inside, per request',
      report.requests === 0 ? '-' : threeDigits(inside / report.requests),
      '',
      attempts > legs
        ? `${count(attempts - legs)} more attempts than legs`
        : 'no attempt was repeated',
    ),
    card(
      'gateway',
      "Gateway's own, p99 band",
      threeDigits(p99?.kinds['gateway']?.ms),
      'ms',
      ofTotal(p99?.kinds['gateway']?.ms),
    ),
    card(
      'mesh',
      "Mesh's own, p99 band",
      threeDigits(p99?.kinds['mesh']?.ms),
      'ms',
      `${ofTotal(p99?.kinds['mesh']?.ms)}, ${count(proxies)} proxies`,
    ),
    card(
      (entry?.errors ?? 0) > 0 ? 'bad' : '',
      'Errors',
      percent(entry?.error_share ?? null).replace(' %', ''),
      '%',
      `${count(entry?.errors ?? 0)} requests answered 5xx or not at all`,
    ),
  );
}

function chooseTheme(theme: string): void {
  document.documentElement.dataset['theme'] = theme;
  byId('theme').textContent = theme === 'light' ? 'Dark' : 'Light';
  themeChanged();
  draw();
}

byId('theme').addEventListener('click', () => {
  const theme = document.documentElement.dataset['theme'] === 'light' ? 'dark' : 'light';
  localStorage.setItem('theme', theme);
  chooseTheme(theme);
});
byId('perspective').addEventListener('change', (event) => {
  perspective = (event.target as HTMLInputElement).value as Perspective;
  draw();
});
byId('last').addEventListener('change', (event) =>
  connect((event.target as HTMLInputElement).value),
);
window.addEventListener('resize', draw);
chooseTheme(
  localStorage.getItem('theme') ??
    (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'),
);
connect('5m');
