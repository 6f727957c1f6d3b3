/** The terminal form of one explained request: a waterfall, its parts, and the sum. Pure. */
import type { ExplainedHop, Explanation } from './explain.ts';
import { segmentName } from './attribution-forms.ts';
import { count, percent, threeDigits } from './numbers.ts';
import { renderTable, spread, type TextSettings } from './table.ts';

const WIDTH_MAX = 130;
/** Hops printed; a larger trace ends with a line that says how many there are. */
const HOPS_MAX = 60;

export function explainText(trace: Explanation, settings: TextSettings): string {
  const width = Math.min(WIDTH_MAX, settings.width) - 2;
  const styled = (text: string, code: number): string =>
    settings.color && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text;
  const root = trace.hops.find((hop) => hop.caller === null && hop.offset_ms === 0);
  const out = spread(
    [
      trace.trace_id,
      root === undefined ? '' : `${root.method} ${root.route}`.trim(),
      root === undefined ? '' : String(root.status),
      `${threeDigits(trace.duration_ms)} ms`,
      trace.at.replace('T', ' ').replace('Z', ' UTC'),
      trace.incomplete.length === 0
        ? 'complete'
        : `incomplete: ${trace.incomplete.join(', ').replaceAll('_', ' ')}`,
    ],
    width,
  ).map((line) => styled(line, 1));
  out.push('', ...waterfall(trace, width, styled), '');
  const shown = partsOf(trace);
  const signed = (n: number, format: (n: number) => string): string =>
    n < 0 ? `-${format(-n)}` : format(n);
  const [head, ...rows] = renderTable(
    [
      { head: 'part', spare: 0, cells: shown.map((s) => s.name) },
      { head: 'ms', spare: 0, cells: shown.map((s) => signed(s.ms, threeDigits)) },
      {
        head: 'share',
        spare: 0,
        cells: shown.map((s) =>
          trace.duration_ms === 0 ? '-' : signed(s.ms / trace.duration_ms, percent),
        ),
      },
    ],
    width,
  );
  out.push(styled(head ?? '', 2), ...rows, '');
  const terms = Object.entries(trace.kinds).filter(([, ms]) => ms !== 0);
  const words = terms.map(([kind, ms], i) => {
    const sign = ms < 0 ? '- ' : i === 0 ? '' : '+ ';
    return `${sign}${kind.replaceAll('_', ' ')} ${threeDigits(Math.abs(ms))}`;
  });
  words.push(`= ${threeDigits(trace.duration_ms)} ms`);
  out.push(...wrapped(words, width));
  return out.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');
}

/** Words joined with a space, broken where they do not fit. */
function wrapped(words: readonly string[], widthMax: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > widthMax) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Segments of one name together, greatest first. */
function partsOf(trace: Explanation): { name: string; ms: number }[] {
  const parts = new Map<string, { ms: number; times: number }>();
  for (const segment of trace.segments) {
    const name = segmentName(segment);
    const known = parts.get(name) ?? { ms: 0, times: 0 };
    parts.set(name, { ms: known.ms + segment.ms, times: known.times + 1 });
  }
  return [...parts]
    .map(([name, { ms, times }]) => ({ name: times > 1 ? `${name} (${times} times)` : name, ms }))
    .filter(({ ms }) => ms !== 0)
    .sort((a, b) => Math.abs(b.ms) - Math.abs(a.ms));
}

function waterfall(
  trace: Explanation,
  width: number,
  styled: (text: string, code: number) => string,
): string[] {
  const order = depthFirst(trace.hops);
  const labels = order.map(({ hop, depth }) => '  '.repeat(depth) + labelOf(hop));
  const labelWidth = Math.min(44, Math.max(0, ...labels.map((label) => label.length)));
  const barWidth = Math.max(10, width - labelWidth - 22);
  const scale = trace.duration_ms === 0 ? 0 : barWidth / trace.duration_ms;
  const lines = order.slice(0, HOPS_MAX).map(({ hop }, i) => {
    const label = labels[i]!.slice(0, labelWidth).padEnd(labelWidth);
    const figures = `${threeDigits(hop.duration_ms).padStart(8)} ${threeDigits(hop.own_ms).padStart(8)}`;
    const bar = barOf(hop, scale, barWidth);
    return `${label}  ${styled(bar, hop.role === 'gateway' ? 36 : hop.side === 'outbound' ? 33 : 35)}${figures}`;
  });
  const head = `${''.padEnd(labelWidth)}  ${'0 ms'.padEnd(barWidth)}${'ms'.padStart(8)} ${'own'.padStart(8)}`;
  if (order.length > HOPS_MAX) lines.push(`... ${count(order.length)} hops in all: see --json`);
  return [styled(head, 2), ...lines];
}

function barOf(hop: ExplainedHop, scale: number, width: number): string {
  if (hop.offset_ms === null) return '?'.padEnd(width);
  const from = Math.min(width - 1, Math.max(0, Math.round(hop.offset_ms * scale)));
  const to = Math.min(
    width,
    Math.max(from + 1, Math.round((hop.offset_ms + hop.duration_ms) * scale)),
  );
  return ' '.repeat(from) + '━'.repeat(to - from) + ' '.repeat(width - to);
}

const labelOf = (hop: ExplainedHop): string =>
  `${hop.service} ${hop.role === 'gateway' ? 'gateway' : hop.side}` +
  (hop.attempts > 1 ? ` (${hop.attempts} attempts)` : '') +
  (hop.status >= 500 || hop.status === 0 ? ` ${hop.status}` : '');

/** Hops below their callers, in the order of time; what cannot be placed comes last. */
function depthFirst(hops: readonly ExplainedHop[]): { hop: ExplainedHop; depth: number }[] {
  const out: { hop: ExplainedHop; depth: number }[] = [];
  const below = (caller: number | null, depth: number): void => {
    hops
      .map((hop, i) => ({ hop, i }))
      .filter(({ hop }) => hop.caller === caller)
      .sort((a, b) => (a.hop.offset_ms ?? Infinity) - (b.hop.offset_ms ?? Infinity))
      .forEach(({ hop, i }) => {
        out.push({ hop, depth });
        below(i, depth + 1);
      });
  };
  below(null, 0);
  return out;
}
