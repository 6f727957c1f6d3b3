/**
 * The forms of the attribution report: terminal text with bars, and CSV (JSON is the figures
 * themselves). Pure: takes figures and a width, gives text; writes nowhere.
 */
import { KIND_MEANINGS, SEGMENT_KINDS, type SegmentKind } from '../attribution/segments.ts';
import type { Attribution, AttributionBand } from './attribution.ts';
import { clockTime, count, day, percent, threeDigits } from './numbers.ts';
import type { Presentation } from './presentation.ts';
import { renderTable, spread, type Column, type TextSettings } from './table.ts';

const WIDTH_MAX = 110;

/** Kinds that have a bar; the others appear as figures only where they are not 0. */
const BARS: readonly { kind: SegmentKind; label: string; glyph: string; color: number }[] = [
  { kind: 'gateway', label: 'gateway', glyph: '█', color: 36 },
  { kind: 'mesh', label: 'mesh', glyph: '▓', color: 35 },
  { kind: 'wire', label: 'wire', glyph: '░', color: 33 },
  { kind: 'application', label: 'applications', glyph: '▒', color: 34 },
  { kind: 'upstream', label: 'not meshed', glyph: '·', color: 90 },
  { kind: 'backoff', label: 'back-off', glyph: '-', color: 31 },
];

const COLUMNS: readonly [SegmentKind, string][] = [
  ['gateway', 'gateway'],
  ['mesh', 'mesh'],
  ['wire', 'wire'],
  ['application', 'apps'],
  ['upstream', 'not meshed'],
  ['backoff', 'back-off'],
  ['parallel_surplus', 'parallel'],
];

/** The terminal form, with a newline at its end. */
export function attributionText(report: Attribution, settings: TextSettings): string {
  const width = Math.min(WIDTH_MAX, settings.width) - 2;
  const styled = (text: string, code: number): string =>
    settings.color && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text;
  const bold = (text: string): string => styled(text, 1);
  const dim = (text: string): string => styled(text, 2);
  const fromMs = Date.parse(report.from);
  const toMs = Date.parse(report.to);
  const out = [
    ...spread(
      [
        'Where the time goes',
        `${day(fromMs)} ${clockTime(fromMs)} - ${clockTime(toMs)} UTC`,
        ...Object.entries(report.filter)
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => `${name} ${value}`),
      ],
      width,
    ).map(bold),
    ...spread(
      [
        `${count(report.complete)} complete requests`,
        report.incomplete > 0 ? `${count(report.incomplete)} incomplete` : '',
        report.arriving > 0 ? `${count(report.arriving)} still arriving` : '',
        report.streams > 0 ? `${count(report.streams)} streams` : '',
        (report.not_split ?? 0) !== 0 ? `${count(report.not_split ?? 0)} not split` : '',
        report.provisional
          ? Date.parse(report.final_until) <= fromMs
            ? 'data provisional'
            : `data final up to ${clockTime(Date.parse(report.final_until))}, provisional after`
          : 'data final',
      ],
      width,
    ),
    '',
  ];
  if (report.left_out_until !== null) {
    out.push(
      `Requests before ${clockTime(Date.parse(report.left_out_until))} are not published yet and left out:`,
      'let azimuth analytics run, or ask for a shorter window.',
      '',
    );
  }
  if (report.bands.length === 0) {
    out.push(
      'No complete request from outside in this window. Try a longer one (--last 1h), or see whether',
      'the proxies and the collector run: azimuth reconcile',
    );
    return indent([...out, ...incomplete(report)]);
  }
  const [head, ...rows] = renderTable(bandColumns(report.bands), width);
  out.push(dim(head ?? ''), ...rows);
  out.push(
    dim(
      'mean ms of each part among the requests near the percentile; the parts add up to the total',
    ),
    '',
  );
  for (const band of report.bands) {
    out.push(`${label(band).padEnd(6)} ${bar(band, width - 7, styled)}`);
  }
  out.push(
    '       ' +
      BARS.filter(({ kind }) => report.bands.some((b) => b.kinds[kind].ms > 0))
        .map(({ label: text, glyph, color }) => `${styled(glyph, color)} ${text}`)
        .join('  '),
    '',
  );
  const [segmentHead, ...segments] = renderTable(segmentColumns(slowBand(report.bands)), width);
  out.push(dim(segmentHead ?? ''), ...segments, '');
  out.push(...incomplete(report));
  if (report.bands.some((b) => b.few)) {
    out.push('Bands with fewer than 30 requests say little: ask for a longer window.');
  }
  out.push(
    dim('More: --json has intervals and every segment; azimuth explain TRACE shows one request'),
  );
  return indent(out);
}

const indent = (lines: readonly string[]): string =>
  lines.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');

/** Formats know no sign. */
const signed = (n: number, format: (n: number) => string): string =>
  n < 0 ? `-${format(-n)}` : format(n);

const label = (band: AttributionBand): string => `p${band.percentile}`;

function bandColumns(bands: readonly AttributionBand[]): Column[] {
  const shown = COLUMNS.filter(([kind]) => bands.some((band) => band.kinds[kind].ms !== 0));
  return [
    { head: '', spare: 0, cells: bands.map(label) },
    { head: 'total', spare: 0, cells: bands.map((b) => threeDigits(b.total.ms)) },
    {
      head: '±',
      spare: 1,
      cells: bands.map((b) => threeDigits((b.total.high_ms - b.total.low_ms) / 2)),
    },
    ...shown.map(([kind, head]) => ({
      head,
      spare: 0,
      cells: bands.map((b) => signed(b.kinds[kind].ms, threeDigits)),
    })),
    {
      head: 'client wait',
      spare: 3,
      cells: bands.map((b) => threeDigits(b.kinds.client_wait.ms)),
    },
    { head: 'n', spare: 0, cells: bands.map((b) => count(b.requests) + (b.few ? ', few' : '')) },
  ];
}

/** The band that people ask about first: p99, where there is one. */
const slowBand = (bands: readonly AttributionBand[]): AttributionBand =>
  bands.find((band) => band.percentile >= 99) ?? bands.at(-1)!;

const SEGMENTS_MAX = 8;

function segmentColumns(band: AttributionBand): Column[] {
  const shown = band.segments.filter((s) => Math.abs(s.ms) >= 0.0005).slice(0, SEGMENTS_MAX);
  return [
    {
      head: `largest near ${label(band)}`,
      spare: 0,
      cells: shown.map((s) => `  ${segmentName(s)}`),
    },
    { head: 'ms', spare: 0, cells: shown.map((s) => signed(s.ms, threeDigits)) },
    { head: 'share', spare: 0, cells: shown.map((s) => signed(s.ms / band.total.ms, percent)) },
  ];
}

/** The same for a page. */
export function presentAttribution(report: Attribution): Presentation {
  const { bands } = report;
  const parts = BARS.filter(({ kind }) => bands.some((band) => band.kinds[kind].ms > 0));
  return {
    title: 'Where the time goes',
    about: 'Of the latency at the edge, how much is whose, at each percentile, adding up exactly.',
    head: { ...report, window_s: (Date.parse(report.to) - Date.parse(report.from)) / 1000 },
    context: Object.entries(report.filter)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name} ${value}`),
    facts: [
      `${count(report.complete)} complete requests`,
      `${count(report.incomplete)} incomplete`,
    ],
    tables: [
      {
        caption: 'Mean of each part among the requests near the percentile, milliseconds',
        columns: bandColumns(bands),
        empty: 'No complete request from outside in this window.',
      },
      ...(bands.length === 0
        ? []
        : [
            {
              caption: `Largest segments near ${label(slowBand(bands))}`,
              columns: segmentColumns(slowBand(bands)),
              empty: '',
            },
          ]),
    ],
    plots: [
      {
        kind: 'stacks',
        caption:
          'Where the time goes near each percentile; calls side by side make the parts longer than the total',
        unit: 'ms',
        parts: parts.map(({ label: text }) => text),
        rows: bands.map((band) => ({
          label: label(band),
          values: parts.map(({ kind }) => band.kinds[kind].ms),
        })),
      },
    ],
    warnings: [
      ...(report.left_out_until === null
        ? []
        : ['The attribution job is far behind: requests that it has not published are left out.']),
      ...(bands.some((band) => band.few)
        ? ['Bands with fewer than 30 requests say little: ask for a longer window.']
        : []),
    ],
    notes: [
      'the parts add up to the total; percentiles of parts would not; --json has intervals and every segment',
      ...incomplete(report),
    ],
  };
}

/** Parts of the total as a bar; what ran in parallel makes the parts longer than the total. */
function bar(
  band: AttributionBand,
  width: number,
  styled: (text: string, code: number) => string,
): string {
  const parts = BARS.map((part) => ({ ...part, ms: Math.max(0, band.kinds[part.kind].ms) }));
  const sum = parts.reduce((total, { ms }) => total + ms, 0);
  if (sum === 0) return '';
  let shown = 0;
  let spent = 0;
  return parts
    .map(({ ms, glyph, color }) => {
      spent += ms;
      const until = Math.round((spent / sum) * width);
      const text = glyph.repeat(Math.max(0, until - shown));
      shown = until;
      return styled(text, color);
    })
    .join('');
}

/** A segment in words. */
export function segmentName({
  kind,
  place,
  detail,
}: Pick<AttributionBand['segments'][number], 'kind' | 'place' | 'detail'>): string {
  switch (kind) {
    case 'wire':
      return `wire ${place} → ${detail}`;
    case 'gateway':
      return `gateway ${place}${detail === '' ? '' : `: ${detail}`}`;
    case 'mesh':
      return `sidecar of ${place} (${detail})`;
    case 'application':
      return `application ${place}`;
    case 'upstream':
      return `not meshed, called by ${place}`;
    case 'parallel_surplus':
      return `calls side by side of ${place}`;
    case 'backoff':
      return `back-off at ${place}`;
    case 'client_wait':
      return 'client wait';
    case 'residual':
      return 'residual';
  }
}

function incomplete(report: Attribution): string[] {
  const reasons = Object.entries(report.incomplete_by_reason).map(
    ([reason, traces]) => `${reason.replaceAll('_', ' ')} ${count(traces)}`,
  );
  return [
    ...(reasons.length > 0
      ? [`Incomplete, not in the figures: ${reasons.join(', ')}`]
      : ['Every request was split completely']),
    ...(report.hops_missing > 0
      ? [
          `${count(report.hops_missing)} hops are missing by the ledgers; the time of a lost call reads as its caller's`,
        ]
      : []),
  ];
}

/** One line a band and kind. No value needs quoting. */
export function attributionCsv(report: Attribution): string {
  const head = 'from,to,final_until,percentile,requests,kind,mean_ms,low_ms,high_ms';
  const lines = report.bands.flatMap((band) =>
    (['total', ...SEGMENT_KINDS] as const).map((kind) => {
      const { ms, low_ms, high_ms } = kind === 'total' ? band.total : band.kinds[kind];
      return [
        report.from,
        report.to,
        report.final_until,
        band.percentile,
        band.requests,
        kind,
        ms,
        low_ms,
        high_ms,
      ].join(',');
    }),
  );
  return [head, ...lines].join('\n') + '\n';
}

/** What each kind holds, for `--help`. */
export const KINDS_HELP = SEGMENT_KINDS.map(
  (kind) => `  ${kind.padEnd(17)} ${KIND_MEANINGS[kind]}`,
).join('\n');
