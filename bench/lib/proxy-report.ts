/**
 * What came of a run of the proxy benchmark: tables and bars for people, one object for programs.
 * Every ratio is one of this run; a peer that was skipped, or a part left out, is null.
 */
import { cpus } from 'node:os';
import { bars } from './bars.ts';
import { pinned } from './processes.ts';
import { isQuiet, type Condition, type Slice, type Subject } from './subject.ts';
import { columns, median, spread } from './table.ts';

/** One function of a gateway, pair by pair of slices; CPU of a request in microseconds. */
export interface FunctionPairs {
  readonly name: string;
  readonly withUs: readonly number[];
  readonly withoutUs: readonly number[];
  readonly addedUs: readonly number[];
}

export interface Run {
  readonly subjects: readonly Subject[];
  /** Keys of all peers, also of those that did not run. */
  readonly keys: readonly string[];
  /** Peers that were skipped, with the reason. */
  readonly skipped: readonly string[];
  /** Slice by slice, what recording added to the CPU of a request, microseconds. */
  readonly recordingUs: readonly number[];
  /** Pair by pair, CPU of a request with two workers over that with one. */
  readonly workersRatios: readonly number[];
  readonly functions: readonly FunctionPairs[];
  /** By peer: hops that neither arrived nor stand in its ledger as dropped; null where it has none. */
  readonly unaccounted: Readonly<Record<string, number | null>>;
  readonly connections: number;
  readonly ratePerS: number;
  readonly awayS: number;
  readonly rounds: number;
  /** p99 of the rate generator's own lateness, milliseconds. */
  readonly lateP99Ms: readonly number[];
  readonly discarded: number;
  readonly load: string;
  readonly upstream: string;
}

const cpu = (s: Subject): number[] => s.slices.map((slice) => slice.cpuUs);
const rps = (s: Subject): number[] => s.slices.map((slice) => slice.perSecond);
const busy = (s: Subject): number[] => s.slices.map((slice) => slice.busy);
const quiet = (slices: readonly Slice[]): string =>
  `${slices.filter(isQuiet).length} of ${slices.length}`;

/** Tables and bars. */
export function reportText(run: Run): string {
  const { subjects } = run;
  const traced = subjects.filter((s) => s.peer.spansPerRequest > 0);
  const rated = subjects.filter((s) => s.p99.length > 0);
  const share = (s: Subject, condition: Condition): string =>
    s.delivered[condition]?.toFixed(4) ?? '-';
  const missing = (s: Subject): string => {
    const count = run.unaccounted[s.peer.key];
    return count === null || count === undefined ? 'says nothing' : String(count);
  };
  return (
    `\nSaturation: ${run.connections} connections, medians [min-max] of ${run.rounds} rounds\n` +
    columns([
      ['', 'CPU us/request', 'requests/s', 'core used', 'undisturbed', 'RSS MiB idle, loaded'],
      ...subjects.map((s) => [
        s.peer.name,
        spread(cpu(s), 1),
        spread(rps(s), 0),
        s.slices.length === 0 ? '-' : median(busy(s)).toFixed(2),
        quiet(s.slices),
        `${s.idleRss.toFixed(0)}, ${s.rss.toFixed(0)}`,
      ]),
    ]) +
    bars('CPU microseconds a request', barsOf(subjects, cpu), 1) +
    bars('Requests a second', barsOf(subjects, rps), 0) +
    (rated.length === 0
      ? ''
      : `\nOpen loop, ${run.ratePerS} requests/s; the generator itself was late by ${spread(run.lateP99Ms, 2)} ms (p99)\n` +
        columns([
          ['', 'p50 ms', 'p99 ms'],
          ...rated.map((s) => [s.peer.name, spread(s.p50, 2), spread(s.p99, 2)]),
        ])) +
    '\nSpans delivered / due\n' +
    columns([
      ['', 'healthy', '50 ms', '250 ms', `away ${run.awayS} s`, 'neither arrived nor counted'],
      ...traced.map((s) => [
        s.peer.name,
        share(s, 'healthy'),
        share(s, '50ms'),
        share(s, '250ms'),
        share(s, 'away'),
        missing(s),
      ]),
    ]) +
    (run.recordingUs.length === 0
      ? ''
      : `\nRecording and exporting: ${spread(run.recordingUs, 1)} us a request, ${run.recordingUs.length} pairs of slices\n`) +
    (run.workersRatios.length === 0
      ? ''
      : `\nTwo workers: CPU a request ${spread(run.workersRatios, 2)} of one, ${run.workersRatios.length} pairs of slices\n`) +
    functionTable(run.functions) +
    `\n${machine()}; ${pinned ? 'proxy on core 0, the rest on core 1' : 'not pinned to cores'}; ` +
    `load by ${run.load}, upstream ${run.upstream}; ${run.discarded} disturbed slices measured again\n` +
    run.skipped.map((line) => `SKIPPED: ${line}\n`).join('')
  );
}

function functionTable(functions: readonly FunctionPairs[]): string {
  if (functions.length === 0) return '';
  const pairs = functions[0]?.addedUs.length ?? 0;
  return (
    `\nFunctions of a gateway, CPU us/request, medians [min-max] of ${pairs} pairs of slices\n` +
    columns([
      ['', 'without', 'with', 'added'],
      ...functions.map(({ name, withUs, withoutUs, addedUs }) => [
        name,
        spread(withoutUs, 1),
        spread(withUs, 1),
        spread(addedUs, 1),
      ]),
    ])
  );
}

export const machine = (): string =>
  `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores; Node ${process.versions.node}`;

const barsOf = (subjects: readonly Subject[], figures: (s: Subject) => number[]) =>
  subjects
    .filter((s) => s.slices.length > 0)
    .map((s) => ({ name: s.peer.name, value: median(figures(s)) }));

/** The object that `--json` prints. */
export function reportJson(run: Run): Record<string, unknown> {
  const of = (key: string): Subject | undefined => run.subjects.find((s) => s.peer.key === key);
  const ours = of('azimuth');
  const ratio = (key: string, figures: (s: Subject) => readonly number[]): number | null => {
    const peer = of(key);
    return ours === undefined || peer === undefined ? null : over(figures(ours), figures(peer));
  };
  const browser = (s: Subject): number[] => s.browserSlices.map((slice) => slice.cpuUs);
  const p99 = (s: Subject): readonly number[] => s.p99;
  const figure = (key: string, figures: (s: Subject) => readonly number[]): number | null => {
    const subject = of(key);
    return subject === undefined ? null : rounded(median(figures(subject)));
  };
  const others = run.keys.filter((key) => key !== 'azimuth');
  const byPeer = (value: (s: Subject) => unknown): Record<string, unknown> =>
    Object.fromEntries(run.subjects.map((s) => [s.peer.key, value(s)]));
  const workers = of('workers');
  return {
    cpu_us: figure('azimuth', cpu),
    cpu_us_browser: figure('azimuth', browser),
    recording_cpu_us: rounded(median(run.recordingUs)),
    ...Object.fromEntries(others.map((key) => [`cpu_vs_${key}`, ratio(key, cpu)])),
    cpu_vs_envoy_traced_browser: ratio('envoy_traced', browser),
    functions: Object.fromEntries(
      run.functions.map(({ name, withUs, withoutUs, addedUs }) => [
        name,
        {
          cpu_us_without: rounded(median(withoutUs)),
          cpu_us_with: rounded(median(withUs)),
          added_cpu_us: rounded(median(addedUs)),
        },
      ]),
    ),
    rps: figure('azimuth', rps),
    ...Object.fromEntries(others.map((key) => [`rps_vs_${key}`, ratio(key, rps)])),
    p50_ms: figure('azimuth', (s) => s.p50),
    p99_ms: figure('azimuth', p99),
    // The goal names Envoy with its tracing defaults: larger batches make a longer tail.
    p99_vs_envoy_default: ratio('envoy_default', p99),
    p99_vs_envoy_traced: ratio('envoy_traced', p99),
    rss_mib: figure('azimuth', (s) => [s.rss]),
    rss_mib_sidecar: figure('sidecar', (s) => [s.rss]),
    rss_mib_envoy_traced: figure('envoy_traced', (s) => [s.rss]),
    cpu_two_workers_vs_one: rounded(median(run.workersRatios)),
    connections_largest_share:
      workers === undefined || workers.largestShare === 0 ? null : rounded(workers.largestShare),
    delivered: ours?.delivered.healthy ?? null,
    delivered_50ms: ours?.delivered['50ms'] ?? null,
    delivered_250ms: ours?.delivered['250ms'] ?? null,
    delivered_away: ours?.delivered.away ?? null,
    unaccounted: run.unaccounted['azimuth'] ?? null,
    undisturbed_slices: ours === undefined ? null : ours.slices.filter(isQuiet).length,
    rounds: run.rounds,
    machine: machine(),
    peers: byPeer((s) => ({
      cpu_us: rounded(median(cpu(s))),
      rps: rounded(median(rps(s))),
      core_used: rounded(median(busy(s))),
      p50_ms: rounded(median(s.p50)),
      p99_ms: rounded(median(s.p99)),
      rss_mib: rounded(s.rss),
      undisturbed_slices: s.slices.filter(isQuiet).length,
      delivered: s.delivered,
    })),
  };
}

const over = (a: readonly number[], b: readonly number[]): number | null =>
  rounded(median(a) / median(b));

/** Four digits that matter; JSON has no NaN. */
function rounded(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : null;
}
