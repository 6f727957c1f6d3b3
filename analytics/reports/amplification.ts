/**
 * The report of amplification: one request from outside becomes how many internal ones, by the route
 * that it entered on, with what proxies repeated told apart. A workload that calls again by itself
 * is not to be told from one that calls twice: its calls count as calls.
 */
import type { StoreClient } from '../../store/client.ts';
import { sql } from '../sql.ts';
import type { Window } from '../window.ts';
import { count, threeDigits } from './numbers.ts';
import { headOf, type Presentation, type ReportHead } from './presentation.ts';
import { CUT, NO_TRAFFIC } from './routes.ts';
import { sampledWindow, samplingWarning } from './sampling.ts';

/** Fewer requests than this say little of the next one. */
const FEW_REQUESTS = 30;
const LINES_MAX = 500;

export interface AmplificationLine {
  /** Where the request entered. */
  readonly service: string;
  readonly route: string;
  readonly requests: number;
  /** Internal legs that first attempts brought. */
  readonly calls: number;
  readonly calls_per_request: number;
  readonly calls_p50: number;
  readonly calls_p99: number;
  readonly calls_max: number;
  /** Attempts of proxies beyond the first, also those that reached nobody. */
  readonly retries: number;
  readonly retries_per_request: number;
  /** Internal legs that such attempts brought. */
  readonly repeated_legs: number;
  /** Calls to targets outside of the mesh. */
  readonly egress: number;
  readonly egress_per_request: number;
  /** Most services that one request reached. */
  readonly services_max: number;
  readonly few: boolean;
}

export interface Amplification extends ReportHead {
  readonly report: 'amplification';
  /** One in so many traces was read. */
  readonly every: number;
  readonly requests: number;
  readonly calls: number;
  readonly retries: number;
  /** Internal legs without a request from outside: calls that a workload makes by itself, or a lost context. */
  readonly legs_without_request: number;
  readonly traces_without_request: number;
  /** Internal legs of traces that hold several requests, which cannot be divided among them. */
  readonly legs_of_several: number;
  readonly traces_of_several: number;
  readonly cut: boolean;
  /** By calls, most first. */
  readonly lines: readonly AmplificationLine[];
}

type Row = Omit<
  AmplificationLine,
  'calls_per_request' | 'retries_per_request' | 'egress_per_request' | 'few'
> & { readonly rows: number };

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readAmplification(
  store: StoreClient,
  window: Window,
  hopsMax?: number,
): Promise<Amplification> {
  const { traffic, every, params } = await sampledWindow(store, window, hopsMax);
  const found = await store.query<Row>(sql('amplification'), params);
  const [others] = await store.query<
    Pick<
      Amplification,
      'legs_without_request' | 'traces_without_request' | 'legs_of_several' | 'traces_of_several'
    >
  >(sql('amplification_others'), params);
  const lines = found.slice(0, LINES_MAX);
  const sum = (of: (row: Row) => number): number => lines.reduce((n, row) => n + of(row), 0);
  return {
    report: 'amplification',
    ...headOf(
      window,
      traffic.finalUntilMs,
      sum((row) => row.rows),
    ),
    every,
    requests: sum((row) => row.requests),
    calls: sum((row) => row.calls),
    retries: sum((row) => row.retries),
    legs_without_request: others?.legs_without_request ?? 0,
    traces_without_request: others?.traces_without_request ?? 0,
    legs_of_several: others?.legs_of_several ?? 0,
    traces_of_several: others?.traces_of_several ?? 0,
    cut: found.length > LINES_MAX,
    lines: lines.map((row) => ({
      service: row.service,
      route: row.route,
      requests: row.requests,
      calls: row.calls,
      calls_per_request: row.calls / row.requests,
      calls_p50: row.calls_p50,
      calls_p99: row.calls_p99,
      calls_max: row.calls_max,
      retries: row.retries,
      retries_per_request: row.retries / row.requests,
      repeated_legs: row.repeated_legs,
      egress: row.egress,
      egress_per_request: row.egress / row.requests,
      services_max: row.services_max,
      few: row.requests < FEW_REQUESTS,
    })),
  };
}

/** Shows the report; pure. */
export function presentAmplification(report: Amplification): Presentation {
  const { lines } = report;
  const most = Math.max(1e-9, ...lines.map((line) => line.calls_per_request));
  const few = lines.filter((line) => line.few).length;
  const column = (
    head: string,
    spare: number,
    cell: (line: AmplificationLine) => string,
    left = false,
  ) => ({
    head,
    spare,
    cells: lines.map(cell),
    left,
  });
  return {
    title: 'Amplification',
    about: 'One request from outside becomes how many internal ones, with retries told apart.',
    head: report,
    context: [],
    facts: [
      `${count(report.requests)} requests from outside`,
      `${count(report.calls)} internal calls`,
      `${count(report.retries)} retries`,
    ],
    tables: [
      {
        caption: 'Internal calls per request, by the route it entered on',
        columns: [
          column('service', 2, (line) => line.service),
          column('route', 0, (line) => line.route || '(none matched)', true),
          column('requests', 0, (line) => count(line.requests) + (line.few ? '*' : '')),
          column('calls each', 0, (line) => threeDigits(line.calls_per_request)),
          column('p50', 5, (line) => count(line.calls_p50)),
          column('p99', 4, (line) => count(line.calls_p99)),
          column('most', 0, (line) => count(line.calls_max)),
          column('retries each', 0, (line) => threeDigits(line.retries_per_request)),
          column('egress each', 3, (line) => threeDigits(line.egress_per_request)),
          column('services', 6, (line) => count(line.services_max)),
        ],
        bars: { head: 'calls', shares: lines.map((line) => line.calls_per_request / most) },
        empty: NO_TRAFFIC,
      },
    ],
    plots: [
      {
        kind: 'stacks',
        caption: 'Internal calls and retries that one request causes, on average',
        unit: 'per request',
        parts: ['calls', 'retries', 'egress'],
        rows: lines.slice(0, 24).map((line) => ({
          label: `${line.service} ${line.route || '(none matched)'}`,
          values: [line.calls_per_request, line.retries_per_request, line.egress_per_request],
        })),
      },
    ],
    warnings: [
      ...samplingWarning(report.every),
      ...(report.cut ? [CUT] : []),
      ...(few > 0 ? [`* fewer than ${FEW_REQUESTS} requests: the next ones may well differ`] : []),
      ...(report.legs_without_request > 0
        ? [
            `${count(report.legs_without_request)} internal calls belong to no request from outside (${count(report.traces_without_request)} traces): ` +
              'work that a workload begins by itself, or context that it lost: azimuth report context-loss',
          ]
        : []),
      ...(report.traces_of_several > 0
        ? [
            `${count(report.traces_of_several)} traces hold several requests; their ${count(report.legs_of_several)} internal calls cannot be divided among them and are left out`,
          ]
        : []),
    ],
    notes: [
      'calls: internal legs brought by first attempts; retries: attempts of proxies beyond the first; a workload that calls again by itself counts as calls',
    ],
  };
}
