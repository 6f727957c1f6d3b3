/**
 * The mesh as a layered picture: clients, the edge, then every service by how many legs it lies
 * inside. Switching the perspective moves the border between edge and inside: split, the gateway is
 * two halves and its inner half belongs to the mesh; whole, the gateway with its leg inwards is the
 * edge. The layout depends on names only, so it does not jump from second to second.
 */
import { html, onChoose, svg } from './dom.ts';
import { percent, rate, threeDigits } from './format.ts';
import type { Direction, Edge, Perspective } from './snapshot.ts';

const CLIENTS = 'clients';
const UNKNOWN = 'unknown';
const OUTSIDE = 'outside';

const COLUMN_PX = 150;
const ROW_PX = 104;
/** Every other column stands lower, so that a leg over it passes between boxes. */
const STAGGER_PX = 52;
const BOX_PX = { width: 104, height: 36 };
const MARGIN_PX = { left: 64, top: 64 };

const DIRECTION_WORDS: Readonly<Record<Direction, string>> = {
  north_south: 'north-south',
  east_west: 'east-west',
  unknown: 'unknown direction',
  neither: 'loopback',
};

interface Place {
  readonly name: string;
  readonly kind: 'clients' | 'gateway' | 'service' | 'outside' | 'unknown';
  readonly layer: number;
  x: number;
  y: number;
}

/** Draws into `into`; `choose` is called with the edges of a node or one edge that was chosen. */
export function drawMesh(
  into: HTMLElement,
  edges: readonly Edge[],
  perspective: Perspective,
): void {
  const drawn = edges.map((edge) => ({
    ...edge,
    from: edge.from === '' ? UNKNOWN : edge.from,
    to: edge.edge_class === 'workload_to_external' ? `${edge.to} ${OUTSIDE}` : edge.to,
  }));
  const places = layOut(drawn, perspective);
  const width =
    MARGIN_PX.left * 2 + COLUMN_PX * Math.max(1, ...[...places.values()].map((p) => p.layer));
  const height = MARGIN_PX.top + Math.max(...[...places.values()].map((p) => p.y)) + 20;
  const picture = svg('svg', {
    viewBox: `0 0 ${width + 40} ${height}`,
    role: 'group',
    'aria-label': `The mesh seen ${perspective}: ${places.size} places, ${edges.length} edges`,
  });
  picture.append(...zones(places, perspective, height));
  const busiest = Math.max(...drawn.map((edge) => edge.per_s), 0.001);
  for (const edge of drawn) {
    const from = places.get(edge.from);
    const to = places.get(edge.to);
    if (from !== undefined && to !== undefined) {
      picture.append(drawEdge(edge, from, to, perspective, busiest));
    }
  }
  for (const place of places.values()) picture.append(drawPlace(place, drawn, perspective));
  into.replaceChildren(picture);
}

/** Longest way from the clients, callers first; circles end at the number of names. */
function layOut(edges: readonly Edge[], perspective: Perspective): Map<string, Place> {
  const names = [...new Set(edges.flatMap((edge) => [edge.from, edge.to]))].sort();
  const gateways = new Set(
    edges.filter((e) => e.edge_class === 'external_to_gateway').map((edge) => edge.to),
  );
  const layers = new Map(names.map((name) => [name, name === CLIENTS || name === UNKNOWN ? 0 : 1]));
  for (let round = 0; round < names.length; round++) {
    let moved = false;
    for (const { from, to } of edges) {
      const layer = layers.get(from)! + 1;
      if (layer > layers.get(to)! && layer <= names.length && from !== to) {
        if (reaches(edges, to, from)) continue;
        layers.set(to, layer);
        moved = true;
      }
    }
    if (!moved) break;
  }
  const columns = new Map<number, string[]>();
  for (const name of names) {
    const layer = layers.get(name)!;
    columns.set(layer, [...(columns.get(layer) ?? []), name]);
  }
  const tallest = Math.max(...[...columns.values()].map((column) => column.length), 1);
  const places = new Map<string, Place>();
  for (const [layer, column] of [...columns].sort((a, b) => a[0] - b[0])) {
    // Beside its callers, so that edges cross less.
    const middle = (name: string): number => {
      const callers = edges
        .filter((edge) => edge.to === name)
        .map((edge) => places.get(edge.from)?.y);
      const known = callers.filter((y) => y !== undefined);
      return known.length === 0 ? 0 : known.reduce((sum, y) => sum + y, 0) / known.length;
    };
    column.sort((a, b) => middle(a) - middle(b) || a.localeCompare(b));
    column.forEach((name, row) => {
      const shift = perspective === 'split' && layer >= 2 ? 34 : 0;
      places.set(name, {
        name,
        kind:
          name === CLIENTS
            ? 'clients'
            : name === UNKNOWN
              ? 'unknown'
              : gateways.has(name)
                ? 'gateway'
                : name.endsWith(` ${OUTSIDE}`)
                  ? 'outside'
                  : 'service',
        layer,
        x: MARGIN_PX.left + layer * COLUMN_PX + shift,
        y:
          MARGIN_PX.top +
          (row + (tallest - column.length) / 2) * ROW_PX +
          (layer >= 2 && layer % 2 === 1 ? STAGGER_PX : 0),
      });
    });
  }
  return places;
}

/** True when `to` can be reached from `from`: an edge back, which must not push anything deeper. */
function reaches(edges: readonly Edge[], from: string, to: string): boolean {
  const seen = new Set([from]);
  const open = [from];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === to) return true;
    for (const edge of edges) {
      if (edge.from !== name || seen.has(edge.to)) continue;
      seen.add(edge.to);
      open.push(edge.to);
    }
  }
  return false;
}

/** Headings, and the border between the edge and the inside: where the perspective puts it. */
function zones(
  places: ReadonlyMap<string, Place>,
  perspective: Perspective,
  height: number,
): SVGElement[] {
  const edgeX = MARGIN_PX.left + COLUMN_PX;
  const hasGateway = [...places.values()].some((place) => place.kind === 'gateway');
  const outerX = edgeX - BOX_PX.width / 2 - 26;
  const innerX = !hasGateway
    ? edgeX - BOX_PX.width / 2 - 8
    : perspective === 'split'
      ? edgeX + 17
      : MARGIN_PX.left + 2 * COLUMN_PX - BOX_PX.width / 2 - 12;
  const line = (x: number): SVGElement =>
    svg('line', { class: 'zone', x1: x, x2: x, y1: 30, y2: height - 4 });
  const heading = (x: number, words: string, anchor = 'middle'): SVGElement =>
    svg('text', { class: 'quiet', x, y: 18, 'text-anchor': anchor }, words);
  return [
    line(outerX),
    line(innerX),
    heading(MARGIN_PX.left, 'outside'),
    ...(hasGateway
      ? [
          heading(
            (outerX + innerX) / 2,
            perspective === 'whole' ? 'edge, with its leg inwards' : 'edge',
          ),
        ]
      : []),
    heading(innerX + 12, 'inside: every service behind its sidecar (the coloured bar)', 'start'),
  ];
}

function drawEdge(
  edge: Edge,
  from: Place,
  to: Place,
  perspective: Perspective,
  busiest: number,
): SVGElement {
  const direction = edge.direction[perspective];
  const split = perspective === 'split';
  const start = from.x + halfWidth(from) + (from.kind === 'gateway' && split ? 34 : 0);
  const end = to.x - halfWidth(to) - 9;
  const bend = Math.max(30, Math.abs(end - start) / 2);
  // A leg that passes over columns bows upwards, around the boxes there.
  const bow = Math.max(0, to.layer - from.layer - 1) * 46;
  const path = `M${start} ${from.y} C${start + bend} ${from.y - bow} ${end - bend} ${to.y - bow} ${end} ${to.y}`;
  const thickness = 1.5 + 6 * Math.sqrt(edge.per_s / busiest);
  const share = edge.legs === 0 ? 0 : edge.errors / edge.legs;
  const words =
    `${edge.from} to ${edge.to}: ${rate(edge.per_s)} requests a second, ${DIRECTION_WORDS[direction]}, ` +
    `p50 ${threeDigits(edge.p50_ms)} ms, p99 ${threeDigits(edge.p99_ms)} ms, ${percent(share)} errors`;
  return svg(
    'g',
    { class: `edge ${direction}`, 'data-from': edge.from, 'data-to': edge.to },
    svg('title', {}, words),
    svg('path', { d: path, 'stroke-width': thickness.toFixed(1) }),
    ...(share >= 0.001
      ? [
          svg('path', {
            class: 'errors',
            d: path,
            'stroke-width': Math.max(1.5, thickness * Math.min(1, 0.25 + share)).toFixed(1),
          }),
        ]
      : []),
    svg('path', { class: 'hit', d: path }),
    svg('polygon', { points: `${end},${to.y - 5} ${end + 9},${to.y} ${end},${to.y + 5}` }),
  );
}

const halfWidth = (place: Place): number =>
  place.kind === 'clients' || place.kind === 'unknown' ? 36 : BOX_PX.width / 2;

function drawPlace(place: Place, edges: readonly Edge[], perspective: Perspective): SVGElement {
  const { x, y, kind, name } = place;
  const incoming = edges.filter((edge) => edge.to === name);
  const legs = incoming.reduce((sum, edge) => sum + edge.legs, 0);
  const errors = incoming.reduce((sum, edge) => sum + edge.errors, 0);
  const busiest = incoming.toSorted((a, b) => b.legs - a.legs)[0];
  const half = halfWidth(place);
  const height = BOX_PX.height;
  const figure =
    kind === 'clients'
      ? `${rate(edges.filter((e) => e.from === name).reduce((sum, e) => sum + e.per_s, 0))}/s`
      : kind === 'gateway'
        ? `own ${threeDigits(busiest?.own_p50_ms)} ms`
        : `${threeDigits(busiest?.p50_ms)} ms` +
          (errors / Math.max(1, legs) >= 0.001 ? `, ${percent(errors / legs)} errors` : '');
  const label = name.replace(` ${OUTSIDE}`, '');
  // The spaces between the texts are for the name that a screen reader makes of them.
  const group = svg('g', {
    class: `node ${kind}`,
    tabindex: 0,
    role: 'button',
    // Begins with what is written there, for those who speak to the page.
    'aria-label':
      `${label} ${kind === 'gateway' && perspective === 'split' ? 'inner ' : ''}${figure}: ` +
      'show only the edges of this ' +
      kind,
    'data-name': name,
  });
  if (kind === 'gateway' && perspective === 'split') {
    // Two halves with the border between them.
    group.append(
      svg('rect', { x: x - half, y: y - height / 2, width: half + 6, height, rx: 8 }),
      svg('rect', { x: x + 28, y: y - height / 2, width: half + 6, height, rx: 8 }),
      svg(
        'text',
        { x: x - half / 2 + 3, y: y + 4 },
        label.length > 8 ? `${label.slice(0, 7)}…` : label,
      ),
      ' ',
      svg('text', { x: x + 28 + half / 2 + 3, y: y + 4, class: 'quiet' }, 'inner'),
      ' ',
      svg('text', { class: 'quiet', x: x + 17, y: y + height / 2 + 15 }, figure),
    );
  } else {
    group.append(
      svg('rect', {
        x: x - half,
        y: y - height / 2,
        width: 2 * half,
        height,
        rx: kind === 'clients' || kind === 'outside' ? height / 2 : 8,
      }),
      ...(kind === 'service'
        ? [
            svg('rect', {
              class: 'sidecar',
              x: x - half,
              y: y - height / 2,
              width: 6,
              height,
              rx: 2,
            }),
          ]
        : []),
      svg(
        'text',
        { x: x + (kind === 'service' ? 3 : 0), y: y + 4 },
        label.length > 15 ? `${label.slice(0, 14)}…` : label,
      ),
      ' ',
      svg('text', { class: 'quiet', x, y: y + height / 2 + 15 }, figure),
    );
  }
  onChoose(group, () => highlight(group));
  return group;
}

/** Shows only the edges of one node; the same node again shows all. */
function highlight(node: SVGElement): void {
  const picture = node.ownerSVGElement!;
  const name = node.dataset['name'];
  const same = picture.dataset['chosen'] === name;
  picture.dataset['chosen'] = same ? '' : name;
  for (const edge of picture.querySelectorAll<SVGElement>('.edge')) {
    const { from, to } = edge.dataset;
    edge.classList.toggle('dim', !same && from !== name && to !== name);
  }
}

/** The same as rows, for whom a picture is none. */
export function edgeTable(edges: readonly Edge[], perspective: Perspective): HTMLTableElement {
  const head = ['from', 'to', 'direction', 'legs', '/s', 'p50 ms', 'p99 ms', 'errors'];
  return html(
    'table',
    {},
    html(
      'thead',
      {},
      html('tr', {}, ...head.map((word, i) => html('th', { class: i > 2 ? 'number' : '' }, word))),
    ),
    html(
      'tbody',
      {},
      ...edges.map((edge) =>
        html(
          'tr',
          {},
          html('td', {}, edge.from === '' ? UNKNOWN : edge.from),
          html('td', {}, edge.to),
          html('td', {}, DIRECTION_WORDS[edge.direction[perspective]]),
          ...[
            String(edge.legs),
            rate(edge.per_s),
            threeDigits(edge.p50_ms),
            threeDigits(edge.p99_ms),
            percent(edge.legs === 0 ? null : edge.errors / edge.legs),
          ].map((text) => html('td', { class: 'number' }, text)),
        ),
      ),
    ),
  );
}
