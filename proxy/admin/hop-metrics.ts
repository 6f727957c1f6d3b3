/**
 * What `/metrics` says about requests, counted as they finish: histograms of duration, own time and
 * attempts in one typed array per kind. On the request path, so `observe` only adds to numbers:
 *
 *     shape of a hop ──(once, at its first use)──► row ──► counts[row × status class × bucket]
 *
 * Rows are bounded. Their labels come from the mesh file and from lists of ours, never from a
 * client; should there be more of them than ROWS_MAX, the rest share row 0, which says so with
 * `otel.metric.overflow`, as OpenTelemetry's SDKs do. Rows stay for the life of the process, so that
 * no counter falls when a route goes.
 */
import { directionOf } from '../../telemetry/edge-class.ts';
import type { HopRecord, HopShape } from '../../telemetry/hop-record.ts';
import { ATTR } from '../../telemetry/names.ts';
import { STATUS_CLASSES, STATUS_CLASS_LABEL } from '../../telemetry/status-class.ts';

/** Advisory bounds of http.server.request.duration in the semantic conventions, seconds. */
export const DURATION_BOUNDS_S = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
] as const;
/** Own time of a proxy is microseconds where a request's is milliseconds: the same steps, earlier. */
export const OWN_BOUNDS_S = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1,
] as const;

const CLASSES = STATUS_CLASSES.length;

/** Buckets, one more than bounds, and the sum behind them. */
const DURATION_CELLS = DURATION_BOUNDS_S.length + 2;
const OWN_CELLS = OWN_BOUNDS_S.length + 2;
/** Streams and tunnels by kind: they have no place in a histogram of latency. */
const STREAM_KINDS = ['stream', 'tunnel'] as const;

/**
 * A row of all kinds takes about 0.9 kB, so all rows take half a megabyte. A gateway with 100 routes
 * and 4 methods each needs 400.
 */
export const ROWS_MAX = 512;
const ROWS_FIRST = 16;

type Labels = Record<string, string>;

/** One series, as it crosses process borders: the buckets, not cumulative, and their sum. */
export interface HistogramSeries {
  readonly labels: Labels;
  readonly counts: readonly number[];
  readonly sum: number;
}

export interface CountSeries {
  readonly labels: Labels;
  readonly value: number;
}

/** Attempts at one target that came to statuses of one class; target '' = all without a row. */
export interface AttemptCount {
  readonly target: string;
  readonly status_class: string;
  readonly value: number;
}

/** Everything counted since the start of the process; series without an observation are left out. */
export interface HopMetricsSnapshot {
  readonly duration: readonly HistogramSeries[];
  readonly own: readonly HistogramSeries[];
  readonly attempt_duration: readonly HistogramSeries[];
  /** Attempts by target and status class, those of streams included. */
  readonly attempts: readonly CountSeries[];
  readonly streams: readonly CountSeries[];
}

/** A table of numbers that grows row by row, off the request path. */
class Table {
  readonly cells: number;
  readonly labels: Labels[] = [];
  counts: Float64Array;
  readonly #rows = new Map<string, number>();

  constructor(cells: number) {
    this.cells = cells;
    this.counts = new Float64Array(cells * ROWS_FIRST);
    this.row({ 'otel.metric.overflow': 'true' });
  }

  /** The row of these labels; 0 when there is no room for another. */
  row(labels: Labels): number {
    const key = JSON.stringify(labels);
    const kept = this.#rows.get(key);
    if (kept !== undefined) return kept;
    const row = this.labels.length;
    if (row >= ROWS_MAX) return 0;
    if ((row + 1) * this.cells > this.counts.length) {
      const wider = new Float64Array(this.counts.length * 2);
      wider.set(this.counts);
      this.counts = wider;
    }
    this.labels.push(labels);
    this.#rows.set(key, row);
    return row;
  }
}

export class HopMetrics {
  /** A row per edge class, side, method, route and target; per status class a histogram. */
  readonly #duration = new Table(CLASSES * DURATION_CELLS);
  readonly #own = new Table(OWN_CELLS);
  readonly #streams = new Table(STREAM_KINDS.length);
  /** A row per target; per status class a count of attempts and a histogram. */
  readonly #attempts = new Table(CLASSES * (1 + DURATION_CELLS));
  /** Row of the target by the row of a hop. */
  readonly #targets = new Uint16Array(ROWS_MAX);

  /** The row in which hops of this shape are counted. Not for the request path. */
  row(shape: HopShape): number {
    const labels: Labels = {
      [ATTR.method]: shape.method,
      [ATTR.scheme]: shape.scheme,
      [ATTR.route]: shape.route,
      [ATTR.proxySide]: shape.side,
      [ATTR.edgeClass]: shape.edgeClass,
      [ATTR.direction]: directionOf(shape.edgeClass, 'split'),
      [ATTR.target]: shape.target,
    };
    const row = this.#duration.row(labels);
    // The same keys in the same order: the same row.
    this.#own.row(labels);
    this.#streams.row(labels);
    this.#targets[row] =
      row === 0 || shape.target === '' ? 0 : this.#attempts.row({ [ATTR.target]: shape.target });
    return row;
  }

  /** Counts a finished hop. No allocation. */
  observe(row: number, record: HopRecord): void {
    const { timesMs, attempts, attemptCount } = record;
    const isStream = record.streamClass !== '';
    const totalMs = timesMs[7]! - timesMs[0]!;
    let ownMs = totalMs - record.waitMs - record.backoffMs;
    for (let i = 0; i < attemptCount; i++) {
      const attempt = attempts[i]!;
      const attemptMs = attempt.endMs - attempt.startMs;
      ownMs -= attemptMs - attempt.waitMs;
      const { counts, cells } = this.#attempts;
      const at = this.#targets[row]! * cells + classOf(attempt.status) * (1 + DURATION_CELLS);
      counts[at]!++;
      if (!isStream) add(counts, at + 1, DURATION_BOUNDS_S, attemptMs / 1000);
    }
    if (isStream) {
      this.#streams.counts[
        row * STREAM_KINDS.length + (record.streamClass === 'tunnel' ? 1 : 0)
      ]!++;
      return;
    }
    const at = row * this.#duration.cells + classOf(record.status) * DURATION_CELLS;
    add(this.#duration.counts, at, DURATION_BOUNDS_S, totalMs / 1000);
    // Readings that contradict each other are cut as in the record: own time is never negative.
    add(this.#own.counts, row * OWN_CELLS, OWN_BOUNDS_S, ownMs > 0 ? ownMs / 1000 : 0);
  }

  /** Attempts by target and status class, those of streams included. */
  attempts(): AttemptCount[] {
    const { counts, cells, labels } = this.#attempts;
    return labels.flatMap((of, row) =>
      STATUS_CLASSES.map((name, i) => ({
        target: of[ATTR.target] ?? '',
        status_class: name,
        value: counts[row * cells + i * (1 + DURATION_CELLS)]!,
      })).filter(({ value }) => value > 0),
    );
  }

  snapshot(): HopMetricsSnapshot {
    return {
      duration: byClass(this.#duration, DURATION_CELLS, 0),
      own: this.#own.labels
        .map((labels, row) => series(this.#own.counts, row * OWN_CELLS, OWN_CELLS, labels))
        .filter(isCounted),
      attempt_duration: byClass(this.#attempts, 1 + DURATION_CELLS, 1),
      attempts: this.attempts().map(({ target, status_class: status, value }) => ({
        labels: { [ATTR.target]: target, [STATUS_CLASS_LABEL]: status },
        value,
      })),
      streams: this.#streams.labels.flatMap((labels, row) =>
        STREAM_KINDS.map((kind, i) => ({
          labels: { ...labels, 'azimuth.stream_class': kind },
          value: this.#streams.counts[row * STREAM_KINDS.length + i]!,
        })).filter(({ value }) => value > 0),
      ),
    };
  }
}

/** 1..5 by the first digit; 0 for no status. */
function classOf(status: number): number {
  const first = (status / 100) | 0;
  return first > 5 ? 5 : first;
}

/** Adds one observation to the histogram at `at`: its bucket (le, as Prometheus has it) and the sum. */
function add(counts: Float64Array, at: number, bounds: readonly number[], valueS: number): void {
  let bucket = 0;
  // Most values are small and the bounds ascend: a scan from below ends soon.
  while (bucket < bounds.length && valueS > bounds[bucket]!) bucket++;
  counts[at + bucket]!++;
  counts[at + bounds.length + 1]! += valueS;
}

/** Series of a table whose rows have a histogram per status class, `skip` cells into each. */
function byClass(table: Table, cellsPerClass: number, skip: number): HistogramSeries[] {
  return table.labels
    .flatMap((labels, row) =>
      STATUS_CLASSES.map((name, i) =>
        series(table.counts, (row * CLASSES + i) * cellsPerClass + skip, DURATION_CELLS, {
          ...labels,
          [STATUS_CLASS_LABEL]: name,
        }),
      ),
    )
    .filter(isCounted);
}

function series(counts: Float64Array, at: number, cells: number, labels: Labels): HistogramSeries {
  return { labels, counts: [...counts.subarray(at, at + cells - 1)], sum: counts[at + cells - 1]! };
}

const isCounted = ({ counts }: HistogramSeries): boolean => counts.some((count) => count > 0);
