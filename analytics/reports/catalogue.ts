/**
 * Every report, once: its name, what it says, which options it takes, how it is read. The terminal
 * (`azimuth report NAME`) and the HTTP API (`GET /api/NAME`) are both made from this list, so that
 * they have the same reports with the same options and the same figures.
 */
import { AzimuthError } from '../../runtime/errors.ts';
import type { StoreClient } from '../../store/client.ts';
import { PERSPECTIVES, type Perspective } from '../../telemetry/edge-class.ts';
import type { TraceFilter } from '../attribution/window-traces.ts';
import { parseWindow, type Window } from '../window.ts';
import { readAttribution } from './attribution.ts';
import { presentAmplification, readAmplification } from './amplification.ts';
import { attributionCsv, attributionText, presentAttribution } from './attribution-forms.ts';
import { presentComparison } from './compare-forms.ts';
import { readComparison, type Side } from './compare.ts';
import { presentContextLoss, readContextLoss } from './context-loss.ts';
import { csvOf } from './csv.ts';
import { presentDeadlines, readDeadlines } from './deadlines.ts';
import { flatEnds, presentEdges, readEdgesReport } from './edges.ts';
import {
  gatewayVsMeshCsv,
  gatewayVsMeshText,
  presentGatewayVsMesh,
} from './gateway-vs-mesh-forms.ts';
import { readGatewayVsMesh } from './gateway-vs-mesh.ts';
import { presentationHtml } from './html/page.ts';
import type { Presentation, ReportHead } from './presentation.ts';
import { presentationText } from './presentation-text.ts';
import { presentRoutes, readRoutesReport } from './routes.ts';
import type { TextSettings } from './table.ts';

/** Options of reports besides the window, by name; the text is for `--help` and the API's document. */
export const REPORT_OPTIONS = {
  perspective: "whether the gateway's internal leg is mesh (split) or gateway (whole)",
  route: 'only requests of this route template, as it entered',
  service: 'only requests that entered at this gateway or BFF',
  topology: 'only requests of this topology run',
  generation: 'only requests under this configuration generation',
  base_from: 'start of the window to compare with (with base_to)',
  base_to: 'end of the window to compare with',
  base_topology: 'compare with the requests of this topology run',
  base_generation: 'compare with the requests under this configuration generation',
} as const;
export type ReportOption = keyof typeof REPORT_OPTIONS;

/** Options as they come from a command line or a URL. */
export type RawOptions = Readonly<Partial<Record<ReportOption | 'last' | 'from' | 'to', string>>>;

interface ReportRequest {
  readonly nowMs: number;
  readonly window: Window;
  readonly perspective: Perspective;
  readonly filter: TraceFilter;
  /** What a comparison compares with; the window just before where no option names one. */
  readonly base: Side;
  readonly retentionDays: number;
}

/** Forms over HTTP, with their media types. */
export const FORMATS = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  html: 'text/html; charset=utf-8',
} as const;
export type Format = keyof typeof FORMATS;

/** A report that was read, in all its forms. `figures` is the JSON form. */
export interface ReadReport {
  readonly figures: object;
  text(settings: TextSettings): string;
  csv(): string;
  /** One file that needs nothing but itself. */
  html(): string;
}

export interface Report {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  readonly options: readonly ReportOption[];
  /** Keys that its JSON form always has, besides those of every report. */
  readonly keys: readonly string[];
  read(store: StoreClient, request: ReportRequest): Promise<ReadReport>;
}

/** Forms of a report that has one presentation for terminal and page. `rows`: those of the CSV. */
function presented(figures: object, shown: Presentation, rows: readonly object[]): ReadReport {
  return {
    figures,
    text: (settings) => presentationText(shown, settings),
    csv: () => csvOf(rows),
    html: () => presentationHtml(shown),
  };
}

/** Rows of a report's CSV: each with the window and until when it may change. */
const withHead = ({ from, to, final_until }: ReportHead, lines: readonly object[]): object[] =>
  lines.map((line) => ({ from, to, final_until, ...line }));

/** In the order in which a newcomer should meet them. */
export const REPORTS: readonly Report[] = [
  {
    name: 'gateway-vs-mesh',
    summary: 'load and latency of the gateway and of the mesh, by direction',
    options: ['perspective'],
    keys: ['perspective', 'requests', 'legs', 'lines', 'cpu', 'accounted_for'],
    async read(store, { window, perspective, retentionDays }) {
      const figures = await readGatewayVsMesh(store, window, perspective, { retentionDays });
      return {
        figures,
        text: (settings) => gatewayVsMeshText(figures, settings),
        csv: () => gatewayVsMeshCsv(figures),
        html: () => presentationHtml(presentGatewayVsMesh(figures)),
      };
    },
  },
  {
    name: 'attribution',
    summary: 'where the time of requests goes, at each percentile, adding up',
    options: ['route', 'service', 'topology', 'generation'],
    keys: ['complete', 'incomplete', 'bands'],
    async read(store, { window, filter, retentionDays }) {
      const figures = await readAttribution(store, window, filter, { retentionDays });
      return {
        figures,
        text: (settings) => attributionText(figures, settings),
        csv: () => attributionCsv(figures),
        html: () => presentationHtml(presentAttribution(figures)),
      };
    },
  },
  {
    name: 'routes',
    summary: 'load, errors, latency and own time by route and direction',
    options: ['perspective'],
    keys: ['rows', 'perspective', 'lines'],
    async read(store, { window, perspective }) {
      const figures = await readRoutesReport(store, window, perspective);
      return presented(figures, presentRoutes(figures), withHead(figures, figures.lines));
    },
  },
  {
    name: 'edges',
    summary: 'who calls whom, how much, how well, and whether every call arrived',
    options: [],
    keys: ['rows', 'lines', 'ends_compared_until'],
    async read(store, { window, nowMs }) {
      const figures = await readEdgesReport(store, window, nowMs);
      return presented(
        figures,
        presentEdges(figures),
        withHead(figures, figures.lines.map(flatEnds)),
      );
    },
  },
  {
    name: 'amplification',
    summary: 'one request becomes how many internal ones, retries apart, by route',
    options: [],
    keys: ['rows', 'every', 'requests', 'lines'],
    async read(store, { window }) {
      const figures = await readAmplification(store, window);
      return presented(figures, presentAmplification(figures), withHead(figures, figures.lines));
    },
  },
  {
    name: 'context-loss',
    summary: 'where traces break: calls without a parent, ends that do not meet, by workload',
    options: [],
    keys: ['rows', 'every', 'hops_missing', 'lines'],
    async read(store, { window, retentionDays, nowMs }) {
      const figures = await readContextLoss(store, window, { retentionDays, nowMs });
      return presented(figures, presentContextLoss(figures), withHead(figures, figures.lines));
    },
  },
  {
    name: 'deadlines',
    summary: 'who ate the budget of the requests that ran out of time',
    options: ['route'],
    keys: ['rows', 'requests', 'over', 'near', 'timed_out', 'lines', 'left', 'gave_up'],
    async read(store, { window, filter }) {
      const figures = await readDeadlines(store, window, filter.route);
      return presented(figures, presentDeadlines(figures), withHead(figures, figures.lines));
    },
  },
  {
    name: 'compare',
    summary: 'what changed against another window, generation or topology, beyond chance',
    options: [
      'route',
      'service',
      'topology',
      'generation',
      'base_from',
      'base_to',
      'base_topology',
      'base_generation',
    ],
    keys: ['rows', 'base', 'current', 'lines'],
    async read(store, { window, filter, base }) {
      const figures = await readComparison(store, base, { window, filter });
      return presented(figures, presentComparison(figures), withHead(figures, figures.lines));
    },
  },
];

/**
 * The report of a name.
 * @throws AzimuthError AZ_USAGE
 */
export function reportOf(name: string | undefined): Report {
  const report = REPORTS.find((r) => r.name === name);
  if (report !== undefined) return report;
  const names = REPORTS.map((r) => r.name).join(', ');
  throw new AzimuthError(
    'AZ_USAGE',
    name === undefined
      ? `name one report; there are: ${names}`
      : `there is no report "${name}"; there are: ${names}`,
  );
}

/**
 * Reads a report with options as a user wrote them.
 * @throws AzimuthError AZ_USAGE for an option that it does not take or a value that cannot be;
 *   the store's errors.
 */
export function readReport(
  report: Report,
  raw: RawOptions,
  context: {
    readonly store: StoreClient;
    readonly retentionDays: number;
    readonly nowMs: number;
  },
): Promise<ReadReport> {
  const known = ['last', 'from', 'to', ...report.options];
  const unknown = Object.keys(raw).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new AzimuthError(
      'AZ_USAGE',
      `the report ${report.name} takes no ${unknown.join(', ')}; it takes: ${known.join(', ')}`,
    );
  }
  const window = parseWindow(raw, context.nowMs);
  const filter: TraceFilter = {
    route: raw.route,
    service: raw.service,
    topology: raw.topology,
    generation: parseGeneration(raw.generation),
  };
  return report.read(context.store, {
    window,
    perspective: parsePerspective(raw.perspective),
    filter,
    base: parseBase(raw, window, filter, context.nowMs),
    retentionDays: context.retentionDays,
    nowMs: context.nowMs,
  });
}

/**
 * The other side of a comparison: what no `base_…` option says is as on the current side, and where
 * none says anything, it is the window of the same length just before.
 */
function parseBase(raw: RawOptions, window: Window, filter: TraceFilter, nowMs: number): Side {
  const { base_from: from, base_to: to } = raw;
  if ((from === undefined) !== (to === undefined)) {
    throw new AzimuthError('AZ_USAGE', 'base_from and base_to belong together');
  }
  const named = raw.base_topology !== undefined || raw.base_generation !== undefined;
  const before = { fromMs: 2 * window.fromMs - window.toMs, toMs: window.fromMs };
  return {
    window: from !== undefined ? parseWindow({ from, to }, nowMs) : named ? window : before,
    filter: {
      ...filter,
      ...(raw.base_topology === undefined ? {} : { topology: raw.base_topology }),
      ...(raw.base_generation === undefined
        ? {}
        : { generation: parseGeneration(raw.base_generation) }),
    },
  };
}

/**
 * The perspective of a word; absent means `split`.
 * @throws AzimuthError AZ_USAGE
 */
function parsePerspective(word: string | undefined): Perspective {
  const known = PERSPECTIVES.find((p) => p === (word ?? 'split'));
  if (known !== undefined) return known;
  throw new AzimuthError(
    'AZ_USAGE',
    `"${word ?? ''}" is no perspective; there are: ${PERSPECTIVES.join(', ')}`,
  );
}

function parseGeneration(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new AzimuthError('AZ_USAGE', `"${text}" is no generation; it is a whole number from 1`);
}
