/** How a comparison is shown: one plain sentence a measure, and the interval behind it. Pure. */
import type { TraceFilter } from '../attribution/window-traces.ts';
import type { ComparedLine, ComparedSide, Comparison } from './compare.ts';
import { count, percent, rate, threeDigits } from './numbers.ts';
import { timeText } from './presentation-text.ts';
import type { Presentation } from './presentation.ts';

/** Names of measures, for people. */
const MEASURE_TEXT: Readonly<Record<string, string>> = {
  rate: 'requests per second',
  error_share: 'errors',
  mean: 'mean latency',
  p50: 'p50 latency',
  p90: 'p90 latency',
  p99: 'p99 latency',
  own_mean: 'own time of the entrance',
  part_gateway: 'gateway, mean',
  part_mesh: 'mesh, mean',
  part_wire: 'wire, mean',
  part_application: 'applications, mean',
  part_upstream: 'not meshed, mean',
};

const nameOf = (line: ComparedLine): string => MEASURE_TEXT[line.measure] ?? line.measure;

function valueText(value: number | null, unit: ComparedLine['unit']): string {
  if (value === null) return '-';
  return unit === 'per_s' ? rate(value) : unit === 'share' ? percent(value) : threeDigits(value);
}

/** With its sign; percentage points for shares. */
function changeText(value: number, unit: ComparedLine['unit']): string {
  const sign = value < 0 ? '-' : value === 0 ? '' : '+';
  const absolute = Math.abs(value);
  return (
    sign + (unit === 'share' ? `${threeDigits(absolute * 100)} pp` : valueText(absolute, unit))
  );
}

/** The finding in words. */
function findingText(line: ComparedLine): string {
  if (line.verdict === 'too_few') return 'too few requests to tell';
  if (line.verdict === 'no_difference_shown') return 'no difference shown';
  const relative = line.relative === null ? '' : ` by ${percent(Math.abs(line.relative))}`;
  return `${line.verdict}${relative}`;
}

const filterText = (filter: TraceFilter): string[] =>
  Object.entries(filter)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`);

const sideText = (side: ComparedSide): string =>
  [timeText(side), ...filterText(side.filter), `${count(side.requests)} requests`].join(', ');

/** Shows the report. */
export function presentComparison(report: Comparison): Presentation {
  const { base, current, lines } = report;
  const told = lines.filter((line) => line.low !== null);
  const shown = lines.filter((line) => line.verdict === 'higher' || line.verdict === 'lower');
  const few = lines.length - told.length;
  const column = (
    head: string,
    spare: number,
    cell: (line: ComparedLine) => string,
    left = false,
  ) => ({
    head,
    spare,
    cells: lines.map(cell),
    left,
  });
  return {
    title: 'Comparison',
    about: 'What changed from the base to the current side, with what chance alone explains.',
    head: report,
    context: [],
    facts: [`base: ${sideText(base)}`, `current: ${sideText(current)}`],
    tables: [
      {
        caption: 'Effects, current against base',
        columns: [
          column('', 0, nameOf),
          column('unit', 3, ({ unit }) => UNIT_TEXT[unit], true),
          column('base', 2, (line) => valueText(line.base, line.unit)),
          column('change', 0, (line) =>
            line.difference === null ? '-' : changeText(line.difference, line.unit),
          ),
          column('95 % interval', 0, (line) =>
            line.low === null
              ? '-'
              : `${changeText(line.low, line.unit)} to ${changeText(line.high!, line.unit)}`,
          ),
          column('finding', 0, findingText, true),
        ],
        empty: 'Nothing to compare.',
      },
    ],
    plots: [
      {
        kind: 'effects',
        caption: 'Change of times with its 95 % interval, milliseconds; left of 0 is faster',
        unit: 'ms',
        rows: told
          .filter(({ unit }) => unit === 'ms')
          .map((line) => ({
            label: nameOf(line),
            low: line.low!,
            middle: line.difference!,
            high: line.high!,
          })),
      },
    ],
    warnings: [
      shown.length === 0
        ? told.length === 0
          ? 'Too few requests on one of the sides to tell anything: ask for longer windows.'
          : 'Nothing differs by more than chance explains. That is no proof of equality: the intervals say how large a difference may hide.'
        : `${count(shown.length)} of ${count(told.length)} measures differ by more than chance explains.`,
      ...(few > 0 && told.length > 0
        ? [`${count(few)} measures have too few requests, or too few published ones, to tell.`]
        : []),
      ...(told.length >= 5
        ? ['Of twenty measures that did not change, one is called different by chance.']
        : []),
    ],
    notes: [
      'intervals from resampled blocks of time, since requests of one moment are alike; errors also by Newcombe’s score interval; times without waiting for clients',
    ],
  };
}

const UNIT_TEXT: Readonly<Record<ComparedLine['unit'], string>> = {
  per_s: '/s',
  share: '',
  ms: 'ms',
};
