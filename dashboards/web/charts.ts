/** Requests over time: latency lines and rate (uPlot), and the heat map between them. */
import uPlot from '/assets/uplot.js';
import { byId } from './dom.ts';
import { count } from './format.ts';
import type { Snapshot } from './snapshot.ts';

/** Lower bound of a half-octave bucket, milliseconds: bucket 0 begins at 1.024 us. */
const floorMs = (bucket: number): number =>
  (2 ** (10 + Math.floor(bucket / 2)) * (bucket % 2 === 0 ? 1 : 1.5)) / 1e6;

interface Step {
  readonly atMs: number;
  requests: number;
  errors: number;
  readonly buckets: Map<number, number>;
}

let latency: uPlot | undefined;
let rates: uPlot | undefined;

export function drawCharts({ columns, window_s: windowS, at }: Snapshot): void {
  const stepMs = columns.step_ms;
  const lastMs = Math.floor(Date.parse(at) / stepMs) * stepMs;
  const firstMs = lastMs - Math.floor((windowS * 1000) / stepMs) * stepMs + stepMs;
  const steps: Step[] = [];
  for (let atMs = firstMs; atMs <= lastMs; atMs += stepMs)
    steps.push({ atMs, requests: 0, errors: 0, buckets: new Map() });
  for (const [atMs, bucket, requests, errors] of columns.cells) {
    const step = steps[(atMs - firstMs) / stepMs];
    if (step === undefined) continue;
    step.requests += requests;
    step.errors += errors;
    step.buckets.set(bucket, requests);
  }
  const seconds = steps.map((step) => step.atMs / 1000);
  const perSecond = (n: number): number => n / (stepMs / 1000);
  latency = chart(
    latency,
    'latency-chart',
    [seconds, steps.map((s) => quantile(s, 0.5)), steps.map((s) => quantile(s, 0.99))],
    latencySeries(),
    3,
  );
  rates = chart(
    rates,
    'rate-chart',
    [seconds, steps.map((s) => perSecond(s.requests)), steps.map((s) => perSecond(s.errors))],
    rateSeries(),
    1,
  );
  drawHeat(steps);
}

/** The charts take their colours from the theme when they are made. */
export function themeChanged(): void {
  latency?.destroy();
  rates?.destroy();
  latency = rates = undefined;
}

function quantile(step: Step, p: number): number | null {
  if (step.requests === 0) return null;
  let below = 0;
  for (const [bucket, n] of [...step.buckets].sort((a, b) => a[0] - b[0])) {
    below += n;
    if (below >= p * step.requests) return floorMs(bucket) * 1.25;
  }
  return null;
}

const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const latencySeries = (): uPlot.Series[] => [
  {},
  { label: 'p50 ms', stroke: colour('--east-west'), width: 2, dash: [6, 3] },
  { label: 'p99 ms', stroke: colour('--north-south'), width: 2 },
];
const rateSeries = (): uPlot.Series[] => [
  {},
  { label: 'requests/s', stroke: colour('--application'), width: 2 },
  { label: 'errors/s', stroke: colour('--bad'), width: 2, dash: [3, 3] },
];

function chart(
  known: uPlot | undefined,
  id: string,
  data: uPlot.AlignedData,
  series: uPlot.Series[],
  distribution: 1 | 3,
): uPlot {
  const into = byId(id);
  const width = into.clientWidth;
  if (known !== undefined) {
    if (known.width !== width) known.setSize({ width, height: 130 });
    known.setData(data);
    return known;
  }
  into.replaceChildren();
  const axis: uPlot.Axis = {
    stroke: colour('--quiet'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    font: '11px system-ui',
  };
  return new uPlot(
    {
      width,
      height: 130,
      series,
      axes: [axis, { ...axis, size: 46 }],
      scales: {
        y:
          distribution === 3
            ? { distr: 3 }
            : { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
      },
      legend: { live: false },
      cursor: { show: false },
    },
    data,
    into,
  );
}

function drawHeat(steps: readonly Step[]): void {
  const canvas = byId<HTMLCanvasElement>('heat-map');
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext('2d');
  if (pen === null) return;
  pen.scale(ratio, ratio);
  const buckets = steps.flatMap((step) => [...step.buckets.keys()]);
  const total = steps.reduce((sum, step) => sum + step.requests, 0);
  canvas.setAttribute('aria-label', `Latency heat map of ${count(total)} requests`);
  if (buckets.length === 0) return;
  const low = Math.min(...buckets) - 1;
  const high = Math.max(...buckets) + 1;
  const left = 46;
  const cellWidth = (width - left) / steps.length;
  const cellHeight = height / (high - low + 1);
  const most = Math.max(...steps.flatMap((step) => [...step.buckets.values()]));
  const rgb = colour('--heat');
  steps.forEach((step, i) => {
    for (const [bucket, n] of step.buckets) {
      pen.fillStyle = `rgba(${rgb}, ${(0.15 + 0.85 * Math.sqrt(n / most)).toFixed(2)})`;
      pen.fillRect(
        left + i * cellWidth + 0.5,
        height - (bucket - low + 1) * cellHeight + 0.5,
        cellWidth - 1,
        cellHeight - 1,
      );
    }
  });
  pen.fillStyle = colour('--quiet');
  pen.font = '11px system-ui';
  for (let bucket = low; bucket <= high; bucket++) {
    // One label every other octave: 1.05, 4.19, 16.8 ms and so on.
    if (bucket % 4 !== 0) continue;
    const ms = floorMs(bucket);
    const words =
      ms >= 1000
        ? `${(ms / 1000).toFixed(1)} s`
        : ms >= 1
          ? `${ms.toFixed(0)} ms`
          : `${(ms * 1000).toFixed(0)} us`;
    pen.fillText(words, 0, height - (bucket - low) * cellHeight);
  }
}
