/**
 * The forms of the gateway-versus-mesh report: terminal table and CSV (JSON is the figures
 * themselves). Pure: takes figures and a width, gives text; writes nowhere.
 */
import type { Direction } from '../../telemetry/edge-class.ts';
import type { GatewayVsMesh, Part, TrafficLine } from './gateway-vs-mesh.ts';
import { csvOf } from './csv.ts';
import { FEW_FOR_P99 } from './traffic-figures.ts';
import { clockTime, count, percent, rate, threeDigits } from './numbers.ts';
import { finalityText, timeText } from './presentation-text.ts';
import type { Presentation } from './presentation.ts';
import { clauses, renderTable, spread, type Column, type TextSettings } from './table.ts';

const DIRECTION_TEXT: Readonly<Record<Direction, string>> = {
  north_south: 'north-south',
  east_west: 'east-west',
  unknown: 'unknown',
  neither: 'loopback',
};

const PART_TEXT: Readonly<Record<Part, string>> = {
  gateway: 'gateway',
  egress: 'egress',
  gateway_to_mesh: 'gateway → mesh',
  mesh_to_mesh: 'mesh ↔ mesh',
  unknown: 'unknown',
  loopback: 'loopback',
};

/** Where BFFs' sidecars perform the gateway's functions, there is no gateway to name. */
const MERGED_TEXT: Readonly<Partial<Record<Part, string>>> = {
  gateway: 'BFF ingress',
  gateway_to_mesh: 'BFF → mesh',
};

const WIDTH_MAX = 110;

/** The way onward for people who speak SQL: the view of published minutes. */
const MORE_SQL = `azimuth sql "SELECT * FROM traffic(perspective = 'whole') LIMIT 5"`;

/** The terminal form, with a newline at its end. */
export function gatewayVsMeshText(report: GatewayVsMesh, settings: TextSettings): string {
  const width = Math.min(WIDTH_MAX, settings.width) - 2;
  const bold = (text: string): string => (settings.color ? `\x1b[1m${text}\x1b[22m` : text);
  const dim = (text: string): string => (settings.color ? `\x1b[2m${text}\x1b[22m` : text);

  const merged = isMerged(report);
  const out = spread(
    [
      'Gateway versus mesh',
      [report.meshes.join(', '), report.topologies.join(', ')].filter((s) => s !== '').join(' / '),
      timeText(report),
      `perspective ${report.perspective}`,
      merged ? 'merged: no gateway process' : '',
    ],
    width,
  ).map(bold);
  const { legs } = report;
  const processes = report.cpu.reduce((sum, role) => sum + role.processes, 0);
  out.push(
    ...spread(
      [
        `${count(report.requests)} requests from outside (${rate(report.requests_per_s)}/s)`,
        `${count(legs.sum - legs.loopback)} legs, ${count(legs.loopback)} loopback`,
        `${count(processes)} ${processes === 1 ? 'proxy' : 'proxies'}`,
        finalityText(report),
      ],
      width,
    ),
    '',
  );
  if (legs.sum === 0) {
    out.push(
      'No hop started in this window. Try a longer one (--last 1h), or see whether the proxies and',
      'the collector run: azimuth reconcile',
    );
    return indent(out);
  }

  const shown = shownLines(report);
  const [head, ...rows] = renderTable(trafficColumns(shown, merged), width);
  out.push(dim(head ?? ''));
  for (const [i, row] of rows.entries()) out.push(shown[i]?.part === 'all' ? bold(row) : row);
  const { moved } = report;
  out.push(
    ...[
      ...(merged
        ? clauses(
            [
              "the BFFs' sidecars perform the gateway's functions",
              'their cost: azimuth report attribution',
            ],
            width,
          )
        : []),
      'times in ms, without waiting for clients',
      ...clauses(
        [
          `--perspective ${moved.other_perspective} moves ${count(moved.legs)} legs ` +
            `(${percent(moved.share)}) to ${DIRECTION_TEXT[moved.to_direction]}`,
          `requests stay ${count(report.requests)}`,
        ],
        width,
      ),
    ].map(dim),
  );

  if (report.cpu.length > 0) {
    const [cpuHead, ...cpuRows] = renderTable(cpuColumns(report), width);
    out.push('', dim(cpuHead ?? ''), ...cpuRows);
    if (report.cpu.some((line) => line.cpu_ms_per_1000_hops === null)) {
      out.push(dim('-: no hops between two ledgers; a proxy sends one every 5 s'));
    }
  }
  out.push('', ...accountedFor(report, width));
  out.push(
    ...spread(['More: azimuth reconcile', 'the same with --json, --csv', MORE_SQL], width).map(dim),
  );
  return indent(out);
}

const indent = (lines: readonly string[]): string =>
  lines.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');

function trafficColumns(lines: readonly TrafficLine[], merged: boolean): Column[] {
  const parts = merged ? { ...PART_TEXT, ...MERGED_TEXT } : PART_TEXT;
  const column = (head: string, spare: number, cell: (line: TrafficLine) => string) => ({
    head,
    spare,
    cells: lines.map((line) =>
      line.legs === 0 && head !== 'legs' && head !== '' ? '' : cell(line),
    ),
  });
  return [
    column('', 0, (line) =>
      line.part === 'all' ? DIRECTION_TEXT[line.direction] : `  ${parts[line.part]}`,
    ),
    column('legs', 0, (line) => count(line.legs)),
    column('/s', 5, (line) => rate(line.legs_per_s)),
    column('share', 4, (line) => percent(line.share)),
    column('errors', 0, (line) => percent(line.error_share)),
    column('MB in', 8, (line) => threeDigits(line.bytes_in / 1e6)),
    column('MB out', 8, (line) => threeDigits(line.bytes_out / 1e6)),
    column('open', 7, (line) => threeDigits(line.concurrency)),
    column('p50', 0, (line) => threeDigits(line.latency.p50.ms)),
    column('p90', 3, (line) => threeDigits(line.latency.p90.ms)),
    column('p99', 0, (line) => threeDigits(line.latency.p99.ms)),
    column('own p50', 2, (line) => threeDigits(line.own.p50.ms)),
    column('own p99', 1, (line) => threeDigits(line.own.p99.ms)),
  ];
}

function cpuColumns({ cpu }: GatewayVsMesh): Column[] {
  return [
    {
      head: 'CPU',
      spare: 0,
      cells: cpu.map(({ role }) => `  ${role === '' ? 'unknown' : role}`),
    },
    { head: 'processes', spare: 1, cells: cpu.map((line) => count(line.processes)) },
    {
      head: 'ms per 1,000 requests',
      spare: 0,
      cells: cpu.map((line) => threeDigits(line.cpu_ms_per_1000_requests)),
    },
    {
      head: 'ms per 1,000 hops',
      spare: 2,
      cells: cpu.map((line) => threeDigits(line.cpu_ms_per_1000_hops)),
    },
  ];
}

/** The closing line, and a line for whatever does not belong into it when all is well. */
function accountedFor({ from, accounted_for: a }: GatewayVsMesh, width: number): string[] {
  const since = a.since === from ? '' : ` since ${clockTime(Date.parse(a.since))}`;
  const sum =
    `Accounted for${since}: ${count(a.finished)} hops finished = ${count(a.stored)} stored + ` +
    `${count(a.dropped_total)} dropped` +
    (a.in_flight > 0 ? ` + ${count(a.in_flight)} in flight` : '') +
    (a.lost_at_end > 0 ? ` + ${count(a.lost_at_end)} lost at exit` : '');
  const lines = clauses([sum, `unexplained ${count(a.unexplained)}`], width);
  if (a.rows_doubled > 0) lines.push(`${count(a.rows_doubled)} rows are doubled, counted once`);
  if (a.processes === 0) return ['Accounted for: no ledger arrived, so nothing is known of losses'];
  if (a.ended_without_closing_ledger > 0) {
    lines.push(`${count(a.ended_without_closing_ledger)} processes ended without a closing ledger`);
  }
  if (a.dropped_but_stored > 0) {
    lines.push(`${count(a.dropped_but_stored)} hops were reported dropped and stored all the same`);
  }
  if (a.twins > 0) lines.push(`ALARM: ${count(a.twins)} sequence numbers stand for two hops each`);
  if (a.undecodable_messages > 0) {
    lines.push(
      `${count(a.undecodable_messages)} messages could not be decoded; how many hops they held is unknown`,
    );
  }
  return lines;
}

/** No request enters at a gateway. */
const isMerged = (report: GatewayVsMesh): boolean =>
  report.requests > 0 && report.requests_at_bff === report.requests;

const shownLines = (report: GatewayVsMesh): TrafficLine[] =>
  report.lines.filter((line) =>
    line.part === 'all' ? line.direction !== 'neither' : line.legs > 0 || line.part !== 'egress',
  );

/** The same for a page. */
export function presentGatewayVsMesh(report: GatewayVsMesh): Presentation {
  const merged = isMerged(report);
  const lines = shownLines(report);
  const names = merged ? { ...PART_TEXT, ...MERGED_TEXT } : PART_TEXT;
  const nameOf = ({ part, direction }: TrafficLine): string =>
    part === 'all' ? DIRECTION_TEXT[direction] : names[part];
  const most = Math.max(1, ...lines.map((line) => line.legs));
  const { moved } = report;
  return {
    title: 'Gateway versus mesh',
    about: 'Load and latency of the gateway and of the mesh, by direction.',
    head: report,
    context: [
      `perspective ${report.perspective}`,
      [report.meshes.join(', '), report.topologies.join(', ')].filter((s) => s !== '').join(' / '),
      merged ? 'merged: no gateway process' : '',
    ].filter((text) => text !== ''),
    facts: [
      `${count(report.requests)} requests from outside (${rate(report.requests_per_s)}/s)`,
      `${count(report.legs.sum - report.legs.loopback)} legs`,
    ],
    tables: [
      {
        caption: 'Legs by direction and part',
        columns: trafficColumns(lines, merged),
        bars: { head: 'load', shares: lines.map((line) => line.legs / most) },
        empty: '',
      },
      { caption: 'CPU by role', columns: cpuColumns(report), empty: 'No ledger arrived.' },
    ],
    plots: [
      {
        kind: 'spans',
        caption: 'Latency: p50, p90 (mark) and p99, milliseconds without client wait',
        unit: 'ms',
        rows: lines
          .filter((line) => line.latency.p99.ms !== null)
          .map((line) => ({
            label: nameOf(line),
            low: line.latency.p50.ms ?? 0,
            middle: line.latency.p90.ms ?? 0,
            high: line.latency.p99.ms ?? 0,
          })),
      },
    ],
    warnings: lines.some((line) => line.latency.count > 0 && line.latency.count < FEW_FOR_P99)
      ? [`A part with fewer than ${FEW_FOR_P99} legs has one of its few slowest as p99.`]
      : [],
    notes: [
      'times in ms, without waiting for clients; own: the receiving proxy itself',
      `perspective ${moved.other_perspective} moves ${count(moved.legs)} legs (${percent(moved.share)}) to ${DIRECTION_TEXT[moved.to_direction]}; requests stay ${count(report.requests)}`,
      ...accountedFor(report, Infinity),
    ],
  };
}

/** One line a part. */
export function gatewayVsMeshCsv(report: GatewayVsMesh): string {
  const { from, to, final_until, perspective } = report;
  return csvOf(report.lines.map((line) => ({ from, to, final_until, perspective, ...line })));
}
