/**
 * Plots as inline SVG: no script, colours from the page's style sheet, a title on every mark for
 * whoever points at it or listens. Pure.
 */
import { threeDigits } from '../numbers.ts';
import type { PlottedRange, Plot } from '../presentation.ts';
import { at, escaped, shortened } from './markup.ts';

const WIDTH = 860;
const LABEL_WIDTH = 250;
/** Room for a value behind the longest bar. */
const VALUE_WIDTH = 70;
const ROW = 24;
const AXIS = 26;
const LABEL_CHARACTERS = 36;
/** Beyond it two ticks' texts would touch. */
const TICKS_MAX = 8;

/** Colours there are for parts, `p0` to `p5` of the style sheet. */
const PART_COLOURS = 6;

/** A figure with its caption; nothing where there is nothing to draw. */
export function plotHtml(plot: Plot): string {
  if (plot.rows.length === 0) return '';
  const drawn =
    plot.kind === 'spans'
      ? spansSvg(plot.rows, plot.unit)
      : plot.kind === 'effects'
        ? effectsSvg(plot.rows, plot.unit)
        : stacksSvg(plot.parts, plot.rows, plot.unit);
  const height = plot.rows.length * ROW + AXIS;
  return `<figure>
<figcaption>${escaped(plot.caption)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(plot.caption)}">
${drawn}
</svg>${plot.kind === 'stacks' ? legendHtml(plot.parts) : ''}
</figure>`;
}

const plotWidth = WIDTH - LABEL_WIDTH - VALUE_WIDTH;

const labelSvg = (label: string, row: number): string =>
  `<text class="label" x="${LABEL_WIDTH - 10}" y="${row * ROW + 16}" text-anchor="end">${shortened(label, LABEL_CHARACTERS)}<title>${escaped(label)}</title></text>`;

function axisSvg(
  ticks: readonly number[],
  x: (value: number) => number,
  rows: number,
  unit: string,
): string {
  // prettier-ignore
  const bottom = rows * ROW;
  return ticks
    .map((tick, i) => {
      const px = at(x(tick));
      const text = threeDigits(Math.abs(tick));
      const shown = (tick < 0 ? `-${text}` : text) + (i === ticks.length - 1 ? ` ${unit}` : '');
      return `<line class="grid" x1="${px}" x2="${px}" y1="0" y2="${bottom}"/><text class="tick" x="${px}" y="${bottom + 18}" text-anchor="middle">${escaped(shown)}</text>`;
    })
    .join('\n');
}

/** p50 to p99 on a logarithmic axis. */
function spansSvg(rows: readonly PlottedRange[], unit: string): string {
  const positive = rows.flatMap(({ low, high }) => [low, high]).filter((value) => value > 0);
  const [first, last] = [Math.log10(Math.min(...positive, 1)), Math.log10(Math.max(...positive, 1))]; // prettier-ignore
  const from = Math.floor(first * 3) / 3;
  const to = Math.max(from + 1 / 3, Math.ceil(last * 3) / 3);
  const x = (value: number): number =>
    LABEL_WIDTH + ((Math.log10(Math.max(value, 10 ** from)) - from) / (to - from)) * plotWidth;
  return [
    axisSvg(logTicks(from, to), x, rows.length, unit),
    ...rows.map(({ label, low, middle, high }, row) => {
      const y = row * ROW + 12;
      const [a, m, b] = [at(x(low)), at(x(middle)), at(x(high))];
      return `${labelSvg(label, row)}
<g><line class="span" x1="${a}" x2="${b}" y1="${y}" y2="${y}"/><circle class="dot" cx="${a}" cy="${y}" r="4"/><line class="mark" x1="${m}" x2="${m}" y1="${y - 6}" y2="${y + 6}"/><circle class="end" cx="${b}" cy="${y}" r="4"/><text class="value" x="${at(x(high) + 9)}" y="${y + 4}">${threeDigits(high)}</text><title>${escaped(`${label}: ${threeDigits(low)} - ${threeDigits(middle)} - ${threeDigits(high)} ${unit}`)}</title></g>`;
    }),
  ].join('\n');
}

/** Of 1, 2 and 5 times powers of ten; powers alone over a wide range. */
function logTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(from); power <= Math.ceil(to); power++) {
    for (const digit of [1, 2, 5]) {
      const position = power + Math.log10(digit);
      if (position >= from - 1e-9 && position <= to + 1e-9) ticks.push(digit * 10 ** power);
    }
  }
  const powers = ticks.filter((tick) => Math.abs(Math.log10(tick) % 1) < 1e-9);
  return ticks.length > TICKS_MAX ? powers : ticks;
}

/** Effects about a line at 0. */
function effectsSvg(rows: readonly PlottedRange[], unit: string): string {
  const low = Math.min(0, ...rows.map((row) => row.low));
  const high = Math.max(0, ...rows.map((row) => row.high));
  const room = (high - low || 1) * 0.05;
  const x = (value: number): number =>
    LABEL_WIDTH + ((value - low + room) / (high - low + 2 * room || 1)) * plotWidth;
  const zero = at(x(0));
  return [
    axisSvg(linearTicks(low, high), x, rows.length, unit),
    `<line class="zero" x1="${zero}" x2="${zero}" y1="0" y2="${rows.length * ROW}"/>`,
    ...rows.map((row, i) => {
      const y = i * ROW + 12;
      const sign = row.low > 0 ? 'worse' : row.high < 0 ? 'better' : 'open';
      const [a, m, b] = [at(x(row.low)), at(x(row.middle)), at(x(row.high))];
      return `${labelSvg(row.label, i)}
<g class="${sign}"><line class="span" x1="${a}" x2="${b}" y1="${y}" y2="${y}"/><circle class="dot" cx="${m}" cy="${y}" r="5"/><title>${escaped(`${row.label}: ${row.middle.toFixed(3)}, 95 % between ${row.low.toFixed(3)} and ${row.high.toFixed(3)} ${unit}`)}</title></g>`;
    }),
  ].join('\n');
}

function linearTicks(low: number, high: number): number[] {
  const rough = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

/** Parts side by side; the longest bar fills the width. */
function stacksSvg(
  parts: readonly string[],
  rows: Extract<Plot, { kind: 'stacks' }>['rows'],
  unit: string,
): string {
  // prettier-ignore
  const sumOf = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + Math.max(0, value), 0);
  const most = Math.max(...rows.map(({ values }) => sumOf(values))) || 1;
  return rows
    .map(({ label, values }, row) => {
      const y = row * ROW + 4;
      let x = LABEL_WIDTH;
      const bars = values.map((value, part) => {
        const width = (Math.max(0, value) / most) * plotWidth;
        const from = x;
        x += width;
        if (width === 0) return '';
        return `<rect class="p${part % PART_COLOURS}" x="${at(from)}" y="${y}" width="${at(width)}" height="${ROW - 8}"><title>${escaped(`${label}, ${parts[part] ?? ''}: ${threeDigits(value)} ${unit}`)}</title></rect>`;
      });
      return `${labelSvg(label, row)}${bars.join('')}<text class="value" x="${at(x + 6)}" y="${row * ROW + 16}">${threeDigits(sumOf(values))}</text>`;
    })
    .concat(
      `<text class="tick" x="${LABEL_WIDTH}" y="${rows.length * ROW + 18}">${escaped(unit)}</text>`,
    )
    .join('\n');
}

const legendHtml = (parts: readonly string[]): string =>
  `<ul class="legend">${parts.map((part, i) => `<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="p${i % PART_COLOURS}" width="10" height="10"/></svg>${escaped(part)}</li>`).join('')}</ul>`;
