/**
 * How `azimuth tail` shows hops: one line each under a head of fixed columns, since lines come for
 * as long as somebody watches and cannot be measured in advance. Pure; knows no socket.
 */
import type { HopEvent } from '../proxy/admin/hop-feed.ts';

/** A hop with the number of the process that carried it. */
export type TailedHop = HopEvent & { readonly worker: number };

interface Column {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
  readonly of: (hop: TailedHop) => string;
}

const ROUTE_WIDTH_MIN = 16;
/** Templates are rarely longer; beyond it a wide terminal would only part what belongs together. */
const ROUTE_WIDTH_MAX = 40;

const milliseconds = (ms: number): string => (ms < 1_000 ? ms.toFixed(2) : ms.toFixed(0));

const COLUMNS: readonly Column[] = [
  { title: 'TIME', width: 12, of: ({ time }) => time.slice(11, 23) },
  { title: 'STATUS', width: 6, right: true, of: ({ status }) => (status === 0 ? '-' : String(status)) }, // prettier-ignore
  { title: 'METHOD', width: 7, of: ({ method }) => method },
  { title: 'ROUTE', width: 0, of: ({ route, path }) => path ?? (route === '' ? '-' : route) },
  { title: 'MS', width: 9, right: true, of: ({ duration_ms: ms }) => milliseconds(ms) },
  { title: 'OWN', width: 8, right: true, of: ({ own_ms: ms }) => milliseconds(ms) },
  { title: 'UPSTREAM', width: 9, right: true, of: ({ upstream_ms: ms }) => milliseconds(ms) },
  { title: 'TARGET', width: 16, of: ({ target }) => (target === '' ? '-' : target) },
  { title: 'EDGE', width: 23, of: ({ edge_class: edge }) => edge },
  { title: 'TRACE', width: 32, of: ({ trace_id: trace }) => trace },
  {
    title: 'WHY',
    width: 0,
    of: ({ error_type: error, flags, stream_class: stream }) =>
      [error, flags.join(','), stream].filter((part) => part !== '').join(' '),
  },
];

const RED = '\x1b[31m';
const YELLOW = '\x1b[33m';
const DIM = '\x1b[2m';
const PLAIN = '\x1b[0m';

/** Writer of lines for a terminal `columns` wide. */
export class TailText {
  readonly #colours: boolean;
  readonly #routeWidth: number;

  constructor(settings: { readonly columns: number; readonly colours: boolean }) {
    this.#colours = settings.colours;
    const others = COLUMNS.reduce((sum, { width }) => sum + width + 2, 0);
    this.#routeWidth = Math.min(
      ROUTE_WIDTH_MAX,
      Math.max(ROUTE_WIDTH_MIN, settings.columns - others),
    );
  }

  head(): string {
    return this.#paint(
      DIM,
      this.#line((column) => column.title),
    );
  }

  hop(hop: TailedHop): string {
    const line = this.#line((column) => printable(column.of(hop)));
    if (hop.error_type !== '') return this.#paint(RED, line);
    return hop.status >= 400 ? this.#paint(YELLOW, line) : line;
  }

  #line(cell: (column: Column) => string): string {
    return COLUMNS.map((column) => {
      const text = cell(column);
      if (column.title === 'WHY') return text;
      const width = column.title === 'ROUTE' ? this.#routeWidth : column.width;
      const cut = text.length > width ? text.slice(0, width - 1) + '…' : text;
      return column.right === true ? cut.padStart(width) : cut.padEnd(width);
    })
      .join('  ')
      .trimEnd();
  }

  #paint(colour: string, line: string): string {
    return this.#colours ? colour + line + PLAIN : line;
  }
}

/** A path is the client's text: nothing in it may steer the terminal. */
function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
}
